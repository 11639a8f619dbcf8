//! Pairs of staff and customer: how they begin, what is read of them, how they end.

use std::time::Duration;

use serde_json::{Map, Value};

use super::customer::{Deciding, Happening};
use super::{fields, moments, reasons};
use crate::domain::At;
use crate::domain::customer::{Ended, EndedBy, Follower};
use crate::domain::effect::{Call, Lane};
use crate::domain::event::types;
use crate::domain::ids::UserId;

/// A relation younger than this has a callback of its own on the way, which must find it new: it brings the welcome.
const CALLBACK_STILL_COMES: Duration = Duration::from_secs(86_400);
/// A profile that could not be read for a day is read at the next occasion.
const PROFILE_WORTH: Duration = Duration::from_secs(86_400);
/// The words of one adding carry moments that lie this close, whatever order they arrive in.
const ONE_ADDING: Duration = Duration::from_secs(60);
/// WeCom's marker for a pair that ended because the customer was handed over.
const BY_TRANSFER: &str = "DELETE_BY_TRANSFER";

impl Deciding<'_> {
    /// Half-added and added of a pair are one adding: whichever comes first.
    pub(super) fn added(&mut self, happening: &Happening) -> Vec<String> {
        let Some(userid) = fields::userid(&happening.data, "userid") else {
            self.draft.trace("an adding without a readable userid changes nothing");
            return Vec::new();
        };
        let state = fields::text(&happening.data, "state").map(str::to_owned);
        let is_mutual = happening.kind == types::CONTACT_ADDED;
        let known = self.customer.followers.get_mut(&userid).filter(|pair| pair.ended.is_none());
        if let Some(pair) = known.filter(|pair| !begins_anew(pair, happening)) {
            pair.seen_at = pair.seen_at.max(Some(happening.at));
            pair.mutual_at = pair.mutual_at.max(is_mutual.then_some(happening.at));
            pair.state = pair.state.take().or(state);
            let is_first_code = !pair.greeted;
            self.draft.trace(format!("{userid} follows already: the second word of one adding"));
            if is_first_code && fields::text(&happening.data, "welcome_code").is_some() {
                self.await_welcome(&userid, happening);
            }
            return Vec::new();
        }
        self.begin_pair(&userid, happening.at, state);
        if let Some(pair) = self.customer.followers.get_mut(&userid).filter(|_| !is_mutual) {
            pair.mutual_at = None;
        }
        self.ask_for_profile(Some(userid.clone()), true);
        self.await_welcome(&userid, happening);
        let mut counts_as = vec![happening.kind.clone()];
        if happening.kind != types::CONTACT_ADDED {
            counts_as.push(types::CONTACT_ADDED.to_owned());
        }
        counts_as
    }

    /// A pair begins, or begins again. The tags of a customer who had only left are still with the staff member; of any
    /// other pair that had ended WeCom keeps none.
    fn begin_pair(&mut self, userid: &UserId, at: At, state: Option<String>) {
        let mut earlier = self.customer.followers.remove(userid).unwrap_or_default();
        if let Some(welcome) = earlier.welcome.take() {
            self.drop_welcome(userid, &welcome, reasons::NOT_FOLLOWED);
        }
        let name = earlier.name;
        let is_return = earlier.ended.is_some_and(|ended| ended.by == EndedBy::Customer);
        let (tags, ours) = if is_return { (earlier.tags, earlier.ours) } else { Default::default() };
        self.customer.added_at = Some(self.customer.added_at.map_or(at, |first| first.min(at)));
        if self.customer.state.is_none() {
            self.customer.state.clone_from(&state);
        }
        let (added_at, seen_at, mutual_at) = (Some(at), Some(at), Some(at));
        let pair = Follower { name, added_at, seen_at, mutual_at, state, tags, ours, ..Follower::default() };
        self.customer.followers.insert(userid.clone(), pair);
        self.new_pairs.insert(userid.clone());
    }

    /// Asks for the customer's details, urgently when a welcome waits for the name.
    pub(super) fn ask_for_profile(&mut self, userid: Option<UserId>, is_urgent: bool) {
        let lane = if is_urgent { Lane::Urgent } else { Lane::Normal };
        let customer = self.customer.id.clone();
        let until = moments::after(self.now, PROFILE_WORTH);
        self.draft.effect("profile", Call::FetchProfile { customer, userid }, lane, self.now, until, None);
    }

    /// The customer's details, as WeCom has them.
    pub(super) fn profiled(&mut self, happening: &Happening) {
        let data = &happening.data;
        let customer = &mut self.customer;
        if let Some(name) = fields::text(data, "name") {
            customer.name = Some(name.to_owned());
        }
        customer.kind = fields::integer(data, "type").or(customer.kind);
        customer.gender = fields::integer(data, "gender").or(customer.gender);
        let unionid = fields::text(data, "unionid").map(str::to_owned);
        if let Some(unionid) = unionid.filter(|new| customer.unionid.as_ref() != Some(new)) {
            self.bind(&format!("unionid:{unionid}"));
            self.customer.unionid = Some(unionid);
        }
        let staff_name = fields::text(data, "staff_name").map(str::to_owned);
        let mut pairs = data.get("follow_users").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // WeCom has at most 500 on a page; a list longer than any real one is not worth a record.
        pairs = pairs.get(..1000).unwrap_or(pairs);
        for pair in pairs.iter().filter_map(Value::as_object) {
            self.paired(pair, happening);
        }
        let named = fields::userid(data, "userid").and_then(|userid| self.customer.followers.get_mut(&userid));
        if let (Some(pair), Some(name)) = (named, staff_name) {
            pair.name = Some(name);
        }
    }

    fn paired(&mut self, data: &Map<String, Value>, happening: &Happening) {
        let Some(userid) = fields::userid(data, "userid") else {
            return self.draft.trace("a pair of the profile without a readable userid is left out");
        };
        let since = fields::moment(data, "createtime");
        let state = fields::text(data, "state").map(str::to_owned);
        let began_again = |pair: &Follower| pair.ended.is_some_and(|ended| since.is_some_and(|since| since > ended.at));
        let is_synced = happening.kind == types::CONTACT_SYNCED;
        if self.customer.followers.get(&userid).is_none_or(|pair| is_synced && began_again(pair)) {
            let callback_comes = since.is_none_or(|since| since > moments::before(self.now, CALLBACK_STILL_COMES));
            if callback_comes && !is_synced {
                return self.draft.trace(format!("{userid} follows since just now: the callback will tell"));
            }
            self.begin_pair(&userid, since.unwrap_or(happening.at), state.clone());
        }
        if let Some(way) = fields::integer(data, "add_way").filter(|_| self.customer.add_way.is_none()) {
            self.customer.add_way = Some(way);
        }
        let Some(pair) = self.customer.followers.get_mut(&userid).filter(|pair| pair.ended.is_none()) else { return };
        pair.added_at = pair.added_at.or(since);
        pair.state = pair.state.take().or(state);
        if matches!(data.get("tags"), Some(Value::Array(_))) {
            // The profile may be older than what we have asked for since, so our own tags stay as we believe them.
            pair.tags = fields::tags(data, "tags").into_iter().chain(pair.ours.iter().cloned()).collect();
        }
    }

    /// The customer went over to this staff member; neither an adding nor a welcome.
    pub(super) fn transferred(&mut self, happening: &Happening) {
        let Some(userid) = fields::userid(&happening.data, "userid") else {
            return self.draft.trace("a transfer without a readable userid changes nothing");
        };
        if self.customer.followers.get(&userid).is_none_or(|pair| pair.ended.is_some()) {
            self.begin_pair(&userid, happening.at, None);
            self.ask_for_profile(Some(userid), false);
        }
    }

    /// A pair ends. One that ends because the customer was handed over is no loss, and no rule takes it for one.
    pub(super) fn ended(&mut self, happening: &Happening) -> Vec<String> {
        let Some(userid) = fields::userid(&happening.data, "userid") else {
            self.draft.trace("an end without a readable userid changes nothing");
            return Vec::new();
        };
        let is_transfer = fields::text(&happening.data, "source") == Some(BY_TRANSFER);
        let by = match happening.kind.as_str() {
            types::CONTACT_LOST => EndedBy::Customer,
            _ if is_transfer => EndedBy::Transfer,
            _ => EndedBy::Staff,
        };
        let pair = self.customer.followers.entry(userid.clone()).or_default();
        if pair.ended.is_some() {
            self.draft.trace(format!("the pair with {userid} had ended already"));
            return Vec::new();
        }
        if pair.seen_at.is_some_and(|seen| happening.at < seen) {
            self.draft.trace(format!("{userid} was added again after this end"));
            return Vec::new();
        }
        pair.ended = Some(Ended { at: happening.at, by });
        let welcome = pair.welcome.take();
        if let Some(welcome) = welcome {
            self.drop_welcome(&userid, &welcome, reasons::NOT_FOLLOWED);
        }
        if self.customer.is_lost() {
            self.drop_nudges(reasons::LOST);
        } else {
            self.take_back_from(&userid);
        }
        if by == EndedBy::Transfer { Vec::new() } else { vec![happening.kind.clone()] }
    }
}

/// Whether an adding is another one, of a pair whose end was never told or is told later: WeCom says once that a pair is
/// half-added and once that it is mutual, and never the first after the second.
fn begins_anew(pair: &Follower, happening: &Happening) -> bool {
    let is_half = happening.kind == types::CONTACT_HALF_ADDED;
    let latest = pair.mutual_at.or(pair.seen_at.filter(|_| is_half));
    latest.is_some_and(|latest| happening.at > moments::after(latest, ONE_ADDING))
}
