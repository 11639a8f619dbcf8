//! Figures as they are printed: one table, each with its unit, ratios where there is something to compare with.

use std::time::Duration;

use crate::processes::Redis;

/// Says on what everything was measured.
#[expect(clippy::print_stdout, reason = "a bench prints")]
pub(crate) fn begin(redis: &Redis) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "\nThe whole server, release build, on {cores} cores shared with Redis and the load; Redis {}",
        redis.version
    );
    println!("over a unix socket, append-only file in memory; 64 shards; the sample company's rules.");
}

/// Begins a group of figures.
#[expect(clippy::print_stdout, reason = "a bench prints")]
pub(crate) fn section(name: &str, how: &str) {
    println!("\n{name}: {how}");
}

/// A figure of its own.
#[expect(clippy::print_stdout, reason = "a bench prints")]
pub(crate) fn figure(what: &str, unit: &str, value: f64) {
    println!("  {what:<52} {:>10} {unit}", shown(value));
}

/// A figure beside the bare server's.
#[expect(clippy::print_stdout, reason = "a bench prints")]
pub(crate) fn compared(what: &str, unit: &str, ours: f64, theirs: f64, ratio: f64) {
    println!("  {what:<52} {:>10} {unit:<3} bare {:>10} {unit:<3} × {ratio:.2}", shown(ours), shown(theirs));
}

/// Something that went wrong, or that another process waits to hear.
#[expect(clippy::print_stderr, reason = "a bench prints")]
pub(crate) fn complain(text: &str) {
    eprintln!("{text}");
}

/// Three digits that mean something.
fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which so many percent lie; the values stand in order.
pub(crate) fn percentile(values: &[Duration], percent: f64) -> Duration {
    let last = u32::try_from(values.len().saturating_sub(1)).unwrap_or(u32::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is no longer")]
    let place = (f64::from(last) * percent / 100.0).round() as usize;
    values.get(place).copied().unwrap_or_default()
}
