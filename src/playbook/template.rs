//! Texts with variables: Minijinja, sandboxed, checked when the playbook is loaded.

use serde::Serialize;

/// What a text may speak of. An unknown name is empty.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Words {
    /// `customer.<field>`: the fields of playbook.md section 3 as texts and numbers, `attrs` included.
    pub customer: serde_json::Value,
    /// `staff.userid`, `staff.name`.
    pub staff: serde_json::Value,
    /// `event.<field>`.
    pub event: serde_json::Value,
    /// `journey.id`, `journey.name`.
    pub journey: serde_json::Value,
    /// `corp.name`.
    pub corp: serde_json::Value,
}

/// A text that could not be rendered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("template {source_text:?} could not be rendered: {cause}")]
pub struct RenderError {
    /// As written in the playbook.
    pub source_text: String,
    /// What Minijinja said.
    pub cause: String,
}

/// A text with variables, parsed and checked.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
}

impl Template {
    /// Puts the words in.
    ///
    /// # Errors
    /// When the text runs out of fuel or uses a filter on what it does not fit; the delivery fails with that reason.
    pub fn render(&self, _words: &Words) -> Result<String, RenderError> {
        todo!()
    }

    /// As written in the playbook.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
