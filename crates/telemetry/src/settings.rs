//! What an operator can set.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use crate::format::Format;

/// The settings of the log. All of them can be changed live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// What is written at least.
    pub level: Level,
    /// How causes of errors are shown.
    pub traceback_level: TracebackLevel,
    /// The form of a line.
    pub format: Format,
    /// The form of `asctime`; without one `2026-11-21 03:34:03,851`, local time.
    pub dateformat: Option<String>,
    /// Added to every JSON object.
    pub static_fields: Map<String, Value>,
    /// How many records may wait; without one there is no bound.
    pub max_queue_size: Option<usize>,
    /// Where to write; without one to standard error.
    pub file: Option<FileSettings>,
    /// Other levels for parts of the software, by the names of the reference (`patroni.ha`) or
    /// by our own targets.
    pub loggers: BTreeMap<String, Level>,
    /// Identical successive heartbeat lines are written once.
    pub deduplicate_heartbeat_logs: bool,
}

/// A file that is rotated by its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The directory, which must exist; the file in it is `patroni.log`.
    pub dir: PathBuf,
    /// Permissions for files opened from now on; without them 0666 less the umask.
    pub mode: Option<u32>,
    /// Rotate before the record that would reach this size; 0 never.
    pub size: u64,
    /// How many rotated files are kept; 0 means that nothing is ever rotated.
    pub keep: u32,
}

/// The levels in the words of operators, in the order of their weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// How we got there.
    Debug,
    /// What changed.
    Info,
    /// Odd, but we went on.
    Warning,
    /// Somebody should look.
    Error,
    /// Nothing works any more.
    Critical,
}

/// How the cause of an error is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TracebackLevel {
    /// On lines of its own after the message.
    #[default]
    Error,
    /// In the message (`, DETAIL: '...'`), unless the level is DEBUG.
    Debug,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: Level::Info,
            traceback_level: TracebackLevel::Error,
            format: Format::default(),
            dateformat: None,
            static_fields: Map::new(),
            max_queue_size: Some(1000),
            file: None,
            loggers: BTreeMap::new(),
            deduplicate_heartbeat_logs: false,
        }
    }
}

impl LogSettings {
    /// What applies before a configuration was read: everything, to standard error.
    pub fn before_configuration() -> Self {
        Self {
            level: Level::Debug,
            ..Self::default()
        }
    }
}

impl FileSettings {
    /// A directory with the default size and number of files.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            mode: None,
            size: 25_000_000,
            keep: 4,
        }
    }
}

impl Level {
    /// Reads a name in upper case; `WARN` and `FATAL` are known, too, and `NOTSET` is
    /// everything.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "DEBUG" | "NOTSET" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARNING" | "WARN" => Some(Self::Warning),
            "ERROR" => Some(Self::Error),
            "CRITICAL" | "FATAL" => Some(Self::Critical),
            _ => None,
        }
    }

    /// The name on a line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// The number in `levelno`.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Debug => 10,
            Self::Info => 20,
            Self::Warning => 30,
            Self::Error => 40,
            Self::Critical => 50,
        }
    }

    pub(crate) const fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error | Self::Critical => LevelFilter::ERROR,
        }
    }
}
