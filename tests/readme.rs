//! What the documents say is so.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use touchpoint::cli::Arguments;
use touchpoint::cli::check::{Format, written};
use touchpoint::playbook::check;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text_of(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The fenced blocks of a document, with the words behind the fence.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                blocks.push((language.to_owned(), String::new()));
            }
            None if open => {
                let (_, block) = blocks.last_mut().unwrap();
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    blocks
}

#[test]
fn the_mistake_in_the_readme_is_told_in_these_words() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    fs::create_dir_all(config.join("playbook")).unwrap();
    fs::copy(root().join("config/touchpoint.yaml"), config.join("touchpoint.yaml")).unwrap();
    fs::copy(root().join(".env.example"), config.join(".env")).unwrap();
    for entry in fs::read_dir(root().join("config/playbook")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replacen(
            "customer.orders == 0 && days",
            "custmer.orders == 0 && days",
            1,
        );
        fs::write(config.join("playbook").join(path.file_name().unwrap()), text).unwrap();
    }
    let told = written(&check::check(&config), &config, Format::Text);
    let told = told.replace(&format!("{}/", folder.path().display()), "");
    let readme = text_of("README.md");
    let shown = blocks(&readme).into_iter().find(|(_, block)| block.starts_with("error[")).expect("a mistake is shown");
    assert!(told.starts_with(&shown.1), "README shows\n{}\ncheck says\n{told}", shown.1);
}

#[test]
fn every_link_leads_to_a_file() {
    for name in ["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        for link in text_of(name).split("](").skip(1).filter_map(|rest| rest.split(')').next().map(str::to_owned)) {
            assert!(link.starts_with("https://") || root().join(&link).exists(), "{name}: {link} leads nowhere");
        }
    }
}

#[test]
fn every_folder_on_the_map_is_there_and_every_folder_is_on_the_map() {
    let map = text_of("ARCHITECTURE.md");
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let called = if path.is_dir() { format!("`{name}/`") } else { format!("`{name}`") };
        assert!(["main.rs", "lib.rs"].contains(&name.as_str()) || map.contains(&called), "{called} is not on the map");
    }
    for line in map.lines().filter(|line| line.starts_with("| `")) {
        let place = line.split('`').nth(1).unwrap_or_default();
        if place.ends_with('/') {
            assert!(root().join("src").join(place).is_dir(), "{place} is on the map only");
        }
    }
}

#[test]
fn every_setting_of_the_sample_company_is_explained() {
    let readme = text_of("README.md");
    let mut section = String::new();
    for line in text_of("config/touchpoint.yaml").lines() {
        let Some((key, _)) = line.split_once(':').filter(|(key, _)| !key.trim_start().starts_with('#')) else {
            continue;
        };
        match key.chars().take_while(|letter| *letter == ' ').count() {
            0 => key.clone_into(&mut section),
            2 => {
                let (name, parent) = (key.trim(), format!("{section}.{}", key.trim()));
                let is_explained =
                    readme.contains(&format!("`{parent}`")) || readme.contains(&format!("`{parent}.NAME`"));
                assert!(is_explained, "{section}: {name} is not in the table of settings");
            }
            _ => {}
        }
    }
    assert!(readme.contains("`clock`"));
}

#[test]
fn every_variable_that_the_readme_names_is_in_the_example() {
    let (readme, example) = (text_of("README.md"), text_of(".env.example"));
    let names = readme.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    for name in names.filter(|name| name.starts_with("WECOM_") || name.starts_with("TOUCHPOINT_")) {
        assert!(example.contains(&format!("{name}=")), "{name} is not in .env.example");
    }
}

/// All Rust source below these folders of the repository.
fn sources(folders: &[&str]) -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    for folder in folders {
        collect(&root().join(folder), &mut text);
    }
    text
}

/// The words of a text that begin so, without what is no letter, digit or `_`.
fn names<'t>(text: &'t str, start: &str) -> BTreeSet<&'t str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with(start) && word.len() > start.len()).collect()
}

#[test]
fn every_module_is_on_the_map() {
    let map = text_of("ARCHITECTURE.md");
    for folder in
        fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        let folder_name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let (_, section) = map.split_once(&format!("### `{folder_name}/`\n")).expect("every folder has its section");
        let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
        let contents = fs::read_to_string(folder.join("mod.rs")).unwrap();
        let mut is_for_tests = false;
        let mut modules = BTreeSet::new();
        for line in contents.lines() {
            let declared = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            if let Some(module) = declared.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                if !is_for_tests {
                    modules.insert(module.to_owned());
                }
                is_for_tests = false;
            }
            is_for_tests = is_for_tests || line == "#[cfg(test)]";
        }
        let told: BTreeSet<String> =
            section.lines().filter_map(|line| Some(line.strip_prefix("* `")?.split_once('`')?.0.to_owned())).collect();
        assert_eq!(told, modules, "the modules of src/{folder_name}");
    }
}

#[test]
fn every_test_that_holds_an_invariant_is_there() {
    let map = text_of("ARCHITECTURE.md");
    let (_, table) = map.split_once("| # | invariant |").unwrap();
    let sources = sources(&["src", "tests"]);
    let mut rows = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with("| ")) {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = last.split('`').skip(1).step_by(2).filter(|name| !name.contains('/')).collect();
        assert!(!tests.is_empty(), "{row}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
        }
        rows += 1;
    }
    assert_eq!(rows, 12);
}

#[test]
fn the_keys_on_the_map_are_those_of_the_store() {
    let map = text_of("ARCHITECTURE.md");
    let keys = text_of("src/store/keys.rs");
    for row in keys.lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with("| `")) {
        assert!(map.lines().any(|line| line == row), "not in ARCHITECTURE.md: {row}");
    }
}

