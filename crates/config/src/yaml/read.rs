//! From text to values, remembering where everything stands.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the events are another crate's, and all but a few are unexpected in each place"
)]

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use patroni_core::value;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};

use super::scalar::{self, Meaning};

/// Deepest nesting accepted. No configuration comes near; recursion stays off the guard page.
const MAX_DEPTH: usize = 100;
/// Most values one document may grow to, aliases expanded: about a hundred megabytes.
const MAX_VALUES: usize = 500_000;
const CORE: &str = "tag:yaml.org,2002:";

/// A document: its value, and where each key and item stands.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// The value; null when the text holds none.
    pub value: Value,
    /// Dotted path (`postgresql.listen`, `tags.zone`, `pg_hba.0`) to place of the value's key.
    pub places: HashMap<String, Place>,
    /// Paths of texts that stand for a date, or for a number that JSON cannot hold.
    pub stand_ins: HashSet<String>,
    /// The first number that JSON cannot hold (beyond 64 bits, infinite, none): its value is text.
    pub unheld: Option<YamlError>,
}

/// A position in a text; both numbers begin at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A text that is no single YAML document of plain data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", place.line, place.column)]
pub struct YamlError {
    /// Where reading stopped.
    pub place: Place,
    /// What was wrong there.
    pub message: String,
}

/// Reads exactly one document, or nothing (null).
///
/// # Errors
/// Broken syntax, a second document, unknown tags, recursive aliases, keys that are no scalars,
/// or more than the bounds allow.
pub fn parse(text: &str) -> Result<Document, YamlError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text.trim_start_matches('\u{feff}')),
        anchors: HashMap::new(),
        places: HashMap::new(),
        stand_ins: HashSet::new(),
        values: 0,
        unheld: None,
    };
    let value = reader.document()?;
    Ok(Document {
        value,
        places: reader.places,
        stand_ins: reader.stand_ins,
        unheld: reader.unheld,
    })
}

/// Reads a document whose places do not matter.
///
/// # Errors
/// As [`parse`].
pub fn parse_value(text: &str) -> Result<Value, YamlError> {
    parse(text).map(|document| document.value)
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Anchored>,
    places: HashMap<String, Place>,
    stand_ins: HashSet<String>,
    values: usize,
    unheld: Option<YamlError>,
}

#[derive(Clone)]
struct Anchored {
    node: Node,
    size: usize,
}

/// A value, or the merge key, which is special only where a mapping looks for it.
#[derive(Clone)]
enum Node {
    Value(Value),
    Merge,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value, YamlError> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::Nothing => {}
                Event::StreamEnd => return Ok(Value::Null),
                Event::DocumentStart(_) => break,
                other => return Err(unexpected(&other, span)),
            }
        }
        let (event, span) = self.next()?;
        let node = self.node(event, span, "", 0)?;
        let value = self.plain(node, span)?;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => return Ok(value),
                Event::DocumentStart(_) => {
                    return Err(error(
                        span.start,
                        "expected a single document in the stream, but found another",
                    ));
                }
                other => return Err(unexpected(&other, span)),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(broken)) => Err(broken.into()),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &str,
        depth: usize,
    ) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return Err(error(span.start, "nested too deeply"));
        }
        self.count(1, span)?;
        let before = self.values;
        let (node, anchor) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let Anchored { node, size } = known.ok_or_else(|| {
                    error(span.start, "an alias cannot stand inside its own anchor")
                })?;
                self.count(size, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain && tag.is_none() {
                    self.note_stand_in(&text, path, span);
                }
                (scalar_node(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", span)?;
                (Node::Value(self.sequence(path, depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) if is_set(tag.as_deref()) => {
                (Node::Value(members(self.mapping(path, depth)?)), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", span)?;
                (Node::Value(self.mapping(path, depth)?), anchor)
            }
            other => return Err(unexpected(&other, span)),
        };
        if anchor > 0 {
            let size = self.values - before;
            let node = node.clone();
            self.anchors.insert(anchor, Anchored { node, size });
        }
        Ok(node)
    }

    fn sequence(&mut self, path: &str, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::Array(items));
            }
            let path = join(path, &items.len().to_string());
            self.note(&path, span);
            let node = self.node(event, span, &path, depth + 1)?;
            items.push(self.plain(node, span)?);
        }
    }

    fn mapping(&mut self, path: &str, depth: usize) -> Result<Value, YamlError> {
        let mut own = Map::new();
        let mut merged: Vec<Map<String, Value>> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = match self.node(event, span, path, depth + 1)? {
                Node::Merge => None,
                Node::Value(key @ (Value::Array(_) | Value::Object(_))) => {
                    let kind = if key.is_array() { "list" } else { "mapping" };
                    return Err(error(span.start, format!("a {kind} cannot be a key")));
                }
                Node::Value(key) => Some(value::text(&key)),
            };
            let (event, value_span) = self.next()?;
            if let Some(key) = key {
                let path = join(path, &key);
                self.note(&path, span);
                let node = self.node(event, value_span, &path, depth + 1)?;
                own.insert(key, self.plain(node, value_span)?);
            } else {
                let node = self.node(event, value_span, path, depth + 1)?;
                let value = self.plain(node, value_span)?;
                merged.extend(merge_sources(value, value_span)?);
            }
        }
        if merged.is_empty() {
            return Ok(Value::Object(own));
        }
        let mut all = Map::new();
        for (key, value) in merged.into_iter().rev().flatten().chain(own) {
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }

    /// A node where only a value can stand.
    #[expect(clippy::unused_self, reason = "reads as a step of the reader")]
    fn plain(&self, node: Node, span: Span) -> Result<Value, YamlError> {
        match node {
            Node::Value(value) => Ok(value),
            Node::Merge => Err(error(span.start, "the merge key << stands only as a key")),
        }
    }

    fn note(&mut self, path: &str, span: Span) {
        self.places.insert(path.to_owned(), place(span.start));
    }

    fn note_stand_in(&mut self, text: &str, path: &str, span: Span) {
        match scalar::resolve(text) {
            Meaning::Value(Value::String(_)) if self.unheld.is_none() => {
                let message = format!("the number {text} does not fit into 64 bits, quote it");
                self.unheld = Some(error(span.start, message));
            }
            Meaning::Value(Value::String(_)) | Meaning::Timestamp(_) => {}
            Meaning::Value(_) | Meaning::Merge | Meaning::Equals | Meaning::Text => return,
        }
        self.stand_ins.insert(path.to_owned());
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(more);
        if self.values > MAX_VALUES {
            return Err(error(span.start, "too many values"));
        }
        Ok(())
    }
}

