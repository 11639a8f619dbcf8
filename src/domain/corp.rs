//! The records of actors that are neither customer nor staff.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::At;

/// The company's record. Side collection `tags`: `group/name` to WeCom's tag id.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Corp {
    /// The revision of the playbook that the tags were last ensured for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Open alerts, each with the moment it was raised.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alerts: BTreeMap<String, At>,
}

/// A customer group's record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// WeCom's version of the member list, as last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member_version: Option<String>,
}

/// The record of a 微信客服 account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KfAccount {
    /// The latest token of a wake-up, with its moment; it is good for 10 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<(String, At)>,
}

/// What is known of a person by an outside name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The customer behind the name, once bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<super::ids::ExternalUserId>,
    /// When the latest event was sent on to the customer: the next one goes behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_at: Option<At>,
}
