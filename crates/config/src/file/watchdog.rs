//! The section `watchdog`.

use std::path::PathBuf;

use patroni_core::value;
use serde_json::Value;

use crate::error::ConfigError;
use crate::section::Section;

/// The watchdog device of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// `mode`.
    pub mode: WatchdogMode,
    /// `device`.
    pub device: PathBuf,
    /// `safety_margin` in seconds; -1 means half of the ttl.
    pub safety_margin: i64,
    /// `driver`.
    pub driver: WatchdogDriver,
}

/// How much a node insists on its watchdog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchdogMode {
    /// Not used.
    Off,
    /// Used where it works.
    #[default]
    Automatic,
    /// A node without a working one does not become leader.
    Required,
}

/// The kind of device behind the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchdogDriver {
    /// That of the operating system.
    #[default]
    Default,
    /// A file that tests read.
    Testing,
}

impl Watchdog {
    pub(crate) fn read(
        root: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let section = &root.section("watchdog")?;
        let testing = section.text("driver")?.as_deref() == Some("testing");
        Ok(Self {
            mode: mode(section, warnings),
            device: PathBuf::from(section.text_or("device", "/dev/watchdog")?),
            safety_margin: section.int("safety_margin")?.unwrap_or(5),
            driver: if testing {
                WatchdogDriver::Testing
            } else {
                WatchdogDriver::Default
            },
        })
    }

    /// The timeout to set on the device for a ttl in seconds.
    pub fn timeout_secs(&self, ttl_secs: i64) -> i64 {
        if self.safety_margin == -1 {
            ttl_secs / 2
        } else {
            ttl_secs - self.safety_margin
        }
    }
}

fn mode(section: &Section<'_>, warnings: &mut Vec<String>) -> WatchdogMode {
    let Some(given) = section.get("mode") else {
        return WatchdogMode::Automatic;
    };
    let text = if given == &Value::Bool(false) {
        "off".to_owned()
    } else {
        value::text(given).to_lowercase()
    };
    match text.as_str() {
        "off" | "disable" | "disabled" => WatchdogMode::Off,
        "automatic" | "auto" => WatchdogMode::Automatic,
        "required" | "require" => WatchdogMode::Required,
        _ => {
            let text = format!(
                "{} is not one of off, automatic, required: the watchdog is off",
                value::text(given)
            );
            warnings.push(section.warning("mode", &text));
            WatchdogMode::Off
        }
    }
}
