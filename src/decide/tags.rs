//! Tags: kept per pair as they will be once everything asked for has happened; what is asked for is the difference.

use std::time::Duration;

use serde_json::{Map, Value};

use super::customer::Deciding;
use super::{fields, moments};
use crate::domain::effect::{Call, Lane};
use crate::domain::ids::{TagName, UserId};

/// A tag that could not be set for a week is not worth setting.
const WORTH: Duration = Duration::from_secs(7 * 86_400);

impl Deciding<'_> {
    /// Puts a tag on one pair; a tag that somebody else put there stays theirs.
    pub(super) fn put_tag(&mut self, userid: &UserId, tag: &TagName) {
        let Some(follower) = self.customer.followers.get_mut(userid).filter(|pair| pair.ended.is_none()) else {
            return;
        };
        if follower.tags.insert(tag.clone()) {
            follower.ours.insert(tag.clone());
            self.tag_changed(userid, tag, true);
        }
    }

    /// Takes a tag off one pair, if Touchpoint put it there.
    pub(super) fn take_tag(&mut self, userid: &UserId, tag: &TagName) {
        let Some(follower) = self.customer.followers.get_mut(userid).filter(|pair| pair.ended.is_none()) else {
            return;
        };
        if follower.ours.remove(tag) && follower.tags.remove(tag) {
            self.tag_changed(userid, tag, false);
        }
    }

    /// WeCom did not take a change: the record believes again what was so before. Nothing is asked for in the same
    /// decision, or a change that WeCom always refuses would be asked for without end; the next occasion does, and the
    /// next sweep for the tags of segments.
    pub(super) fn tags_not_changed(&mut self, change: &Map<String, Value>) {
        let pair = fields::userid(change, "userid").and_then(|userid| self.customer.followers.get_mut(&userid));
        let Some(pair) = pair.filter(|pair| pair.ended.is_none()) else { return };
        let (add, remove) = (fields::tags(change, "add"), fields::tags(change, "remove"));
        self.draft.count("tag.failed", i64::try_from(add.len() + remove.len()).unwrap_or(i64::MAX));
        for tag in add {
            // One that was taken off meanwhile is believed to be off already.
            if pair.ours.remove(&tag) {
                pair.tags.remove(&tag);
            }
        }
        for tag in remove {
            pair.tags.insert(tag.clone());
            pair.ours.insert(tag);
        }
    }

    /// Puts a tag on every pair.
    pub(super) fn put_tag_everywhere(&mut self, tag: &TagName) {
        for userid in self.everyone() {
            self.put_tag(&userid, tag);
        }
    }

    /// Takes a tag off every pair that Touchpoint put it on.
    pub(super) fn take_tag_everywhere(&mut self, tag: &TagName) {
        for userid in self.everyone() {
            self.take_tag(&userid, tag);
        }
    }

    fn everyone(&self) -> Vec<UserId> {
        self.customer.following().map(|(userid, _)| userid.clone()).collect()
    }

    /// On and off again within one decision is nothing to ask for.
    fn tag_changed(&mut self, userid: &UserId, tag: &TagName, on: bool) {
        self.dirty = true;
        let changes = self.tag_changes.entry(userid.clone()).or_default();
        if changes.get(tag) == Some(&!on) {
            changes.remove(tag);
        } else {
            changes.insert(tag.clone(), on);
        }
    }

    /// One effect per pair whose tags changed; WeCom refuses two writes to one pair at once, hence the serial.
    pub(super) fn tag_effects(&mut self) {
        for (userid, changes) in std::mem::take(&mut self.tag_changes) {
            let is_following = self.customer.followers.get(&userid).is_some_and(|pair| pair.ended.is_none());
            if changes.is_empty() || !is_following {
                continue;
            }
            let chosen = |wanted: bool| -> Vec<TagName> {
                changes.iter().filter(|(_, on)| **on == wanted).map(|(tag, _)| tag.clone()).collect()
            };
            let (add, remove) = (chosen(true), chosen(false));
            for (counter, tags) in [("tag.added", &add), ("tag.removed", &remove)] {
                if !tags.is_empty() {
                    self.draft.count(counter, i64::try_from(tags.len()).unwrap_or(i64::MAX));
                }
            }
            let serial = format!("tag:{}:{}", userid.folded(), self.customer.id);
            let position = format!("tag:{}", userid.folded());
            let customer = self.customer.id.clone();
            let until = moments::after(self.now, WORTH);
            self.draft.effect(
                &position,
                Call::Tag { userid, customer, add, remove },
                Lane::Normal,
                self.now,
                until,
                Some(serial),
            );
        }
    }
}
