//! The app itself (WeCom document 90227), and accounts of 微信客服 (`kf/account/list`), of which there are none here.

use serde_json::{Value, json};

use super::api::{Call, Reply};
use super::api_contacts::object;
use super::fields::{ILLEGAL, refuse};
use super::state::State;

/// The most accounts of one answer.
const PAGE: i64 = 100;

pub(super) fn get(state: &mut State, call: Call) -> Reply {
    call.body.close()?;
    let Some(agent_id) = call.query.get("agentid").and_then(|id| id.parse::<i64>().ok()) else {
        return refuse(ILLEGAL, "missing agentid");
    };
    // Only the app that owns the token may be asked about.
    let own = state.apps.iter().find(|app| app.settings.name == call.app && app.settings.agent_id == agent_id);
    let Some(app) = own else { return refuse(301_002, "not allow operate another agent with this accesstoken") };
    let members: Vec<Value> = state.staff.values().map(|staff| json!({"userid": staff.userid})).collect();
    Ok(object(json!({
        "agentid": agent_id, "name": app.settings.name, "square_logo_url": "", "description": "",
        "allow_userinfos": {"user": members}, "allow_partys": {"partyid": []}, "allow_tags": {"tagid": []},
        "close": 0, "redirect_domain": "", "report_location_flag": 0, "isreportenter": 0, "home_url": "",
    })))
}

pub(super) fn kf_accounts(_state: &mut State, mut call: Call) -> Reply {
    let (offset, limit) = (call.body.integer("offset")?.unwrap_or(0), call.body.integer("limit")?.unwrap_or(PAGE));
    call.body.close()?;
    if offset < 0 || !(1..=PAGE).contains(&limit) {
        return refuse(ILLEGAL, "offset is 0 or more and limit is 1 to 100");
    }
    Ok(object(json!({"account_list": []})))
}
