//! The content that welcomes and mass sends share, and cards.

use std::collections::HashSet;

use serde_json::Value;

use super::fields::{Fields, ILLEGAL, Refusal, refuse};

/// Words and attachments for a customer (WeCom documents 92135, 92137).
pub(super) struct Content {
    pub text: String,
    /// As they came, checked.
    pub attachments: Vec<Value>,
}

const LONGEST_TEXT_BYTES: usize = 4000;
const MOST_ATTACHMENTS: usize = 9;
const LONGEST_URL_BYTES: usize = 2048;

impl Content {
    /// Takes `text` and `attachments` out of a request; `media` holds the media ids that exist.
    pub(super) fn read(body: &mut Fields, media: &HashSet<String>) -> Result<Self, Refusal> {
        let text = match body.object("text")? {
            None => String::new(),
            Some(mut text) => {
                let content = text.short("content", LONGEST_TEXT_BYTES)?.unwrap_or_default();
                text.close()?;
                content
            }
        };
        let raw = body.raw("attachments").and_then(Value::as_array).cloned().unwrap_or_default();
        let attachments = body.objects("attachments")?;
        if attachments.len() > MOST_ATTACHMENTS {
            return refuse(41064, "at most 9 attachments");
        }
        for attachment in attachments {
            check_attachment(attachment, media)?;
        }
        if text.is_empty() && raw.is_empty() {
            return refuse(ILLEGAL, "text and attachments are both empty");
        }
        Ok(Self { text, attachments: raw })
    }
}

fn check_attachment(mut attachment: Fields, media: &HashSet<String>) -> Result<(), Refusal> {
    let kind = attachment.required("msgtype", 41065)?;
    if !["image", "link", "miniprogram", "video", "file"].contains(&kind.as_str()) {
        return refuse(41065, format!("unknown attachment type {kind}"));
    }
    let Some(mut inside) = attachment.object(&kind)? else {
        return refuse(ILLEGAL, format!("an attachment of type {kind} needs a field {kind}"));
    };
    attachment.close()?;
    match kind.as_str() {
        "image" => {
            let (id, url) = (inside.text("media_id")?, inside.short("pic_url", LONGEST_URL_BYTES)?);
            match (id, url) {
                (Some(id), _) => is_media(&id, media)?,
                (None, Some(url)) => is_url(&url)?,
                (None, None) => return refuse(ILLEGAL, "an image needs media_id or pic_url"),
            }
        }
        "link" => {
            inside.required("title", ILLEGAL).and_then(|title| fits("link.title", &title, 128))?;
            let url = inside.required("url", ILLEGAL)?;
            fits("link.url", &url, LONGEST_URL_BYTES)?;
            is_url(&url)?;
            inside.short("picurl", LONGEST_URL_BYTES)?;
            inside.short("desc", 512)?;
        }
        "miniprogram" => {
            inside.required("title", ILLEGAL).and_then(|title| fits("miniprogram.title", &title, 64))?;
            let cover = inside.required("pic_media_id", ILLEGAL)?;
            inside.required("appid", ILLEGAL)?;
            inside.required("page", ILLEGAL)?;
            is_media(&cover, media)?;
        }
        _ => is_media(&inside.required("media_id", ILLEGAL)?, media)?,
    }
    inside.close()
}

fn fits(field: &str, text: &str, most_bytes: usize) -> Result<(), Refusal> {
    if text.len() > most_bytes { refuse(ILLEGAL, format!("{field} has at most {most_bytes} bytes")) } else { Ok(()) }
}

fn is_media(id: &str, media: &HashSet<String>) -> Result<(), Refusal> {
    if media.contains(id) { Ok(()) } else { refuse(40007, "invalid media_id") }
}

fn is_url(url: &str) -> Result<(), Refusal> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if is_web { Ok(()) } else { refuse(ILLEGAL, "a url starts with http:// or https://") }
}

const LONGEST_TASK_ID_BYTES: usize = 128;
const LONGEST_KEY_BYTES: usize = 1024;

/// Checks a `button_interaction` card (WeCom document 90236, 2.1 and 2.2). Gives its `task_id`, which only a new card has.
pub(super) fn check_card(mut card: Fields, is_new: bool) -> Result<String, Refusal> {
    match card.text("card_type")?.as_deref() {
        Some("button_interaction") => {}
        Some(kind @ ("text_notice" | "news_notice" | "vote_interaction" | "multiple_interaction")) => {
            return refuse(42031, format!("this sandbox knows cards of type button_interaction, not {kind}"));
        }
        _ => return refuse(42031, "invalid card_type"),
    }
    let task_id = if is_new {
        let task_id = card.text("task_id")?.unwrap_or_default();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-@".contains(&b);
        if task_id.is_empty() || task_id.len() > LONGEST_TASK_ID_BYTES || !task_id.bytes().all(is_plain) {
            return refuse(42014, "taskid has existed or empty or exceed max len");
        }
        task_id
    } else {
        card.text("replace_text")?;
        String::new()
    };
    if let Some(mut source) = card.object("source")? {
        source.text("icon_url")?;
        source.text("desc")?;
        source.integer("desc_color")?;
        source.close()?;
    }
    let Some(mut title) = card.object("main_title")? else { return refuse(42033, "missing main_title.title") };
    title.required("title", 42033)?;
    title.text("desc")?;
    title.close()?;
    check_action_menu(&mut card)?;
    check_quote(&mut card)?;
    card.text("sub_title_text")?;
    check_lines(&mut card)?;
    check_card_action(&mut card)?;
    check_selection(&mut card)?;
    check_buttons(&mut card)?;
    card.close()?;
    Ok(task_id)
}

