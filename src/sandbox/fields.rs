//! Reads a request strictly: each field is taken by name and type, and what is left over in the end is an error.

use serde_json::{Map, Value};

/// WeCom's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub errcode: i64,
    pub hint: String,
}

/// A refusal as the end of a function.
pub(super) fn refuse<T>(errcode: i64, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { errcode, hint: hint.into() })
}

/// Wrong type, unknown field, empty required field, too long, too many: the illegal parameter of WeCom document 90313.
pub(super) const ILLEGAL: i64 = 40058;

/// The fields of one JSON object.
#[derive(Debug)]
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    pub(super) fn new(map: Map<String, Value>) -> Self {
        Self { path: String::new(), map }
    }

    fn name(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// A value that is there; `null` counts as absent.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field).filter(|value| !value.is_null())
    }

    fn wrong<T>(&self, field: &str, wanted: &str) -> Result<T, Refusal> {
        refuse(ILLEGAL, format!("{} must be {wanted}", self.name(field)))
    }

    pub(super) fn text(&mut self, field: &str) -> Result<Option<String>, Refusal> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => self.wrong(field, "a string"),
        }
    }

    /// A string that must be there and not be empty; `errcode` is what its absence means.
    pub(super) fn required(&mut self, field: &str, errcode: i64) -> Result<String, Refusal> {
        match self.text(field)?.filter(|text| !text.is_empty()) {
            Some(text) => Ok(text),
            None => refuse(errcode, format!("missing {}", self.name(field))),
        }
    }

    /// A string of at most so many bytes.
    pub(super) fn short(&mut self, field: &str, most_bytes: usize) -> Result<Option<String>, Refusal> {
        let text = self.text(field)?;
        match text {
            Some(text) if text.len() > most_bytes => self.wrong(field, &format!("at most {most_bytes} bytes")),
            text => Ok(text),
        }
    }

    pub(super) fn integer(&mut self, field: &str) -> Result<Option<i64>, Refusal> {
        match self.take(field) {
            None => Ok(None),
            Some(value) => value.as_i64().map_or_else(|| self.wrong(field, "an integer"), |number| Ok(Some(number))),
        }
    }

    /// 0 or 1.
    pub(super) fn switch(&mut self, field: &str) -> Result<bool, Refusal> {
        match self.integer(field)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => self.wrong(field, "0 or 1"),
        }
    }

    pub(super) fn flag(&mut self, field: &str) -> Result<Option<bool>, Refusal> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => self.wrong(field, "true or false"),
        }
    }

    /// A list of strings; absent and empty are the same.
    pub(super) fn texts(&mut self, field: &str, most: usize) -> Result<Vec<String>, Refusal> {
        let items = match self.take(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return self.wrong(field, "an array of strings"),
        };
        if items.len() > most {
            return self.wrong(field, &format!("at most {most} long"));
        }
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts.map_or_else(|| self.wrong(field, "an array of strings"), Ok)
    }

    pub(super) fn object(&mut self, field: &str) -> Result<Option<Self>, Refusal> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { path: self.name(field), map })),
            Some(_) => self.wrong(field, "an object"),
        }
    }

    /// A list of objects; absent and empty are the same.
    pub(super) fn objects(&mut self, field: &str) -> Result<Vec<Self>, Refusal> {
        let items = match self.take(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return self.wrong(field, "an array of objects"),
        };
        let objects: Option<Vec<Self>> = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::Object(map) => Some(Self { path: format!("{}[{index}]", self.name(field)), map }),
                _ => None,
            })
            .collect();
        objects.map_or_else(|| self.wrong(field, "an array of objects"), Ok)
    }

    /// The raw value, for what is kept as it came.
    pub(super) fn raw(&self, field: &str) -> Option<&Value> {
        self.map.get(field)
    }

    /// Every field was known.
    pub(super) fn close(&self) -> Result<(), Refusal> {
        match self.map.keys().next() {
            Some(unknown) => refuse(ILLEGAL, format!("unknown field {}", self.name(unknown))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new(value.as_object().cloned().unwrap())
    }

    #[test]
    fn a_field_that_nobody_asked_for_is_an_error_that_names_it() {
        let mut all = fields(json!({"text": {"content": "hi", "colour": "red"}}));
        let mut text = all.object("text").unwrap().unwrap();
        assert_eq!(text.text("content").unwrap().as_deref(), Some("hi"));
        assert_eq!(text.close().unwrap_err().hint, "unknown field text.colour");
        assert!(all.close().is_ok());
    }

    #[test]
    fn a_field_of_another_type_is_an_error() {
        assert_eq!(fields(json!({"agentid": "1"})).integer("agentid").unwrap_err().errcode, ILLEGAL);
        assert_eq!(fields(json!({"tags": ["a", 1]})).texts("tags", 9).unwrap_err().errcode, ILLEGAL);
        assert_eq!(fields(json!({"tags": ["a", "b"]})).texts("tags", 1).unwrap_err().errcode, ILLEGAL);
        assert_eq!(fields(json!({"on": 2})).switch("on").unwrap_err().errcode, ILLEGAL);
    }
}
