//! The section `guardian`, which the reference does not have.

use patroni_core::value;
use serde_json::Value;

use crate::section::Section;

/// The guardian process of a node: it stops a primary whose daemon does not renew the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guardian {
    /// `mode`.
    pub mode: GuardianMode,
}

/// Whether a primary is guarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardianMode {
    /// It is.
    #[default]
    On,
    /// It is not: it goes on without its daemon, also beside another primary.
    Off,
}

impl Guardian {
    pub(crate) fn read(
        root: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, crate::error::ConfigError> {
        let section = &root.section("guardian")?;
        let mode = match section.get("mode") {
            None | Some(Value::Null) => GuardianMode::On,
            Some(given) => match value::parse_bool(given) {
                Some(true) => GuardianMode::On,
                Some(false) => GuardianMode::Off,
                None => {
                    let text = format!("{} is not on or off: it is on", value::text(given));
                    warnings.push(section.warning("mode", &text));
                    GuardianMode::On
                }
            },
        };
        Ok(Self { mode })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::origin::Origins;

    #[test]
    fn a_primary_is_guarded_unless_somebody_says_off() {
        for (given, mode, warned) in [
            (json!({}), GuardianMode::On, 0),
            (json!({"guardian": {"mode": true}}), GuardianMode::On, 0),
            (json!({"guardian": {"mode": "off"}}), GuardianMode::Off, 0),
            (json!({"guardian": {"mode": false}}), GuardianMode::Off, 0),
            (
                json!({"guardian": {"mode": "perhaps"}}),
                GuardianMode::On,
                1,
            ),
        ] {
            let (map, origins) = (given.as_object().unwrap(), Origins::default());
            let mut warnings = Vec::new();
            let read = Guardian::read(&Section::root(map, &origins), &mut warnings).unwrap();
            assert_eq!((read.mode, warnings.len()), (mode, warned), "{given}");
        }
    }
}
