//! From values to text: block style for people, flow style for one-line cells.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds of a JSON value that are not named are all alike here"
)]

use serde_json::{Map, Value};

use super::float;
use super::fold::{Page, Spot, is_multiline};

/// Longest text, its tag counted, that may stand before a colon on the same line.
const MAX_SIMPLE_KEY: usize = 123;

/// How block style is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Column after which long texts are folded at a blank.
    pub width: usize,
    /// Whether keys are sorted.
    pub sort: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 80,
            sort: true,
        }
    }
}

impl Options {
    /// Sorted, with the wide lines of `show-config` and `edit-config`.
    pub const WIDE: Self = Self {
        width: 200,
        sort: true,
    };
}

/// Block style, with a line break at the end.
///
/// ```
/// use patroni_config::yaml;
/// let value = serde_json::json!({"watchdog": {"mode": "off"}, "pg_hba": ["local all all peer"]});
/// assert_eq!(
///     yaml::to_block(&value, yaml::Options::default()),
///     "pg_hba:\n- local all all peer\nwatchdog:\n  mode: 'off'\n"
/// );
/// ```
pub fn to_block(value: &Value, options: Options) -> String {
    let mut writer = Writer::new(options);
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(map, 0, true),
        Value::Array(items) if !items.is_empty() => writer.sequence(items, 0, true),
        scalar => {
            writer.scalar(scalar, false, 2);
            let plain = !matches!(scalar, Value::Array(_) | Value::Object(_))
                && !writer.page.text.ends_with(['\'', '"']);
            if plain {
                writer.page.text.push_str("\n...");
            }
        }
    }
    writer.page.text + "\n"
}

/// Flow style (`{a: 1, b: [x, y]}`) with sorted keys, without a line break at the end; it is
/// folded only after column 80.
pub fn to_flow(value: &Value) -> String {
    let mut writer = Writer::new(Options::default());
    writer.flow(value, 2);
    writer.page.text
}

struct Writer {
    page: Page,
    sort: bool,
}

impl Writer {
    fn new(options: Options) -> Self {
        let page = Page {
            width: options.width,
            ..Page::default()
        };
        Self {
            page,
            sort: options.sort,
        }
    }

    fn entries<'v>(&self, map: &'v Map<String, Value>) -> Vec<(&'v String, &'v Value)> {
        let mut entries: Vec<_> = map.iter().collect();
        if self.sort {
            entries.sort_by_key(|(key, _)| *key);
        }
        entries
    }

    /// The entries of a mapping, each on its own line at `indent`; the first one where the page
    /// already stands if `here`.
    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, here: bool) {
        let mut here = here;
        for (key, value) in self.entries(map) {
            if !std::mem::take(&mut here) {
                self.page.line(indent);
            }
            let simple = is_simple_key(key);
            if !simple {
                self.page.push("? ");
            }
            self.key(key, false, simple, indent + 2);
            if !simple {
                self.page.line(indent);
            }
            self.page.push(":");
            match value {
                Value::Object(map) if !map.is_empty() && simple => {
                    self.mapping(map, indent + 2, false);
                }
                Value::Object(map) if !map.is_empty() => {
                    self.page.push(" ");
                    self.mapping(map, indent + 2, true);
                }
                Value::Array(items) if !items.is_empty() && simple => {
                    self.sequence(items, indent, false);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.page.push(" ");
                    self.sequence(items, indent + 2, true);
                }
                scalar => {
                    self.page.push(" ");
                    self.scalar(scalar, false, indent + 2);
                }
            }
        }
    }

    fn sequence(&mut self, items: &[Value], indent: usize, here: bool) {
        let mut here = here;
        for item in items {
            if !std::mem::take(&mut here) {
                self.page.line(indent);
            }
            self.page.push("- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.mapping(map, indent + 2, true),
                Value::Array(items) if !items.is_empty() => self.sequence(items, indent + 2, true),
                scalar => self.scalar(scalar, false, indent + 2),
            }
        }
    }

    fn flow(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.page.push("{");
                for (number, (key, value)) in self.entries(map).into_iter().enumerate() {
                    self.next_in_flow(number, indent);
                    let simple = is_simple_key(key);
                    self.page.push(if simple { "" } else { "? " });
                    self.key(key, true, simple, indent + 2);
                    if !simple && self.page.is_full() {
                        self.page.line(indent);
                    } else if !simple {
                        self.page.push(" ");
                    }
                    self.page.push(": ");
                    self.flow(value, indent + 2);
                }
                self.page.push("}");
            }
            Value::Array(items) if !items.is_empty() => {
                self.page.push("[");
                for (number, item) in items.iter().enumerate() {
                    self.next_in_flow(number, indent);
                    self.flow(item, indent + 2);
                }
                self.page.push("]");
            }
            scalar => self.scalar(scalar, true, indent),
        }
    }

    fn next_in_flow(&mut self, number: usize, indent: usize) {
        if number > 0 {
            self.page.push(",");
        }
        if self.page.is_full() {
            self.page.line(indent);
        } else if number > 0 {
            self.page.push(" ");
        }
    }

    fn key(&mut self, text: &str, flow: bool, simple: bool, indent: usize) {
        let spot = Spot {
            flow,
            key: simple,
            indent,
        };
        self.page.string(text, spot);
    }

    fn scalar(&mut self, value: &Value, flow: bool, indent: usize) {
        match value {
            Value::Null => self.page.push("null"),
            Value::Bool(flag) => self.page.push(if *flag { "true" } else { "false" }),
            Value::Number(number) if number.is_f64() => {
                let text = number.as_f64().map(float::text).unwrap_or_default();
                self.page.push(&text);
            }
            Value::Number(number) => self.page.push(&number.to_string()),
            Value::String(text) => {
                let spot = Spot {
                    flow,
                    key: false,
                    indent,
                };
                self.page.string(text, spot);
            }
            Value::Array(_) => self.page.push("[]"),
            Value::Object(_) => self.page.push("{}"),
        }
    }
}

