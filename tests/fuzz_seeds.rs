//! The seeds of the fuzz targets, and what fuzzing has found, hold on every run: the same checks, without a fuzzer.

#[expect(unreachable_pub, reason = "the fuzz targets, a crate of their own, use the same functions")]
#[path = "../fuzz/src/checks.rs"]
mod checks;

use std::path::Path;

/// Runs a check over every seed of a target.
fn hold(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("each target has a folder of seeds") {
        check(&std::fs::read(entry.expect("the folder is readable").path()).expect("a seed is readable"));
        count += 1;
    }
    assert!(count > 0, "{target} has no seeds");
}

#[test]
fn an_envelope_that_opens_seals_and_opens_again() {
    hold("envelope", checks::envelope);
    // A seed cannot hold what only a key makes.
    checks::envelope(checks::sealed("<xml><CreateTime>1</CreateTime></xml>").as_bytes());
}

#[test]
fn what_is_inside_a_callback_becomes_one_event() {
    hold("inside", checks::inside);
}

#[test]
fn faults_of_a_playbook_are_told_inside_the_file() {
    hold("playbook", checks::playbook);
}

#[test]
fn an_accepted_condition_can_be_asked_of_anybody() {
    hold("expression", checks::expression);
}

#[test]
fn an_accepted_text_renders_or_says_why_not() {
    hold("template", checks::template);
}
