//! What things are: plain data that every other folder speaks in.
//!
//! No input or output lives here, no clock and no randomness. In reading order:

/// Whom an event is for: the unit of state and of order.
pub mod actor;
/// The company's own record, and those of groups, kf accounts and identities.
pub mod corp;
/// One customer's living record.
pub mod customer;
/// The life of a nudge, a prompt or a welcome.
pub mod delivery;
/// Calls to the outside that a decision asks for.
pub mod effect;
/// Something that happened, and the one envelope it travels in.
pub mod event;
/// Names of people, rules and records, each its own type.
pub mod ids;
/// Money in fen.
pub mod money;
/// One staff member's record: budget, asks, open cards.
pub mod staff;
/// One line of what happened to an actor.
pub mod timeline;

/// An instant of business time, in UTC, whole milliseconds.
///
/// It is shown in the server's zone and never compared with the real clock.
pub type At = chrono::DateTime<chrono::Utc>;
