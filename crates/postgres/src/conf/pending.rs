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
                note(&mut found, name, setting, given);
            }
            // A change is taken back before the restart that it waited for.
            Some(_) => note_of_file(&mut found, name, written(before, name), given),
            None if key.contains('.') => {
                let old = written(before, name).or(Some("None"));
                note_of_file(&mut found, name, old, given);
            }
            None => {}
        }
    }
    for (name, old) in before {
        let gone = !accepted
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !gone || guc_table::is_recovery(name) {
            continue;
        }
        match settings.get(&name.to_lowercase()) {
            // What comes into effect instead is asked from the server after the reload.
            Some(setting) if setting.context == "postmaster" => {
                found.sentences.push(format!(
                    "Changed {name} from '{old}' to 'None' (restart might be required)"
                ));
                let pending = PendingParameter {
                    old_value: units::human(setting.value, setting.vartype, setting.unit),
                    new_value: String::new(),
                };
                found.pending.insert(name.clone(), pending);
            }
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

/// The value of a parameter in the file as it was written last.
fn written<'b>(before: &'b [(String, String)], name: &str) -> Option<&'b str> {
    let found = before
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, old)| old.as_str())
}

/// A change of the file alone: the server has the value already, or keeps no list of such names.
fn note_of_file(found: &mut Differences, name: &str, old: Option<&str>, given: &Value) {
    let new = value::text(given);
    if let Some(old) = old.filter(|old| *old != new) {
        found
            .sentences
            .push(format!("Changed {name} from '{old}' to '{new}'"));
    }
}

fn note(found: &mut Differences, name: &str, setting: &Setting<'_>, given: &Value) {
    let new = value::text(given);
    let old = setting.value;
    if setting.context == "postmaster" {
        found.sentences.push(format!(
            "Changed {name} from '{old}' to '{new}' (restart might be required)"
        ));
        let pending = PendingParameter {
            old_value: units::human(old, setting.vartype, setting.unit),
            new_value: in_human(given, setting),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    /// What is said of one parameter of a server, and which entries wait for a restart.
    fn compared(
        row: &[Option<&str>],
        before: &[(String, String)],
        now: Option<(&str, &str)>,
    ) -> (Vec<String>, Vec<(String, String)>) {
        let accepted: Vec<_> = now
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Value::from(text)))
            .collect();
        let found = differences(&accepted, before, &[Row::of(row)]);
        let pending = found.pending.into_values();
        let pending = pending.map(|entry| (entry.old_value, entry.new_value));
        (found.sentences, pending.collect())
    }

    #[test]
    fn each_change_has_its_sentence() {
        let buffers = [
            Some("shared_buffers"),
            Some("4096"),
            Some("8kB"),
            Some("integer"),
            Some("postmaster"),
        ];
        let before = [pair("shared_buffers", "48MB")];
        let taken_back = compared(&buffers, &before, Some(("shared_buffers", "32MB")));
        let sentence = "Changed shared_buffers from '48MB' to '32MB'".to_owned();
        assert_eq!(taken_back, (vec![sentence], vec![]));
        let (sentences, pending) = compared(&buffers, &before, None);
        assert_eq!(
            sentences,
            ["Changed shared_buffers from '48MB' to 'None' (restart might be required)"]
        );
        assert_eq!(pending, [pair("32MB", "")]);
        let hba = [
            Some("hba_file"),
            Some("/d/hba"),
            None,
            Some("string"),
            Some("postmaster"),
        ];
        let (sentences, pending) = compared(&hba, &[], Some(("hba_file", "/x")));
        assert_eq!(
            sentences,
            ["Changed hba_file from '/d/hba' to '/x' (restart might be required)"]
        );
        assert_eq!(pending, [pair("/d/hba", "/x")]);
        let (sentences, _) = compared(&hba, &[pair("hba_file", "/x")], None);
        assert_eq!(
            sentences,
            ["Changed hba_file from '/x' to 'None' (restart might be required)"]
        );
        let custom = compared(&hba, &[pair("a.b", "1")], Some(("a.b", "2")));
        assert_eq!(custom.0, ["Changed a.b from '1' to '2'"]);
    }
}
