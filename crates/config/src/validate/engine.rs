//! Walks a configuration along the schema and writes down what does not fit.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds of a JSON value that are not named are all alike here"
)]

use patroni_core::value;
use serde_json::{Map, Value};

use super::ListenPorts;
use super::probe::Probe;
use crate::load::Local;
use crate::origin::Origins;

/// One key of a section.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) need: Need,
    pub(super) rule: Rule,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Must,
    May,
    /// At least one of the keys with this need; neighbours in the table.
    AnyOf,
    /// At most one of this key and the next.
    Either,
    /// Checked even when absent, as this text.
    Default(&'static str),
}

/// What a value must be.
pub(super) enum Rule {
    Text,
    Bool,
    Map,
    Int,
    /// An integer by type, within bounds.
    IntIn(i64, i64),
    /// Anything that reads as an integer, within bounds.
    NumberIn(i64, i64),
    /// Anything that reads as a time in seconds, at least this.
    SecondsFrom(i64),
    /// One of some texts, as written.
    Choice(&'static [&'static str]),
    /// One of some texts in any letter case (the table has them in lower case).
    AnyCase(&'static [&'static str]),
    /// A list with items, all texts.
    Texts,
    /// A list with items of one of two kinds; all lines appear when neither fits.
    List(&'static Rule),
    /// Either kind.
    Or(&'static Rule, &'static Rule),
    Section(&'static [Field]),
    /// A rule that needs the probe or other keys.
    Check(fn(&mut Report<'_>, &str, &Value)),
}

/// The lines so far, and what checks may look at.
pub(super) struct Report<'a> {
    pub(super) settings: &'a Map<String, Value>,
    origins: &'a Origins,
    pub(super) ports: ListenPorts,
    pub(super) probe: &'a dyn Probe,
    /// The item of a list that is looked into: its lines show all of it.
    item: Option<String>,
    lines: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(local: &'a Local, ports: ListenPorts, probe: &'a dyn Probe) -> Self {
        Self {
            settings: &local.settings,
            origins: &local.origins,
            ports,
            probe,
            item: None,
            lines: Vec::new(),
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// `path value message`; the value may be empty.
    pub(super) fn line(&mut self, path: &str, value: &str, message: &str) {
        let value = self.item.as_deref().unwrap_or(value);
        self.lines.push(format!("{path} {value} {message}"));
    }

    /// The line of a value that has the right type and says the wrong thing.
    pub(super) fn refuse(&mut self, path: &str, given: &Value, message: &str) {
        let message = format!("didn't pass validation: {message}");
        self.line(path, &value::text(given), &message);
    }

    /// Checks the keys of a mapping.
    pub(super) fn section(
        &mut self,
        path: &str,
        map: &Map<String, Value>,
        fields: &'static [Field],
    ) {
        let any = |need| {
            let mut group = fields.iter().filter(|field| field.need == need);
            group.any(|field| map.contains_key(field.key))
        };
        let one_of_any = any(Need::AnyOf);
        let mut skip = false;
        for (number, field) in fields.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            let inner = join(path, field.key);
            if field.need == Need::Either
                && let Some(twin) = fields.get(number + 1)
                && map.contains_key(field.key)
                && map.contains_key(twin.key)
            {
                let message = format!("Multiple of ('{}', '{}') provided", field.key, twin.key);
                self.line(path, "", &message);
                skip = true;
                continue;
            }
            match (map.get(field.key), field.need) {
                (Some(given), _) => self.value(&inner, given, &field.rule),
                (None, Need::Must) => self.line(&inner, "", "is not defined."),
                (None, Need::AnyOf) if !one_of_any => self.line(&inner, "", "is not defined."),
                (None, Need::Default(text)) => self.value(&inner, &Value::from(text), &field.rule),
                (None, Need::May | Need::AnyOf | Need::Either) => {}
            }
        }
    }

    fn value(&mut self, path: &str, given: &Value, rule: &Rule) {
        let text = &value::text(given);
        let stands_for_other = self.origins.is_stand_in(path);
        let is_huge = stands_for_other && huge(given).is_some();
        let is_integer = given.is_i64() || given.is_u64() || given.is_boolean() || is_huge;
        match rule {
            Rule::Text if given.is_string() && !stands_for_other => {}
            Rule::Text => self.line(path, text, "is not a string"),
            Rule::Bool if given.is_boolean() => {}
            Rule::Bool => self.line(path, text, "is not a boolean"),
            Rule::Map if given.is_object() => {}
            Rule::Map => self.line(path, text, "is not a dictionary"),
            Rule::Int | Rule::IntIn(..) if !is_integer => {
                self.line(path, text, "is not an integer");
            }
            Rule::Int => {}
            // A boolean is an integer by type, and within no bounds.
            Rule::IntIn(least, most) => self.within(path, given, whole(given), *least, *most),
            Rule::NumberIn(least, most) => {
                let number = whole(given).or_else(|| value::parse_int(given));
                self.within(path, given, number, *least, *most);
            }
            Rule::SecondsFrom(least) => {
                self.within(path, given, value::parse_seconds(given), *least, i64::MAX);
            }
            Rule::Choice(texts) => self.choice(path, given, texts.contains(&text.as_str())),
            Rule::AnyCase(texts) => {
                self.choice(path, given, texts.contains(&text.to_lowercase().as_str()));
            }
            Rule::Texts => self.list(path, given, &Rule::Text),
            Rule::List(item) => self.list(path, given, item),
            Rule::Or(first, second) => self.either(path, given, first, second),
            Rule::Section(fields) => match given {
                Value::Object(map) => self.section(path, map, fields),
                _ => self.line(path, text, "is not a dictionary"),
            },
            Rule::Check(check) => check(self, path, given),
        }
    }

    fn within(&mut self, path: &str, given: &Value, number: Option<i64>, least: i64, most: i64) {
        self.choice(
            path,
            given,
            number.is_some_and(|number| (least..=most).contains(&number)),
        );
    }

    fn choice(&mut self, path: &str, given: &Value, fits: bool) {
        if !fits {
            self.refuse(path, given, "Wrong value");
        }
    }

    fn list(&mut self, path: &str, given: &Value, rule: &Rule) {
        let text = value::text(given);
        let Value::Array(items) = given else {
            return self.line(path, &text, "is not a list");
        };
        if items.is_empty() {
            return self.line(path, &text, "is an empty list");
        }
        for (number, item) in items.iter().enumerate() {
            let path = join(path, &number.to_string());
            match (rule, item) {
                (Rule::Section(fields), Value::Object(map)) => {
                    self.item = Some(value::text(item));
                    self.section(&path, map, fields);
                    self.item = None;
                }
                _ => self.value(&path, item, rule),
            }
        }
    }

    /// One of two rules must find nothing; else the lines of both stand.
    fn either(&mut self, path: &str, given: &Value, first: &Rule, second: &Rule) {
        if matches!(second, Rule::List(_)) && given.as_array().is_some_and(Vec::is_empty) {
            return self.value(path, given, second);
        }
        let before = self.lines.len();
        for rule in [first, second] {
            let mark = self.lines.len();
            self.value(path, given, rule);
            if self.lines.len() == mark {
                self.lines.truncate(before);
                return;
            }
        }
    }
}

/// A number that is written as one; the largest of ours stands for all that are larger.
fn whole(given: &Value) -> Option<i64> {
    let beyond = given.as_u64().map(|_| i64::MAX);
    given.as_i64().or(beyond).or_else(|| huge(given))
}

/// The text of an integer beyond 64 bits, as the nearest that we have.
fn huge(given: &Value) -> Option<i64> {
    let text = given.as_str()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = digits.len() > 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let nearest = if digits == text { i64::MAX } else { i64::MIN };
    is_integer.then_some(nearest)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
