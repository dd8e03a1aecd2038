//! From the section `log` of the configuration to the settings of the log.

use patroni_config::file::Log;
use patroni_config::file::log::{DEFAULT_FORMAT, LogField, LogFormat, LogKind, LogLevel};

use crate::format::{Format, JsonField};
use crate::settings::{FileSettings, Level, LogSettings, TracebackLevel};
use crate::template::Template;

impl From<&Log> for LogSettings {
    fn from(section: &Log) -> Self {
        let loggers = section.loggers.iter();
        Self {
            level: section.level.into(),
            traceback_level: match section.traceback_level {
                LogLevel::Debug => TracebackLevel::Debug,
                LogLevel::Info | LogLevel::Warning | LogLevel::Error | LogLevel::Critical => {
                    TracebackLevel::Error
                }
            },
            format: format(section),
            dateformat: section.dateformat.clone(),
            static_fields: section.static_fields.clone(),
            max_queue_size: section.max_queue_size,
            file: section.dir.as_ref().map(|dir| FileSettings {
                dir: dir.clone(),
                mode: section.mode,
                size: section.file_size,
                keep: u32::try_from(section.file_num).unwrap_or(u32::MAX),
            }),
            loggers: loggers
                .map(|(name, level)| (name.clone(), (*level).into()))
                .collect(),
            deduplicate_heartbeat_logs: section.deduplicate_heartbeat_logs,
        }
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warning => Self::Warning,
            LogLevel::Error => Self::Error,
            LogLevel::Critical => Self::Critical,
        }
    }
}

fn format(section: &Log) -> Format {
    let field = |field: &LogField| JsonField {
        field: field.name.clone(),
        key: field.key.clone(),
    };
    match (section.kind, &section.format) {
        (LogKind::Json, LogFormat::Fields(fields)) => {
            Format::Json(fields.iter().map(field).collect())
        }
        (LogKind::Json, LogFormat::Text(text)) => {
            Format::read(Some("json"), Some(&text.as_str().into())).0
        }
        (LogKind::Plain, LogFormat::Text(text)) => Format::Plain(Template::parse(text)),
        (LogKind::Plain, LogFormat::Fields(_)) => Format::Plain(Template::parse(DEFAULT_FORMAT)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use patroni_config::{Environment, Local, WitnessSettings};

    #[test]
    fn every_setting_arrives() {
        let text = "
raft: {self_addr: 'a:1'}
log:
  type: json
  level: WARN
  traceback_level: DEBUG
  format: [message, {levelname: level}]
  dir: /var/log
  file_num: 2
  loggers: {patroni.ha: DEBUG}
";
        let variable = ("PATRONI_CONFIGURATION".to_owned(), text.to_owned());
        let local = Local::load(None, &Environment::read([variable])).unwrap();
        let section = WitnessSettings::read(&local).unwrap().log;
        let settings = LogSettings::from(&section);
        assert_eq!(settings.level, Level::Warning);
        assert_eq!(settings.traceback_level, TracebackLevel::Debug);
        assert_eq!(settings.loggers["patroni.ha"], Level::Debug);
        let file = settings.file.unwrap();
        assert_eq!((file.dir.as_path(), file.keep), (Path::new("/var/log"), 2));
        let Format::Json(fields) = settings.format else {
            panic!("{:?}", settings.format);
        };
        assert_eq!(
            (fields[1].field.as_str(), fields[1].key.as_str()),
            ("levelname", "level")
        );
    }
}
