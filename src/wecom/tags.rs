//! Corp tags (WeCom documents 92117 and 92118).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::domain::effect::WantedTag;
use crate::domain::ids::{ExternalUserId, TagName, UserId};

use super::answer::{Answer, CallError, Calls};
use super::api::Api;
use super::effects::{Nature, Outcome, Past, again, done, fail, settle};
use super::reasons;

/// Whose tags change.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    /// The staff member.
    pub(crate) userid: &'a UserId,
    /// The customer.
    pub(crate) customer: &'a ExternalUserId,
}

/// How they change.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    /// Tags to put on.
    pub(crate) add: &'a [TagName],
    /// Tags to take off.
    pub(crate) remove: &'a [TagName],
    /// WeCom's names of them.
    pub(crate) ids: &'a BTreeMap<TagName, String>,
}

/// Changes the tags of one pair. Setting what is set already changes nothing, so a repeat is harmless.
pub(crate) async fn mark(calls: &impl Calls, past: Past, pair: &Pair<'_>, change: &Change<'_>) -> Outcome {
    match mark_body(pair, change) {
        Ok(None) => Outcome::Done(Map::new()),
        Ok(Some(body)) => match calls.call(Api::MarkTag, body).await {
            Ok(_) => Outcome::Done(Map::new()),
            Err(error) => settle(Nature::Sets, past, &error),
        },
        Err(tag) => fail(reasons::TAG_UNKNOWN, &format!("no id of {tag} is known")),
    }
}

/// The request; none when there is nothing to change, which WeCom would refuse.
fn mark_body<'a>(pair: &Pair<'_>, change: &Change<'a>) -> Result<Option<Value>, &'a TagName> {
    let ids = |names: &'a [TagName]| -> Result<Vec<&'a String>, &'a TagName> {
        names.iter().map(|name| change.ids.get(name).ok_or(name)).collect()
    };
    let (add, remove) = (ids(change.add)?, ids(change.remove)?);
    if add.is_empty() && remove.is_empty() {
        return Ok(None);
    }
    let mut body = json!({ "userid": pair.userid.as_str(), "external_userid": pair.customer.as_str() });
    if !add.is_empty() {
        body["add_tag"] = json!(add);
    }
    if !remove.is_empty() {
        body["remove_tag"] = json!(remove);
    }
    Ok(Some(body))
}

/// Looks tags up by group and name and makes those that are missing. The look-up makes a repeat harmless.
pub(crate) async fn ensure(calls: &impl Calls, past: Past, wanted: &[WantedTag]) -> Outcome {
    match look_up_and_make(calls, wanted).await {
        Ok(ids) if wanted.iter().all(|tag| ids.contains_key(tag.tag.as_str())) => done([("tags", ids.into())]),
        // Somebody makes and deletes tags at the same time.
        Ok(_) => again(past, reasons::RECORD_BUSY)
            .unwrap_or_else(|| fail(reasons::TAG_UNKNOWN, "a tag that exists by name is not in the list")),
        Err(error) => settle(Nature::Sets, past, &error),
    }
}

/// The ids of the wanted tags, as far as they came to be known.
async fn look_up_and_make(calls: &impl Calls, wanted: &[WantedTag]) -> Result<Map<String, Value>, CallError> {
    let mut known = Known::read(&calls.call(Api::ListTags, json!({})).await?);
    for body in known.requests(wanted) {
        match calls.call(Api::AddTags, body).await {
            Ok(answer) => known.learn(answer.0.get("tag_group")),
            // Somebody made it between our look and our call.
            Err(CallError::Refused(refusal)) if refusal.errcode == 40071 => {
                known = Known::read(&calls.call(Api::ListTags, json!({})).await?);
            }
            Err(error) => return Err(error),
        }
    }
    let ids = wanted.iter().filter_map(|tag| Some((tag.tag.as_str().to_owned(), known.id(&tag.tag)?.into())));
    Ok(ids.collect())
}

/// The corp's tags by name.
#[derive(Debug, Default)]
struct Known {
    /// Group to its id; the first of several with one name.
    groups: BTreeMap<String, String>,
    /// Group and tag to the tag's id.
    tags: BTreeMap<(String, String), String>,
}

