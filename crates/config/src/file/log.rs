//! The section `log`.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds of a JSON value that are not named are all alike here"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use patroni_core::value;
use serde_json::{Map, Value};

use crate::error::ConfigError;
use crate::section::Section;

/// Where the log goes and what it looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `type`.
    pub kind: LogKind,
    /// `level`.
    pub level: LogLevel,
    /// `traceback_level`: above `Debug` failures show one line of detail only.
    pub traceback_level: LogLevel,
    /// `format`.
    pub format: LogFormat,
    /// `dateformat` for `strftime`; `None` is local time with milliseconds.
    pub dateformat: Option<String>,
    /// `static_fields` of JSON lines.
    pub static_fields: Map<String, Value>,
    /// `max_queue_size` in records; `None` is no limit.
    pub max_queue_size: Option<usize>,
    /// `dir` of `patroni.log`; `None` is standard error, empty is the working directory.
    pub dir: Option<PathBuf>,
    /// `mode` of the file; `None` leaves it to the umask.
    pub mode: Option<u32>,
    /// `file_size` in bytes before rotation; 0 never rotates.
    pub file_size: u64,
    /// `file_num`: rotated files kept; 0 never rotates.
    pub file_num: usize,
    /// `loggers`: levels by module.
    pub loggers: BTreeMap<String, LogLevel>,
    /// `deduplicate_heartbeat_logs`.
    pub deduplicate_heartbeat_logs: bool,
}

/// The kind of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogKind {
    /// Text.
    #[default]
    Plain,
    /// One object each.
    Json,
}

/// The weight of a record, rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `DEBUG`
    Debug,
    /// `INFO`
    Info,
    /// `WARNING`, also `WARN`
    Warning,
    /// `ERROR`
    Error,
    /// `CRITICAL`, also `FATAL`
    Critical,
}

/// What a record shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A text with `%(field)s`.
    Text(String),
    /// Fields of a JSON line, in order.
    Fields(Vec<LogField>),
}

/// One field of a JSON line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogField {
    /// What it shows, such as `asctime`.
    pub name: String,
    /// Its key in the line.
    pub key: String,
}

/// The format when none is given.
pub const DEFAULT_FORMAT: &str = "%(asctime)s %(levelname)s: %(message)s";

impl Log {
    pub(crate) fn read(
        root: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let section = &root.section("log")?;
        let json = section.get("type").and_then(Value::as_str) == Some("json");
        let kind = if json { LogKind::Json } else { LogKind::Plain };
        let queue = section.int("max_queue_size")?.unwrap_or(1000);
        Ok(Self {
            kind,
            level: level(section, "level", LogLevel::Info)?,
            traceback_level: traceback_level(section)?,
            format: format(kind, section.get("format"), warnings),
            dateformat: dateformat(section, warnings),
            static_fields: section.map("static_fields")?,
            max_queue_size: usize::try_from(queue).ok().filter(|size| *size > 0),
            dir: section
                .has("dir")
                .then(|| section.path("dir"))
                .transpose()?
                .map(Option::unwrap_or_default),
            mode: section.number("mode")?,
            file_size: section.number("file_size")?.unwrap_or(25_000_000),
            file_num: section.number("file_num")?.unwrap_or(4),
            loggers: loggers(section)?,
            deduplicate_heartbeat_logs: section.flag("deduplicate_heartbeat_logs", false),
        })
    }
}

impl LogLevel {
    /// Reads the name of a level, in upper case.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" | "WARNING" => Self::Warning,
            "ERROR" => Self::Error,
            "FATAL" | "CRITICAL" => Self::Critical,
            _ => return None,
        })
    }

    /// The name as it stands in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

fn level(section: &Section<'_>, key: &str, default: LogLevel) -> Result<LogLevel, ConfigError> {
    match section.text(key)? {
        None => Ok(default),
        Some(name) => LogLevel::parse(&name)
            .ok_or_else(|| section.fail(key, format!("{name} is not a log level"))),
    }
}

fn traceback_level(section: &Section<'_>) -> Result<LogLevel, ConfigError> {
    let name = section.text_or("traceback_level", "ERROR")?.to_uppercase();
    LogLevel::parse(&name)
        .ok_or_else(|| section.fail("traceback_level", format!("{name} is not a log level")))
}

fn loggers(section: &Section<'_>) -> Result<BTreeMap<String, LogLevel>, ConfigError> {
    let loggers = &section.section("loggers")?;
    let mut levels = BTreeMap::new();
    for (name, given) in loggers.entries() {
        let level = LogLevel::parse(&value::text(given)).ok_or_else(|| {
            loggers.fail(name, format!("{} is not a log level", value::text(given)))
        })?;
        levels.insert(name.clone(), level);
    }
    Ok(levels)
}

fn dateformat(section: &Section<'_>, warnings: &mut Vec<String>) -> Option<String> {
    match section.filled("dateformat")? {
        Value::String(text) => Some(text.clone()),
        other => {
            warnings.push(format!(
                "Expected log dateformat to be a string, but got \"{}\"",
                python_type(other)
            ));
            None
        }
    }
}

fn format(kind: LogKind, given: Option<&Value>, warnings: &mut Vec<String>) -> LogFormat {
    let expected = match (kind, given) {
        (_, None | Some(Value::Null)) => return default_format(),
        (_, Some(Value::String(text))) if text.is_empty() => return default_format(),
        (_, Some(Value::String(text))) => return LogFormat::Text(text.clone()),
        (LogKind::Json, Some(Value::Array(items))) => return fields(items, warnings),
        (LogKind::Json, Some(_)) => "Expected log format to be a string or a list",
        (LogKind::Plain, Some(_)) => "Expected log format to be a string when log type is plain",
    };
    let got = given.map_or("NoneType", python_type);
    warnings.push(format!("{expected}, but got \"{got}\""));
    default_format()
}

fn default_format() -> LogFormat {
    LogFormat::Text(DEFAULT_FORMAT.to_owned())
}

fn fields(items: &[Value], warnings: &mut Vec<String>) -> LogFormat {
    let field = |name: &str, key: &str| LogField {
        name: name.to_owned(),
        key: key.to_owned(),
    };
    let mut fields = Vec::new();
    for item in items {
        match item {
            Value::String(name) => fields.push(field(name, name)),
            Value::Object(renamed) => {
                for (name, key) in renamed {
                    if let Value::String(key) = key {
                        fields.push(field(name, key));
                    } else {
                        warnings.push(format!(
                            "Expected renamed log field to be a string, but got \"{}\"",
                            python_type(key)
                        ));
                    }
                }
            }
            other => warnings.push(format!(
                "Expected each item of log format to be a string or dictionary, but got \"{}\"",
                python_type(other)
            )),
        }
    }
    if fields.is_empty() {
        let defaults = ["asctime", "levelname", "message"];
        fields.extend(defaults.map(|name| field(name, name)));
    }
    LogFormat::Fields(fields)
}

fn python_type(value: &Value) -> &'static str {
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
