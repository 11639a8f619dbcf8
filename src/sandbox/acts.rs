//! What happens when a person acts: the world changes, and callbacks follow. Sending them is not its business.

use chrono::TimeDelta;

use crate::domain::At;

use super::callbacks::{self, Outgoing};
use super::ledger::What;
use super::people::{Act, Adding, Misuse};
use super::state::{Customer, Relation, ResponseCode, Sender, State, WelcomeCode, fold};

impl State {
    /// Does the act now and says which callbacks follow.
    pub(super) fn act(&mut self, act: &Act, now: At) -> Result<Vec<Outgoing>, Misuse> {
        match act {
            Act::CustomerAdds(adding) => self.customer_adds(adding, now),
            Act::Befriends { customer, userid } => self.befriends(customer, userid, now),
            Act::CustomerDeletes { customer, userid } => {
                self.related(userid, customer)?.left = true;
                Ok(callbacks::contact(self, "del_follow_user", userid, customer, &[], now))
            }
            Act::StaffDeletes { userid, customer } => {
                self.forget(userid, customer)?;
                Ok(callbacks::contact(self, "del_external_contact", userid, customer, &[], now))
            }
            Act::StaffEdits { userid, customer, remark, add_tags, remove_tags } => {
                self.edit(userid, customer, remark.as_deref(), add_tags, remove_tags)?;
                Ok(callbacks::contact(self, "edit_external_contact", userid, customer, &[], now))
            }
            Act::Chats { customer, userid } => {
                self.related(userid, customer)?.chatted = true;
                Ok(Vec::new())
            }
            Act::Transfers { customer, from, to } => self.transfer(customer, from, to, now),
            Act::Confirms { userid, msgid } => self.confirm(userid, msgid, now).map(|()| Vec::new()),
            Act::Taps { userid, task_id, key } => self.tap(userid, task_id, key, now),
            Act::DeletesTag { tag } => self.delete_tag(tag, now),
            Act::Writes { userid, app, text } => {
                let staff = self.staff(userid).ok_or_else(|| Misuse::NoStaff(userid.clone()))?.userid.clone();
                let msg_id = self.digits(19);
                callbacks::text(self, app, &staff, text, &msg_id, now).ok_or_else(|| Misuse::NoApp(app.clone()))
            }
        }
    }

    fn related(&mut self, userid: &str, customer: &str) -> Result<&mut Relation, Misuse> {
        if !self.staff.contains_key(&fold(userid)) {
            return Err(Misuse::NoStaff(userid.to_owned()));
        }
        let known = self.customers.get_mut(customer).ok_or_else(|| Misuse::NoCustomer(customer.to_owned()))?;
        let nothing = || Misuse::NoRelation { userid: userid.to_owned(), customer: customer.to_owned() };
        known.relations.get_mut(&fold(userid)).ok_or_else(nothing)
    }

    fn forget(&mut self, userid: &str, customer: &str) -> Result<(), Misuse> {
        self.related(userid, customer)?;
        if let Some(customer) = self.customers.get_mut(customer) {
            customer.relations.remove(&fold(userid));
        }
        Ok(())
    }

