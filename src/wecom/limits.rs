//! WeCom's quotas, each with the document and date it comes from.
//!
//! WeCom blocks for a minute to a month what oversteps a quota, and drops messages beyond a member's quota without a word.
//! So every call first takes its share from a budget that all processes keep together in Redis. What a corp may call is
//! shared with the corp's other apps and tools; Touchpoint takes part of it only.

use std::time::Duration;

/// At most so many in each window of that length.
pub type Window = (Duration, u32);

/// One quota of WeCom's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What is counted.
    pub what: &'static str,
    /// The window.
    pub window: Duration,
    /// The most that WeCom takes in it.
    pub most: u32,
    /// WeCom's document.
    pub document: u32,
    /// When that document was read.
    pub as_of: &'static str,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One corp, one API, a minute.
pub const CORP_API_MINUTE: Quota =
    Quota { what: "calls of one API by one corp", window: MINUTE, most: 10_000, document: 90312, as_of: "2026-02-12" };
/// One corp, one API, an hour.
pub const CORP_API_HOUR: Quota =
    Quota { what: "calls of one API by one corp", window: HOUR, most: 150_000, document: 90312, as_of: "2026-02-12" };
/// One app, one member, a minute; what is beyond is dropped without a word.
pub const MEMBER_MESSAGES_MINUTE: Quota =
    Quota { what: "messages of one app to one member", window: MINUTE, most: 30, document: 90236, as_of: "2025-09-24" };
/// One app, one member, an hour; what is beyond is dropped without a word.
pub const MEMBER_MESSAGES_HOUR: Quota = Quota {
    what: "messages of one app to one member",
    window: HOUR,
    most: 1_000,
    document: 90236,
    as_of: "2025-09-24",
};
/// Reminders of one mass-send task.
pub const MASS_REMINDERS_DAY: Quota =
    Quota { what: "reminders of one mass send", window: DAY, most: 3, document: 97610, as_of: "2025-11-17" };

/// The share of a corp's quota that is ours to use; the rest is left to the corp's other apps.
const OUR_PERCENT: u32 = 80;

/// The most calls of one API in a second: bursts are spread, far below what WeCom takes in a minute.
const BURST: Window = (Duration::from_secs(1), 100);

/// The most access tokens asked for in an hour, app by app. WeCom publishes no number (document 91039); ours keeps a
/// mistake from finding it out.
const TOKENS_HOUR: Window = (HOUR, 120);

/// The quotas in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Of each API, for the corp.
    pub per_api: Vec<Window>,
    /// Of messages, for each member of staff.
    pub per_member: Vec<Window>,
    /// Of reminders, for each mass send.
    pub per_mass_send: Vec<Window>,
    /// Of access tokens, for each app.
    pub per_token: Vec<Window>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_api: vec![BURST, our_share(CORP_API_MINUTE), our_share(CORP_API_HOUR)],
            per_member: vec![whole(MEMBER_MESSAGES_MINUTE), whole(MEMBER_MESSAGES_HOUR)],
            per_mass_send: vec![whole(MASS_REMINDERS_DAY)],
            per_token: vec![TOKENS_HOUR],
        }
    }
}

impl Limits {
    /// None at all, for a simulated WeCom: quotas run on real time, and a month of business time may pass in seconds.
    #[must_use]
    pub fn none() -> Self {
        Self { per_api: Vec::new(), per_member: Vec::new(), per_mass_send: Vec::new(), per_token: Vec::new() }
    }
}

fn whole(quota: Quota) -> Window {
    (quota.window, quota.most)
}

fn our_share(quota: Quota) -> Window {
    (quota.window, quota.most / 100 * OUR_PERCENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_budget_is_larger_than_what_wecom_takes() {
        let limits = Limits::default();
        assert!(limits.per_api.contains(&(MINUTE, 8_000)));
        assert!(limits.per_api.contains(&(HOUR, 120_000)));
        assert_eq!(limits.per_member, [(MINUTE, 30), (HOUR, 1_000)]);
        assert_eq!(limits.per_mass_send, [(DAY, 3)]);
    }
}
