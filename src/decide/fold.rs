//! What each event changes in the customer's record, and what rules may take it for.
//!
//! The event's own moment goes into the record: an order that comes late is as old as it is.

use serde_json::{Map, Value};

use super::customer::{Deciding, Happening, data};
use super::fields;
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::event::types;

/// What business systems may keep with a customer.
const MOST_ATTRIBUTE_BYTES: usize = 65_536;

/// Touchpoint's own messages: no rule can be about them, and they are no lines in a timeline.
pub(super) fn is_internal(kind: &str) -> bool {
    matches!(
        kind,
        types::TIMER_FIRED
            | types::SCHEDULE_DUE
            | types::EFFECT_DONE
            | types::EFFECT_FAILED
            | types::EFFECT_DROPPED
            | types::EFFECT_HELD
            | types::DELIVERY_ANSWERED
    )
}

impl Deciding<'_> {
    /// Changes the record; gives the types that rules may take the event for.
    pub(super) fn fold(&mut self, happening: &Happening) -> Vec<String> {
        let (at, fields) = (happening.at, &happening.data);
        let own_type = || vec![happening.kind.clone()];
        match happening.kind.as_str() {
            types::CONTACT_ADDED | types::CONTACT_HALF_ADDED => return self.added(happening),
            types::CONTACT_DELETED | types::CONTACT_LOST => return self.ended(happening),
            types::CONTACT_TRANSFERRED => self.transferred(happening),
            types::CONTACT_PROFILE | types::CONTACT_SYNCED => self.profiled(happening),
            types::CONTACT_EDITED => self.ask_for_profile(fields::userid(fields, "userid"), false),
            types::CUSTOMER_UPDATED => self.updated(fields),
            types::CUSTOMER_OPTED_OUT => self.opted_out(),
            types::CUSTOMER_OPTED_IN => self.customer.opted_out = false,
            types::ORDER_PAID => {
                self.inbound(at);
                return if self.paid(happening) { own_type() } else { Vec::new() };
            }
            types::ORDER_REFUNDED => self.refunded(fields),
            types::VISIT_MADE => self.visited(at),
            types::RENEWAL_DUE => self.customer.renews_at = self.customer.renews_at.max(Some(at)),
            types::RENEWAL_PAID => self.customer.renews_at = None,
            types::KF_ENTERED | types::KF_MESSAGE | types::SURVEY_ANSWERED => self.inbound(at),
            types::GROUP_JOINED => {
                if let Some(chat) = fields::text(fields, "chat_id") {
                    self.customer.groups.insert(chat.to_owned());
                }
            }
            types::GROUP_LEFT => {
                if let Some(chat) = fields::text(fields, "chat_id") {
                    self.customer.groups.remove(chat);
                }
            }
            kind if is_internal(kind) => return Vec::new(),
            _ => {}
        }
        own_type()
    }

    /// An inbound act: a kf entry or message, an order, a visit, a survey's answer.
    fn inbound(&mut self, at: At) {
        self.customer.last_inbound_at = self.customer.last_inbound_at.max(Some(at));
    }

    fn visited(&mut self, at: At) {
        self.customer.visits = self.customer.visits.saturating_add(1);
        self.customer.last_visit_at = self.customer.last_visit_at.max(Some(at));
        self.inbound(at);
    }

    fn opted_out(&mut self) {
        self.customer.opted_out = true;
        self.drop_nudges(super::reasons::OPTED_OUT);
    }

    /// `attrs` are merged, one that is null goes; phone and member number bind the customer to their identities.
    fn updated(&mut self, fields: &Map<String, Value>) {
        match fields.get("attrs") {
            Some(Value::Object(attrs)) => {
                attrs.iter().for_each(|(name, value)| self.attribute(name, value));
            }
            Some(_) => self.draft.trace("attrs is no object; ignored"),
            None => {}
        }
        if let Some(phone) =
            fields::text_or_number(fields, "phone").filter(|new| self.customer.phone.as_ref() != Some(new))
        {
            self.bind(&format!("phone:{phone}"));
            self.customer.phone = Some(phone);
        }
        let member = fields::text_or_number(fields, "member_id");
        if let Some(member) = member.filter(|new| self.customer.member_id.as_ref() != Some(new)) {
            self.bind(&format!("member_id:{member}"));
            self.customer.member_id = Some(member);
        }
    }

    /// One that finds no room is left out: a record is read at every event.
    fn attribute(&mut self, name: &str, value: &Value) {
        let earlier = self.customer.attrs.remove(name);
        if value.is_null() {
            return;
        }
        let bytes = |name: &str, value: &Value| name.len() + value.to_string().len();
        let used: usize = self.customer.attrs.iter().map(|(name, value)| bytes(name, value)).sum();
        if used + bytes(name, value) <= MOST_ATTRIBUTE_BYTES {
            self.customer.attrs.insert(name.to_owned(), value.clone());
            return;
        }
        self.customer.attrs.extend(earlier.map(|earlier| (name.to_owned(), earlier)));
        self.draft.count("attrs.left_out", 1);
        self.draft.trace(format!("attrs hold {MOST_ATTRIBUTE_BYTES} bytes at most: {name} is left out"));
    }

    /// Tells an identity who is behind it, so that it hands over what it has parked.
    pub(super) fn bind(&mut self, identity: &str) {
        let bound = data([("customer", self.customer.id.as_str())]);
        let position = format!("bind:{identity}");
        // A chain of actors too long to tell is noted in the trace and counted there.
        let _told = self.draft.tell(&position, Actor::Identity(identity.to_owned()), types::IDENTITY_BOUND, bound);
    }
}
