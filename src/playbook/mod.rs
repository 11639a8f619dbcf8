//! The playbook: YAML in, [`model::Playbook`] out. The only place that knows YAML.
//!
//! `load` reads and interpolates files; `check` compiles what they say into `model` and collects every fault as a
//! `diagnostic`; nothing downstream sees the raw form.

/// Conditions: parsed with CEL's syntax, checked at load, evaluated with the playbook's null rules.
pub mod expression;
/// The compiled rules: what everything downstream reads.
pub mod model;
/// Texts with variables, checked at load.
pub mod template;
