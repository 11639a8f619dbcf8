//! Touchpoints (触点): met by events, counted, tagged.

use super::customer::{Deciding, Happening};
use crate::domain::At;
use crate::domain::customer::Touches;
use crate::domain::event::types;
use crate::domain::ids::{TouchpointId, UserId};
use crate::playbook::model::Touchpoint;

use super::{facts, fields};

impl Deciding<'_> {
    /// Meets every touchpoint whose event this is and whose condition holds over the record as it is now.
    pub(super) fn touchpoints(&mut self, happening: &Happening) {
        if happening.counts_as.is_empty() {
            return;
        }
        let playbook = self.playbook;
        for touchpoint in &playbook.touchpoints {
            if !touchpoint.on.iter().any(|kind| happening.is(kind)) {
                continue;
            }
            match &touchpoint.condition {
                Some(condition) if !condition.holds(&self.view(&happening.data)) => {
                    self.draft.trace(format!("touchpoint {}: not met, {}", touchpoint.id, condition.source()));
                }
                Some(_) | None => self.meet(touchpoint, happening),
            }
        }
    }

    fn meet(&mut self, touchpoint: &Touchpoint, happening: &Happening) {
        self.customer.touches.entry(touchpoint.id.clone()).or_default().add(happening.at);
        self.dirty = true;
        self.remember_for_welcome(&touchpoint.id, happening);
        if !touchpoint.tags.is_empty() {
            match self.pair_of(happening) {
                Some(userid) => touchpoint.tags.iter().for_each(|tag| self.put_tag(&userid, tag)),
                None => self.draft.trace(format!("touchpoint {}: no pair to tag", touchpoint.id)),
            }
        }
        // The event's own fields travel on, so that what a journey says may speak of the order that let it in.
        let mut data = happening.data.clone();
        data.insert("touchpoint".to_owned(), touchpoint.id.as_str().into());
        self.happen(types::TOUCHPOINT_MET, happening.at, data);
    }

    /// The pair that an event is about: its staff member when they follow the customer, else the owner's.
    fn pair_of(&self, happening: &Happening) -> Option<UserId> {
        let named = fields::userid(&happening.data, "userid");
        let named = named.and_then(|named| self.customer.following().find(|(userid, _)| **userid == named));
        named.or_else(|| facts::owner(self.playbook, &self.customer)).map(|(userid, _)| userid.clone())
    }

    /// Welcome rules look at what the adding met.
    fn remember_for_welcome(&mut self, touchpoint: &TouchpointId, happening: &Happening) {
        let Some(userid) = fields::userid(&happening.data, "userid").filter(|_| happening.is_root()) else { return };
        let pending = self.customer.followers.get_mut(&userid).and_then(|follower| follower.welcome.as_mut());
        if let Some(pending) = pending.filter(|pending| pending.event == happening.id) {
            pending.touchpoints.insert(touchpoint.clone());
        }
    }
}

impl Touches {
    /// Counts one more; an event that comes late finds its place in time.
    fn add(&mut self, at: At) {
        self.count = self.count.saturating_add(1);
        let place = self.recent.partition_point(|earlier| *earlier <= at);
        self.recent.insert(place, at);
        if self.recent.len() > Self::KEPT {
            self.recent.remove(0);
        }
    }
}