fn scalar_node(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: Span,
) -> Result<Node, YamlError> {
    if let Some(tag) = tag.filter(|tag| tag_name(tag) != "!") {
        return tagged(text, tag, span).map(Node::Value);
    }
    if style != ScalarStyle::Plain {
        return Ok(Node::Value(Value::from(text)));
    }
    match scalar::resolve(text) {
        Meaning::Value(value) => Ok(Node::Value(value)),
        Meaning::Timestamp(text) => Ok(Node::Value(Value::String(text))),
        Meaning::Text => Ok(Node::Value(Value::from(text))),
        Meaning::Merge => Ok(Node::Merge),
        Meaning::Equals => Err(error(span.start, "a lone = is no value, quote it")),
    }
}

fn tagged(text: &str, tag: &Tag, span: Span) -> Result<Value, YamlError> {
    let name = tag_name(tag);
    let wrong = || error(span.start, format!("{text:?} does not fit the tag {name}"));
    match name.strip_prefix(CORE) {
        Some("str") => Ok(Value::from(text)),
        Some("null") => Ok(Value::Null),
        Some("bool") => scalar::boolean(text).map(Value::Bool).ok_or_else(wrong),
        Some("int") => scalar::integer(text).ok_or_else(wrong),
        Some("float") => scalar::float(text)
            .or_else(|| text.parse::<f64>().ok().map(Value::from))
            .ok_or_else(wrong),
        Some("timestamp") => match scalar::resolve(text) {
            Meaning::Timestamp(text) => Ok(Value::String(text)),
            Meaning::Value(_) | Meaning::Text | Meaning::Merge | Meaning::Equals => Err(wrong()),
        },
        Some("binary") => base64(text)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Value::String)
            .ok_or_else(wrong),
        Some(_) | None => Err(unknown_tag(&name, span)),
    }
}

fn collection_tag(tag: Option<&Tag>, expected: &str, span: Span) -> Result<(), YamlError> {
    let Some(tag) = tag else { return Ok(()) };
    let name = tag_name(tag);
    if name == "!" || name.strip_prefix(CORE) == Some(expected) {
        return Ok(());
    }
    Err(unknown_tag(&name, span))
}

/// `!!set`: a mapping of which only the keys count.
fn is_set(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| tag_name(tag).strip_prefix(CORE) == Some("set"))
}

/// JSON has no sets; a list serves all who go through one.
fn members(set: Value) -> Value {
    match set {
        Value::Object(map) => map.into_iter().map(|(key, _)| Value::from(key)).collect(),
        other => other,
    }
}