    fn customer_adds(&mut self, adding: &Adding, now: At) -> Result<Vec<Outgoing>, Misuse> {
        let userid = self.staff(&adding.userid).ok_or_else(|| Misuse::NoStaff(adding.userid.clone()))?.userid.clone();
        if self.relation(&userid, &adding.customer).is_some_and(|relation| !relation.left) {
            return Err(Misuse::Related { userid, customer: adding.customer.clone() });
        }
        let number = self.customers.len() + 1;
        let customer = self.customers.entry(adding.customer.clone()).or_insert_with(|| Customer {
            id: adding.customer.clone(),
            name: format!("客户{number}"),
            unionid: None,
            relations: Default::default(),
            mass_received: Vec::new(),
        });
        if let Some(name) = &adding.name {
            customer.name.clone_from(name);
        }
        if adding.unionid.is_some() {
            customer.unionid.clone_from(&adding.unionid);
        }
        self.addings += 1;
        // Who comes back to a staff member that kept them finds remark and tags as they were.
        let before = customer.relations.remove(&fold(&userid));
        let relation = Relation {
            userid: userid.clone(),
            since: now,
            state: adding.state.clone().unwrap_or_default(),
            add_way: adding.add_way.unwrap_or(1),
            remark: before.as_ref().map(|old| old.remark.clone()).unwrap_or_default(),
            half: adding.half_first.is_some(),
            left: false,
            chatted: before.as_ref().is_some_and(|old| old.chatted),
            tags: before.map(|old| old.tags).unwrap_or_default(),
            adding: self.addings,
        };
        customer.relations.insert(fold(&userid), relation);
        let Some(later) = adding.half_first else {
            return Ok(self.greetable(&userid, &adding.customer, "add_external_contact", now));
        };
        let later = now + TimeDelta::from_std(later).unwrap_or_default();
        self.plan(later, Act::Befriends { customer: adding.customer.clone(), userid: userid.clone() });
        Ok(self.greetable(&userid, &adding.customer, "add_half_external_contact", now))
    }

    fn befriends(&mut self, customer: &str, userid: &str, now: At) -> Result<Vec<Outgoing>, Misuse> {
        self.related(userid, customer)?.half = false;
        Ok(self.greetable(userid, customer, "add_external_contact", now))
    }

    /// An adding's callbacks, with a welcome code for each app where WeCom gives one (WeCom document 92130).
    fn greetable(&mut self, userid: &str, customer: &str, change: &str, now: At) -> Vec<Outgoing> {
        let Some(relation) = self.relation(userid, customer) else { return Vec::new() };
        let (adding, chatted, state) = (relation.adding, relation.chatted, relation.state.clone());
        let console = self.staff(userid).is_some_and(|staff| staff.console_welcome);
        let wechat = self.customers.get(customer).is_some_and(|customer| customer.kind() == 1);
        let gives = wechat && !console && !chatted && !self.welcomed.contains(&adding);
        let apps: Vec<String> =
            self.apps.iter().filter(|app| app.contacts).map(|app| app.settings.name.clone()).collect();
        let mut codes = Vec::new();
        for app in apps.into_iter().filter(|_| gives) {
            let code = self.id("CALLBACK", 40);
            let (customer, userid) = (customer.to_owned(), userid.to_owned());
            let issued = WelcomeCode { app: app.clone(), customer, userid, adding, issued: now, used: false };
            self.codes.insert(code.clone(), issued);
            codes.push((app, code));
        }
        callbacks::added(self, change, userid, customer, &state, &codes, now)
    }

    fn edit(
        &mut self,
        userid: &str,
        customer: &str,
        remark: Option<&str>,
        add_tags: &[String],
        remove_tags: &[String],
    ) -> Result<(), Misuse> {
        let id = |name: &String| self.tag_id(name).ok_or_else(|| Misuse::NoTag(name.clone()));
        let add = add_tags.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let remove = remove_tags.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let relation = self.related(userid, customer)?;
        if let Some(remark) = remark {
            remark.clone_into(&mut relation.remark);
        }
        relation.tags.extend(add);
        relation.tags.retain(|tag| !remove.contains(tag));
        Ok(())
    }

    fn delete_tag(&mut self, name: &str, now: At) -> Result<Vec<Outgoing>, Misuse> {
        let id = self.tag_id(name).ok_or_else(|| Misuse::NoTag(name.to_owned()))?;
        self.groups.iter_mut().for_each(|group| group.tags.retain(|tag| tag.id != id));
        self.groups.retain(|group| !group.tags.is_empty());
        for relation in self.customers.values_mut().flat_map(|customer| customer.relations.values_mut()) {
            relation.tags.remove(&id);
        }
        Ok(callbacks::tag_deleted(self, &id, now))
    }

