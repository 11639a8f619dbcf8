//! What comes from an app and its staff: messages, taps, menus (WeCom documents 90239, 90240), and the wake-up of
//! 微信客服 (document 94670).

use serde_json::{Map, Value};

use crate::domain::actor::Actor;
use crate::domain::event::types;
use crate::domain::ids::{AppId, OpenKfId, UserId};

use super::callback::{Known, Unreadable, required};
use super::callback_body::Shape::{Number, Text};
use super::callback_body::{Element, Field, collect};

const MESSAGE: &[Field] = &[
    ("FromUserName", "userid", Text),
    ("AgentID", "agent_id", Number),
    ("MsgType", "msgtype", Text),
    ("MsgId", "msgid", Text),
    ("Content", "text", Text),
    ("MediaId", "media_id", Text),
    ("ThumbMediaId", "thumb_media_id", Text),
    ("Format", "format", Text),
    ("PicUrl", "pic_url", Text),
    ("Location_X", "location_x", Text),
    ("Location_Y", "location_y", Text),
    ("Scale", "scale", Number),
    ("Label", "label", Text),
    ("Title", "title", Text),
    ("Description", "description", Text),
    ("Url", "url", Text),
];
const CARD: &[Field] = &[
    ("FromUserName", "userid", Text),
    ("AgentID", "agent_id", Number),
    ("TaskId", "task_id", Text),
    ("EventKey", "key", Text),
    ("CardType", "card_type", Text),
    ("ResponseCode", "response_code", Text),
];
const MENU: &[Field] = &[
    ("FromUserName", "userid", Text),
    ("AgentID", "agent_id", Number),
    ("Event", "action", Text),
    ("EventKey", "key", Text),
];
const SCANNED: &[Field] = &[("ScanType", "scan_type", Text), ("ScanResult", "scan_result", Text)];
const PHOTOS: &[Field] = &[("Count", "count", Number)];
const PLACE: &[Field] = &[
    ("Location_X", "location_x", Text),
    ("Location_Y", "location_y", Text),
    ("Scale", "scale", Number),
    ("Label", "label", Text),
    ("Poiname", "poiname", Text),
];
const ENTERED: &[Field] = &[("FromUserName", "userid", Text), ("AgentID", "agent_id", Number)];
const INACTIVE: &[Field] =
    &[("Event", "change", Text), ("AgentID", "agent_id", Number), ("EffectTime", "effect_time", Number)];
const WOKEN: &[Field] = &[("Token", "token", Text), ("OpenKfId", "open_kfid", Text)];

/// Whether an event is a staff member's act in the app; other events belong to the app itself.
pub(super) fn is_staff_event(event: &str) -> bool {
    is_menu(event)
        || matches!(
            event,
            "subscribe"
                | "unsubscribe"
                | "enter_agent"
                | "LOCATION"
                | "template_card_event"
                | "template_card_menu_event"
        )
}

fn is_menu(event: &str) -> bool {
    matches!(
        event,
        "click"
            | "view"
            | "view_miniprogram"
            | "scancode_push"
            | "scancode_waitmsg"
            | "pic_sysphoto"
            | "pic_photo_or_album"
            | "pic_weixin"
            | "location_select"
    )
}

/// A message that a staff member wrote to the app, of any type; an unknown type is kept with its common fields.
pub(super) fn message(root: &Element<'_>) -> Result<Known, Unreadable> {
    Ok((types::STAFF_MESSAGE, sender(root)?, collect(root, MESSAGE)))
}

/// An event of the app: a staff member's act, or news of the app itself.
pub(super) fn event(app: &AppId, root: &Element<'_>, event: &str) -> Result<Option<Known>, Unreadable> {
    Ok(Some(match event {
        "template_card_event" | "template_card_menu_event" => (types::STAFF_CARD, sender(root)?, card(root)),
        "enter_agent" => (types::STAFF_ENTERED, sender(root)?, collect(root, ENTERED)),
        _ if is_menu(event) => (types::STAFF_MENU, sender(root)?, menu(root)),
        "inactive_alert"
        | "close_inactive_agent"
        | "reopen_inactive_agent"
        | "low_active_alert"
        | "low_active"
        | "active_restored" => {
            let mut data = collect(root, INACTIVE);
            data.insert("app".to_owned(), Value::from(app.as_str()));
            (types::APP_INACTIVE, Actor::Corp, data)
        }
        _ => return Ok(None),
    }))
}

/// `kf_msg_or_event`: it carries no content, only a token with which to ask for it, good for 10 minutes.
pub(super) fn kf(root: &Element<'_>) -> Result<Known, Unreadable> {
    let account = OpenKfId::parse(required(root, "OpenKfId")?)?;
    Ok((types::KF_WOKEN, Actor::Kf(account), collect(root, WOKEN)))
}

fn sender(root: &Element<'_>) -> Result<Actor, Unreadable> {
    Ok(Actor::Staff(UserId::parse(required(root, "FromUserName")?)?))
}

/// A tap on a card; what was selected in it is kept by question.
fn card(root: &Element<'_>) -> Map<String, Value> {
    let mut data = collect(root, CARD);
    let mut selected = Map::new();
    for item in root.all("SelectedItems").flat_map(|items| items.all("SelectedItem")) {
        if let Some(question) = item.text("QuestionKey") {
            let options = item.all("OptionIds").flat_map(|ids| ids.all("OptionId")).filter_map(Element::own_text);
            selected.insert(question.to_owned(), options.map(Value::from).collect());
        }
    }
    if !selected.is_empty() {
        data.insert("selected".to_owned(), Value::Object(selected));
    }
    data
}

fn menu(root: &Element<'_>) -> Map<String, Value> {
    let mut data = collect(root, MENU);
    for (container, fields) in [("ScanCodeInfo", SCANNED), ("SendPicsInfo", PHOTOS), ("SendLocationInfo", PLACE)] {
        if let Some(inner) = root.child(container) {
            data.extend(collect(inner, fields));
        }
    }
    data
}
