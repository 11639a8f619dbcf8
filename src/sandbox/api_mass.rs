//! Mass sends (企业群发): tasks that reach customers when their sender confirms (WeCom documents 92135, 93338, 97610).

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::api::{Call, Reply};
use super::api_contacts::object;
use super::content::Content;
use super::fields::{Fields, ILLEGAL, Refusal, refuse};
use super::ledger::What;
use super::people::{Act, Confirm};
use super::state::{MassTask, Recipient, Sender, State, fold};

const MOST_CUSTOMERS: usize = 10_000;
const MOST_CHATS: usize = 2000;
const MOST_TAGS: usize = 100;
const MOST_REMINDERS: usize = 3;

pub(super) fn add(state: &mut State, mut call: Call) -> Reply {
    let is_group = is_group(&mut call.body, false)?;
    let customers = call.body.texts("external_userid", MOST_CUSTOMERS)?;
    let chats = call.body.texts("chat_id_list", MOST_CHATS)?;
    let filter = tag_filter(&mut call.body)?;
    let sender = call.body.text("sender")?.filter(|sender| !sender.is_empty());
    call.body.flag("allow_select")?;
    let content = Content::read(&mut call.body, &state.media)?;
    call.body.close()?;

    if is_group {
        if sender.is_none() {
            return refuse(ILLEGAL, "a mass send to groups needs a sender");
        }
        // There are no customer groups in this sandbox, so none of them can receive anything.
        return refuse(41048, format!("no customer can receive it: {} unknown groups", chats.len()));
    }
    if sender.is_none() && customers.is_empty() && filter.is_none() {
        return refuse(ILLEGAL, "sender, external_userid and tag_filter are all empty");
    }
    if let Some(userid) = &sender
        && state.staff(userid).is_none()
    {
        return refuse(60111, "userid not found");
    }
    if let Some(unknown) = filter.iter().flatten().flatten().find(|id| state.tag_name(id).is_none()) {
        return refuse(40068, format!("invalid tag id {unknown}"));
    }
    // With customers given, WeCom ignores the filter.
    let wanted = if customers.is_empty() { state.filtered(filter.as_deref()) } else { customers };
    let (senders, fail_list) = state.dealt(wanted, sender.as_deref());
    if senders.is_empty() {
        return refuse(41048, "no customer can receive it");
    }
    let msgid = state.id("msg", 45);
    let task = MassTask {
        msgid: msgid.clone(),
        created: call.now,
        text: content.text,
        attachments: content.attachments,
        senders,
        reminders: Vec::new(),
    };
    state.ask_to_confirm(task, &call);
    Ok(object(json!({"fail_list": fail_list, "msgid": msgid})))
}

/// `chat_type`: `single` or `group`.
fn is_group(body: &mut Fields, is_required: bool) -> Result<bool, Refusal> {
    match body.text("chat_type")?.as_deref() {
        Some("single") => Ok(false),
        Some("group") => Ok(true),
        None if !is_required => Ok(false),
        _ => refuse(ILLEGAL, "chat_type must be single or group"),
    }
}

/// Lists of tag ids: any of a list, and all of the lists.
fn tag_filter(body: &mut Fields) -> Result<Option<Vec<Vec<String>>>, Refusal> {
    let Some(mut filter) = body.object("tag_filter")? else { return Ok(None) };
    let mut lists = Vec::new();
    for mut group in filter.objects("group_list")? {
        lists.push(group.texts("tag_list", MOST_TAGS)?);
        group.close()?;
    }
    filter.close()?;
    Ok(Some(lists).filter(|lists| !lists.is_empty()))
}

impl State {
    /// Customers whose tags pass the filter; all when there is none.
    fn filtered(&self, filter: Option<&[Vec<String>]>) -> Vec<String> {
        let lists = filter.unwrap_or_default();
        let passes = |customer: &&super::state::Customer| {
            let has = |id: &String| customer.relations.values().any(|relation| relation.tags.contains(id));
            lists.iter().all(|list| list.iter().any(has))
        };
        self.customers.values().filter(passes).map(|customer| customer.id.clone()).collect()
    }