fn is_simple_key(text: &str) -> bool {
    !text.is_empty() && text.chars().count() < MAX_SIMPLE_KEY && !is_multiline(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::parse_value;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn blocks_look_as_operators_know_them() {
        for (value, expected) in [
            (
                json!({"b": [[1, 2], {"c": [{"d": 1, "e": []}], "f": {}}], "a": null}),
                "a: null\nb:\n- - 1\n  - 2\n- c:\n  - d: 1\n    e: []\n  f: {}\n",
            ),
            (json!({"k": "a\nb"}), "k: 'a\n\n  b'\n"),
            (json!({"k": "a\n\nb\n"}), "k: 'a\n\n\n  b\n\n  '\n"),
            (json!({"k": "a \nb"}), "k: \"a \\nb\"\n"),
            (json!({"k": "a\tb"}), "k: \"a\\tb\"\n"),
            (
                json!({"k": "é\u{1}\u{2028}😀"}),
                "k: \"é\\x01\\L\\U0001F600\"\n",
            ),
            (
                json!({"": 1, "m\nn": {"x": 2}}),
                "? ''\n: 1\n? 'm\n\n  n'\n: x: 2\n",
            ),
            (
                json!({"on": "on", "x": "1:30", "y": "2001-12-14", "z": "a: b"}),
                "'on': 'on'\nx: '1:30'\ny: '2001-12-14'\nz: 'a: b'\n",
            ),
            (json!("a"), "a\n...\n"),
            (json!("1"), "'1'\n"),
            (json!({}), "{}\n"),
            (json!([true, 1.0]), "- true\n- 1.0\n"),
        ] {
            assert_eq!(to_block(&value, Options::default()), expected);
        }
    }

    #[test]
    fn long_texts_are_folded_after_the_width() {
        let long = "word ".repeat(20);
        let value = json!({"k": long.trim(), "q": format!("'{}", long.trim())});
        assert_eq!(
            to_block(&value, Options::default()),
            "k: word word word word word word word word word word word word word word word word\n  word word word word\n\
             q: '''word word word word word word word word word word word word word word word word\n  word word word word'\n"
        );
        let wide = to_block(&value, Options::WIDE);
        assert_eq!(wide.lines().count(), 2);
    }

    #[test]
    fn flow_stays_on_one_line() {
        let tags = json!({"clonefrom": true, "a": 1, "zone": "x, y", "l": ["b:1", {}]});
        assert_eq!(
            to_flow(&tags),
            "{a: 1, clonefrom: true, l: ['b:1', {}], zone: 'x, y'}"
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~]{0,100}",
            "\\PC{0,20}",
            "[a-z:#,\n '\"\\[\\]{}0-9-]{0,90}"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec((text.clone(), inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(value in value()) {
            let block = to_block(&value, Options::default());
            prop_assert_eq!(parse_value(&block).unwrap(), value.clone(), "{}", block);
            let flow = to_flow(&value);
            // The parser takes a dash before a bracket for an item of a list.
            if !flow.contains(" -") {
                prop_assert_eq!(parse_value(&flow).unwrap(), value, "{}", flow);
            }
        }
    }
}
