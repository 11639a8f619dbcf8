//! Messages with their words put in, checked against what WeCom carries.

use crate::domain::effect::{Attachment, Message};
use crate::domain::ids::MessageId;
use crate::playbook::model::{AttachmentTemplate, Playbook};
use crate::playbook::template::{RenderError, Template, Words};

/// WeCom document 92137, in bytes.
const TEXT_BYTES: usize = 4000;
const LINK_TITLE_BYTES: usize = 128;
const LINK_DESC_BYTES: usize = 512;
const ADDRESS_BYTES: usize = 2048;
const MINIPROGRAM_TITLE_BYTES: usize = 64;

/// Why a text cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The playbook does not have the message any more.
    Gone(MessageId),
    /// Its words could not be put in.
    Template(String),
    /// WeCom would refuse it, or cut it.
    TooLong {
        /// Which part.
        part: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
}

impl Problem {
    /// The problem as a delivery's facts.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let facts = match self {
            Self::Gone(message) => vec![("message", format!("{message} is not in the playbook any more"))],
            Self::Template(cause) => vec![("template", cause.clone())],
            Self::TooLong { part, bytes, most } => {
                vec![("part", (*part).to_owned()), ("bytes", bytes.to_string()), ("limit", most.to_string())]
            }
        };
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl From<RenderError> for Problem {
    fn from(error: RenderError) -> Self {
        Self::Template(error.to_string())
    }
}

/// Puts the words into a message.
pub(super) fn render(playbook: &Playbook, message: &MessageId, words: &Words) -> Result<Message, Problem> {
    let template = playbook.messages.get(message).ok_or_else(|| Problem::Gone(message.clone()))?;
    let text = optional(template.text.as_ref(), words)?;
    let attachments = template.attachments.iter().map(|attachment| attach(attachment, words));
    Ok(Message { text, attachments: attachments.collect::<Result<_, _>>()? })
}

fn optional(template: Option<&Template>, words: &Words) -> Result<String, RenderError> {
    template.map_or_else(|| Ok(String::new()), |template| template.render(words))
}

fn attach(template: &AttachmentTemplate, words: &Words) -> Result<Attachment, RenderError> {
    Ok(match template {
        AttachmentTemplate::Link { title, desc, url, picurl } => Attachment::Link {
            title: title.render(words)?,
            desc: optional(desc.as_ref(), words)?,
            url: url.render(words)?,
            picurl: optional(picurl.as_ref(), words)?,
        },
        AttachmentTemplate::Image { pic_url } => Attachment::Image { pic_url: pic_url.render(words)? },
        AttachmentTemplate::Miniprogram { title, pic_media_id, appid, page } => Attachment::Miniprogram {
            title: title.render(words)?,
            pic_media_id: pic_media_id.clone(),
            appid: appid.clone(),
            page: page.render(words)?,
        },
    })
}

/// Text is never cut silently: what is too long for WeCom is a problem that names bytes and limit.
pub(super) fn fits_wecom(message: Message) -> Result<Message, Problem> {
    let mut parts = vec![("text", &message.text, TEXT_BYTES)];
    for attachment in &message.attachments {
        match attachment {
            Attachment::Link { title, desc, url, picurl } => parts.extend([
                ("link title", title, LINK_TITLE_BYTES),
                ("link desc", desc, LINK_DESC_BYTES),
                ("link url", url, ADDRESS_BYTES),
                ("link picurl", picurl, ADDRESS_BYTES),
            ]),
            Attachment::Image { pic_url } => parts.push(("image pic_url", pic_url, ADDRESS_BYTES)),
            Attachment::Miniprogram { title, page, .. } => parts.extend([
                ("miniprogram title", title, MINIPROGRAM_TITLE_BYTES),
                ("miniprogram page", page, ADDRESS_BYTES),
            ]),
        }
    }
    let too_long = parts.into_iter().find(|(_, text, most)| text.len() > *most);
    match too_long {
        Some((part, text, most)) => Err(Problem::TooLong { part, bytes: text.len(), most }),
        None => Ok(message),
    }
}