fn check_action_menu(card: &mut Fields) -> Result<(), Refusal> {
    let Some(mut menu) = card.object("action_menu")? else { return Ok(()) };
    menu.text("desc")?;
    let actions = menu.objects("action_list")?;
    if !(1..=3).contains(&actions.len()) {
        return refuse(42042, "action_menu.action_list has 1 to 3 entries");
    }
    let mut keys = HashSet::new();
    for mut action in actions {
        action.required("text", ILLEGAL)?;
        let key = action.required("key", ILLEGAL)?;
        action.close()?;
        if key.len() > LONGEST_KEY_BYTES || !keys.insert(key) {
            return refuse(42051, "keys of action_menu are at most 1024 bytes and differ");
        }
    }
    menu.close()
}

fn check_quote(card: &mut Fields) -> Result<(), Refusal> {
    let Some(mut quote) = card.object("quote_area")? else { return Ok(()) };
    check_target(&mut quote, "quote_area", &[0, 1, 2])?;
    quote.text("title")?;
    quote.text("quote_text")?;
    quote.close()
}

fn check_card_action(card: &mut Fields) -> Result<(), Refusal> {
    let Some(mut action) = card.object("card_action")? else { return Ok(()) };
    if action.raw("type").is_none() {
        return refuse(42045, "missing card_action.type");
    }
    check_target(&mut action, "card_action", &[0, 1, 2])?;
    action.close()
}

/// `type` 1 needs a `url`, 2 an `appid`.
fn check_target(fields: &mut Fields, name: &str, kinds: &[i64]) -> Result<(), Refusal> {
    let kind = fields.integer("type")?.unwrap_or(0);
    let (url, app) = (fields.text("url")?, fields.text("appid")?);
    fields.text("pagepath")?;
    match kind {
        1 if url.is_none() => refuse(42028, format!("missing {name}.url")),
        2 if app.is_none() => refuse(42030, format!("missing {name}.appid")),
        kind if kinds.contains(&kind) => Ok(()),
        _ => refuse(ILLEGAL, format!("{name}.type is unknown")),
    }
}

fn check_lines(card: &mut Fields) -> Result<(), Refusal> {
    let lines = card.objects("horizontal_content_list")?;
    if lines.len() > 6 {
        return refuse(42036, "horizontal_content_list has at most 6 entries");
    }
    for mut line in lines {
        line.required("keyname", 42027)?;
        line.text("value")?;
        let (url, media, user) = (line.text("url")?, line.text("media_id")?, line.text("userid")?);
        match line.integer("type")?.unwrap_or(0) {
            0 => {}
            1 if url.is_none() => return refuse(42028, "missing horizontal_content_list.url"),
            2 if media.is_none() => return refuse(42029, "missing horizontal_content_list.media_id"),
            3 if user.is_none() => return refuse(42050, "missing horizontal_content_list.userid"),
            1..=3 => {}
            _ => return refuse(ILLEGAL, "horizontal_content_list.type is unknown"),
        }
        line.close()?;
    }
    Ok(())
}

fn check_selection(card: &mut Fields) -> Result<(), Refusal> {
    let Some(mut selection) = card.object("button_selection")? else { return Ok(()) };
    let key = selection.required("question_key", 42043)?;
    if key.len() > LONGEST_KEY_BYTES {
        return refuse(42043, "question_key has at most 1024 bytes");
    }
    selection.text("title")?;
    selection.text("selected_id")?;
    selection.flag("disable")?;
    let options = selection.objects("option_list")?;
    if !(1..=10).contains(&options.len()) {
        return refuse(42047, "button_selection.option_list has 1 to 10 entries");
    }
    let mut ids = HashSet::new();
    for mut option in options {
        let id = option.required("id", 42038)?;
        option.required("text", 42040)?;
        option.close()?;
        if id.len() > 128 || !ids.insert(id) {
            return refuse(42039, "option ids are at most 128 bytes and differ");
        }
    }
    selection.close()
}

fn check_buttons(card: &mut Fields) -> Result<(), Refusal> {
    let buttons = card.objects("button_list")?;
    if !(1..=6).contains(&buttons.len()) {
        return refuse(42037, "button_list has 1 to 6 entries");
    }
    let mut keys = HashSet::new();
    for mut button in buttons {
        button.required("text", 42020)?;
        let style = button.integer("style")?.unwrap_or(1);
        if !(1..=4).contains(&style) {
            return refuse(ILLEGAL, "button_list.style is 1 to 4");
        }
        let (key, url) = (button.text("key")?, button.text("url")?);
        match (button.integer("type")?.unwrap_or(0), key, url) {
            (0, None, _) => return refuse(42017, "missing button_list.key"),
            (0, Some(key), _) if key.is_empty() => return refuse(42017, "missing button_list.key"),
            (0, Some(key), _) if key.len() > LONGEST_KEY_BYTES => {
                return refuse(42018, "button_list.key has at most 1024 bytes");
            }
            (0, Some(key), _) => {
                if !keys.insert(key) {
                    return refuse(42019, "two buttons have the same key");
                }
            }
            (1, _, Some(_)) => {}
            (1, _, None) => return refuse(42028, "missing button_list.url"),
            _ => return refuse(ILLEGAL, "button_list.type is 0 or 1"),
        }
        button.close()?;
    }
    Ok(())
}
