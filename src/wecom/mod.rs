//! WeCom: what it sends us and what we call. The only place that knows WeCom's URLs and field names.
//!
//! In reading order:

/// Signatures and encryption of callbacks (WeCom document 90968).
pub mod crypto;

/// Callbacks: envelope, decrypted body, events.
pub mod callback;
/// A callback's text as a tree, from XML or JSON.
mod callback_body;
/// Customers, groups, corp tags, acquisition links.
mod callback_contacts;
/// The address book.
mod callback_directory;
/// Staff's messages and taps, the app's own news, 微信客服's wake-up.
mod callback_staff;

/// What each errcode means for the caller: one table.
pub mod errors;

/// Why an effect failed or waits: short fixed texts.
pub mod reasons;

/// WeCom's quotas, each with the document and date it comes from.
pub mod limits;

/// The calls that Touchpoint makes, as a table.
mod api;

/// What goes into a request: nothing that WeCom would refuse or cut.
mod body;

/// One request and what came back.
mod host;

/// After a few calls that could not be made, nothing is attempted for a while.
mod breaker;

/// How many calls of one API are under way at once.
mod lanes;

/// Families and calls that are paused, for all processes.
mod pauses;

/// Access tokens as they lie in Redis.
mod seal;

/// Access tokens: one refresh for all, stored encrypted.
pub mod token;

/// What a call can come to.
mod answer;

/// The one path every call takes.
pub mod client;

/// Effects carried out: which call, and what its answer means.
pub mod effects;

/// Customers: profile and welcome.
mod external_contact;

/// Corp tags.
mod tags;

/// Mass sends, confirmed by their sender.
mod mass;

/// Messages to staff.
mod app_message;

/// The address book.
mod directory;

/// Reading calls that show whether everything is set up: for `doctor`.
pub mod checkup;
/// How far a request comes: name, connection, encryption, answer.
pub mod reach;

#[cfg(test)]
mod script;
#[cfg(test)]
mod stand_in;
