//! Faults: what is wrong with a file, where exactly, and what was probably meant.
//!
//! Everything that reads YAML writes into one `Report`, which never stops at the first fault. A fault's excerpt shows
//! the file as it is written, so that an interpolated secret never appears; a secret written out in the file is masked.

use std::fmt;
use std::ops::Range;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The files are refused.
    Error,
    /// Legal but suspicious.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One fault of one file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The file's path, as it was found.
    pub file: String,
    /// Counted from 1; 0 when the fault is about the whole file.
    pub line: usize,
    /// In characters, counted from 1; 0 when the fault is about the whole file.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for programs, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong; lower case.
    pub message: String,
    /// What was probably meant, or what to do.
    pub hint: Option<String>,
    /// The line of the file, secrets masked; of a long line the part around the place.
    #[serde(skip)]
    pub excerpt: String,
    /// How many characters of the excerpt stand before the caret.
    #[serde(skip)]
    pub indent: usize,
    /// How many characters the caret underlines.
    #[serde(skip)]
    pub width: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        let gutter = " ".repeat(self.line.to_string().len());
        if self.line == 0 {
            writeln!(f, " --> {}", self.file)?;
        } else {
            writeln!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
            writeln!(f, "{gutter} |")?;
            writeln!(f, "{} | {}", self.line, self.excerpt)?;
            let before: String = self.excerpt.chars().take(self.indent).map(blank).collect();
            let under: String = self.excerpt.chars().skip(self.indent).take(self.width).map(caret).collect();
            writeln!(f, "{gutter} | {before}{}", if under.is_empty() { "^" } else { &under })?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{gutter} = hint: {hint}")?;
        }
        Ok(())
    }
}

/// More characters of a line do not help.
const LONGEST_EXCERPT: usize = 160;

/// Terminals draw Chinese letters two columns wide, so the blanks and carets under them are doubled.
fn is_wide(letter: char) -> bool {
    matches!(u32::from(letter), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE4F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF)
}

fn blank(letter: char) -> &'static str {
    match letter {
        '\t' => "\t",
        _ if is_wide(letter) => "  ",
        _ => " ",
    }
}

fn caret(letter: char) -> &'static str {
    if is_wide(letter) { "^^" } else { "^" }
}

/// All faults of some files, errors first, then by file and place.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Those that refuse the files.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter(|fault| fault.severity == Severity::Error)
    }

    /// Those that are only suspicious.
    pub fn warnings(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter().filter(|fault| fault.severity == Severity::Warning)
    }

    /// Whether any of them refuses the files.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// Which file of a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(usize);

/// A place in a file: bytes from `start` to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// The part of it that begins `from` bytes into it and is `length` bytes long.
    pub(crate) fn part(self, from: usize, length: usize) -> Self {
        let start = self.start.saturating_add(from).min(self.end);
        Self { start, end: start.saturating_add(length).min(self.end), ..self }
    }
}

struct SourceFile {
    name: String,
    text: String,
    secrets: Vec<Range<usize>>,
}

/// Files read so far and their faults.
#[derive(Default)]
pub(crate) struct Report {
    files: Vec<SourceFile>,
    faults: Vec<(Span, Fault)>,
}

impl Report {
    /// Takes in a file; later spans speak of it.
    pub(crate) fn add_file(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push(SourceFile { name: name.into(), text: text.into(), secrets: Vec::new() });
        FileId(self.files.len() - 1)
    }

    /// The text of a file.
    pub(crate) fn text(&self, file: FileId) -> &str {
        self.files.get(file.0).map_or("", |file| &file.text)
    }

