//! The welcome (WeCom document 92137): a code works once and for 20 s.

use chrono::TimeDelta;

use super::api::{Call, Reply};
use super::content::Content;
use super::fields::refuse;
use super::ledger::What;
use super::state::State;

/// How long a welcome code works.
const WINDOW: TimeDelta = TimeDelta::seconds(20);

pub(super) fn send(state: &mut State, mut call: Call) -> Reply {
    let code = call.body.required("welcome_code", 41049)?;
    let content = Content::read(&mut call.body, &state.media)?;
    call.body.close()?;

    let Some(known) = state.codes.get(&code).filter(|known| known.app == call.app) else {
        return refuse(41050, "invalid welcome_code");
    };
    if known.used {
        return refuse(state.switches.consumed_welcome, "the welcome_code was used");
    }
    let after = call.now - known.issued;
    if after > WINDOW {
        return refuse(41050, "the welcome_code expired: 20 s");
    }
    let (customer, userid, adding) = (known.customer.clone(), known.userid.clone(), known.adding);
    let has_chatted = state.relation(&userid, &customer).is_some_and(|relation| relation.chatted);
    if has_chatted || state.welcomed.contains(&adding) {
        return refuse(41051, "the chat has started, or a welcome was delivered");
    }
    if let Some(known) = state.codes.get_mut(&code) {
        known.used = true;
    }
    state.welcomed.insert(adding);
    let (text, attachments) = (content.text, content.attachments);
    state.receive(call.now, What::Welcome { customer, userid, text, attachments, after_ms: after.num_milliseconds() });
    Ok(Default::default())
}
