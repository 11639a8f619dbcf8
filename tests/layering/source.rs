//! A Rust source as the paths it names, comments and texts left out.

use std::fs;
use std::path::Path;

/// One file of `src/`.
pub(crate) struct Source {
    /// The folder right under `src/`; the file's stem for a file that lies there.
    pub(crate) folder: String,
    /// From `src/` on.
    pub(crate) name: String,
    text: String,
}

/// A path such as `crate::store::Store`, or a macro such as `println!`.
pub(crate) struct Named {
    /// Where it stands, counted from 1.
    pub(crate) line: usize,
    words: Vec<String>,
}

impl Named {
    /// The path as it would be written out.
    pub(crate) fn text(&self) -> String {
        self.words.join("::")
    }

    /// Whether `what` is meant: `crate::…` and crates from the beginning, names with a capital anywhere.
    pub(crate) fn is_or_holds(&self, what: &str) -> bool {
        let wanted: Vec<&str> = what.split("::").collect();
        let is_anywhere = what.starts_with(char::is_uppercase);
        let from = |start: usize| {
            self.words.get(start..start + wanted.len()).is_some_and(|words| words.iter().eq(wanted.iter()))
        };
        // A crate or a macro stands first; `use redis;` alone is no path yet.
        if is_anywhere { (0..self.words.len()).any(from) } else { from(0) }
    }
}

/// Every file of `src/`.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read_folder(&root, &root, &mut sources);
    assert!(sources.len() > 20, "the sources are not where they are expected");
    sources
}

fn read_folder(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(root, &path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let inner = path.strip_prefix(root).unwrap();
            let first = inner.components().next().unwrap().as_os_str().to_string_lossy();
            let name = inner.to_string_lossy();
            sources.push(Source::of(first.trim_end_matches(".rs"), &name, &fs::read_to_string(&path).unwrap()));
        }
    }
}

impl Source {
    /// A source by its text.
    pub(crate) fn of(folder: &str, name: &str, text: &str) -> Self {
        Self { folder: folder.to_owned(), name: format!("src/{name}"), text: text.to_owned() }
    }

    /// Lines outside comments that hold a text.
    pub(crate) fn lines_with(&self, what: &str) -> Vec<String> {
        let kept = without_comments(&self.text, true);
        let lines = kept.lines().enumerate().filter(|(_, line)| line.contains(what));
        lines.map(|(line, _)| format!("{}:{} holds {what}", self.name, line + 1)).collect()
    }

    /// Every path the source names; those of a `use` with braces one by one.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let tokens = tokens(&without_comments(&self.text, false));
        let mut named = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at].1 == "use" {
                at = use_tree(&tokens, at + 1, &[], &mut named);
            } else if is_word(&tokens[at].1) {
                at = plain_path(&tokens, at, &mut named);
            } else {
                at += 1;
            }
        }
        named.into_iter().map(from_the_crate).collect()
    }
}

type Token = (usize, String);

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn is_at(tokens: &[Token], at: usize, what: &str) -> bool {
    tokens.get(at).is_some_and(|(_, text)| text == what)
}

/// `super::super::store` is `crate::store` as far as the lines between folders go.
fn from_the_crate(mut named: Named) -> Named {
    let ups = named.words.iter().take_while(|word| *word == "super" || *word == "self").count();
    if ups >= 2 {
        named.words.splice(..ups, ["crate".to_owned()]);
    }
    named
}

fn plain_path(tokens: &[Token], start: usize, named: &mut Vec<Named>) -> usize {
    let mut words = vec![tokens[start].1.clone()];
    let mut at = start + 1;
    while is_at(tokens, at, "::") && tokens.get(at + 1).is_some_and(|(_, text)| is_word(text)) {
        words.push(tokens[at + 1].1.clone());
        at += 2;
    }
    let is_macro = is_at(tokens, at, "!") && !is_at(tokens, at + 1, "=");
    if is_macro && words.len() == 1 {
        words[0].push('!');
    }
    // A word that stands alone is a variable or a field, and no crate; a type or a macro counts.
    if words.len() > 1 || is_macro || words[0].starts_with(char::is_uppercase) {
        named.push(Named { line: tokens[start].0, words });
    }
    at
}

/// Reads the tree behind `use`, and gives where it ends.
fn use_tree(tokens: &[Token], start: usize, prefix: &[String], named: &mut Vec<Named>) -> usize {
    let mut words = prefix.to_vec();
    let mut at = start;
    while let Some((line, text)) = tokens.get(at) {
        if is_word(text) && text != "as" {
            words.push(text.clone());
            at += 1;
        } else if text == "::" {
            at += 1;
        } else if text == "{" {
            at += 1;
            while !is_at(tokens, at, "}") && at < tokens.len() {
                at = use_tree(tokens, at, &words, named);
                at += usize::from(is_at(tokens, at, ","));
            }
            return at + 1;
        } else {
            named.push(Named { line: *line, words: words.clone() });
            // `as name`, `*`: nothing more is named.
            while at < tokens.len() && !["}", ",", ";"].contains(&tokens[at].1.as_str()) {
                at += 1;
            }
            return at;
        }
    }
    at
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        line += usize::from(letter == '\n');
        if letter.is_whitespace() {
            continue;
        }
        let mut word = letter.to_string();
        if letter.is_alphanumeric() || letter == '_' {
            while let Some(next) = letters.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
        } else if letter == ':' && letters.next_if_eq(&':').is_some() {
            word.push(':');
        }
        tokens.push((line, word));
    }
    tokens
}

/// Blanks comments, and texts too unless they are kept; lines stay where they are.
fn without_comments(text: &str, keeps_texts: bool) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let rest = &letters[at..];
        let (length, is_kept) = match rest {
            ['/', '/', ..] => (rest.iter().position(|letter| *letter == '\n').unwrap_or(rest.len()), false),
            ['/', '*', ..] => (block_comment(rest), false),
            ['"', ..] => (quoted(rest), keeps_texts),
            ['r', '"' | '#', ..] if at == 0 || !is_part_of_word(letters[at - 1]) => match raw_text(rest) {
                Some(length) => (length, keeps_texts),
                None => (1, true),
            },
            ['\'', '\\', ..] => (3 + rest.iter().skip(3).position(|letter| *letter == '\'').unwrap_or(0), false),
            ['\'', _, '\'', ..] => (3, false),
            _ => (1, true),
        };
        let piece = &rest[..length.clamp(1, rest.len())];
        kept.extend(piece.iter().map(|letter| if is_kept || *letter == '\n' { *letter } else { ' ' }));
        at += piece.len();
    }
    kept
}

fn is_part_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn block_comment(letters: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < letters.len() {
        match &letters[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(letters: &[char]) -> usize {
    let mut at = 1;
    while at < letters.len() {
        match letters[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// `r"…"`, `r#"…"#`; none for `r#type`.
fn raw_text(letters: &[char]) -> Option<usize> {
    let hashes = letters.iter().skip(1).take_while(|letter| **letter == '#').count();
    if letters.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let mut at = 2 + hashes;
    while at < letters.len() {
        if letters[at] == '"'
            && letters[at + 1..].iter().take(hashes).filter(|letter| **letter == '#').count() == hashes
        {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(at)
}
