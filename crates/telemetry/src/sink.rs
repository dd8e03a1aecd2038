//! Records become lines, and lines go somewhere.

use std::io::{self, Write as _};

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use patroni_core::json;
use serde_json::{Map, Value};

use crate::error::LogError;
use crate::file::RotatedFile;
use crate::format::Format;
use crate::record::Record;
use crate::settings::{Level, LogSettings, TracebackLevel};

/// The end of the log: a form and a place.
#[derive(Debug)]
pub(crate) struct Sink {
    settings: LogSettings,
    file: Option<RotatedFile>,
}

impl Sink {
    pub(crate) fn new(settings: &LogSettings) -> Result<Self, LogError> {
        Ok(Self {
            file: settings.file.as_ref().map(RotatedFile::open).transpose()?,
            settings: settings.clone(),
        })
    }

    /// Changes form and place. A changed directory is followed; an unchanged file stays open.
    pub(crate) fn reload(&mut self, settings: &LogSettings) -> Result<(), LogError> {
        match (&settings.file, &mut self.file) {
            (None, file) => *file = None,
            (Some(wanted), Some(file)) if file.dir() == wanted.dir => file.adopt(wanted),
            (Some(wanted), file) => *file = Some(RotatedFile::open(wanted)?),
        }
        self.settings = settings.clone();
        Ok(())
    }

    /// Writes a record. When the file fails the line goes to standard error; when that fails,
    /// too, there is nobody left to tell.
    pub(crate) fn write(&mut self, record: &Record) {
        let line = self.line(record);
        let failure = match &mut self.file {
            Some(file) => match file.write(line.as_bytes()) {
                Ok(()) => return,
                Err(error) => Some(error),
            },
            None => None,
        };
        let mut stderr = io::stderr().lock();
        if let Some(error) = failure {
            stderr
                .write_all(format!("could not write to the log file: {error}\n").as_bytes())
                .ok();
        }
        stderr.write_all(line.as_bytes()).ok();
    }

    fn line(&self, record: &Record) -> String {
        let detail_in_message = self.settings.traceback_level == TracebackLevel::Debug
            && self.settings.level > Level::Debug;
        let mut record = std::borrow::Cow::Borrowed(record);
        if detail_in_message && let Some(error) = record.to_mut().error.take() {
            let message = &mut record.to_mut().message;
            message.push_str(", DETAIL: '");
            message.push_str(&error);
            message.push('\'');
        }
        let asctime = self.asctime(&record);
        let mut line = match &self.settings.format {
            Format::Plain(template) => {
                let mut line = template.render(|name| record.field(name, &asctime));
                if let Some(error) = &record.error {
                    line.push('\n');
                    line.push_str(error);
                }
                line
            }
            Format::Json(fields) => {
                let mut object = Map::new();
                for field in fields {
                    if let Some(value) = record.field(&field.field, &asctime) {
                        object.insert(field.key.clone(), value);
                    }
                }
                object.extend(record.fields.clone());
                object.extend(self.settings.static_fields.clone());
                if let Some(error) = &record.error {
                    object.insert("exc_info".to_owned(), Value::from(error.as_str()));
                }
                json::spaced(&object)
            }
        };
        line.push('\n');
        line
    }

    fn asctime(&self, record: &Record) -> String {
        let local = record.time.to_zoned(TimeZone::system());
        let custom = self
            .settings
            .dateformat
            .as_deref()
            .filter(|f| !f.is_empty());
        custom
            .and_then(|format| strtime::format(format, &local).ok())
            .unwrap_or_else(|| local.strftime("%Y-%m-%d %H:%M:%S,%3f").to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use serde_json::json;

    fn line(settings: &LogSettings, record: &Record) -> String {
        Sink::new(settings).unwrap().line(record)
    }

    fn with_error() -> Record {
        let mut record = record(Level::Error, "Bad request");
        record.error = Some("no JSON".to_owned());
        record
    }

    #[test]
    fn plain_lines_have_the_known_form() {
        let settings = LogSettings::default();
        let text = line(&settings, &record(Level::Info, "text"));
        let (time, rest) = text.split_at(23);
        assert!(time.ends_with(":03,851"), "{text}");
        assert_eq!(rest, " INFO: text\n");
        let text = line(&settings, &with_error());
        assert!(text.ends_with(" ERROR: Bad request\nno JSON\n"), "{text}");
        let short = LogSettings {
            traceback_level: TracebackLevel::Debug,
            ..settings
        };
        let text = line(&short, &with_error());
        assert!(
            text.ends_with(" ERROR: Bad request, DETAIL: 'no JSON'\n"),
            "{text}"
        );
    }

    #[test]
    fn json_lines_keep_the_order_of_the_format() {
        let mut settings = LogSettings {
            format: Format::read(Some("json"), Some(&json!(["levelname", {"message": "m"}]))).0,
            ..LogSettings::default()
        };
        settings.static_fields.insert("app".to_owned(), json!(1));
        let mut record = with_error();
        record.fields.insert("lag".to_owned(), json!(7));
        assert_eq!(
            line(&settings, &record),
            "{\"levelname\": \"ERROR\", \"m\": \"Bad request\", \"lag\": 7, \"app\": 1, \"exc_info\": \"no JSON\"}\n"
        );
    }

    #[test]
    fn dates_follow_their_format() {
        let settings = LogSettings {
            format: Format::read(None, Some(&json!("%(asctime)s"))).0,
            dateformat: Some("%Y/%m".to_owned()),
            ..LogSettings::default()
        };
        assert_eq!(line(&settings, &record(Level::Info, "")), "2026/11\n");
    }
}