#[test]
fn every_metric_is_in_the_readme_and_no_other() {
    let counted = sources(&["src"]);
    let counted: BTreeSet<&str> =
        counted.split('"').filter(|text| text.starts_with("touchpoint_") && !text.contains(['{', ' '])).collect();
    assert_eq!(names(&text_of("README.md"), "touchpoint_"), counted);
}

#[test]
fn every_log_message_in_the_readme_is_one_that_is_logged() {
    let logged = sources(&["src"]).replace(['{', '}'], "…");
    let readme = text_of("README.md");
    let rows = ["| `error` | ", "| `warn` | ", "| `info` | "];
    let rows = readme.lines().filter_map(|line| rows.iter().find_map(|start| line.strip_prefix(start)));
    let messages: Vec<&str> =
        rows.filter_map(|row| row.split(" | ").next()).flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(messages.len() > 20, "{messages:?}");
    for message in messages {
        for part in message.split('…').map(|part| part.trim_end_matches(": ")).filter(|part| part.len() > 3) {
            assert!(logged.contains(part), "nothing logs {part:?} of {message:?}");
        }
    }
}

/// What a document consists of, whatever language it is in.
#[derive(Debug, PartialEq)]
enum Part {
    Heading(usize),
    Code(String, String),
    Row(usize),
    Link(String),
}

/// The parts of a document in their order. Comments in commands may differ, since they are in the reader's language.
fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut codes = blocks(text).into_iter();
    let mut open = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            open = !open;
            if open {
                let (language, block) = codes.next().unwrap();
                let is_drawing = language.is_empty() && block.contains('▼');
                let commands = block.lines().map(|line| line.split("  #").next().unwrap().trim_end());
                let commands = if is_drawing { String::new() } else { commands.collect::<Vec<_>>().join("\n") };
                parts.push(Part::Code(language, commands));
            }
        } else if !open {
            if line.starts_with('#') {
                parts.push(Part::Heading(line.chars().take_while(|letter| *letter == '#').count()));
            }
            if line.starts_with('|') {
                parts.push(Part::Row(line.matches(" | ").count()));
            }
            let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            parts.extend(links.filter(|link| !link.starts_with("README")).map(|link| Part::Link(link.to_owned())));
        }
    }
    parts
}

/// What must be the same in every language: settings, commands, metrics, routes, messages.
fn quoted(text: &str) -> BTreeSet<String> {
    let mut open = false;
    let mut quoted = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            open = !open;
        } else if !open {
            quoted.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    quoted
}

#[test]
fn both_languages_of_the_readme_say_the_same() {
    let (english, chinese) = (text_of("README.md"), text_of("README.zh-CN.md"));
    for (text, other) in [(&english, "](README.zh-CN.md)"), (&chinese, "](README.md)")] {
        assert!(text.lines().take(4).any(|line| line.contains(other)), "{other} is not at the top");
    }
    // One that is out of step shows itself by the first part that differs.
    let (ours, theirs) = (parts(&english), parts(&chinese));
    for (number, (one, two)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(one, two, "part {number}: before it {:?}", ours.get(number.saturating_sub(3)..number));
    }
    assert_eq!(ours.len(), theirs.len(), "one is longer: {:?}", ours.get(theirs.len()).or(theirs.get(ours.len())));
    let (ours, theirs) = (quoted(&english), quoted(&chinese));
    let apart: Vec<&String> = ours.symmetric_difference(&theirs).collect();
    assert!(apart.is_empty(), "only in one of them: {apart:?}");
}

#[test]
fn every_route_is_in_the_readme() {
    let readme = text_of("README.md").replace("{external_userid}", "{id}");
    let mut routes = BTreeSet::new();
    for file in fs::read_dir(root().join("src/web")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&file).unwrap();
        let is_route = |text: &&str| {
            let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/{}_-".contains(&byte);
            text.len() > 1 && text.starts_with('/') && text.bytes().all(is_path)
        };
        if !file.to_string_lossy().ends_with("_tests.rs") {
            routes.extend(text.split('"').filter(is_route).map(str::to_owned));
        }
    }
    assert!(routes.len() >= 8, "{routes:?}");
    for route in routes {
        assert!(readme.contains(&route), "{route} is not in README.md");
    }
}

#[test]
fn every_command_and_option_is_in_the_readme() {
    let readme = text_of("README.md");
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name();
        assert!(readme.contains(&format!("| `{name}")), "{name} is not in the table of commands");
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(readme.contains(&format!("--{option}")), "{name} --{option} is not in README.md");
        }
    }
}

#[test]
fn the_month_in_the_readme_is_the_month_that_is_played() {
    let output = Command::new(env!("CARGO_BIN_EXE_touchpoint"))
        .args(["--config", "config", "demo", "--script"])
        .current_dir(root())
        .output()
        .unwrap();
    let played = String::from_utf8(output.stdout).unwrap();
    let readme = text_of("README.md");
    let (_, shown) = blocks(&readme).into_iter().find(|(_, block)| block.contains("Nudges to customers")).unwrap();
    for table in shown.split("\n\n") {
        assert!(played.contains(table.trim_end()), "README shows\n{table}\nplayed was\n{played}");
    }
}

#[test]
fn the_readme_asks_for_the_rust_that_is_needed() {
    let manifest = text_of("Cargo.toml");
    let needed = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"')).unwrap();
    assert!(text_of("README.md").contains(&format!("Rust ({needed} or newer)")), "{needed}");
}