impl Known {
    fn read(answer: &Answer) -> Self {
        let mut known = Self::default();
        for group in answer.list("tag_group") {
            known.learn(Some(group));
        }
        known
    }

    fn learn(&mut self, group: Option<&Value>) {
        let Some(group) = group.filter(|group| !is_deleted(group)) else { return };
        let (Some(group_name), Some(group_id)) = (text(group, "group_name"), text(group, "group_id")) else { return };
        self.groups.entry(group_name.to_owned()).or_insert_with(|| group_id.to_owned());
        let tags = group.get("tag").and_then(Value::as_array).into_iter().flatten();
        for tag in tags.filter(|tag| !is_deleted(tag)) {
            if let (Some(name), Some(id)) = (text(tag, "name"), text(tag, "id")) {
                let key = (group_name.to_owned(), name.to_owned());
                self.tags.entry(key).or_insert_with(|| id.to_owned());
            }
        }
    }

    fn id(&self, tag: &TagName) -> Option<&str> {
        self.tags.get(&(tag.group().to_owned(), tag.name().to_owned())).map(String::as_str)
    }

    /// One request per group that lacks something: into the group that exists, or with the group and its order.
    fn requests(&self, wanted: &[WantedTag]) -> Vec<Value> {
        let mut missing: BTreeMap<&str, (u32, BTreeSet<&str>)> = BTreeMap::new();
        for tag in wanted.iter().filter(|tag| self.id(&tag.tag).is_none()) {
            let (order, names) = missing.entry(tag.tag.group()).or_default();
            *order = (*order).max(tag.group_order);
            names.insert(tag.tag.name());
        }
        missing.into_iter().map(|(group, (order, names))| self.request(group, order, &names)).collect()
    }

