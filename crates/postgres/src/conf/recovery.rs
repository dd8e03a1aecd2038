//! Recovery settings: what a standby needs to follow its source.
//!
//! Source of the rules: the configuration contract, 6.9 and 6.10, and the supervision contract,
//! section 11.

use patroni_config::file::Postgresql;
use patroni_core::{ConnUrl, SlotName, Upstream, value};
use serde_json::{Map, Value};

use super::guc;
use super::guc_table;
use super::parameters::ClusterFacts;
use crate::conninfo::ConnInfo;
use crate::pgpass::PgPass;

/// Recovery parameters and what goes with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recovery {
    /// The parameters, translated for the version.
    pub(crate) parameters: Vec<(String, Value)>,
    /// The connection behind `primary_conninfo`, before it became text.
    pub(crate) conninfo: Option<ConnInfo>,
    /// The password file that must exist for it.
    pub(crate) pgpass: Option<PgPass>,
    /// What recovery is for.
    pub(crate) purpose: Purpose,
}

/// What recovery is for; it decides on the signal file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Following somebody.
    #[default]
    Standby,
    /// Reaching the target of a custom bootstrap method.
    Target,
}

impl Recovery {
    /// Settings for following `upstream` on a server of `version` (`server_version_num`).
    pub(crate) fn following(
        settings: &Postgresql,
        facts: &ClusterFacts,
        upstream: &Upstream,
        version: u32,
    ) -> Self {
        let mut wanted: Vec<(String, Value)> = configured(settings)
            .into_iter()
            .filter(|(name, _)| {
                let name = name.to_lowercase();
                !name.starts_with("recovery_target")
                    && name != "primary_conninfo"
                    && name != "primary_slot_name"
            })
            .collect();
        put(&mut wanted, "standby_mode", "on");
        put(&mut wanted, "recovery_target_timeline", "latest");
        if version >= 120_000 {
            for name in EMPTY_TARGETS {
                put(&mut wanted, name, "");
            }
        }
        if let Some(standby) = &facts.standby_cluster {
            for (name, given) in [
                ("restore_command", &standby.restore_command),
                ("archive_cleanup_command", &standby.archive_cleanup_command),
            ] {
                if let Some(given) = given {
                    put(&mut wanted, name, given.as_str());
                }
            }
            if let (Some(delay), Upstream::Remote { leading: true, .. }) =
                (&standby.recovery_min_apply_delay, upstream)
            {
                put(&mut wanted, "recovery_min_apply_delay", delay.as_str());
            }
        }
        let mut recovery = Self::default();
        if let Some((conninfo, pgpass)) = source(settings, facts, upstream, version) {
            put(&mut wanted, "primary_conninfo", conninfo.to_string());
            if let Some(slot) = slot(settings, upstream).filter(|_| version >= 90_400) {
                put(&mut wanted, "primary_slot_name", slot.as_str());
            }
            recovery.conninfo = Some(conninfo);
            recovery.pgpass = pgpass;
        }
        recovery.parameters = translate(wanted, version);
        recovery
    }

    /// The settings that a custom bootstrap method brings along, as it wrote them.
    pub(crate) fn custom(section: &Map<String, Value>, version: u32) -> Self {
        let standby = section.get("standby_mode").and_then(value::parse_bool) == Some(true);
        let wanted = section
            .iter()
            .map(|(name, given)| (name.clone(), given.clone()));
        Self {
            parameters: translate(wanted.collect(), version),
            purpose: if standby {
                Purpose::Standby
            } else {
                Purpose::Target
            },
            ..Self::default()
        }
    }

