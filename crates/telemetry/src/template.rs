//! Text with `%(field)s` in it.

use serde_json::Value;

use crate::format::shown;

/// A parsed format text. Unknown fields are left out, `%%` is a percent sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// `%(name)-8s`: the field, its flags and widths, and the letter of its conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    left: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl Template {
    /// Reads a text. What only looks like a field is text.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some((field, after)) = Field::parse(rest) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Field(field));
                rest = after;
            } else {
                plain.push('%');
                rest = rest.strip_prefix("%%").unwrap_or(&rest[1..]);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self { parts }
    }

    /// The names of the fields, in order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field.name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The line, with fields looked up by `get`.
    pub(crate) fn render(&self, get: impl Fn(&str) -> Option<Value>) -> String {
        let mut line = String::with_capacity(160);
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field) => {
                    if let Some(value) = get(&field.name) {
                        field.write(&value, &mut line);
                    }
                }
            }
        }
        line
    }
}

impl Field {
    fn parse(text: &str) -> Option<(Self, &str)> {
        let (name, rest) = text.strip_prefix("%(")?.split_once(')')?;
        let after_flags = rest.trim_start_matches(['-', '0', '+', ' ', '#']);
        let flags = &rest[..rest.len() - after_flags.len()];
        let (width, rest) = digits(after_flags);
        let (precision, rest) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (precision, rest) = digits(rest);
                (Some(precision.unwrap_or(0)), rest)
            }
            None => (None, rest),
        };
        let conversion = rest
            .chars()
            .next()
            .filter(|letter| "sdiufFeEgGrxX".contains(*letter))?;
        let field = Self {
            name: name.to_owned(),
            left: flags.contains('-'),
            zeros: flags.contains('0'),
            width: width.unwrap_or(0).min(1000),
            precision,
            conversion,
        };
        Some((field, &rest[1..]))
    }

    fn write(&self, value: &Value, line: &mut String) {
        let text = self.converted(value);
        let missing = self.width.saturating_sub(text.chars().count());
        let pad = |line: &mut String, with: char| line.extend(std::iter::repeat_n(with, missing));
        if self.left {
            line.push_str(&text);
            pad(line, ' ');
        } else {
            let zeros = self.zeros && value.is_number() && self.conversion != 's';
            pad(line, if zeros { '0' } else { ' ' });
            line.push_str(&text);
        }
    }

    fn converted(&self, value: &Value) -> String {
        match (self.conversion, value.as_f64()) {
            ('d' | 'i' | 'u', Some(number)) => format!("{number:.0}", number = number.trunc()),
            ('f' | 'F', Some(number)) => {
                format!(
                    "{number:.precision$}",
                    precision = self.precision.unwrap_or(6).min(30)
                )
            }
            ('x', Some(_)) if value.is_u64() => format!("{:x}", value.as_u64().unwrap_or(0)),
            _ => {
                let text = shown(value);
                match self.precision {
                    Some(precision) if value.is_string() => text.chars().take(precision).collect(),
                    Some(_) | None => text,
                }
            }
        }
    }
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_filled_in_as_percent_formats_do() {
        let get = |name: &str| match name {
            "message" => Some(json!("text")),
            "process" => Some(json!(42)),
            "msecs" => Some(json!(7.25)),
            _ => None,
        };
        for (template, line) in [
            ("%(message)s!", "text!"),
            ("[%(message)-6s]", "[text  ]"),
            ("[%(message)6s]", "[  text]"),
            ("[%(message).2s]", "[te]"),
            ("%(msecs)03d", "007"),
            ("%(msecs).1f", "7.2"),
            ("%(process)d%%", "42%"),
            ("%(unknown)s|", "|"),
            ("100% %(message", "100% %(message"),
            ("%(message)é", "%(message)é"),
        ] {
            assert_eq!(Template::parse(template).render(get), line, "{template}");
        }
    }
}
