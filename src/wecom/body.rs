//! What goes into a request: texts without control characters, nothing longer than WeCom takes.
//!
//! Bytes are counted in UTF-8, as WeCom does. Nothing is ever cut: what is too long is refused here, with the numbers.

use serde_json::{Value, json};

use crate::domain::effect::{Attachment, Message};

use super::reasons;

/// The most bytes of a text to customers (WeCom documents 92135 and 92137).
pub(crate) const CUSTOMER_TEXT: usize = 4000;
/// The most bytes of a text to staff; WeCom would cut a longer one (WeCom document 90236).
pub(crate) const STAFF_TEXT: usize = 2048;
/// The most attachments of a message to customers (WeCom documents 92135 and 92137).
const ATTACHMENTS: usize = 9;

/// Something that WeCom would not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// From [`reasons`].
    pub(crate) reason: &'static str,
    /// What, how much, and how much WeCom takes.
    pub(crate) message: String,
}

/// Refuses a text longer than `limit` bytes.
pub(crate) fn fits(what: &str, text: &str, limit: usize) -> Result<(), Unfit> {
    let bytes = text.len();
    if bytes <= limit {
        return Ok(());
    }
    let message = format!("{what} has {bytes} bytes, WeCom takes {limit}");
    Err(Unfit { reason: reasons::TEXT_TOO_LONG, message })
}

/// Refuses more than `limit` of something.
pub(crate) fn at_most(what: &str, number: usize, limit: usize) -> Result<(), Unfit> {
    if number <= limit {
        return Ok(());
    }
    let message = format!("{number} {what}, WeCom takes {limit}");
    Err(Unfit { reason: reasons::TOO_MANY_PARTS, message })
}

/// Adds `text` and `attachments` of a message to customers to a request.
pub(crate) fn put_message(body: &mut Value, message: &Message) -> Result<(), Unfit> {
    if message.text.is_empty() && message.attachments.is_empty() {
        return Err(Unfit { reason: reasons::NOTHING_TO_SAY, message: "no text and no attachment".into() });
    }
    fits("the text", &message.text, CUSTOMER_TEXT)?;
    at_most("attachments", message.attachments.len(), ATTACHMENTS)?;
    if !message.text.is_empty() {
        body["text"] = json!({ "content": message.text });
    }
    if !message.attachments.is_empty() {
        body["attachments"] = message.attachments.iter().map(attachment).collect::<Result<Value, Unfit>>()?;
    }
    Ok(())
}

/// One attachment as WeCom writes it.
pub(crate) fn attachment(attachment: &Attachment) -> Result<Value, Unfit> {
    match attachment {
        Attachment::Link { title, desc, url, picurl } => {
            fits("a link's title", title, 128)?;
            fits("a link's description", desc, 512)?;
            fits("a link's address", url, 2048)?;
            fits("a link's picture address", picurl, 2048)?;
            let mut link = json!({ "title": title, "url": url });
            put_unless_empty(&mut link, "desc", desc);
            put_unless_empty(&mut link, "picurl", picurl);
            Ok(json!({ "msgtype": "link", "link": link }))
        }
        Attachment::Image { pic_url } => Ok(json!({ "msgtype": "image", "image": { "pic_url": pic_url } })),
        Attachment::Miniprogram { title, pic_media_id, appid, page } => {
            fits("a mini program's title", title, 64)?;
            let program = json!({ "title": title, "pic_media_id": pic_media_id, "appid": appid, "page": page });
            Ok(json!({ "msgtype": "miniprogram", "miniprogram": program }))
        }
    }
}

/// Adds a field that has something in it.
pub(crate) fn put_unless_empty(object: &mut Value, field: &str, text: &str) {
    if !text.is_empty() {
        object[field] = text.into();
    }
}

/// Takes control characters out of every text, line feeds and tabs excepted.
///
/// JSON can write them only as `\uXXXX`, which WeCom refuses (40033), and they come from what customers call themselves.
/// Carriage returns become line feeds.
pub(crate) fn clean(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(is_unwanted) => *text = cleaned(text),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// One text as it would be sent.
pub(crate) fn cleaned(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(|c| !is_unwanted(*c)).collect()
}

fn is_unwanted(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mut value: Value) -> String {
        clean(&mut value);
        value.to_string()
    }

    #[test]
    fn text_goes_out_as_raw_utf_8_without_escapes() {
        let body = json!({ "text": { "content": "张三\u{0}\u{1b}[31m您好\u{7f}\u{85}🙂" }, "list": ["a\u{8}\u{c}b"] });
        let text = written(body);
        assert_eq!(text, r#"{"list":["ab"],"text":{"content":"张三[31m您好🙂"}}"#);
        let every: String = (0..0x2100).filter_map(char::from_u32).collect();
        assert!(!written(json!(every)).contains("\\u00"));
    }

    #[test]
    fn lines_and_tabs_stay_lines_and_tabs() {
        assert_eq!(written(json!("a\r\nb\rc\nd\te")), r#""a\nb\nc\nd\te""#);
        assert_eq!(cleaned("a\r\nb"), "a\nb");
    }

    #[test]
    fn what_is_too_long_is_refused_with_bytes_and_limit() {
        let mut body = json!({});
        let long = Message { text: "好".repeat(1334), attachments: vec![] };
        let unfit = put_message(&mut body, &long).unwrap_err();
        assert_eq!(unfit.reason, reasons::TEXT_TOO_LONG);
        assert_eq!(unfit.message, "the text has 4002 bytes, WeCom takes 4000");
        assert_eq!(body, json!({}), "nothing is cut");

        let image = Attachment::Image { pic_url: "https://p".into() };
        let many = Message { text: String::new(), attachments: vec![image; 10] };
        let unfit = put_message(&mut body, &many).unwrap_err();
        assert_eq!((unfit.reason, unfit.message.as_str()), (reasons::TOO_MANY_PARTS, "10 attachments, WeCom takes 9"));

        let unfit = put_message(&mut body, &Message::default()).unwrap_err();
        assert_eq!(unfit.reason, reasons::NOTHING_TO_SAY);
    }

    #[test]
    fn attachments_are_written_as_wecom_names_their_fields() {
        let message = Message {
            text: String::new(),
            attachments: vec![
                Attachment::Link {
                    title: "在线客服".into(),
                    desc: "查订单".into(),
                    url: "https://kf".into(),
                    picurl: "https://pic".into(),
                },
                Attachment::Link {
                    title: "官网".into(),
                    desc: String::new(),
                    url: "https://w".into(),
                    picurl: String::new(),
                },
                Attachment::Image { pic_url: "https://p".into() },
                Attachment::Miniprogram {
                    title: "商城".into(),
                    pic_media_id: "m1".into(),
                    appid: "wx1".into(),
                    page: "pages/index".into(),
                },
            ],
        };
        let mut body = json!({});
        put_message(&mut body, &message).unwrap();
        assert_eq!(
            body,
            json!({ "attachments": [
                { "msgtype": "link",
                  "link": { "title": "在线客服", "desc": "查订单", "url": "https://kf", "picurl": "https://pic" } },
                { "msgtype": "link", "link": { "title": "官网", "url": "https://w" } },
                { "msgtype": "image", "image": { "pic_url": "https://p" } },
                { "msgtype": "miniprogram", "miniprogram":
                  { "title": "商城", "pic_media_id": "m1", "appid": "wx1", "page": "pages/index" } },
            ] })
        );
    }
}
