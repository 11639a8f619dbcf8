//! Corp tags and the tags of pairs (WeCom documents 92117, 92118).

use serde_json::{Value, json};

use super::api::{Call, Reply};
use super::api_contacts::{is_userid, object};
use super::fields::{ILLEGAL, Refusal, refuse};
use super::ledger::What;
use super::state::{State, Tag, TagGroup};

const MOST_TAGS: usize = 10_000;
const MOST_TAGS_OF_A_PAIR: usize = 3000;
const LONGEST_NAME_CHARS: usize = 30;
const MOST_IDS: usize = 10_000;

pub(super) fn list(state: &mut State, mut call: Call) -> Reply {
    let tags = call.body.texts("tag_id", MOST_IDS)?;
    let groups = call.body.texts("group_id", MOST_IDS)?;
    call.body.close()?;
    let is_known = |id: &String| {
        let group = state.groups.iter().any(|group| group.id == *id);
        group || state.groups.iter().flat_map(|group| &group.tags).any(|tag| tag.id == *id)
    };
    if !tags.iter().chain(&groups).all(is_known) {
        return refuse(40068, "invalid tag id");
    }
    let by_id = !tags.is_empty() || !groups.is_empty();
    let wanted = |group: &TagGroup, tag: &Tag| match (groups.is_empty(), tags.is_empty()) {
        (false, _) => groups.contains(&group.id), // with both given, WeCom ignores tag_id
        (true, false) => tags.contains(&tag.id),
        (true, true) => true,
    };
    let mut found = Vec::new();
    for group in &state.groups {
        let tags: Vec<&Tag> = group.tags.iter().filter(|tag| wanted(group, tag)).collect();
        if !tags.is_empty() {
            found.push(written(group, &tags, by_id));
        }
    }
    Ok(object(json!({"tag_group": found})))
}

fn written(group: &TagGroup, tags: &[&Tag], by_id: bool) -> Value {
    let mark = |mut value: Value| {
        if by_id {
            value["deleted"] = json!(false);
        }
        value
    };
    let tag = |tag: &&Tag| {
        mark(json!({"id": tag.id, "name": tag.name, "create_time": tag.created.timestamp(), "order": tag.order}))
    };
    mark(json!({
        "group_id": group.id, "group_name": group.name, "create_time": group.created.timestamp(),
        "order": group.order, "tag": tags.iter().map(tag).collect::<Vec<_>>(),
    }))
}

pub(super) fn add(state: &mut State, mut call: Call) -> Reply {
    let group_id = call.body.text("group_id")?.filter(|id| !id.is_empty());
    let group_name = call.body.text("group_name")?.filter(|name| !name.is_empty());
    let group_order = order(call.body.integer("order")?)?;
    let mut names: Vec<(String, i64)> = Vec::new();
    for mut tag in call.body.objects("tag")? {
        let name = tag.required("name", ILLEGAL)?;
        let order = order(tag.integer("order")?)?;
        tag.close()?;
        fits(&name)?;
        // Names that stand twice in one request collapse into one.
        if !names.iter().any(|(known, _)| *known == name) {
            names.push((name, order));
        }
    }
    call.body.close()?;
    if names.is_empty() {
        return refuse(ILLEGAL, "a tag group cannot be empty: tag is missing");
    }
    let existing: usize = state.groups.iter().map(|group| group.tags.len()).sum();
    if existing + names.len() > MOST_TAGS {
        return refuse(40126, "the corp has 10000 tags");
    }
    let index = match (group_id, group_name) {
        (Some(id), _) => match state.groups.iter().position(|group| group.id == id) {
            Some(index) => index,
            None => return refuse(40068, "invalid tag group id"),
        },
        (None, Some(name)) => {
            fits(&name)?;
            state.group_named(name, group_order, &call)
        }
        (None, None) => return refuse(ILLEGAL, "missing group_id or group_name"),
    };
    let taken = |(name, _): &(String, i64)| state.groups[index].tags.iter().any(|tag| tag.name == *name);
    if names.iter().any(taken) {
        return refuse(40071, "tag name exists");
    }
    let new: Vec<Tag> =
        names.into_iter().map(|(name, order)| Tag { id: state.id("et", 30), name, created: call.now, order }).collect();
    let group = &mut state.groups[index];
    let first = group.tags.len();
    group.tags.extend(new);
    let added: Vec<&Tag> = group.tags.iter().skip(first).collect();
    Ok(object(json!({"tag_group": written(group, &added, false)})))
}

impl State {
    /// The place of the group of that name, made when it is not there.
    fn group_named(&mut self, name: String, order: i64, call: &Call) -> usize {
        if let Some(index) = self.groups.iter().position(|group| group.name == name) {
            return index;
        }
        let id = self.id("et", 30);
        self.groups.push(TagGroup { id, name, created: call.now, order, tags: Vec::new() });
        self.groups.len() - 1
    }
}

fn fits(name: &str) -> Result<(), Refusal> {
    if name.chars().count() > LONGEST_NAME_CHARS { refuse(40072, "a name has at most 30 characters") } else { Ok(()) }
}

fn order(order: Option<i64>) -> Result<i64, Refusal> {
    match order.unwrap_or(0) {
        order @ 0..=0xffff_ffff => Ok(order),
        _ => refuse(ILLEGAL, "order must be in [0, 2^32)"),
    }
}

pub(super) fn mark(state: &mut State, mut call: Call) -> Reply {
    let userid = call.body.required("userid", ILLEGAL)?;
    let customer = call.body.required("external_userid", 41035)?;
    let add = call.body.texts("add_tag", MOST_TAGS_OF_A_PAIR)?;
    let remove = call.body.texts("remove_tag", MOST_TAGS_OF_A_PAIR)?;
    call.body.close()?;
    if add.is_empty() && remove.is_empty() {
        return refuse(ILLEGAL, "add_tag and remove_tag are both empty");
    }
    if !is_userid(&userid) {
        return refuse(40003, "invalid userid");
    }
    let Some(staff) = state.staff(&userid) else { return refuse(60111, "userid not found") };
    let userid = staff.userid.clone();
    if !state.customers.contains_key(&customer) {
        return refuse(40096, "invalid external userid");
    }
    if let Some(unknown) = add.iter().chain(&remove).find(|id| state.tag_name(id).is_none()) {
        return refuse(40068, format!("invalid tag id {unknown}"));
    }
    let Some(relation) = state.relation_mut(&userid, &customer) else {
        return refuse(84061, "not external contact");
    };
    let mut tags = relation.tags.clone();
    let added: Vec<String> = add.into_iter().filter(|tag| tags.insert(tag.clone())).collect();
    let removed: Vec<String> = remove.into_iter().filter(|tag| tags.remove(tag)).collect();
    if tags.len() > MOST_TAGS_OF_A_PAIR {
        return refuse(40144, "a member can put at most 3000 tags on a customer");
    }
    relation.tags = tags;
    for id in added {
        let tag = state.tag_name(&id).unwrap_or(id);
        state.receive(call.now, What::Tagged { customer: customer.clone(), userid: userid.clone(), tag });
    }
    for id in removed {
        let tag = state.tag_name(&id).unwrap_or(id);
        state.receive(call.now, What::Untagged { customer: customer.clone(), userid: userid.clone(), tag });
    }
    Ok(Default::default())
}
