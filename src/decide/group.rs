//! Customer groups: the version of the member list, and word to the customers who came or went.

use serde_json::{Map, Value};

use super::builder::Draft;
use super::{Decision, Head, ImpossibleRecord, Record, SideNeed};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::corp::Group;
use crate::domain::event::{Event, types};
use crate::domain::ids::ExternalUserId;
use crate::playbook::model::Playbook;

/// What [`decide`] looks up for an event.
pub(super) fn needs(_event: &Event) -> Vec<SideNeed> {
    Vec::new()
}

/// Decides what an event changes for a customer group.
///
/// # Errors
/// When the record is no group's.
pub(super) fn decide(
    _playbook: &Playbook,
    record: Record,
    event: &Event,
    now: At,
) -> Result<Decision, ImpossibleRecord> {
    let Head::Group(head) = record.head else {
        return Err(ImpossibleRecord { actor: event.actor.clone(), what: "it is no group's record".to_owned() });
    };
    let mut draft = Draft::new(head, event, now);
    draft.count(format!("event:{}", event.kind), 1);
    match event.kind.as_str() {
        types::GROUP_JOINED | types::GROUP_LEFT => members_changed(&mut draft),
        types::GROUP_CHANGED => draft.line(event.at, event.kind.clone(), event.data.clone()),
        _ => {}
    }
    Ok(draft.finish())
}

fn members_changed(draft: &mut Draft<'_, Group>) {
    let event = draft.event;
    let before = event.text("last_mem_ver");
    if before.is_some() && draft.head.member_version.is_some() && before != draft.head.member_version.as_deref() {
        draft.count("group.version_gap", 1);
        draft.trace("the member list has changed in between: a callback was lost or came in another order");
    }
    if let Some(version) = event.text("cur_mem_ver") {
        draft.head.member_version = Some(version.to_owned());
    }
    draft.line(event.at, event.kind.clone(), event.data.clone());
    let members = event.data.get("mem_change_list").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let shared = ["chat_id", "join_scene", "quit_scene", "state"];
    let shared = shared.iter().filter_map(|field| Some(((*field).to_owned(), event.data.get(*field)?.clone())));
    let data: Map<String, Value> = shared.collect();
    for customer in members.iter().filter_map(Value::as_str).filter_map(customer) {
        let position = format!("tell:{customer}");
        let told = Event { actor: Actor::Customer(customer), data: data.clone(), ..event.clone() };
        draft.forward(&position, told);
    }
}

/// The list mixes staff and customers; a customer's id begins with `wm` or `wo` and has 32 characters
/// (WeCom document 92114).
fn customer(member: &str) -> Option<ExternalUserId> {
    let is_customer = member.len() == 32 && (member.starts_with("wm") || member.starts_with("wo"));
    is_customer.then(|| ExternalUserId::parse(member).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::effect::Call;
    use crate::playbook::load::from_text;

    fn decided(head: Group, data: Value) -> Decision {
        let event: Event = serde_json::from_value(json!({
            "id": "e1", "type": "group.joined", "actor": "group:wrG1", "at": 1_778_061_600_000_i64, "data": data,
        }))
        .unwrap();
        let playbook = from_text("playbook: { id: p, name: p }").unwrap();
        let record = Record { head: head.into(), sides: std::collections::BTreeMap::new() };
        decide(&playbook, record, &event, event.at).unwrap()
    }

    #[test]
    fn customers_who_join_are_told_and_staff_are_not() {
        let customer = "wm6oDDDwAAx0pD2xmHUPLCKJmGm7vKYQ";
        let decision = decided(
            Group::default(),
            json!({ "chat_id": "wrG1", "join_scene": 3, "cur_mem_ver": "v2", "mem_change_list": ["lili", customer] }),
        );
        assert_eq!(decision.head, Head::Group(Group { member_version: Some("v2".to_owned()) }));
        let told: Vec<_> = decision.effects.iter().map(|effect| &effect.call).collect();
        let [Call::Tell { event }] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(event.actor.to_string(), format!("customer:{customer}"));
        assert_eq!(Value::Object(event.data.clone()), json!({ "chat_id": "wrG1", "join_scene": 3 }));
    }

    #[test]
    fn a_gap_in_the_versions_of_the_member_list_is_counted() {
        let head = Group { member_version: Some("v1".to_owned()) };
        let gap = decided(head.clone(), json!({ "last_mem_ver": "v2", "cur_mem_ver": "v3" }));
        assert_eq!(gap.counters.get("group.version_gap"), Some(&1));
        let next = decided(head, json!({ "last_mem_ver": "v1", "cur_mem_ver": "v2" }));
        assert_eq!(next.counters.get("group.version_gap"), None);
    }
}