    /// What the file says at a place.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start..span.end).unwrap_or_default()
    }

    /// Excerpts will not show what stands there, unless it is a `${…}`.
    pub(crate) fn hide(&mut self, span: Span) {
        if !self.slice(span).contains("${")
            && let Some(file) = self.files.get_mut(span.file.0)
        {
            file.secrets.push(span.start..span.end);
        }
    }

    /// `file:line` of a place.
    pub(crate) fn place(&self, span: Span) -> String {
        let name = self.files.get(span.file.0).map_or("", |file| &file.name);
        format!("{name}:{}", self.line_and_column(span).0)
    }

    /// `file:line:column` of a place.
    pub(crate) fn exact_place(&self, span: Span) -> String {
        format!("{}:{}", self.place(span), self.line_and_column(span).1)
    }

    fn line_and_column(&self, span: Span) -> (usize, usize) {
        let before = self.text(span.file).get(..span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, span: Span, code: &'static str, message: impl Into<String>) -> &mut Fault {
        self.note(Severity::Error, span, code, message.into())
    }

    /// Notes a warning.
    pub(crate) fn warning(&mut self, span: Span, code: &'static str, message: impl Into<String>) -> &mut Fault {
        self.note(Severity::Warning, span, code, message.into())
    }

    /// Notes an error about a whole file.
    pub(crate) fn file_error(&mut self, file: FileId, code: &'static str, message: impl Into<String>) -> &mut Fault {
        let fault = self.note(Severity::Error, Span { file, start: 0, end: 0 }, code, message.into());
        (fault.line, fault.column) = (0, 0);
        fault
    }

    /// Notes a warning about a whole file.
    pub(crate) fn file_warning(&mut self, file: FileId, code: &'static str, message: impl Into<String>) {
        let fault = self.note(Severity::Warning, Span { file, start: 0, end: 0 }, code, message.into());
        (fault.line, fault.column) = (0, 0);
    }

    /// Notes a fault. Its excerpt is made at the end, when it is known what must not be shown.
    pub(crate) fn note(&mut self, severity: Severity, span: Span, code: &'static str, message: String) -> &mut Fault {
        let (line, column) = self.line_and_column(span);
        let file = self.files.get(span.file.0).map_or_else(String::new, |file| file.name.clone());
        let (hint, excerpt, indent, width) = (None, String::new(), 0, 1);
        self.faults.push((span, Fault { file, line, column, severity, code, message, hint, excerpt, indent, width }));
        &mut self.faults.last_mut().expect("a fault was pushed just now").1
    }

    /// Fills in the line of a place with secrets masked, and what of it the caret underlines.
    fn illustrate(&self, span: Span, fault: &mut Fault) {
        let text = self.text(span.file);
        let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let secrets = self.files.get(span.file.0).map_or(&[][..], |file| &file.secrets);
        let mut letters = Vec::new();
        let (mut indent, mut width) = (0, 0);
        for (offset, letter) in line.char_indices() {
            let at = start + offset;
            indent += usize::from(at < span.start);
            width += usize::from((span.start..span.end).contains(&at));
            letters.push(if secrets.iter().any(|range| range.contains(&at)) { '*' } else { letter });
        }
        let from = if indent > LONGEST_EXCERPT / 2 { indent - LONGEST_EXCERPT / 4 } else { 0 };
        let shown: String = letters.iter().skip(from).take(LONGEST_EXCERPT).collect();
        fault.indent = indent - from;
        fault.width = width.clamp(1, LONGEST_EXCERPT - fault.indent);
        fault.excerpt = shown.trim_end().to_owned();
    }

    /// Whether an error was noted.
    pub(crate) fn has_errors(&self) -> bool {
        self.faults.iter().any(|(_, fault)| fault.severity == Severity::Error)
    }

    /// All that was noted: errors first, then in the order of files and lines.
    pub(crate) fn into_faults(mut self) -> Faults {
        let mut noted = std::mem::take(&mut self.faults);
        for (span, fault) in &mut noted {
            self.illustrate(*span, fault);
        }
        noted.sort_by_key(|(span, fault)| (fault.severity, span.file, fault.line, fault.column));
        let mut faults: Vec<Fault> = noted.into_iter().map(|(_, fault)| fault).collect();
        faults.dedup();
        Faults(faults)
    }
}

impl Fault {
    /// Adds a hint.
    pub(crate) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    /// Adds "did you mean …", when one of the candidates is near enough.
    pub(crate) fn nearest<'a>(&mut self, wrong: &str, candidates: impl IntoIterator<Item = &'a str>) {
        if let Some(candidate) = nearest(wrong, candidates) {
            self.hint(format!("did you mean `{candidate}`?"));
        }
    }
}

/// The candidate most like `wrong`, if any is like it: most of it is the same, or a letter or two went astray.
pub(crate) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = wrong.to_lowercase();
    let near = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let likeness = strsim::jaro_winkler(&folded, &candidate);
        let astray = strsim::damerau_levenshtein(&folded, &candidate);
        (likeness >= 0.8 || astray <= folded.chars().count() / 3).then_some(likeness)
    };
    candidates
        .into_iter()
        .filter(|candidate| *candidate != wrong)
        .filter_map(|candidate| near(candidate).map(|likeness| (likeness, candidate)))
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}
