//! What an operator can set.

use std::path::PathBuf;

use patroni_core::value;

/// The settings of the watchdog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// Whether it is used.
    pub mode: Mode,
    /// The device.
    pub device: PathBuf,
    /// How many seconds before the end of the lock it fires; -1 is half of `ttl`.
    pub safety_margin: i64,
    /// How the device is spoken to.
    pub driver: Driver,
}

/// Whether the watchdog is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Never.
    Off,
    /// When it can be.
    #[default]
    Automatic,
    /// Without it there is no promotion.
    Required,
}

/// How a device is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// A Linux watchdog device.
    #[default]
    Linux,
    /// A plain file or pipe that the same words are written to.
    Testing,
}

impl Default for WatchdogSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Automatic,
            device: "/dev/watchdog".into(),
            safety_margin: 5,
            driver: Driver::Linux,
        }
    }
}

impl Mode {
    /// Reads the setting. Anything unknown is off, with a warning for the log.
    pub fn read(given: &serde_json::Value) -> (Self, Option<String>) {
        match value::text(given).to_lowercase().as_str() {
            "false" | "off" | "disable" | "disabled" => (Self::Off, None),
            "automatic" | "auto" => (Self::Automatic, None),
            "required" | "require" => (Self::Required, None),
            _ => {
                let shown = value::text(given);
                let warning = format!("Watchdog mode {shown} not recognized, disabling watchdog");
                (Self::Off, Some(warning))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn modes_have_several_names() {
        for (given, mode, warns) in [
            (json!(false), Mode::Off, false),
            (json!("disabled"), Mode::Off, false),
            (json!("Auto"), Mode::Automatic, false),
            (json!("require"), Mode::Required, false),
            (json!(true), Mode::Off, true),
            (json!("maybe"), Mode::Off, true),
        ] {
            let (read, warning) = Mode::read(&given);
            assert_eq!((read, warning.is_some()), (mode, warns), "{given}");
        }
    }
}
