//! The few lines that the tool logs, on standard error.

use crate::context::Context;
use crate::exit::Failure;
use crate::settings::Environment;

/// Levels in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Level {
    /// The level from the environment: the last of the three variables that is set counts.
    pub(crate) fn of(environment: &Environment) -> Result<Self, Failure> {
        let variables = ["PATRONI_LOG_LEVEL", "PATRONI_LOGLEVEL", "LOGLEVEL"];
        let set = variables.iter().find_map(|name| {
            let text = environment.get(*name)?;
            (!text.is_empty()).then_some((name, text))
        });
        let Some((name, text)) = set else {
            return Ok(Self::Warning);
        };
        Self::parse(text).ok_or_else(|| {
            Failure::refused(format!(
                "Invalid value of {name}: '{text}' is none of DEBUG, INFO, WARNING, ERROR, CRITICAL"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "DEBUG" | "NOTSET" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARNING" | "WARN" => Some(Self::Warning),
            "ERROR" => Some(Self::Error),
            "CRITICAL" | "FATAL" => Some(Self::Critical),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

impl Context {
    /// Logs a warning.
    pub(crate) fn warn(&mut self, text: &str) {
        self.log(Level::Warning, text);
    }

    /// Logs an error.
    pub(crate) fn error(&mut self, text: &str) {
        self.log(Level::Error, text);
    }

    fn log(&mut self, level: Level, text: &str) {
        if level < self.level {
            return;
        }
        let now = self.clock.now();
        let millis = now.subsec_nanosecond() / 1_000_000;
        let line = format!(
            "{},{millis:03} - {} - {text}\n",
            self.now_text(),
            level.name()
        );
        self.console.err(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_variable_wins() {
        let mut environment = Environment::new();
        let level = |environment: &Environment| Level::of(environment).unwrap();
        assert_eq!(level(&environment), Level::Warning);
        environment.insert("LOGLEVEL".into(), "debug".into());
        assert_eq!(level(&environment), Level::Debug);
        environment.insert("PATRONI_LOG_LEVEL".into(), String::new());
        assert_eq!(level(&environment), Level::Debug);
        environment.insert("PATRONI_LOG_LEVEL".into(), "ERROR".into());
        assert_eq!(level(&environment), Level::Error);
    }

    #[test]
    fn an_unknown_level_is_told() {
        let environment = Environment::from([("PATRONI_LOG_LEVEL".into(), "foo".into())]);
        assert_eq!(
            Level::of(&environment).unwrap_err().to_string(),
            "Error: Invalid value of PATRONI_LOG_LEVEL: 'foo' is none of DEBUG, INFO, WARNING, ERROR, CRITICAL"
        );
    }
}
