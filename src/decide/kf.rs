//! Accounts of 微信客服: the latest wake-up token, with which news of the account may be asked for.

use super::builder::Draft;
use super::{Decision, Head, ImpossibleRecord, Record, SideNeed};
use crate::domain::At;
use crate::domain::event::{Event, types};
use crate::playbook::model::Playbook;

/// What [`decide`] looks up for an event.
pub(super) fn needs(_event: &Event) -> Vec<SideNeed> {
    Vec::new()
}

/// Decides what an event changes for a kf account.
///
/// # Errors
/// When the record is no kf account's.
pub(super) fn decide(
    _playbook: &Playbook,
    record: Record,
    event: &Event,
    now: At,
) -> Result<Decision, ImpossibleRecord> {
    let Head::Kf(head) = record.head else {
        return Err(ImpossibleRecord { actor: event.actor.clone(), what: "it is no kf account's record".to_owned() });
    };
    let mut draft = Draft::new(head, event, now);
    draft.count(format!("event:{}", event.kind), 1);
    if event.kind == types::KF_WOKEN
        && let Some(token) = event.text("token")
    {
        // Callbacks may come in another order than they were sent in; the latest token lives longest.
        let newer = draft.head.token.as_ref().is_none_or(|(_, at)| *at <= event.at);
        if newer {
            draft.head.token = Some((token.to_owned(), event.at));
        }
    }
    Ok(draft.finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::corp::KfAccount;
    use crate::playbook::load::from_text;

    #[test]
    fn the_latest_wake_up_token_is_kept_whatever_order_they_come_in() {
        let playbook = from_text("playbook: { id: p, name: p }").unwrap();
        let mut head = KfAccount::default();
        for (token, at) in [("t1", 1_000), ("t3", 3_000), ("t2", 2_000)] {
            let event: Event = serde_json::from_value(json!({
                "id": token, "type": "kf.woken", "actor": "kf:wk1", "at": at, "data": { "token": token },
            }))
            .unwrap();
            let record = Record { head: head.into(), sides: std::collections::BTreeMap::new() };
            let Head::Kf(next) = decide(&playbook, record, &event, event.at).unwrap().head else { panic!() };
            head = next;
        }
        assert_eq!(head.token.map(|(token, _)| token), Some("t3".to_owned()));
    }
}
