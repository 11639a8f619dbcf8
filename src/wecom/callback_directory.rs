//! The address book (WeCom documents 90967, 90970, 90971, 90972).
//!
//! Names, phone numbers and the like are not taken from callbacks: WeCom leaves them out of new ones, and whoever needs
//! them reads the member again.

use crate::domain::actor::Actor;
use crate::domain::event::types;

use super::callback::Known;
use super::callback_body::Shape::{Number, Numbers, Text, Texts};
use super::callback_body::{Element, Field, collect};

/// WeCom writes `NewUserID` in its samples and `NewUserId` in its tables.
const MEMBER: &[Field] = &[
    ("ChangeType", "change", Text),
    ("UserID", "userid", Text),
    ("NewUserId", "new_userid", Text),
    ("NewUserID", "new_userid", Text),
    ("Department", "department", Numbers),
    ("MainDepartment", "main_department", Number),
    ("IsLeaderInDept", "is_leader_in_dept", Numbers),
    ("DirectLeader", "direct_leader", Texts),
    ("Status", "status", Number),
];
const DEPARTMENT: &[Field] = &[
    ("ChangeType", "change", Text),
    ("Id", "id", Number),
    ("ParentId", "parent_id", Number),
    ("Order", "order", Number),
];
const MEMBER_TAG: &[Field] = &[
    ("ChangeType", "change", Text),
    ("TagId", "tag_id", Number),
    ("AddUserItems", "add_user_items", Texts),
    ("DelUserItems", "del_user_items", Texts),
    ("AddPartyItems", "add_party_items", Numbers),
    ("DelPartyItems", "del_party_items", Numbers),
];
/// `Status` of a member who left the company.
const LEFT: i64 = 5;

/// `change_contact`: members, departments and member tags.
pub(super) fn change(root: &Element<'_>, change: &str) -> Option<Known> {
    let (kind, fields) = match change {
        "update_user" if root.number("Status") == Some(LEFT) => (types::DIRECTORY_STAFF_LEFT, MEMBER),
        "create_user" | "update_user" => (types::DIRECTORY_STAFF_CHANGED, MEMBER),
        "delete_user" => (types::DIRECTORY_STAFF_LEFT, MEMBER),
        "create_party" | "update_party" | "delete_party" => (types::DIRECTORY_CHANGED, DEPARTMENT),
        "update_tag" => (types::DIRECTORY_CHANGED, MEMBER_TAG),
        _ => return None,
    };
    Some((kind, Actor::Corp, collect(root, fields)))
}