    /// Reads the recovery block of a `postgresql.conf` that we (or the reference) wrote; `None`
    /// without one.
    pub(crate) fn read_back(text: &str) -> Option<Self> {
        let (_, block) = text.split_once("\n# recovery.conf\n")?;
        let parameters: Vec<(String, Value)> = block
            .lines()
            .filter_map(|line| {
                let (name, quoted) = line.split_once(" = '")?;
                let plain = quoted
                    .strip_suffix('\'')?
                    .replace("''", "'")
                    .replace("\\\\", "\\");
                Some((name.to_owned(), Value::from(plain)))
            })
            .collect();
        let conninfo = parameters
            .iter()
            .find(|(name, _)| name == "primary_conninfo")
            .and_then(|(_, given)| ConnInfo::parse(&value::text(given)));
        Some(Self {
            parameters,
            conninfo,
            ..Self::default()
        })
    }

    /// The wanted text of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, given)| value::text(given))
    }
}

/// What the operator configured: the section `recovery_conf`, or, when any recovery parameter
/// stands among the parameters, those instead of the whole section.
fn configured(settings: &Postgresql) -> Vec<(String, Value)> {
    let among: Vec<(String, Value)> = settings
        .parameters
        .iter()
        .filter(|(name, given)| guc_table::is_recovery(name) && !given.is_null())
        .map(|(name, given)| (name.clone(), given.clone()))
        .collect();
    if among.is_empty() {
        let section = &settings.recovery_conf;
        section
            .iter()
            .map(|(name, given)| (name.clone(), given.clone()))
            .collect()
    } else {
        among
    }
}

/// The connection to the followed server, with the password file it needs.
fn source(
    settings: &Postgresql,
    facts: &ClusterFacts,
    upstream: &Upstream,
    version: u32,
) -> Option<(ConnInfo, Option<PgPass>)> {
    if facts.nostream {
        return None;
    }
    let (host, port, database) = match upstream {
        Upstream::None => return None,
        Upstream::Member { name, .. } if settings.name.as_ref() == Some(name) => return None,
        Upstream::Member { conn_url, .. } => {
            let url = ConnUrl::parse(conn_url)?;
            (url.host, url.port.to_string(), url.database)
        }
        Upstream::Remote { host, port, .. } => {
            let port = port.clone().unwrap_or_else(|| "5432".to_owned());
            (host.clone()?, port, String::new())
        }
    };
    let database = if database.is_empty() {
        settings.database.clone()
    } else {
        database
    };
    let mut conninfo = ConnInfo::default();
    conninfo
        .set_credentials(&settings.replication, version)
        .set_defaults(version);
    let several = host.contains(',');
    let pgpass = conninfo.get("password").map(|password| PgPass {
        host: Some(host.clone()),
        port: Some(port.clone()),
        user: settings.replication.username.clone(),
        password: patroni_core::Secret::new(password),
    });
    conninfo
        .set("host", Some(host))
        .set("port", Some(port))
        .set("dbname", Some(database))
        .set(
            "application_name",
            settings.name.as_ref().map(patroni_core::MemberName::as_str),
        )
        .set("krbsrvname", settings.krbsrvname.clone());
    let leading = matches!(upstream, Upstream::Remote { leading: true, .. });
    // The reference leaves this out without a slot; with several hosts a standby leader must
    // never follow a standby, slot or not.
    if leading && several && version >= 100_000 {
        conninfo.set("target_session_attrs", Some("read-write"));
    }
    if pgpass.is_some() && version >= 100_000 {
        conninfo.remove("password");
        conninfo.set("passfile", Some(settings.pgpass.to_string_lossy()));
        return Some((conninfo, pgpass));
    }
    Some((conninfo, None))
}

fn slot(settings: &Postgresql, upstream: &Upstream) -> Option<SlotName> {
    match upstream {
        Upstream::None => None,
        Upstream::Member { slot, .. } | Upstream::Remote { slot, .. } => {
            slot.clone().filter(|_| settings.use_slots)
        }
    }
}