    fn transfer(&mut self, customer: &str, from: &str, to: &str, now: At) -> Result<Vec<Outgoing>, Misuse> {
        if self.staff(to).is_none() {
            return Err(Misuse::NoStaff(to.to_owned()));
        }
        self.forget(from, customer)?;
        let moved = [("Source", "DELETE_BY_TRANSFER")];
        let mut outgoing = callbacks::contact(self, "del_external_contact", from, customer, &moved, now);
        let adding = Adding {
            customer: customer.to_owned(),
            userid: to.to_owned(),
            add_way: Some(202), // assigned by the admin
            ..Adding::default()
        };
        match self.customer_adds(&adding, now) {
            Ok(more) => outgoing.extend(more),
            Err(Misuse::Related { .. }) => {} // the new one knew the customer already
            Err(other) => return Err(other),
        }
        Ok(outgoing)
    }

    fn confirm(&mut self, userid: &str, msgid: &str, now: At) -> Result<(), Misuse> {
        let nothing = || Misuse::NoMassTask { userid: userid.to_owned(), msgid: msgid.to_owned() };
        let task = self.mass.iter().position(|task| task.msgid == msgid).ok_or_else(nothing)?;
        let is_waiting = |sender: &Sender| sender.userid.eq_ignore_ascii_case(userid) && sender.confirmed.is_none();
        let sender = self.mass[task].senders.iter().position(is_waiting).ok_or_else(nothing)?;
        let customers: Vec<String> =
            self.mass[task].senders[sender].recipients.iter().map(|r| r.customer.clone()).collect();
        let statuses: Vec<i64> = customers.iter().map(|customer| self.send_mass(userid, customer, now)).collect();
        let (text, attachments) = (self.mass[task].text.clone(), self.mass[task].attachments.clone());
        let sender = &mut self.mass[task].senders[sender];
        sender.confirmed = Some(now);
        for (recipient, status) in sender.recipients.iter_mut().zip(&statuses) {
            recipient.status = *status;
        }
        let userid = sender.userid.clone();
        for (customer, status) in customers.into_iter().zip(statuses) {
            let (userid, msgid) = (userid.clone(), msgid.to_owned());
            let what = if status == 1 {
                What::Mass { customer, userid, msgid, text: text.clone(), attachments: attachments.clone() }
            } else {
                What::MassNotSent { customer, userid, msgid, status }
            };
            self.receive(now, what);
        }
        Ok(())
    }

    /// Lets one customer receive a mass send, or says why not, as `get_groupmsg_send_result` does.
    fn send_mass(&mut self, userid: &str, customer: &str, now: At) -> i64 {
        let Some(known) = self.customers.get(customer) else { return 2 };
        if known.relations.get(&fold(userid)).is_none_or(|relation| relation.left) {
            return 2;
        }
        if self.is_mass_full(known, now) {
            return 3;
        }
        if let Some(known) = self.customers.get_mut(customer) {
            known.mass_received.push(now);
        }
        1
    }

    fn tap(&mut self, userid: &str, task_id: &str, key: &str, now: At) -> Result<Vec<Outgoing>, Misuse> {
        let nothing = || Misuse::NoCard { userid: userid.to_owned(), task_id: task_id.to_owned() };
        let found = self.apps.iter_mut().find_map(|app| {
            let copy = app.cards.get_mut(task_id)?.copies.get_mut(&fold(userid))?;
            Some((app.settings.name.clone(), copy))
        });
        let (app, copy) = found.ok_or_else(nothing)?;
        let buttons = copy.buttons();
        if !buttons.iter().any(|(live, _)| live == key) {
            let live = buttons.into_iter().map(|(key, _)| key).collect();
            return Err(Misuse::NoButton { key: key.to_owned(), live });
        }
        copy.taps.push(key.to_owned());
        let (userid, card_type) = (copy.userid.clone(), copy.card.get("card_type").cloned());
        let card_type = card_type.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        let code = self.id("", 64);
        let issued = ResponseCode { app: app.clone(), task_id: task_id.to_owned(), issued: now, used: false };
        self.responses.insert(code.clone(), issued);
        let tapped = What::Tapped { userid: userid.clone(), task_id: task_id.to_owned(), key: key.to_owned() };
        self.receive(now, tapped);
        let click = callbacks::Click { userid: &userid, task_id, key, card_type: &card_type, code: &code };
        Ok(callbacks::tapped(self, &app, &click, now))
    }
}