    fn request(&self, group: &str, order: u32, names: &BTreeSet<&str>) -> Value {
        let tags: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        match self.groups.get(group) {
            Some(id) => json!({ "group_id": id, "tag": tags }),
            None if order > 0 => json!({ "group_name": group, "order": order, "tag": tags }),
            None => json!({ "group_name": group, "tag": tags }),
        }
    }
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn is_deleted(object: &Value) -> bool {
    object.get("deleted").and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wecom::script::{FIRST, Script, refused};

    fn tag(name: &str) -> TagName {
        TagName::parse(name).unwrap()
    }

    async fn marked(script: &Script, add: &[TagName], remove: &[TagName]) -> Outcome {
        let ids = [(tag("分层/新客"), "et1".to_owned()), (tag("分层/老客"), "et2".to_owned())].into();
        let (userid, customer) = (UserId::parse("lili").unwrap(), ExternalUserId::parse("wm1").unwrap());
        let pair = Pair { userid: &userid, customer: &customer };
        mark(script, FIRST, &pair, &Change { add, remove, ids: &ids }).await
    }

    #[tokio::test]
    async fn tags_of_a_pair_go_on_and_off_by_id_in_one_call() {
        let script = Script::new().answers(Api::MarkTag, json!({}));
        assert_eq!(marked(&script, &[tag("分层/新客")], &[tag("分层/老客")]).await, Outcome::Done(Map::new()));
        let body = json!({ "userid": "lili", "external_userid": "wm1", "add_tag": ["et1"], "remove_tag": ["et2"] });
        assert_eq!(script.asked(), [(Api::MarkTag, body)]);

        let script = Script::new().answers(Api::MarkTag, json!({}));
        marked(&script, &[tag("分层/新客")], &[]).await;
        let body = json!({ "userid": "lili", "external_userid": "wm1", "add_tag": ["et1"] });
        assert_eq!(script.asked(), [(Api::MarkTag, body)]);
    }

    #[tokio::test]
    async fn nothing_to_change_is_done_without_a_call() {
        let script = Script::new();
        assert_eq!(marked(&script, &[], &[]).await, Outcome::Done(Map::new()));
        assert!(script.asked().is_empty());
    }

    #[tokio::test]
    async fn a_tag_that_wecom_does_not_know_is_told_so_that_it_is_looked_up_again() {
        let script = Script::new().fails(Api::MarkTag, refused(40068));
        let outcome = marked(&script, &[tag("分层/新客")], &[]).await;
        assert!(
            matches!(&outcome, Outcome::Failed { reason, errcode: Some(40068), .. } if reason == reasons::TAG_UNKNOWN)
        );
        let outcome = marked(&Script::new(), &[tag("分层/没有")], &[]).await;
        assert!(matches!(&outcome, Outcome::Failed { reason, errcode: None, .. } if reason == reasons::TAG_UNKNOWN));
    }

    fn wanted(name: &str, group_order: u32) -> WantedTag {
        WantedTag { tag: tag(name), group_order }
    }

    fn list() -> Value {
        json!({ "tag_group": [
            { "group_id": "g1", "group_name": "分层", "order": 10, "tag": [ { "id": "et1", "name": "新客" } ] },
            { "group_id": "g9", "group_name": "触点", "deleted": true, "tag": [ { "id": "et9", "name": "门店扫码" } ] },
        ] })
    }

    #[tokio::test]
    async fn only_what_is_missing_is_made_in_the_group_that_exists_or_with_a_new_one() {
        let script = Script::new()
            .answers(Api::ListTags, list())
            .answers(
                Api::AddTags,
                json!({ "tag_group": { "group_id": "g1", "group_name": "分层", "tag": [ { "id": "et2", "name": "老客" } ] } }),
            )
            .answers(
                Api::AddTags,
                json!({ "tag_group": { "group_id": "g2", "group_name": "触点",
                    "tag": [ { "id": "et3", "name": "门店扫码" } ] } }),
            );
        let wanted = [wanted("分层/新客", 10), wanted("分层/老客", 10), wanted("触点/门店扫码", 20)];
        let Outcome::Done(answer) = ensure(&script, FIRST, &wanted).await else { panic!("done") };
        assert_eq!(
            Value::from(answer),
            json!({ "tags": { "分层/新客": "et1", "分层/老客": "et2", "触点/门店扫码": "et3" } })
        );
        assert_eq!(
            script.asked(),
            [
                (Api::ListTags, json!({})),
                (Api::AddTags, json!({ "group_id": "g1", "tag": [ { "name": "老客" } ] })),
                (Api::AddTags, json!({ "group_name": "触点", "order": 20, "tag": [ { "name": "门店扫码" } ] })),
            ]
        );
    }

    #[tokio::test]
    async fn tags_that_are_all_there_are_only_looked_up() {
        let script = Script::new().answers(Api::ListTags, list());
        let Outcome::Done(answer) = ensure(&script, FIRST, &[wanted("分层/新客", 0)]).await else { panic!("done") };
        assert_eq!(Value::from(answer), json!({ "tags": { "分层/新客": "et1" } }));
        assert_eq!(script.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_tag_that_somebody_else_makes_meanwhile_is_looked_up_again() {
        let later = json!({ "tag_group": [
            { "group_id": "g1", "group_name": "分层", "tag": [ { "id": "et5", "name": "老客" } ] } ] });
        let script = Script::new()
            .answers(Api::ListTags, list())
            .fails(Api::AddTags, refused(40071))
            .answers(Api::ListTags, later);
        let Outcome::Done(answer) = ensure(&script, FIRST, &[wanted("分层/老客", 0)]).await else { panic!("done") };
        assert_eq!(Value::from(answer), json!({ "tags": { "分层/老客": "et5" } }));
    }

    #[tokio::test]
    async fn a_tag_that_stays_hidden_is_tried_again_and_then_given_up() {
        let script = || {
            Script::new()
                .answers(Api::ListTags, list())
                .fails(Api::AddTags, refused(40071))
                .answers(Api::ListTags, list())
        };
        let outcome = ensure(&script(), FIRST, &[wanted("分层/老客", 0)]).await;
        assert!(matches!(outcome, Outcome::Again { counts: true, .. }));
        let last = Past { tries: 2, unanswered: false };
        let outcome = ensure(&script(), last, &[wanted("分层/老客", 0)]).await;
        assert!(matches!(outcome, Outcome::Failed { reason, .. } if reason == reasons::TAG_UNKNOWN));
    }
}