    /// Deals customers to the sender, or to whoever spoke to them last; gives those that nobody can reach too.
    fn dealt(&self, customers: Vec<String>, sender: Option<&str>) -> (Vec<Sender>, Vec<String>) {
        let mut by_sender: BTreeMap<String, Vec<Recipient>> = BTreeMap::new();
        let mut fail_list = Vec::new();
        for customer in customers {
            let relations = self.customers.get(&customer).map(|known| &known.relations);
            let mut fitting = relations.into_iter().flat_map(BTreeMap::values).filter(|relation| match sender {
                Some(sender) => relation.userid.eq_ignore_ascii_case(sender),
                None => true,
            });
            let latest = fitting.by_ref().max_by_key(|relation| relation.since);
            match latest {
                Some(relation) => {
                    by_sender.entry(relation.userid.clone()).or_default().push(Recipient { customer, status: 0 });
                }
                None => fail_list.push(customer),
            }
        }
        let sender = |(userid, recipients)| Sender { userid, confirmed: None, recipients };
        (by_sender.into_iter().map(sender).collect(), fail_list)
    }

    /// Puts the task before its senders, who will act by their habits.
    fn ask_to_confirm(&mut self, task: MassTask, call: &Call) {
        for sender in &task.senders {
            let (userid, msgid) = (sender.userid.clone(), task.msgid.clone());
            if let Some(Confirm::After(wait)) = self.staff(&userid).map(|staff| staff.confirms) {
                let due = call.now + TimeDelta::from_std(wait).unwrap_or_default();
                self.plan(due, Act::Confirms { userid: userid.clone(), msgid: msgid.clone() });
            }
            let customers = sender.recipients.iter().map(|recipient| recipient.customer.clone()).collect();
            self.receive(call.now, What::MassTask { userid, msgid, text: task.text.clone(), customers });
        }
        self.mass.push(task);
    }
}

pub(super) fn list(state: &mut State, mut call: Call) -> Reply {
    let is_group = is_group(&mut call.body, true)?;
    let (Some(start), Some(end)) = (call.body.integer("start_time")?, call.body.integer("end_time")?) else {
        return refuse(ILLEGAL, "missing start_time or end_time");
    };
    let creator = call.body.text("creator")?;
    let filter = call.body.integer("filter_type")?.unwrap_or(2);
    let page = Page::read(&mut call.body, 50, 100)?;
    call.body.close()?;
    if start > end || end - start > TimeDelta::days(31).num_seconds() {
        return refuse(ILLEGAL, "start_time to end_time spans at most one month");
    }
    if !(0..=2).contains(&filter) {
        return refuse(ILLEGAL, "filter_type is 0, 1 or 2");
    }
    // Tasks made through the API are the company's and have no creator.
    let is_listed = |task: &&MassTask| {
        (start..=end).contains(&task.created.timestamp()) && !is_group && creator.is_none() && filter != 1
    };
    let listed = state.mass.iter().filter(is_listed).map(|task| {
        json!({
            "msgid": task.msgid, "create_time": task.created.timestamp().to_string(), "create_type": 0,
            "text": {"content": task.text}, "attachments": task.attachments,
        })
    });
    Ok(object(page.answer("group_msg_list", listed.collect())?))
}

/// A page of a longer list.
struct Page {
    limit: usize,
    start: Option<usize>,
}

impl Page {
    /// A limit above the most counts as the default, as WeCom documents for the task list.
    fn read(body: &mut Fields, default: i64, most: i64) -> Result<Self, Refusal> {
        let limit = body.integer("limit")?.filter(|limit| (1..=most).contains(limit)).unwrap_or(default);
        let cursor = body.text("cursor")?.filter(|cursor| !cursor.is_empty());
        let start = cursor.map_or(Some(0), |cursor| cursor.parse().ok());
        Ok(Self { limit: usize::try_from(limit).unwrap_or(1), start })
    }

