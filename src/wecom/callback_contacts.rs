//! Customers, groups, corp tags and acquisition links (WeCom documents 92130, 97299, 92005).

use crate::domain::actor::Actor;
use crate::domain::event::types;
use crate::domain::ids::{ChatId, ExternalUserId};

use super::callback::{Known, Unreadable, required};
use super::callback_body::Shape::{Number, Text, Texts};
use super::callback_body::{Element, Field, collect};

const ADDING: &[Field] = &[
    ("UserID", "userid", Text),
    ("State", "state", Text),
    ("WelcomeCode", "welcome_code", Text),
    ("Source", "source", Text),
];
const EDITING: &[Field] = &[("UserID", "userid", Text), ("State", "state", Text)];
/// `DELETE_BY_TRANSFER` as the source is no loss; whoever decides tells it apart.
const PARTING: &[Field] = &[("UserID", "userid", Text), ("Source", "source", Text)];
/// `UserID` is the successor by what the documents say around it; they do not say it outright.
const TRANSFER_FAILING: &[Field] = &[("UserID", "userid", Text), ("FailReason", "reason", Text)];

/// `change_external_contact`: a customer and a staff member.
pub(super) fn contact(root: &Element<'_>, change: &str) -> Result<Option<Known>, Unreadable> {
    let (kind, fields) = match change {
        "add_external_contact" => (types::CONTACT_ADDED, ADDING),
        "add_half_external_contact" => (types::CONTACT_HALF_ADDED, ADDING),
        "edit_external_contact" => (types::CONTACT_EDITED, EDITING),
        "del_external_contact" => (types::CONTACT_DELETED, PARTING),
        "del_follow_user" => (types::CONTACT_LOST, PARTING),
        "transfer_fail" => (types::CONTACT_TRANSFER_FAILED, TRANSFER_FAILING),
        _ => return Ok(None),
    };
    let customer = ExternalUserId::parse(required(root, "ExternalUserID")?)?;
    required(root, "UserID")?;
    Ok(Some((kind, Actor::Customer(customer), collect(root, fields))))
}

/// Member fields as WeCom names them: `mem_change_list` mixes staff and customers, and the two versions tell whether a
/// callback was lost in between.
const GROUP: &[Field] = &[
    ("ChatId", "chat_id", Text),
    ("ChangeType", "change", Text),
    ("UpdateDetail", "update_detail", Text),
    ("JoinScene", "join_scene", Number),
    ("QuitScene", "quit_scene", Number),
    ("MemChangeCnt", "mem_change_cnt", Number),
    ("MemChangeList", "mem_change_list", Texts),
    ("LastMemVer", "last_mem_ver", Text),
    ("CurMemVer", "cur_mem_ver", Text),
];

/// `change_external_chat`: a customer group.
pub(super) fn group(root: &Element<'_>, change: &str) -> Result<Option<Known>, Unreadable> {
    let kind = match (change, root.text("UpdateDetail")) {
        ("update", Some("add_member")) => types::GROUP_JOINED,
        ("update", Some("del_member")) => types::GROUP_LEFT,
        ("create" | "update" | "dismiss", _) => types::GROUP_CHANGED,
        _ => return Ok(None),
    };
    let group = ChatId::parse(required(root, "ChatId")?)?;
    Ok(Some((kind, Actor::Group(group), collect(root, GROUP))))
}

const TAG: &[Field] = &[
    ("ChangeType", "change", Text),
    ("Id", "id", Text),
    ("TagType", "tag_type", Text),
    ("StrategyId", "strategy_id", Text),
];

/// `change_external_tag`: corp tags. A shuffle without an id changed the order of the groups themselves.
pub(super) fn tag(root: &Element<'_>, change: &str) -> Option<Known> {
    let kind = match change {
        "create" => types::TAG_CREATED,
        "update" | "shuffle" => types::TAG_CHANGED,
        "delete" => types::TAG_DELETED,
        _ => return None,
    };
    Some((kind, Actor::Corp, collect(root, TAG)))
}

const ACQUISITION_ALERT: &[Field] = &[
    ("ChangeType", "change", Text),
    ("LinkId", "link_id", Text),
    ("ExpireTime", "expire_time", Number),
    ("ExpireQuotaNum", "expire_quota_num", Number),
];
/// `ChatKey` is left out on purpose: it is a credential, and nothing uses it.
const ACQUISITION_ACTIVITY: &[Field] = &[
    ("ChangeType", "change", Text),
    ("LinkId", "link_id", Text),
    ("State", "state", Text),
    ("UserID", "userid", Text),
    ("ChatSeq", "chat_seq", Number),
];

/// `customer_acquisition`: links of 获客助手, their quota and their use.
pub(super) fn acquisition(root: &Element<'_>, change: &str) -> Result<Option<Known>, Unreadable> {
    match change {
        "balance_low" | "balance_exhausted" | "balance_increased" | "quota_expire_soon" | "link_unavailable"
        | "delete_link" => Ok(Some((types::ACQUISITION_ALERT, Actor::Corp, collect(root, ACQUISITION_ALERT)))),
        "open_profile" | "friend_request" | "customer_start_chat" | "message_from_customer" | "del_follow_user" => {
            // What concerns one customer does not go through the corp's one queue; most of these name nobody.
            let actor = match root.text("ExternalUserID") {
                Some(customer) => Actor::Customer(ExternalUserId::parse(customer)?),
                None => Actor::Corp,
            };
            Ok(Some((types::ACQUISITION_ACTIVITY, actor, collect(root, ACQUISITION_ACTIVITY))))
        }
        _ => Ok(None),
    }
}
