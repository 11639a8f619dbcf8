//! `touchpoint check`: settings, canvases and rules of a folder in one report.

use std::path::Path;

use super::diagnostic::{Faults, Report};
use super::interpolate::Variables;
use super::later_settings;
use super::load::{self, Context};
use super::settings_file;

/// All faults of a folder, errors first.
///
/// A folder with neither `touchpoint.yaml` nor `playbook/` is taken as a folder of rules, in Asia/Shanghai. Rules are
/// checked even when the settings are faulty.
#[must_use]
pub fn check(dir: &Path) -> Faults {
    let mut report = Report::default();
    let variables = Variables::read(dir, &mut report);
    let mut context = Context::default();
    if load::rules_folder(dir) != dir {
        if let Some(settings) = settings_file::read(dir, &variables, &mut report) {
            context = settings.playbook_context();
        }
        later_settings::check_canvases(dir, &mut report);
    }
    load::read(dir, &context, &variables, &mut report);
    report.into_faults()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
