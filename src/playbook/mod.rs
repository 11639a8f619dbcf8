//! The playbook: YAML in, [`model::Playbook`] out. The only place that knows YAML.
//!
//! Read in this order: `tree` parses a file, `interpolate` puts variables in, `reader` turns nodes into values, `compile`
//! resolves names and builds the `model`, `load` does all of it for a folder. Every fault goes into one `diagnostic`
//! report; nothing downstream sees the raw form.

/// The compiled rules: what everything downstream reads.
pub mod model;

/// Loading a folder or a text; what server, `check` and reload call.
pub mod load;

/// All faults of a configuration folder at once.
pub mod check;

/// Faults: what is wrong, where exactly, and what was probably meant.
pub mod diagnostic;

/// YAML as a tree that knows where everything stands.
pub(crate) mod tree;

/// `${NAME}`, `${NAME:-default}`, `${file:PATH}` and `.env`.
pub(crate) mod interpolate;

/// Nodes into values, faults noted.
pub(crate) mod reader;

/// Durations, times of day, schedules, budgets.
pub(crate) mod times;

/// `touchpoint.yaml` into settings.
pub(crate) mod settings_file;

/// The `wecom:` section of it.
mod wecom_section;

/// Which values of `touchpoint.yaml` no excerpt shows.
mod secrets;

/// Settings and canvases of later versions.
mod later_settings;

/// Sections merged, names resolved.
mod compile;

/// Tags, touchpoints, segments, messages, the welcome.
mod rules;

/// Journeys.
mod journeys;

/// A journey's steps, flattened.
mod steps;

/// Guardrails and how staff are asked.
mod guardrails;

/// Conditions: evaluated with the playbook's null rules.
pub mod expression;

/// Conditions: parsed with CEL's syntax, names and types checked.
mod typing;

/// What functions, methods and operators want and give.
mod signatures;

/// Texts with variables, checked at load.
pub mod template;
