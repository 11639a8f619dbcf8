//! The live page: what each customer has received and what awaits each staff member, with buttons for a few acts.
//!
//! Askama escapes every text. The script only swaps the live part and sends what a button's `data-` attributes say.

use askama::Template;
use serde_json::json;

use super::ledger::{Receipt, What};
use super::view::{self, CustomerView, RelationView, StateView};
use super::world::World;

#[derive(Template)]
#[template(path = "sandbox/page.html", config = ".askama.toml")]
struct Page<'a> {
    state: &'a StateView,
}

#[derive(Template)]
#[template(path = "sandbox/live.html", config = ".askama.toml")]
struct Live<'a> {
    state: &'a StateView,
}

/// Content type and content of a file of the page.
pub(super) fn file(world: &World, path: &str) -> Option<(&'static str, Vec<u8>)> {
    match path {
        "/" => Some(("text/html; charset=utf-8", rendered(Page { state: &world.state() }.render()))),
        "/live" => Some(("text/html; charset=utf-8", rendered(Live { state: &world.state() }.render()))),
        "/page.css" => Some(("text/css; charset=utf-8", include_bytes!("page.css").to_vec())),
        "/page.js" => Some(("text/javascript; charset=utf-8", include_bytes!("page.js").to_vec())),
        _ => None,
    }
}

/// A template of plain fields fails only when the memory does.
fn rendered(page: askama::Result<String>) -> Vec<u8> {
    page.unwrap_or_else(|error| error.to_string()).into_bytes()
}

/// A line of a customer's story.
struct Line {
    kind: &'static str,
    text: String,
}

impl Line {
    fn of(receipt: &Receipt) -> Self {
        let line = |kind, text: &str| Self { kind, text: text.to_owned() };
        match &receipt.what {
            What::Welcome { text, attachments, .. } => line("欢迎语", &with_links(text, attachments)),
            What::Mass { text, attachments, .. } => line("群发", &with_links(text, attachments)),
            What::MassNotSent { status: 2, .. } => line("群发未送达", "已不是好友"),
            What::MassNotSent { .. } => line("群发未送达", "已达接收上限"),
            What::Tagged { tag, .. } => line("打标签", tag),
            What::Untagged { tag, .. } => line("去标签", tag),
            What::MassTask { text, .. } => line("待群发", text),
            What::MassReminder { .. } => line("群发提醒", ""),
            What::Card { title, .. } => line("卡片", title),
            What::CardUpdated { .. } => line("卡片更新", ""),
            What::Tapped { key, .. } => line("点按", key),
            What::Text { content, .. } | What::Markdown { content, .. } => line("消息", content),
            What::Dropped { msgtype, .. } => line("超频丢弃", msgtype),
            What::Repeated { msgtype, .. } => line("重复消息", msgtype),
        }
    }
}

/// The words, and the titles of what hangs on them.
fn with_links(text: &str, attachments: &[serde_json::Value]) -> String {
    let title = |attachment: &serde_json::Value| {
        let kind = attachment.get("msgtype")?.as_str()?;
        let title = attachment.pointer(&format!("/{kind}/title")).and_then(serde_json::Value::as_str);
        Some(format!("〔{}〕", title.unwrap_or(kind)))
    };
    let titles: Vec<String> = attachments.iter().filter_map(title).collect();
    [vec![text.to_owned()], titles].concat().join("\n").trim().to_owned()
}

/// What a button sends.
fn tap_body(task_id: &str, key: &str) -> String {
    json!({"task_id": task_id, "key": key}).to_string()
}

fn confirm_body(msgid: &str) -> String {
    json!({"msgid": msgid}).to_string()
}

fn userid_body(userid: &str) -> String {
    json!({"userid": userid}).to_string()
}

/// A path segment as an address carries it.
fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn status(relation: &RelationView) -> &'static str {
    match (relation.left, relation.half) {
        (true, _) => "客户已删除员工",
        (false, true) => "单向添加",
        (false, false) => "好友",
    }
}

fn staff_name<'a>(state: &'a StateView, userid: &'a str) -> &'a str {
    state.staff.iter().find(|staff| staff.userid == userid).map_or(userid, |staff| staff.name.as_str())
}

fn is_lost(customer: &CustomerView) -> bool {
    customer.relations.iter().all(|relation| relation.left)
}

fn day_time(at: &crate::domain::At) -> String {
    view::moment(at, "%m-%d %H:%M:%S")
}

fn full_time(at: &crate::domain::At) -> String {
    view::moment(at, "%Y-%m-%d %H:%M:%S")
}
