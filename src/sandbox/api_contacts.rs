//! Members and customers (WeCom documents 90196, 92571, 92114).

use serde_json::{Map, Value, json};

use super::api::{Call, Reply};
use super::fields::{ILLEGAL, refuse};
use super::state::{Relation, State};

/// Followers on one page of `externalcontact/get`.
const PAGE: usize = 500;

pub(super) fn get_user(state: &mut State, call: Call) -> Reply {
    call.body.close()?;
    let Some(userid) = call.query.get("userid").filter(|id| !id.is_empty()) else {
        return refuse(ILLEGAL, "missing userid");
    };
    if !is_userid(userid) {
        return refuse(40003, "invalid userid");
    }
    let Some(staff) = state.staff(userid) else { return refuse(60111, "userid not found") };
    let reply = json!({
        "userid": staff.userid, "name": staff.name, "department": [1], "order": [0], "position": "",
        "is_leader_in_dept": [0], "direct_leader": [], "status": 1, "main_department": 1, "alias": "",
        "telephone": "", "extattr": {"attrs": []},
    });
    Ok(object(reply))
}

pub(super) fn follow_users(state: &mut State, call: Call) -> Reply {
    call.body.close()?;
    let users = state.staff.values().filter(|staff| staff.customer_contact).map(|staff| json!(staff.userid));
    Ok(object(json!({"follow_user": users.collect::<Vec<_>>()})))
}

pub(super) fn get(state: &mut State, call: Call) -> Reply {
    call.body.close()?;
    let Some(id) = call.query.get("external_userid").filter(|id| !id.is_empty()) else {
        return refuse(41035, "missing external_userid");
    };
    let Some(customer) = state.customers.get(id) else { return refuse(40096, "invalid external userid") };
    if customer.relations.is_empty() {
        return refuse(84061, "not external contact");
    }
    let start = match call.query.get("cursor").map(String::as_str) {
        None | Some("") => 0,
        Some(cursor) => match cursor.parse::<usize>() {
            Ok(start) if start < customer.relations.len() => start,
            Ok(_) | Err(_) => return refuse(50100, "invalid cursor"),
        },
    };
    let followers = customer.relations.values().skip(start).take(PAGE);
    let followers: Vec<Value> = followers.map(|relation| follower(state, &customer.id, relation)).collect();
    let next = start + followers.len();
    let mut contact = json!({
        "external_userid": customer.id, "name": customer.name, "avatar": "", "type": customer.kind(), "gender": 0,
    });
    if let Some(unionid) = &customer.unionid {
        contact["unionid"] = json!(unionid);
    }
    if customer.kind() == 2 {
        contact["corp_name"] = json!("另一家公司");
        contact["external_profile"] = json!({"external_attr": []});
    }
    let mut reply = object(json!({"external_contact": contact, "follow_user": followers}));
    if next < customer.relations.len() {
        reply.insert("next_cursor".into(), json!(next.to_string()));
    }
    Ok(reply)
}

fn follower(state: &State, customer: &str, relation: &Relation) -> Value {
    let tags = relation.tags.iter().filter_map(|id| {
        let name = state.tag_name(id)?;
        let (group, tag) = name.split_once('/')?;
        Some(json!({"group_name": group, "tag_name": tag, "tag_id": id, "type": 1}))
    });
    json!({
        "userid": relation.userid, "remark": relation.remark, "description": "",
        "createtime": relation.since.timestamp(), "tags": tags.collect::<Vec<_>>(), "remark_mobiles": [],
        "oper_userid": customer, "add_way": relation.add_way, "state": relation.state,
    })
}

/// 1 to 64 of letters, digits, `_`, `.`, `-` and `@` (WeCom document 90195).
pub(super) fn is_userid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b))
}

/// The fields of an object literal.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
