//! The labels of a Pod that tell the role of its member.
//!
//! Source: store contract, section 13 (role label, bootstrap labels).

use patroni_core::MemberData;
use serde_json::{Map, Value};

use super::object::Object;
use super::options::Labels;

/// The states in which a member gets its data.
const BOOTSTRAP_STATES: [&str; 4] = [
    "initializing new cluster",
    "running custom bootstrap script",
    "starting after custom bootstrap",
    "creating replica",
];

/// The labels of our Pod for what it publishes; null takes a label away.
pub(super) fn of_member(names: &Labels, data: &MemberData, leads: bool) -> Map<String, Value> {
    let text = |key: &str| data.as_map().get(key).and_then(Value::as_str);
    let role = text("role").unwrap_or_default();
    let (label, tmp_role) = if leads {
        let label = if role == "standby_leader" {
            &names.standby_leader
        } else {
            &names.leader
        };
        (Some(label.as_str()), Some("primary"))
    } else if data.is_running() && role != "primary" {
        let label = if role == "replica" {
            names.follower.as_str()
        } else {
            role
        };
        (Some(label), Some(role))
    } else {
        (None, None)
    };
    let mut labels = Map::new();
    labels.insert(names.role.clone(), label.into());
    if let Some(name) = &names.tmp_role {
        labels.insert(name.clone(), tmp_role.into());
    }
    let gets_data = BOOTSTRAP_STATES.contains(&data.state());
    for (name, value) in &names.bootstrap {
        let value = gets_data.then(|| value.clone());
        labels.insert(name.clone(), value.into());
    }
    labels
}

/// Whether a Pod has these labels already.
pub(super) fn are_on(pod: &Object, labels: &Map<String, Value>) -> bool {
    let mut all = labels.iter();
    all.all(|(name, value)| pod.label(name) == value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_role_and_state() {
        let mut names = Labels::new([("application".to_owned(), "patroni".to_owned())].into());
        names.leader = "master".to_owned();
        names.standby_leader = "standby".to_owned();
        names.tmp_role = Some("tmp".to_owned());
        names.bootstrap = [("state".to_owned(), "new".to_owned())].into();
        for (state, role, leads, expected) in [
            (
                "running",
                "primary",
                true,
                r#"{"role":"master","tmp":"primary","state":null}"#,
            ),
            (
                "running",
                "replica",
                true,
                r#"{"role":"master","tmp":"primary","state":null}"#,
            ),
            (
                "running",
                "standby_leader",
                true,
                r#"{"role":"standby","tmp":"primary","state":null}"#,
            ),
            (
                "running",
                "replica",
                false,
                r#"{"role":"replica","tmp":"replica","state":null}"#,
            ),
            (
                "running",
                "demoted",
                false,
                r#"{"role":"demoted","tmp":"demoted","state":null}"#,
            ),
            (
                "running",
                "primary",
                false,
                r#"{"role":null,"tmp":null,"state":null}"#,
            ),
            (
                "stopped",
                "replica",
                false,
                r#"{"role":null,"tmp":null,"state":null}"#,
            ),
            (
                "creating replica",
                "replica",
                false,
                r#"{"role":null,"tmp":null,"state":"new"}"#,
            ),
        ] {
            let text = format!(r#"{{"state":"{state}","role":"{role}"}}"#);
            let labels = of_member(&names, &MemberData::parse(&text), leads);
            assert_eq!(serde_json::to_string(&labels).unwrap(), expected, "{text}");
        }
    }
}
