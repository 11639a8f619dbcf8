//! `touchpoint check [DIR]`: every fault of settings and rules, as a compiler would tell them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::playbook::check;
use crate::playbook::diagnostic::Faults;

/// For people or for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Words for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

/// Checks a folder and prints what is wrong with it: source excerpts with carets, or
/// `[{file,line,column,severity,code,message,hint}]`.
///
/// Exit code 0 when nothing is (warnings allowed), 1 when there are errors, 3 when the folder cannot be looked into.
#[must_use]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to whoever called it")]
pub fn check(dir: &Path, format: Format) -> ExitCode {
    if !dir.is_dir() {
        eprintln!("error: there is no folder {}", dir.display());
        return ExitCode::from(3);
    }
    let faults = check::check(dir);
    print!("{}", written(&faults, dir, format));
    ExitCode::from(u8::from(faults.has_errors()))
}

/// What `check` prints.
#[must_use]
pub fn written(faults: &Faults, dir: &Path, format: Format) -> String {
    match format {
        Format::Json => {
            let mut json = serde_json::to_string_pretty(&faults.0).expect("faults hold only texts and numbers");
            json.push('\n');
            json
        }
        Format::Text => as_text(faults, dir),
    }
}

fn as_text(faults: &Faults, dir: &Path) -> String {
    let mut text = String::new();
    for fault in &faults.0 {
        writeln!(text, "{fault}").expect("writing into a String cannot fail");
    }
    let (errors, warnings) = (faults.errors().count(), faults.warnings().count());
    let counted = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let verdict = if errors == 0 { "is fine" } else { "cannot be used" };
    writeln!(text, "{} {verdict}: {}, {}", dir.display(), counted(errors, "error"), counted(warnings, "warning"))
        .expect("writing into a String cannot fail");
    text
}
