//! What is asked just before an effect is handed over: guardrails once more, recipients one by one, ids of tags.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::decide::{self, SideNeed, Verdict};
use crate::domain::At;
use crate::domain::actor::Actor;
use crate::domain::customer::Customer;
use crate::domain::effect::{Call, Effect, LeftOut, Recipient};
use crate::domain::ids::{DeliveryId, ExternalUserId, TagName};
use crate::store::{Error, Store};

use super::services::Services;
use super::worker;

/// What became of the question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It may go as it is.
    Go,
    /// It may go in this form.
    GoAs(Box<Effect>),
    /// There is nothing left to call for.
    Nothing(Box<Effect>),
    /// Not before that moment.
    Hold {
        /// The earliest moment worth another look.
        until: At,
        /// The guardrail.
        by: String,
    },
    /// It may not go any more.
    Drop {
        /// Why.
        by: String,
    },
    /// Tags that WeCom does not have yet.
    TagsMissing(Vec<TagName>),
}

/// Ids of tags that were looked up before; they live in the corp's record.
#[derive(Debug, Clone, Default)]
pub struct TagBook(Arc<Mutex<BTreeMap<TagName, String>>>);

impl TagBook {
    /// The ids of these tags, as far as they exist; those not known here are read from the corp's record.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn ids(&self, store: &Store, tags: &[&TagName]) -> Result<BTreeMap<TagName, String>, Error> {
        let mut found = self.known(tags);
        let missing: Vec<&&TagName> = tags.iter().filter(|tag| !found.contains_key(**tag)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let need = |tag: &&&TagName| SideNeed { collection: "tags", field: Some(tag.as_str().to_owned()) };
        let needs = missing.iter().map(need).collect();
        let record = store.load(&[(Actor::Corp, needs)]).await?.pop().transpose()?;
        let side = record.and_then(|mut record| record.sides.remove("tags")).unwrap_or_default();
        for tag in missing {
            if let Some(id) = side.get(tag.as_str()).and_then(Value::as_str) {
                found.insert((*tag).clone(), id.to_owned());
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(found.clone());
        Ok(found)
    }

    /// Forgets ids that WeCom does not know any more.
    pub fn forget(&self, tags: &[TagName]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tag in tags {
            known.remove(tag);
        }
    }

    fn known(&self, tags: &[&TagName]) -> BTreeMap<TagName, String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tags.iter().filter_map(|tag| known.get(*tag).map(|id| ((*tag).clone(), id.clone()))).collect()
    }
}

/// Asks whether an effect may be handed to WeCom now.
///
/// A mass send whose last try went without an answer is not taken apart: what WeCom may have taken must stay
/// recognisable. Its turn only looks what became of it; before it is made again, it is asked about again.
///
/// # Errors
/// When Redis did not answer.
pub async fn ask(services: &Services, effect: &Effect, unanswered: bool, now: At) -> Result<Answer, Error> {
    match &effect.call {
        Call::StaffCard { delivery: Some((customer, delivery)), .. } => {
            let verdict = verdicts(services, &[(customer, delivery)], now).await?.pop();
            Ok(match verdict {
                Some(Verdict::Go) => Answer::Go,
                Some(Verdict::Hold { until, by }) => Answer::Hold { until, by },
                Some(Verdict::Drop { by }) => Answer::Drop { by },
                None => Answer::Drop { by: decide::reasons::RECORD_UNREADABLE.to_owned() },
            })
        }
        Call::MassSend { sender, recipients, message, left_out } if !unanswered => {
            let asked: Vec<(&ExternalUserId, &DeliveryId)> =
                recipients.iter().map(|recipient| (&recipient.customer, &recipient.delivery)).collect();
            let verdicts = verdicts(services, &asked, now).await?;
            let (kept, newly_out) = sort_out(recipients, verdicts);
            if newly_out.is_empty() && !kept.is_empty() {
                return Ok(Answer::Go);
            }
            let left_out = left_out.iter().cloned().chain(newly_out).collect();
            let nobody_left = kept.is_empty();
            let call = Call::MassSend { sender: sender.clone(), recipients: kept, message: message.clone(), left_out };
            let effect = Box::new(Effect { call, ..effect.clone() });
            Ok(if nobody_left { Answer::Nothing(effect) } else { Answer::GoAs(effect) })
        }
        Call::Tag { userid, customer, add, remove } => {
            let tags: Vec<&TagName> = add.iter().chain(remove).collect();
            let ids = services.tags.ids(&services.store, &tags).await?;
            let missing: Vec<TagName> = add.iter().filter(|tag| !ids.contains_key(*tag)).cloned().collect();
            if !missing.is_empty() {
                return Ok(Answer::TagsMissing(missing));
            }
            // A tag that WeCom never had need not be taken away, nor made for that.
            let remove: Vec<TagName> = remove.iter().filter(|tag| ids.contains_key(*tag)).cloned().collect();
            let nothing_left = add.is_empty() && remove.is_empty();
            let call = Call::Tag { userid: userid.clone(), customer: customer.clone(), add: add.clone(), remove };
            let effect = Box::new(Effect { call, ..effect.clone() });
            Ok(if nothing_left { Answer::Nothing(effect) } else { Answer::GoAs(effect) })
        }
        Call::FetchProfile { .. }
        | Call::Welcome { .. }
        | Call::EnsureTags { .. }
        | Call::MassSend { .. }
        | Call::MassResult { .. }
        | Call::MassRemind { .. }
        | Call::StaffCard { .. }
        | Call::StaffText { .. }
        | Call::CardUpdate { .. }
        | Call::Tell { .. } => Ok(Answer::Go),
    }
}

/// One verdict for each, over the customers' records of this moment.
async fn verdicts(
    services: &Services,
    asked: &[(&ExternalUserId, &DeliveryId)],
    now: At,
) -> Result<Vec<Verdict>, Error> {
    let wanted: Vec<_> = asked.iter().map(|(customer, _)| (Actor::Customer((*customer).clone()), Vec::new())).collect();
    let playbook = services.rules.current();
    let records = services.store.load(&wanted).await?;
    let customers: Vec<Option<Customer>> =
        records.into_iter().map(|record| record.ok().and_then(worker::customer_of)).collect();
    let verdict = |(customer, (_, delivery)): (Option<Customer>, &(&ExternalUserId, &DeliveryId))| match customer {
        Some(customer) => decide::at_send(&playbook, &customer, delivery, now),
        None => Verdict::Drop { by: decide::reasons::RECORD_UNREADABLE.to_owned() },
    };
    Ok(customers.into_iter().zip(asked).map(verdict).collect())
}

fn sort_out(recipients: &[Recipient], verdicts: Vec<Verdict>) -> (Vec<Recipient>, Vec<LeftOut>) {
    let (mut kept, mut out) = (Vec::new(), Vec::new());
    for (recipient, verdict) in recipients.iter().zip(verdicts) {
        match verdict {
            Verdict::Go => kept.push(recipient.clone()),
            Verdict::Hold { until, by } => {
                out.push(LeftOut { recipient: recipient.clone(), reason: by, until: Some(until) });
            }
            Verdict::Drop { by } => out.push(LeftOut { recipient: recipient.clone(), reason: by, until: None }),
        }
    }
    (kept, out)
}
