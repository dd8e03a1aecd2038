//! `postgresql.probe`, which the reference does not have: whether PostgreSQL answers new
//! connections, and what follows when it does not.

use std::time::Duration;

use patroni_core::value;
use serde_json::Value;

use crate::error::ConfigError;
use crate::section::Section;

/// The probe of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `mode`.
    pub mode: ProbeMode,
    /// `after`: for so long no new connection was answered before something follows; 30 s.
    pub after: Duration,
}

/// What follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProbeMode {
    /// Nothing is asked.
    Off,
    /// The log, the member, the REST API and the metrics tell.
    #[default]
    Report,
    /// A leader gives up when another member can take over.
    FailOver,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            mode: ProbeMode::Report,
            after: Duration::from_secs(30),
        }
    }
}

impl Probe {
    pub(crate) fn read(
        postgresql: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let section = &postgresql.section("probe")?;
        let default = Self::default();
        let after = section.number::<u32>("after")?;
        Ok(Self {
            mode: mode(section, warnings),
            after: after.map_or(default.after, |seconds| Duration::from_secs(seconds.into())),
        })
    }
}

fn mode(section: &Section<'_>, warnings: &mut Vec<String>) -> ProbeMode {
    let Some(given) = section.get("mode") else {
        return ProbeMode::default();
    };
    if given == &Value::Bool(false) {
        return ProbeMode::Off;
    }
    match value::text(given).to_lowercase().as_str() {
        "off" => ProbeMode::Off,
        "report" => ProbeMode::Report,
        "failover" => ProbeMode::FailOver,
        _ => {
            let text = format!(
                "{} is not one of off, report, failover: it is reported only",
                value::text(given)
            );
            warnings.push(section.warning("mode", &text));
            ProbeMode::Report
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::origin::Origins;

    #[test]
    fn silence_is_reported_unless_more_or_less_is_asked_for() {
        for (given, mode, after, warned) in [
            (json!({}), ProbeMode::Report, 30, 0),
            (json!({"probe": {"mode": false}}), ProbeMode::Off, 30, 0),
            (
                json!({"probe": {"mode": "failover", "after": 7}}),
                ProbeMode::FailOver,
                7,
                0,
            ),
            (json!({"probe": {"mode": "kill"}}), ProbeMode::Report, 30, 1),
        ] {
            let (map, origins) = (given.as_object().unwrap(), Origins::default());
            let mut warnings = Vec::new();
            let read = Probe::read(&Section::root(map, &origins), &mut warnings).unwrap();
            assert_eq!(
                (read.mode, read.after.as_secs(), warnings.len()),
                (mode, after, warned)
            );
        }
    }
}
