//! A WeCom of our own: the API endpoints that Touchpoint calls, staff and customers who act, encrypted callbacks.
//!
//! The sandbox is strict: an unknown or missing field is the documented error, and every limit that WeCom documents for
//! these endpoints holds. It runs on business time, access tokens apart. Its state lives in memory. It knows nothing of
//! the server under test but the callback addresses.
//!
//! # As a library
//!
//! [`Sandbox::start`] listens; [`Sandbox::world`] is the handle for everything else:
//!
//! | wish | method of [`World`] |
//! |---|---|
//! | people exist | [`World::hire`], again for new habits |
//! | people act now | [`World::perform`] with an [`Act`], or `customer_adds`, `customer_deletes`, `staff_deletes`, `confirm`, `tap` |
//! | people act later | [`World::plan`], [`World::next_act`], [`World::run_due`], [`World::advance_to`] |
//! | what WeCom was asked | [`World::log`], [`World::log_after`] (append-only, in the order of acceptance) |
//! | what people received | [`World::receipts`], [`World::receipts_after`] |
//! | what was called back | [`World::callbacks`] with every attempt |
//! | wait for something | [`World::wait_until`] |
//! | trouble | [`World::faults`] ([`Faults`]), [`World::hold_next`] ([`Held`]) |
//! | callback settings | [`World::set_callback_url`], [`World::set_contacts`], [`World::verify_callback`] |
//!
//! # Over HTTP
//!
//! `/cgi-bin/…` is WeCom. `GET /` is the live page. Everything under `/control/` takes and gives JSON; a `POST` needs
//! `content-type: application/json`, spans of time are written `300ms`, `10s`, `5m`, `2h`, `7d`, and a mistake is
//! answered with `{"error", "send"}` where `send` shows what is wanted.
//!
//! | route | body | does |
//! |---|---|---|
//! | `POST /control/staff` | `{userid, name, confirms?, taps?, customer_contact?, console_welcome?}` | hires, or gives new habits; `confirms` is `"never"`, `{"after":"10m"}` or `{"after_reminder":"1h"}`; `taps` is `[{"title","button","after"}]` |
//! | `POST /control/staff/{userid}/tap` | `{task_id, key}` | taps a card's button |
//! | `POST /control/staff/{userid}/confirm` | `{msgid}` | confirms a mass send |
//! | `POST /control/staff/{userid}/delete` | `{customer}` | the staff member deletes the customer |
//! | `POST /control/staff/{userid}/edit` | `{customer, remark?, add_tags?, remove_tags?}` | edits remark and tags (`group/name`) in the client |
//! | `POST /control/staff/{userid}/write` | `{text, app?}` | writes to the app |
//! | `POST /control/customers/{id}/add` | `{userid, name?, state?, add_way?, half_first?, unionid?}` | adds the staff member; also the way back |
//! | `POST /control/customers/{id}/delete` | `{userid}` | the customer deletes the staff member |
//! | `POST /control/customers/{id}/chat` | `{userid}` | the pair has chatted |
//! | `POST /control/customers/{id}/transfer` | `{from, to}` | moves to another staff member (`DELETE_BY_TRANSFER`) |
//! | `POST /control/plan` | `{at or after, act: {"act": "customer_adds", …}}` | the same acts, later |
//! | `POST /control/run` | `{}` | does the acts that are due |
//! | `POST /control/clock` | `{advance}` or `{set}` | moves business time, act by act, the server's too |
//! | `POST /control/apps/{name}` | `{callback_url?, contacts?}` | callback address; whether it gets customer events |
//! | `POST /control/apps/{name}/verify` | `{}` | the admin console's check on save |
//! | `POST /control/media` | `{media_id}` | makes a `media_id` known |
//! | `POST /control/mass_limit` | `{limit: "month", "week" or "day"}` | how many mass sends a customer may get |
//! | `POST /control/faults` | `{kind, api?, times?, rate?, errcode?, status?, wait?}` | `kind`: `errcode`, `status`, `latency`, `lose_answer`, `half_answer`, `cut` |
//! | `DELETE /control/faults` | | ends all faults and callback switches |
//! | `POST /control/callbacks` | `{copies?, reorder?, drop_rate?, retry_after?}` | duplicates, disorder, losses |
//! | `POST /control/callbacks/flush` | `{}` | sends what `reorder` keeps back |
//! | `POST /control/tokens` | `{do: "revoke" or "expire", app?}` | ends access tokens early (40014, 42001) |
//! | `POST /control/welcome` | `{consumed: 41050 or 41051}` | the answer to a welcome code used again |
//! | `POST /control/hold` | `{api}` | holds the answer of the next call: `{"hold": 1}` |
//! | `GET /control/hold/{n}` | | `{"accepted": bool}`; waits up to 10 s |
//! | `POST /control/hold/{n}/release` | `{}` | lets the answer go |
//! | `POST /control/refuse` | `{for}` | refuses connections for that long |
//! | `GET /control/state` | | staff, customers, what awaits them |
//! | `GET /control/log?after=N` | | calls after number N; likewise `/control/receipts`, `/control/callbacks` |
//!
//! In reading order:

mod options;

/// The HTTP listener.
mod server;

/// The handle by which tests, the demo and the control routes reach the world.
mod world;

/// Staff and customers, their habits, and what they can do.
mod people;

/// What happens when a person acts.
mod acts;

/// What is true in this WeCom.
mod state;

/// The independent book of what was asked, received and called back.
mod ledger;

/// From a request to an answer: token, limits, faults, log.
mod api;

/// Reads a request strictly.
mod fields;

mod api_agent;
mod api_contacts;
mod api_mass;
mod api_messages;
mod api_tags;
mod api_token;
mod api_welcome;

/// The content that welcomes and mass sends share, and cards.
mod content;

/// Callbacks: XML, encryption, retries.
mod callbacks;

/// Trouble on purpose.
mod faults;

/// The world as the page and `/control/state` show it.
mod view;

/// The `/control/` routes.
mod control;

/// The live page.
mod page;

/// Spans of time as people write them.
mod spans;

pub use faults::{CallbackFaults, Fault, FaultKind, Faults, Held};
pub use ledger::{Attempt, CallbackRecord, Fate, LogEntry, Receipt, What};
pub use options::{Options, SandboxApp, ServerClock};
pub use people::{Act, Adding, Confirm, Misuse, Staff, TapHabit};
pub use server::Sandbox;
pub use state::MassLimit;
pub use view::{CardView, CustomerView, MassView, RelationView, StaffView, StateView};
pub use world::{Stuck, World};