    fn answer(&self, name: &str, items: Vec<Value>) -> Result<Value, Refusal> {
        let total = items.len();
        let Some(start) = self.start.filter(|start| *start == 0 || *start < total) else {
            return refuse(50100, "invalid cursor");
        };
        let page: Vec<Value> = items.into_iter().skip(start).take(self.limit).collect();
        let next = start + page.len();
        let cursor = if next < total { next.to_string() } else { String::new() };
        Ok(json!({name: page, "next_cursor": cursor}))
    }
}

fn known<'a>(state: &'a State, msgid: &str) -> Result<&'a MassTask, Refusal> {
    match state.mass.iter().find(|task| task.msgid == msgid) {
        Some(task) => Ok(task),
        None => refuse(41047, "invalid msgid"),
    }
}

pub(super) fn task(state: &mut State, mut call: Call) -> Reply {
    let msgid = call.body.required("msgid", 41046)?;
    let page = Page::read(&mut call.body, 500, 1000)?;
    call.body.close()?;
    let row = |sender: &Sender| match sender.confirmed {
        Some(at) => json!({"userid": sender.userid, "status": 2, "send_time": at.timestamp()}),
        None => json!({"userid": sender.userid, "status": 0}),
    };
    let rows = known(state, &msgid)?.senders.iter().map(row).collect();
    Ok(object(page.answer("task_list", rows)?))
}

pub(super) fn result(state: &mut State, mut call: Call) -> Reply {
    let msgid = call.body.required("msgid", 41046)?;
    let userid = call.body.required("userid", ILLEGAL)?;
    let page = Page::read(&mut call.body, 500, 1000)?;
    call.body.close()?;
    let senders = &known(state, &msgid)?.senders;
    let Some(sender) = senders.iter().find(|sender| fold(&sender.userid) == fold(&userid)) else {
        return refuse(40003, "the member has no part in this mass send");
    };
    let row = |recipient: &Recipient| {
        let mut row = json!({
            "external_userid": recipient.customer, "userid": sender.userid, "status": recipient.status,
        });
        if let (1, Some(at)) = (recipient.status, sender.confirmed) {
            row["send_time"] = json!(at.timestamp());
        }
        row
    };
    let rows = sender.recipients.iter().map(row).collect();
    Ok(object(page.answer("send_list", rows)?))
}

pub(super) fn remind(state: &mut State, mut call: Call) -> Reply {
    let msgid = call.body.required("msgid", 41046)?;
    call.body.close()?;
    known(state, &msgid)?;
    let Some(task) = state.mass.iter_mut().find(|task| task.msgid == msgid) else {
        return refuse(41047, "invalid msgid");
    };
    let day_ago = call.now - TimeDelta::hours(24);
    if task.reminders.iter().filter(|at| **at > day_ago).count() >= MOST_REMINDERS {
        return refuse(41094, "at most 3 reminders in 24 hours");
    }
    let is_first = task.reminders.is_empty();
    task.reminders.push(call.now);
    let waiting: Vec<String> =
        task.senders.iter().filter(|sender| sender.confirmed.is_none()).map(|sender| sender.userid.clone()).collect();
    for userid in waiting {
        if let Some(Confirm::AfterReminder(wait)) =
            state.staff(&userid).map(|staff| staff.confirms).filter(|_| is_first)
        {
            let due = call.now + TimeDelta::from_std(wait).unwrap_or_default();
            state.plan(due, Act::Confirms { userid: userid.clone(), msgid: msgid.clone() });
        }
        state.receive(call.now, What::MassReminder { userid, msgid: msgid.clone() });
    }
    Ok(Default::default())
}
