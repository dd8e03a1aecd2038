//! The form of a line, as settings give it.

use patroni_core::value;
use serde_json::Value;

use crate::template::Template;

/// The form of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with `%(field)s` in it.
    Plain(Template),
    /// A JSON object with these keys.
    Json(Vec<JsonField>),
}

/// One key of a JSON line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonField {
    /// The field of the record.
    pub field: String,
    /// Its key.
    pub key: String,
}

const DEFAULT: &str = "%(asctime)s %(levelname)s: %(message)s";

impl Default for Format {
    fn default() -> Self {
        Self::Plain(Template::parse(DEFAULT))
    }
}

impl Format {
    /// Reads the settings `type` and `format`. Faulty parts are replaced by defaults or left
    /// out; the texts are warnings for the log.
    pub fn read(kind: Option<&str>, format: Option<&Value>) -> (Self, Vec<String>) {
        if kind == Some("json") {
            return read_json(format);
        }
        match format {
            None | Some(Value::Null) => (Self::default(), Vec::new()),
            Some(Value::String(text)) => (Self::Plain(Template::parse(text)), Vec::new()),
            Some(other) => (
                Self::default(),
                vec![format!(
                    "Expected log format to be a string when log type is plain, but got \"{}\"",
                    type_name(other)
                )],
            ),
        }
    }
}

fn read_json(format: Option<&Value>) -> (Format, Vec<String>) {
    let of_template = |text: &str| {
        let fields = Template::parse(text);
        Format::Json(fields.fields().map(JsonField::plain).collect())
    };
    match format {
        None | Some(Value::Null) => (of_template(DEFAULT), Vec::new()),
        Some(Value::String(text)) => (of_template(text), Vec::new()),
        Some(Value::Array(items)) if items.is_empty() => (of_template(DEFAULT), Vec::new()),
        Some(Value::Array(items)) => {
            let (mut fields, mut warnings) = (Vec::new(), Vec::new());
            for item in items {
                match JsonField::read(item) {
                    Ok(more) => fields.extend(more),
                    Err(warning) => warnings.push(warning),
                }
            }
            (Format::Json(fields), warnings)
        }
        Some(other) => (
            of_template(DEFAULT),
            vec![format!(
                "Expected log format to be a string or a list, but got \"{}\"",
                type_name(other)
            )],
        ),
    }
}

impl JsonField {
    fn plain(name: &str) -> Self {
        Self {
            field: name.to_owned(),
            key: name.to_owned(),
        }
    }

    fn read(item: &Value) -> Result<Vec<Self>, String> {
        if let Some(name) = item.as_str() {
            return Ok(vec![Self::plain(name)]);
        }
        let Some(renames) = item.as_object() else {
            return Err(format!(
                "Expected each item of log format to be a string or dictionary, but got \"{}\"",
                type_name(item)
            ));
        };
        let fields = renames.iter().map(|(field, key)| match key.as_str() {
            Some(name) => Ok(Self {
                field: field.clone(),
                key: name.to_owned(),
            }),
            None => Err(format!(
                "Expected renamed log field to be a string, but got \"{}\"",
                type_name(key)
            )),
        });
        fields.collect()
    }
}

/// The name of a type in warnings that operators know.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A value in a plain line.
pub(crate) fn shown(value: &Value) -> String {
    value::text(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys(format: &Format) -> Vec<&str> {
        match format {
            Format::Plain(_) => panic!("expected JSON"),
            Format::Json(fields) => fields.iter().map(|field| field.key.as_str()).collect(),
        }
    }

    #[test]
    fn faulty_formats_warn_and_fall_back() {
        let (format, warnings) = Format::read(Some("plain"), Some(&json!(["message"])));
        assert_eq!(format, Format::default());
        assert_eq!(
            warnings,
            ["Expected log format to be a string when log type is plain, but got \"list\""]
        );
        let (format, warnings) = Format::read(
            Some("json"),
            Some(&json!(["message", {"levelname": "level"}, 5, {"name": 7}])),
        );
        assert_eq!(keys(&format), ["message", "level"]);
        assert_eq!(warnings.len(), 2);
        let (format, _) = Format::read(Some("json"), Some(&json!([])));
        assert_eq!(keys(&format), ["asctime", "levelname", "message"]);
        assert_eq!(Format::read(Some("odd"), None).0, Format::default());
    }
}
