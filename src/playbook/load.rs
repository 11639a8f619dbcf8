//! Loading a folder: files read, variables put in, compiled. Server, `check` and reload all come through here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::compile;
use super::diagnostic::{Faults, Report};
use super::interpolate::{self, Variables};
use super::model::Playbook;
use super::tree::{self, Node};
use crate::domain::ids::UserId;
use crate::settings::Locale;

/// What the settings lend the rules.
#[derive(Debug, Clone)]
pub struct Context {
    /// `server.timezone`; every day, time of day and schedule is in it.
    pub zone: Tz,
    /// `server.locale`; built-in texts are in it.
    pub locale: Locale,
    /// `console.managers`.
    pub managers: Vec<UserId>,
    /// `console.admins`, who stand in when there are no managers.
    pub admins: Vec<UserId>,
}

impl Default for Context {
    /// Asia/Shanghai, Chinese, and nobody.
    fn default() -> Self {
        Self { zone: chrono_tz::Asia::Shanghai, locale: Locale::ZhCn, managers: Vec::new(), admins: Vec::new() }
    }
}

/// A playbook that may run.
#[derive(Debug)]
pub struct Loaded {
    /// The rules.
    pub playbook: Playbook,
    /// What is legal but suspicious.
    pub warnings: Faults,
}

/// Loads `dir/playbook/*.yaml`, or `dir/*.yaml` when `dir` holds only playbook files.
///
/// The revision is the SHA-256 of the files' names and contents as they are written, in the order of their names;
/// what `${…}` puts in is no part of it, so that it tells nothing of a secret.
///
/// # Errors
/// Every fault of every file, when one of them is an error; the caller keeps the playbook it has.
pub fn load(dir: &Path, context: &Context) -> Result<Loaded, Faults> {
    let mut report = Report::default();
    let variables = Variables::read(dir, &mut report);
    let playbook = read(dir, context, &variables, &mut report);
    finish(playbook, report)
}

/// Loads one file's text, without variables, in Asia/Shanghai; for tests and tools.
///
/// # Errors
/// As [`load`].
pub fn from_text(yaml: &str) -> Result<Playbook, Faults> {
    let mut report = Report::default();
    let sources = vec![("playbook.yaml".to_owned(), yaml.to_owned())];
    let playbook = build(sources, &Context::default(), &Variables::none(), &mut report);
    finish(playbook, report).map(|loaded| loaded.playbook)
}

fn finish(playbook: Option<Playbook>, report: Report) -> Result<Loaded, Faults> {
    let refused = report.has_errors();
    let faults = report.into_faults();
    match playbook.filter(|_| !refused) {
        Some(playbook) => Ok(Loaded { playbook, warnings: faults }),
        None => Err(faults),
    }
}

/// The folder that holds the rules of a configuration folder.
pub(crate) fn rules_folder(dir: &Path) -> PathBuf {
    let inner = dir.join("playbook");
    if inner.is_dir() || dir.join("touchpoint.yaml").exists() { inner } else { dir.to_owned() }
}

/// Reads and compiles a folder's rules into a report that may hold other files' faults already.
pub(crate) fn read(dir: &Path, context: &Context, variables: &Variables, report: &mut Report) -> Option<Playbook> {
    let folder = rules_folder(dir);
    let sources = match yaml_files(&folder) {
        Ok(sources) => sources,
        Err(error) => {
            let file = report.add_file(folder.display().to_string(), "");
            report.file_error(file, "cannot-read", format!("the playbook cannot be read: {error}"));
            return None;
        }
    };
    if sources.is_empty() {
        let file = report.add_file(folder.display().to_string(), "");
        report.file_error(file, "no-playbook", "there is no *.yaml file in this folder");
        return None;
    }
    build(sources, context, variables, report)
}

/// The `*.yaml` files of a folder by name, with their contents.
fn yaml_files(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.is_file() && path.extension().is_some_and(|ending| ending == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(|path| Ok((path.display().to_string(), fs::read_to_string(&path)?))).collect()
}

fn build(
    sources: Vec<(String, String)>,
    context: &Context,
    variables: &Variables,
    report: &mut Report,
) -> Option<Playbook> {
    let mut hash = Sha256::new();
    let mut trees: Vec<Node> = Vec::new();
    let mut complete = true;
    for (name, text) in sources {
        let short = Path::new(&name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        for part in [&short, &text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let is_blank = tree::is_blank(&text);
        let file = report.add_file(name, text);
        match tree::parse(file, report) {
            Some(mut tree) => {
                interpolate::interpolate(&mut tree.root, "", variables, report);
                trees.push(tree.root);
            }
            None => complete &= is_blank,
        }
    }
    // Names that stand in a file which cannot be read would each be reported as missing.
    if !complete {
        return None;
    }
    let revision = data_encoding::HEXLOWER.encode(&hash.finalize());
    compile::compile(&trees, context, revision, report)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