/// Names and values as this version knows them; what it does not know is left out.
fn translate(wanted: Vec<(String, Value)>, version: u32) -> Vec<(String, Value)> {
    let mut out: Vec<(String, Value)> = Vec::new();
    for (name, given) in wanted.into_iter().filter(|(_, given)| !given.is_null()) {
        let name = name.to_lowercase();
        let (name, given) = match name.as_str() {
            "trigger_file" | "promote_trigger_file" if version >= 120_000 => {
                ("promote_trigger_file".to_owned(), given)
            }
            "promote_trigger_file" => ("trigger_file".to_owned(), given),
            "pause_at_recovery_target" if version >= 90_500 => {
                let pause = value::parse_bool(&given).unwrap_or(true);
                let action = if pause { "pause" } else { "promote" };
                ("recovery_target_action".to_owned(), Value::from(action))
            }
            "recovery_target_action" if version < 90_500 => {
                let promote = value::text(&given) == "promote";
                ("pause_at_recovery_target".to_owned(), Value::from(!promote))
            }
            _ => (name, given),
        };
        if let Some(accepted) = guc::accept_recovery(&name, &given, version) {
            put(&mut out, &name, accepted);
        }
    }
    out
}

fn put(list: &mut Vec<(String, Value)>, name: &str, given: impl Into<Value>) {
    let given = given.into();
    match list
        .iter_mut()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        Some((_, old)) => *old = given,
        None => list.push((name.to_owned(), given)),
    }
}

