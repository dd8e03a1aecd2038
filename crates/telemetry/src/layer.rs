//! From tracing's events to records.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::queue::Queue;
use crate::record::Record;
use crate::settings::Level;

/// Hands every event to the queue.
#[derive(Debug)]
pub(crate) struct QueueLayer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) start: Instant,
}

impl<S: Subscriber> Layer<S> for QueueLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let thread = thread::current();
        self.queue.push(Record {
            time: Timestamp::now(),
            since_start: self.start.elapsed(),
            level: level(*metadata.level(), fields.critical),
            target: metadata.target().to_owned(),
            message: fields.message,
            error: fields.error,
            fields: fields.others,
            file: metadata.file().map(str::to_owned),
            line: metadata.line().unwrap_or_default(),
            thread: number(thread.id()),
            thread_name: thread.name().unwrap_or_default().to_owned(),
        });
    }
}

fn level(level: tracing::Level, critical: bool) -> Level {
    match level {
        tracing::Level::ERROR if critical => Level::Critical,
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
    }
}

/// The number in `ThreadId(7)`: there is no stable way to it yet.
fn number(id: thread::ThreadId) -> u64 {
    let text = format!("{id:?}");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

#[derive(Default)]
struct Fields {
    message: String,
    error: Option<String>,
    critical: bool,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", value) => self.message = text(value),
            ("error", value) => self.error = Some(text(value)),
            ("critical", Value::Bool(critical)) => self.critical = critical,
            // The `log` bridge repeats the metadata as fields.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, text.into());
    }
}
