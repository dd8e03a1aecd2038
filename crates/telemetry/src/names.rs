//! Logger names of the reference and our own targets.

use tracing_subscriber::filter::Targets;

use crate::settings::{Level, LogSettings};

/// Names whose parts do not translate letter by letter. The longest match counts.
const KNOWN: [(&str, &str); 14] = [
    ("patroni", "patroni"),
    ("patroni.__main__", "patroni_node"),
    ("patroni.async_executor", "patroni_node"),
    ("patroni.callback_executor", "patroni_postgres::callbacks"),
    ("patroni.postmaster", "patroni_postgres::process"),
    ("patroni.postgresql", "patroni_postgres"),
    ("patroni.request", "patroni_api::client"),
    ("patroni.daemon", "patroni_node"),
    ("patroni.log", "patroni_telemetry"),
    ("patroni.scripts", "patroni_postgres"),
    ("urllib3", "hyper_util"),
    ("etcd", "etcd_client"),
    ("kazoo", "zookeeper_client"),
    ("pysyncobj", "patroni_dcs::raft"),
];

/// Who may write at which level. Other people's crates are quieter than ours: their chatter
/// below WARNING is written only when `loggers` asks for it.
pub(crate) fn targets(settings: &LogSettings) -> Targets {
    let foreign = settings.level.max(Level::Warning);
    let mut targets = Targets::new()
        .with_default(foreign.filter())
        .with_target("patroni", settings.level.filter());
    for (name, level) in &settings.loggers {
        targets = targets.with_target(target(name), level.filter());
    }
    targets
}

fn target(name: &str) -> String {
    let known = KNOWN
        .iter()
        .filter(|(known, _)| {
            name.strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .max_by_key(|(known, _)| known.len());
    match known {
        Some(("patroni", _)) if name != "patroni" => name.replacen('.', "_", 1).replace('.', "::"),
        Some((known, target)) => format!("{target}{}", name[known.len()..].replace('.', "::")),
        None => name.replace('.', "::"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated() {
        for (name, expected) in [
            ("patroni", "patroni"),
            ("patroni.ha", "patroni_ha"),
            ("patroni.dcs.etcd3", "patroni_dcs::etcd3"),
            ("patroni.postgresql.rewind", "patroni_postgres::rewind"),
            ("patroni.__main__", "patroni_node"),
            ("urllib3.connectionpool", "hyper_util::connectionpool"),
            ("patroni_node::ha_loop", "patroni_node::ha_loop"),
            ("botocore", "botocore"),
        ] {
            assert_eq!(target(name), expected, "{name}");
        }
    }

    #[test]
    fn others_are_quieter() {
        let mut settings = LogSettings {
            level: Level::Debug,
            ..LogSettings::default()
        };
        settings
            .loggers
            .insert("patroni.dcs".to_owned(), Level::Error);
        let targets = targets(&settings);
        assert!(targets.would_enable("patroni_ha::cycle", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("patroni_dcs::etcd", &tracing::Level::WARN));
        assert!(!targets.would_enable("hyper", &tracing::Level::INFO));
        assert!(targets.would_enable("hyper", &tracing::Level::WARN));
    }
}
