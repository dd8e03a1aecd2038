//! Comparing parameters with what is in effect: what changed, and what waits for a restart.
//!
//! Source of the rules: the configuration contract, section 6.6.

use std::collections::BTreeMap;

use patroni_core::server::PendingParameter;
use patroni_core::value;
use serde_json::Value;

use super::guc_table;
use super::units;
use crate::connection::Row;

/// The statement whose rows [`differences`] reads.
pub(crate) const SETTINGS: &str = "SELECT name, setting, unit, vartype, context FROM pg_settings WHERE context <> 'internal' \
     OR name IN ('wal_segment_size', 'wal_block_size')";

/// What the comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// Sentences for the log, one per changed parameter.
    pub(crate) sentences: Vec<String>,
    /// Those that wait for a restart.
    pub(crate) pending: BTreeMap<String, PendingParameter>,
}

/// A row of `pg_settings`.
struct Setting<'a> {
    value: &'a str,
    unit: Option<&'a str>,
    vartype: &'a str,
    context: &'a str,
}

/// Compares accepted parameters with the rows of [`SETTINGS`]. `before` are those written last:
/// one that has vanished since falls back to the base file and is mentioned.
pub(crate) fn differences(
    accepted: &[(String, Value)],
    before: &[(String, String)],
    rows: &[Row],
) -> Differences {
    let settings: BTreeMap<String, Setting<'_>> = rows
        .iter()
        .filter_map(|row| {
            let setting = Setting {
                value: row.get(1)?,
                unit: row.get(2),
                vartype: row.get(3)?,
                context: row.get(4)?,
            };
            Some((row.get(0)?.to_lowercase(), setting))
        })
        .collect();
    let mut found = Differences::default();
    for (name, given) in accepted {
        let key = name.to_lowercase();
        if key == "hot_standby" || guc_table::is_recovery(&key) {
            continue;
        }
        match settings.get(&key) {
            Some(setting) if !is_same(&key, setting, given, &settings) => {
                note(&mut found, name, setting, Some(given));
            }
            Some(_) => {}
            None => {
                let old = before
                    .iter()
                    .find(|(known, _)| known.eq_ignore_ascii_case(name));
                let new = value::text(given);
                if key.contains('.') && old.is_none_or(|(_, old)| *old != new) {
                    let old = old.map_or("None", |(_, old)| old.as_str());
                    found
                        .sentences
                        .push(format!("Changed {name} from '{old}' to '{new}'"));
                }
            }
        }
    }
    for (name, old) in before {
        let gone = !accepted
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !gone || guc_table::is_recovery(name) || FILES.contains(&name.as_str()) {
            continue;
        }
        match settings.get(&name.to_lowercase()) {
            // What comes into effect instead is asked from the server after the reload.
            Some(setting) if setting.context == "postmaster" => found.sentences.push(format!(
                "Changed {name} from '{old}' to 'None' (restart might be required)"
            )),
            Some(setting) => {
                let old = units::human(setting.value, setting.vartype, setting.unit);
                found
                    .sentences
                    .push(format!("Changed {name} from '{old}' to 'None'"));
            }
            None => found
                .sentences
                .push(format!("Changed {name} from '{old}' to 'None'")),
        }
    }
    found
}

fn note(found: &mut Differences, name: &str, setting: &Setting<'_>, given: Option<&Value>) {
    let new = given.map_or_else(|| "None".to_owned(), value::text);
    let old = setting.value;
    if setting.context == "postmaster" {
        found.sentences.push(format!(
            "Changed {name} from '{old}' to '{new}' (restart might be required)"
        ));
        let pending = PendingParameter {
            old_value: units::human(old, setting.vartype, setting.unit),
            new_value: given
                .map(|given| in_human(given, setting))
                .unwrap_or_default(),
        };
        found.pending.insert(name.to_owned(), pending);
    } else {
        let old = units::human(old, setting.vartype, setting.unit);
        found
            .sentences
            .push(format!("Changed {name} from '{old}' to '{new}'"));
    }
}

/// A wanted value in the form in which the old one is shown.
fn in_human(given: &Value, setting: &Setting<'_>) -> String {
    let number = match setting.vartype {
        "integer" => units::parse_int(given, setting.unit).map(|number| number.to_string()),
        "real" => units::parse_real(given, setting.unit).map(|number| number.to_string()),
        "bool" => value::parse_bool(given).map(|on| if on { "on" } else { "off" }.to_owned()),
        _ => None,
    };
    number.map_or_else(
        || value::text(given),
        |number| units::human(&number, setting.vartype, setting.unit),
    )
}

fn is_same(
    name: &str,
    setting: &Setting<'_>,
    given: &Value,
    settings: &BTreeMap<String, Setting<'_>>,
) -> bool {
    if name == "wal_buffers" {
        let number = |name: &str| settings.get(name)?.value.parse::<i64>().ok();
        let computed = || {
            let shared = number("shared_buffers")? / 32;
            let segment = number("wal_segment_size")? / number("wal_block_size")?.max(1);
            Some(shared.max(8).min(segment))
        };
        let or_computed = |buffers: i64| {
            if buffers == -1 {
                computed()
            } else {
                Some(buffers)
            }
        };
        let current = setting.value.parse().ok().and_then(or_computed);
        let wanted = units::parse_int(given, setting.unit).and_then(or_computed);
        return current.is_some() && current == wanted;
    }
    units::equal(setting.vartype, setting.unit, setting.value, given)
}

/// The parameters of the main block of a written `postgresql.conf`, as text.
pub(crate) fn read_back(text: &str) -> Vec<(String, String)> {
    let main = text.split("\n# recovery.conf\n").next().unwrap_or(text);
    main.lines()
        .filter_map(|line| {
            let (name, quoted) = line.split_once(" = '")?;
            let plain = quoted.strip_suffix('\'')?;
            Some((
                name.to_owned(),
                plain.replace("''", "'").replace("\\\\", "\\"),
            ))
        })
        .collect()
}

/// Lines that we add ourselves.
const FILES: [&str; 2] = ["hba_file", "ident_file"];
