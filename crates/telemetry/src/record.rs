//! One event on its way to the log.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};

use crate::settings::Level;

/// A record with everything a format may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) time: Timestamp,
    pub(crate) since_start: Duration,
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) error: Option<String>,
    pub(crate) fields: Map<String, Value>,
    pub(crate) file: Option<String>,
    pub(crate) line: u32,
    pub(crate) thread: u64,
    pub(crate) thread_name: String,
}

impl Record {
    /// A field by the name that formats use; `None` for unknown names. `asctime` depends on
    /// settings and is given.
    pub(crate) fn field(&self, name: &str, asctime: &str) -> Option<Value> {
        Some(match name {
            "asctime" => asctime.into(),
            "created" => self.time.as_duration().as_secs_f64().into(),
            "filename" => self.file_part(Path::file_name).into(),
            "funcName" => self.target.rsplit("::").next().unwrap_or_default().into(),
            "levelname" => self.level.as_str().into(),
            "levelno" => self.level.number().into(),
            "lineno" => self.line.into(),
            "message" => self.message.as_str().into(),
            "module" => self.file_part(Path::file_stem).into(),
            "msecs" => milliseconds(self.time),
            "name" => self.logger().into(),
            "pathname" => self.file.clone().unwrap_or_default().into(),
            "process" => std::process::id().into(),
            "processName" => "MainProcess".into(),
            "relativeCreated" => json!(self.since_start.as_secs_f64() * 1000.0),
            "thread" => self.thread.into(),
            "threadName" => self.thread_name.as_str().into(),
            _ => return None,
        })
    }

    /// The target in the manner of logger names: `patroni_ha::cycle` is `patroni.ha.cycle`.
    fn logger(&self) -> String {
        let name = self.target.replace("::", ".");
        match name.strip_prefix("patroni_") {
            Some(rest) => format!("patroni.{rest}"),
            None => name,
        }
    }

    fn file_part(&self, part: fn(&Path) -> Option<&std::ffi::OsStr>) -> String {
        let path = self.file.as_deref().unwrap_or_default();
        part(Path::new(path))
            .map(|part| part.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

fn milliseconds(time: Timestamp) -> Value {
    let millis = f64::from(time.subsec_nanosecond()) / 1e6;
    Number::from_f64(millis).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record of our own with a message.
    pub(crate) fn record(level: Level, message: &str) -> Record {
        Record {
            time: "2026-11-21T03:34:03.851Z".parse().expect("a time"),
            since_start: Duration::from_millis(1500),
            level,
            target: "patroni_ha::cycle".to_owned(),
            message: message.to_owned(),
            error: None,
            fields: Map::new(),
            file: Some("crates/ha/src/cycle.rs".to_owned()),
            line: 7,
            thread: 1,
            thread_name: "main".to_owned(),
        }
    }

    #[test]
    fn fields_have_the_types_that_readers_expect() {
        let record = record(Level::Warning, "text");
        for (name, expected) in [
            ("asctime", json!("now")),
            ("created", json!(1_795_232_043.851)),
            ("filename", json!("cycle.rs")),
            ("levelname", json!("WARNING")),
            ("levelno", json!(30)),
            ("lineno", json!(7)),
            ("module", json!("cycle")),
            ("msecs", json!(851.0)),
            ("name", json!("patroni.ha.cycle")),
            ("relativeCreated", json!(1500.0)),
        ] {
            assert_eq!(record.field(name, "now"), Some(expected), "{name}");
        }
        assert_eq!(record.field("nonsense", "now"), None);
    }
}