/// Written empty on 12 and later, so that an older value in another file cannot stop recovery.
const EMPTY_TARGETS: [&str; 5] = [
    "recovery_target",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
    "recovery_target_lsn",
];

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_config::dynamic::StandbyCluster;
    use patroni_config::file::postgresql::Credentials;
    use patroni_core::{MemberName, Secret};
    use serde_json::json;

    fn settings() -> Postgresql {
        Postgresql {
            name: Some(MemberName::new("a2")),
            database: "postgres".to_owned(),
            pgpass: "/run/a2.pgpass".into(),
            use_slots: true,
            replication: Credentials {
                username: Some("repl user".to_owned()),
                password: Some(Secret::new(r"re:p\pa'ss")),
                sslmode: Some("prefer".to_owned()),
                ..Credentials::default()
            },
            recovery_conf: json!({
                "restore_command": "cp /nonexistent/%f %p",
                "recovery_min_apply_delay": 0,
                "recovery_target_time": "2020-01-01",
            })
            .as_object()
            .unwrap()
            .clone(),
            ..Postgresql::default()
        }
    }

    fn member(name: &str) -> Upstream {
        Upstream::Member {
            name: MemberName::new(name),
            conn_url: "postgres://127.0.0.1:21501/postgres".to_owned(),
            slot: Some(SlotName::new("a2")),
        }
    }

    #[test]
    fn a_member_is_followed_by_its_address() {
        let facts = ClusterFacts::default();
        let recovery = Recovery::following(&settings(), &facts, &member("a1"), 150_018);
        assert_eq!(
            recovery.get("primary_conninfo").unwrap(),
            "dbname=postgres user=repl\\ user passfile=/run/a2.pgpass host=127.0.0.1 port=21501 \
             sslmode=prefer application_name=a2 gssencmode=prefer channel_binding=prefer"
        );
        assert_eq!(recovery.get("primary_slot_name").as_deref(), Some("a2"));
        assert_eq!(recovery.get("recovery_target_time").as_deref(), Some(""));
        assert_eq!(
            recovery.get("standby_mode"),
            None,
            "12 and later use a signal file"
        );
        assert_eq!(recovery.pgpass.unwrap().lines().len(), 1);
        let old = Recovery::following(&settings(), &facts, &member("a1"), 90_600);
        assert_eq!(old.get("standby_mode").as_deref(), Some("on"));
        assert!(old.get("primary_conninfo").unwrap().contains("password="));
    }

    #[test]
    fn a_written_block_is_read_back() {
        let facts = ClusterFacts::default();
        let recovery = Recovery::following(&settings(), &facts, &member("a1"), 150_018);
        let text = crate::conf::write::PostgresqlConf {
            include: "x",
            parameters: &[],
            hba_file: None,
            ident_file: None,
            recovery: Some(&recovery.parameters),
        }
        .render();
        let read = Recovery::read_back(&text).unwrap();
        assert_eq!(read.conninfo, recovery.conninfo);
        assert_eq!(read.get("restore_command"), recovery.get("restore_command"));
        assert_eq!(read.parameters.len(), recovery.parameters.len());
        assert_eq!(Recovery::read_back("work_mem = '5MB'\n"), None);
    }

    #[test]
    fn a_custom_bootstrap_recovers_to_its_target() {
        let section = json!({"recovery_target_time": "2020-01-01", "restore_command": "x"});
        let recovery = Recovery::custom(section.as_object().unwrap(), 150_018);
        assert_eq!(recovery.purpose, Purpose::Target);
        assert_eq!(
            recovery.get("recovery_target_time").as_deref(),
            Some("2020-01-01")
        );
        let section = json!({"standby_mode": "on"});
        let recovery = Recovery::custom(section.as_object().unwrap(), 150_018);
        assert_eq!(recovery.purpose, Purpose::Standby);
    }

    #[test]
    fn a_null_is_left_out() {
        let mut settings = settings();
        settings
            .recovery_conf
            .insert("restore_command".to_owned(), json!(null));
        settings
            .parameters
            .insert("recovery_end_command".to_owned(), json!(null));
        let facts = ClusterFacts::default();
        let recovery = Recovery::following(&settings, &facts, &member("a1"), 150_018);
        assert_eq!(recovery.get("restore_command"), None);
        assert_eq!(recovery.get("recovery_end_command"), None);
    }

    #[test]
    fn nobody_follows_himself_or_against_the_tag() {
        let mut facts = ClusterFacts::default();
        let own = Recovery::following(&settings(), &facts, &member("a2"), 150_018);
        assert_eq!(own.get("primary_conninfo"), None);
        assert_eq!(own.get("primary_slot_name"), None);
        facts.nostream = true;
        let tagged = Recovery::following(&settings(), &facts, &member("a1"), 150_018);
        assert_eq!(tagged.conninfo, None);
        assert!(tagged.get("restore_command").is_some());
    }

    #[test]
    fn a_standby_leader_takes_the_cluster_s_settings() {
        let facts = ClusterFacts {
            standby_cluster: Some(StandbyCluster {
                restore_command: Some("fetch".to_owned()),
                recovery_min_apply_delay: Some("2s".to_owned()),
                ..StandbyCluster::default()
            }),
            ..ClusterFacts::default()
        };
        let remote = Upstream::Remote {
            host: Some("h1,h2".to_owned()),
            port: Some("5432".to_owned()),
            slot: None,
            leading: true,
        };
        let recovery = Recovery::following(&settings(), &facts, &remote, 150_018);
        assert_eq!(recovery.get("restore_command").as_deref(), Some("fetch"));
        assert_eq!(
            recovery.get("recovery_min_apply_delay").as_deref(),
            Some("2s")
        );
        let conninfo = recovery.conninfo.unwrap();
        assert_eq!(conninfo.get("target_session_attrs"), Some("read-write"));
        assert_eq!(conninfo.get("host"), Some("h1,h2"));
    }

    #[test]
    fn parameters_replace_the_whole_section() {
        let mut settings = settings();
        settings
            .parameters
            .insert("recovery_end_command".to_owned(), json!("true"));
        settings
            .parameters
            .insert("trigger_file".to_owned(), json!("/old/name"));
        let recovery = Recovery::following(
            &settings,
            &ClusterFacts::default(),
            &Upstream::None,
            150_018,
        );
        assert_eq!(recovery.get("restore_command"), None);
        assert_eq!(
            recovery.get("promote_trigger_file").as_deref(),
            Some("/old/name")
        );
    }
}
