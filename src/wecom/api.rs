//! The calls that Touchpoint makes: path, family, how many at once, how long to wait.

use std::time::Duration;

use crate::settings::Family;

/// One API of WeCom's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// One customer's details (WeCom document 92114).
    GetCustomer,
    /// The message of an adding (WeCom document 92137).
    SendWelcome,
    /// All corp tags (WeCom document 92117).
    ListTags,
    /// Makes corp tags (WeCom document 92117).
    AddTags,
    /// Puts tags on a pair and takes them off (WeCom document 92118).
    MarkTag,
    /// Makes a mass-send task (WeCom document 92135).
    AddMassSend,
    /// Reminds the sender of one (WeCom document 97610).
    RemindMassSend,
    /// Tasks of a span of time (WeCom document 93338).
    ListMassSends,
    /// Who has to confirm a task (WeCom document 93338).
    GetMassSendTask,
    /// What became of a task at one sender (WeCom document 93338).
    GetMassSendResult,
    /// A message to staff (WeCom document 90236).
    SendMessage,
    /// Changes a card that was sent (WeCom document 94888).
    UpdateCard,
    /// One member of staff (WeCom document 90196).
    GetUser,
}

/// How a call carries its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// In the query.
    Get,
    /// As a JSON body.
    Post,
}

impl Api {
    /// Every one of them.
    pub(crate) const ALL: [Self; 13] = [
        Self::GetCustomer,
        Self::SendWelcome,
        Self::ListTags,
        Self::AddTags,
        Self::MarkTag,
        Self::AddMassSend,
        Self::RemindMassSend,
        Self::ListMassSends,
        Self::GetMassSendTask,
        Self::GetMassSendResult,
        Self::SendMessage,
        Self::UpdateCard,
        Self::GetUser,
    ];

    /// Its name in budgets, pauses and metrics; below `/cgi-bin/` also its path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetCustomer => "externalcontact/get",
            Self::SendWelcome => "externalcontact/send_welcome_msg",
            Self::ListTags => "externalcontact/get_corp_tag_list",
            Self::AddTags => "externalcontact/add_corp_tag",
            Self::MarkTag => "externalcontact/mark_tag",
            Self::AddMassSend => "externalcontact/add_msg_template",
            Self::RemindMassSend => "externalcontact/remind_groupmsg_send",
            Self::ListMassSends => "externalcontact/get_groupmsg_list_v2",
            Self::GetMassSendTask => "externalcontact/get_groupmsg_task",
            Self::GetMassSendResult => "externalcontact/get_groupmsg_send_result",
            Self::SendMessage => "message/send",
            Self::UpdateCard => "message/update_template_card",
            Self::GetUser => "user/get",
        }
    }

    /// How it carries its fields.
    pub(crate) fn method(self) -> Method {
        match self {
            Self::GetCustomer | Self::GetUser => Method::Get,
            Self::SendWelcome
            | Self::ListTags
            | Self::AddTags
            | Self::MarkTag
            | Self::AddMassSend
            | Self::RemindMassSend
            | Self::ListMassSends
            | Self::GetMassSendTask
            | Self::GetMassSendResult
            | Self::SendMessage
            | Self::UpdateCard => Method::Post,
        }
    }

    /// Whose app's token it takes, the first that some app serves.
    pub(crate) fn families(self) -> &'static [Family] {
        match self {
            Self::GetCustomer
            | Self::SendWelcome
            | Self::ListTags
            | Self::AddTags
            | Self::MarkTag
            | Self::AddMassSend
            | Self::RemindMassSend
            | Self::ListMassSends
            | Self::GetMassSendTask
            | Self::GetMassSendResult => &[Family::Contacts],
            Self::SendMessage | Self::UpdateCard => &[Family::Messages],
            Self::GetUser => &[Family::Directory, Family::Messages],
        }
    }

    /// What is paused together when a permission is missing.
    pub(crate) fn scope(self) -> &'static str {
        match self.families().first() {
            Some(Family::Contacts) => "contacts",
            Some(Family::Messages) => "messages",
            Some(Family::Directory) => "directory",
            Some(Family::Kf) | None => "kf",
        }
    }

    /// The most calls at once from one process; WeCom does not publish its own number (45033).
    pub(crate) fn width(self) -> usize {
        match self {
            Self::ListTags | Self::AddTags | Self::ListMassSends => 1,
            Self::RemindMassSend | Self::GetMassSendTask | Self::GetMassSendResult | Self::AddMassSend => 4,
            Self::GetCustomer
            | Self::SendWelcome
            | Self::MarkTag
            | Self::SendMessage
            | Self::UpdateCard
            | Self::GetUser => 8,
        }
    }

    /// How long to wait for the whole answer. What a welcome depends on must leave time for a second try within 20 s.
    pub(crate) fn patience(self) -> Duration {
        match self {
            Self::GetUser => Duration::from_secs(3),
            Self::GetCustomer | Self::SendWelcome => Duration::from_secs(5),
            Self::ListTags
            | Self::AddTags
            | Self::MarkTag
            | Self::AddMassSend
            | Self::RemindMassSend
            | Self::ListMassSends
            | Self::GetMassSendTask
            | Self::GetMassSendResult
            | Self::SendMessage
            | Self::UpdateCard => Duration::from_secs(10),
        }
    }
}