fn tag_name(tag: &Tag) -> Cow<'_, str> {
    match tag.handle.as_str() {
        "" => Cow::Borrowed(&tag.suffix),
        "!!" => Cow::Owned(format!("{CORE}{}", tag.suffix)),
        handle => Cow::Owned(format!("{handle}{}", tag.suffix)),
    }
}

fn merge_sources(value: Value, span: Span) -> Result<Vec<Map<String, Value>>, YamlError> {
    let wrong = || error(span.start, "<< needs a mapping or a list of mappings");
    match value {
        Value::Object(map) => Ok(vec![map]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => Ok(map),
                _ => Err(wrong()),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(wrong()),
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut width) = (0_u32, 0);
    for letter in text.bytes().filter(|b| !b.is_ascii_whitespace()) {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => continue,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        width += 6;
        if width >= 8 {
            width -= 8;
            bytes.push(u8::try_from((bits >> width) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn unexpected(event: &Event<'_>, span: Span) -> YamlError {
    error(span.start, format!("unexpected {event:?}"))
}

fn unknown_tag(name: &str, span: Span) -> YamlError {
    error(span.start, format!("unknown tag {name}"))
}

fn error(at: Marker, message: impl Into<String>) -> YamlError {
    YamlError {
        place: place(at),
        message: message.into(),
    }
}

fn place(at: Marker) -> Place {
    Place {
        line: at.line(),
        column: at.col() + 1,
    }
}

impl From<ScanError> for YamlError {
    fn from(broken: ScanError) -> Self {
        error(*broken.marker(), broken.info())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        parse_value(text).unwrap()
    }

    #[test]
    fn documents_become_values() {
        for (text, expected) in [
            ("", json!(null)),
            ("# nothing\n", json!(null)),
            ("a: on\nb: 'on'\n", json!({"a": true, "b": "on"})),
            ("a: 1\na: 2\n", json!({"a": 2})),
            (
                "on: 1\n5: x\n~: y\n",
                json!({"True": 1, "5": "x", "None": "y"}),
            ),
            ("a: !!str 5\nb: !!int '7'\n", json!({"a": "5", "b": 7})),
            ("a: !!binary aGk=\n", json!({"a": "hi"})),
            ("a: !!set {x, y}\n", json!({"a": ["x", "y"]})),
            (
                "d: &d {u: 1, p: 2}\nm:\n  <<: *d\n  p: 3\n",
                json!({"d": {"u": 1, "p": 2}, "m": {"u": 1, "p": 3}}),
            ),
            (
                "a: &a {x: 1}\nb: &b {x: 2, y: 2}\nm: {<<: [*a, *b]}\n",
                json!({"a": {"x": 1}, "b": {"x": 2, "y": 2}, "m": {"x": 1, "y": 2}}),
            ),
            (
                "pg_hba:\n- local all all trust\n- host a b c\n",
                json!({"pg_hba": ["local all all trust", "host a b c"]}),
            ),
            (
                "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
                json!({"a": "x\ny\n", "b": "x y"}),
            ),
            (
                "recovery_target_time: 2020-01-01 10:00:00\n",
                json!({"recovery_target_time": "2020-01-01 10:00:00"}),
            ),
            ("---\na: 1\n...\n", json!({"a": 1})),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn places_are_those_of_the_keys() {
        let document = parse("a: 1\nb:\n  c: 2\n  d:\n  - x\n  - y\n").unwrap();
        let at = |path: &str| document.places[path];
        assert_eq!(at("a"), Place { line: 1, column: 1 });
        assert_eq!(at("b.c"), Place { line: 3, column: 3 });
        assert_eq!(at("b.d.1"), Place { line: 6, column: 5 });
    }

    #[test]
    fn what_safe_loading_refuses_is_refused() {
        for (text, line) in [
            ("a: 1\n---\nb: 2\n", 2),
            ("a:\n\tb: 1\n", 2),
            ("a: b: c\n", 1),
            ("a: !!python/name:os.system x\n", 1),
            ("a: &a [*a]\n", 1),
            ("? [a]\n: 1\n", 1),
            ("a: =\n", 1),
            ("a: {<<: 5}\n", 1),
            ("a: 'open\n", 1),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.place.line >= line, "{text}: {refused}");
            assert!(!refused.to_string().contains('\n'), "{refused}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let deep = "[".repeat(5_000);
        assert!(parse(&deep).is_err());
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 10].join(",");
            laughs += &[
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &items,
                "]\n",
            ]
            .concat();
        }
        assert!(parse(&laughs).is_err());
    }
}
