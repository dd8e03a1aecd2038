//! The dynamic configuration, typed: what the store's `config` object means.

use std::time::Duration;

use patroni_core::{Cluster, value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The cluster-wide settings in effect. Integers are clamped and defaulted as the reference does;
/// a document whose three timeouts cannot be read is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dynamic {
    /// `ttl`: life of the leader lock. At least 20 s.
    pub ttl: Duration,
    /// `loop_wait`: pause between cycles. At least 1 s.
    pub loop_wait: Duration,
    /// `retry_timeout`: budget of one store operation. At least 3 s.
    pub retry_timeout: Duration,
    /// `maximum_lag_on_failover` in bytes.
    pub maximum_lag_on_failover: i64,
    /// `maximum_lag_on_syncnode` in bytes; zero and below switch the rule off.
    pub maximum_lag_on_syncnode: i64,
    /// `max_timelines_history`; 0 keeps all.
    pub max_timelines_history: usize,
    /// `check_timeline`.
    pub check_timeline: bool,
    /// `primary_start_timeout`; zero prefers failover.
    pub primary_start_timeout: Duration,
    /// `primary_stop_timeout`; honoured only above zero and in synchronous mode.
    pub primary_stop_timeout: Duration,
    /// `synchronous_mode`, already `Off` in a standby cluster.
    pub synchronous_mode: SynchronousMode,
    /// `synchronous_mode_strict`.
    pub synchronous_mode_strict: bool,
    /// `synchronous_node_count`, at least 1 when strict.
    pub synchronous_node_count: usize,
    /// `failsafe_mode`.
    pub failsafe_mode: bool,
    /// `pause`.
    pub pause: bool,
    /// `standby_cluster`, when active.
    pub standby_cluster: Option<StandbyCluster>,
    /// `member_slots_ttl`; zero drops slots of absent members at once.
    pub member_slots_ttl: Duration,
    /// `slots` (or one of its old names), unread: the rules judge each entry.
    pub permanent_slots: Map<String, Value>,
    /// `ignore_slots`, unread.
    pub ignore_slots: Vec<Value>,
    /// `postgresql.use_slots`.
    pub use_slots: bool,
}

/// Whether and how commits wait for standbys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SynchronousMode {
    /// They do not.
    #[default]
    Off,
    /// For chosen standbys.
    Priority,
    /// For any of the voters.
    Quorum,
}

/// The remote that a standby cluster follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyCluster {
    /// Host or comma list of hosts.
    pub host: Option<String>,
    /// Port or comma list of ports.
    pub port: Option<String>,
    /// Slot on the remote.
    pub primary_slot_name: Option<String>,
    /// Archive to read from.
    pub restore_command: Option<String>,
    /// Cleans the archive.
    pub archive_cleanup_command: Option<String>,
    /// Delay of the standby leader.
    pub recovery_min_apply_delay: Option<String>,
    /// Methods to make copies.
    pub create_replica_methods: Vec<String>,
}

impl Default for Dynamic {
    fn default() -> Self {
        Self::read(&Map::new())
            .map(|(settings, _)| settings)
            .expect("an empty document is all defaults")
    }
}

/// A document that cannot be used; the one in effect stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read dynamic setting {key}: {value} {problem}")]
pub struct DynamicError {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) problem: &'static str,
}

impl Dynamic {
    /// The settings of a cluster as its view has them; `None` when the document is missing or
    /// unusable.
    pub fn of(cluster: &Cluster) -> Option<Self> {
        let doc = cluster.config.as_ref().filter(|doc| doc.is_valid())?;
        Self::read(&doc.data).ok().map(|(settings, _)| settings)
    }

    /// Reads a document. The texts are warnings for the log: clamped timeouts.
    ///
    /// # Errors
    /// One of `ttl`, `loop_wait`, `retry_timeout` is no integer; `postgresql` or
    /// `standby_cluster` says something and is no mapping.
    pub fn read(doc: &Map<String, Value>) -> Result<(Self, Vec<String>), DynamicError> {
        let mut warnings = Vec::new();
        let timeout = |key: &'static str, default: i64| match doc.get(key) {
            None => Ok(default),
            Some(given) => value::to_int(given).ok_or_else(|| DynamicError {
                key,
                value: value::text(given),
                problem: "is not an integer",
            }),
        };
        let (ttl, loop_wait, retry_timeout) = adjust_timeouts(
            timeout("ttl", 30)?,
            timeout("loop_wait", 10)?,
            timeout("retry_timeout", 10)?,
            &mut warnings,
        );
        let int =
            |key: &str, default: i64| doc.get(key).and_then(value::parse_int).unwrap_or(default);
        let flag = |key: &str| doc.get(key).and_then(value::parse_bool).unwrap_or(false);
        let either = |new: &str, old: &str, default: i64| {
            if doc.contains_key(new) {
                int(new, default)
            } else {
                int(old, default)
            }
        };
        let standby_cluster = section(doc, "standby_cluster")?.and_then(StandbyCluster::read);
        let strict = flag("synchronous_mode_strict");
        let nodes = int("synchronous_node_count", 1).max(i64::from(strict));
        let postgresql = section(doc, "postgresql")?;
        let settings = Self {
            ttl: seconds(ttl),
            loop_wait: seconds(loop_wait),
            retry_timeout: seconds(retry_timeout),
            maximum_lag_on_failover: int("maximum_lag_on_failover", 1_048_576),
            maximum_lag_on_syncnode: int("maximum_lag_on_syncnode", -1),
            max_timelines_history: usize::try_from(int("max_timelines_history", 0)).unwrap_or(0),
            check_timeline: flag("check_timeline"),
            primary_start_timeout: seconds(either(
                "primary_start_timeout",
                "master_start_timeout",
                300,
            )),
            primary_stop_timeout: seconds(either("primary_stop_timeout", "master_stop_timeout", 0)),
            synchronous_mode: match standby_cluster {
                Some(_) => SynchronousMode::Off,
                None => synchronous_mode(doc.get("synchronous_mode")),
            },
            synchronous_mode_strict: strict,
            synchronous_node_count: usize::try_from(nodes).unwrap_or(0),
            failsafe_mode: flag("failsafe_mode"),
            pause: flag("pause"),
            standby_cluster,
            member_slots_ttl: seconds(
                doc.get("member_slots_ttl")
                    .and_then(value::parse_seconds)
                    .unwrap_or(1800),
            ),
            permanent_slots: ["permanent_replication_slots", "permanent_slots", "slots"]
                .iter()
                .filter_map(|key| doc.get(*key)?.as_object())
                .find(|slots| !slots.is_empty())
                .cloned()
                .unwrap_or_default(),
            ignore_slots: doc
                .get("ignore_slots")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            use_slots: postgresql
                .and_then(|section| section.get("use_slots"))
                .is_none_or(|given| value::parse_bool(given).unwrap_or(true)),
        };
        Ok((settings, warnings))
    }

    /// Whether synchronous mode is on in either form.
    pub fn is_synchronous(&self) -> bool {
        self.synchronous_mode != SynchronousMode::Off
    }
}

impl StandbyCluster {
    fn read(section: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| {
            section
                .get(key)
                .filter(|v| value::is_truthy(v))
                .map(value::text)
        };
        let cluster = Self {
            host: text("host"),
            port: text("port"),
            primary_slot_name: text("primary_slot_name"),
            restore_command: text("restore_command"),
            archive_cleanup_command: text("archive_cleanup_command"),
            recovery_min_apply_delay: text("recovery_min_apply_delay"),
            create_replica_methods: match section.get("create_replica_methods") {
                Some(Value::Array(methods)) => methods.iter().map(value::text).collect(),
                Some(Value::String(method)) if !method.is_empty() => vec![method.clone()],
                Some(_) | None => Vec::new(),
            },
        };
        let active =
            cluster.host.is_some() || cluster.port.is_some() || cluster.restore_command.is_some();
        active.then_some(cluster)
    }
}

/// A mapping inside the document. Nothing and everything empty stand for an absent one.
fn section<'d>(
    doc: &'d Map<String, Value>,
    key: &'static str,
) -> Result<Option<&'d Map<String, Value>>, DynamicError> {
    match doc.get(key).filter(|given| value::is_truthy(given)) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(other) => Err(DynamicError {
            key,
            value: value::text(other),
            problem: "is not a dictionary",
        }),
    }
}

fn synchronous_mode(given: Option<&Value>) -> SynchronousMode {
    match given {
        Some(Value::String(text)) if text.eq_ignore_ascii_case("quorum") => SynchronousMode::Quorum,
        Some(given) if value::parse_bool(given) == Some(true) => SynchronousMode::Priority,
        Some(_) | None => SynchronousMode::Off,
    }
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0).min(LONGEST))
}

const RULE: &str = "Violated the rule \"loop_wait + 2*retry_timeout <= ttl\", where";

/// The longest timeout, some 25 days: as milliseconds it is the largest that PostgreSQL's timeouts
/// and ZooKeeper's sessions can hold. (etcd's leases end at 285 years, clocks soon after.)
const LONGEST_TIMEOUT: i64 = 2_147_483;

/// What any other number of seconds is cut to: a century, which every clock can add to now.
const LONGEST: u64 = 100 * 366 * 24 * 3600;

/// Raises each timeout to its minimum, lowers it to [`LONGEST_TIMEOUT`], and then holds `loop_wait + 2*retry_timeout <= ttl`, the
/// relation that lets a primary whose two store operations both burn their budgets still stop in
/// time. Returns ttl, loop wait and retry timeout in seconds.
pub fn adjust_timeouts(
    mut ttl: i64,
    mut loop_wait: i64,
    mut retry: i64,
    warnings: &mut Vec<String>,
) -> (i64, i64, i64) {
    for (key, value, minimum) in [
        ("loop_wait", &mut loop_wait, 1),
        ("retry_timeout", &mut retry, 3),
        ("ttl", &mut ttl, 20),
    ] {
        if *value < minimum {
            warnings.push(format!(
                "{key}={value} can't be smaller than {minimum}, adjusting..."
            ));
            *value = minimum;
        } else if *value > LONGEST_TIMEOUT {
            warnings.push(format!(
                "{key}={value} can't be larger than {LONGEST_TIMEOUT}, adjusting..."
            ));
            *value = LONGEST_TIMEOUT;
        }
    }
    if 1 + retry.saturating_mul(2) > ttl {
        let fitting = (ttl - 1) / 2;
        warnings.push(format!(
            "{RULE} ttl={ttl}. Adjusting loop_wait from {loop_wait} to 1 and retry_timeout from {retry} to {fitting}"
        ));
        (loop_wait, retry) = (1, fitting);
    } else if loop_wait.saturating_add(2 * retry) > ttl {
        let fitting = ttl - 2 * retry;
        warnings.push(format!(
            "{RULE} ttl={ttl} and retry_timeout={retry}. Adjusting loop_wait from {loop_wait} to {fitting}"
        ));
        loop_wait = fitting;
    }
    (ttl, loop_wait, retry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(doc: &Value) -> Dynamic {
        Dynamic::read(doc.as_object().unwrap()).unwrap().0
    }

    #[test]
    fn timeouts_are_clamped_as_the_reference_does() {
        for ((loop_wait, retry, ttl), expected) in [
            ((10, 10, 30), (10, 10, 30)),
            ((10, 10, 29), (9, 10, 29)),
            ((10, 10, 20), (1, 9, 20)),
            ((10, 15, 30), (1, 14, 30)),
            ((10, 14, 30), (2, 14, 30)),
            ((0, 1, 5), (1, 3, 20)),
            ((10, 100, 60), (1, 29, 60)),
            ((21, 20, 60), (20, 20, 60)),
        ] {
            let (ttl, loop_wait, retry) = adjust_timeouts(ttl, loop_wait, retry, &mut Vec::new());
            assert_eq!((loop_wait, retry, ttl), expected);
        }
    }

    #[test]
    fn no_timeout_is_too_long_for_a_clock() {
        let doc = json!({"ttl": i64::MAX, "loop_wait": i64::MAX, "retry_timeout": i64::MAX,
            "primary_start_timeout": i64::MAX, "member_slots_ttl": "106751991167300d"});
        let (dynamic, warnings) = Dynamic::read(doc.as_object().unwrap()).unwrap();
        assert_eq!(dynamic.ttl, Duration::from_secs(2_147_483));
        assert!(dynamic.loop_wait + 2 * dynamic.retry_timeout <= dynamic.ttl);
        assert!(
            warnings.contains(
                &"ttl=9223372036854775807 can't be larger than 2147483, adjusting...".to_owned()
            ),
            "{warnings:?}"
        );
        let now = std::time::Instant::now();
        for timeout in [
            dynamic.ttl,
            dynamic.primary_start_timeout,
            dynamic.member_slots_ttl,
        ] {
            assert!(now.checked_add(2 * timeout).is_some());
        }
        let longest = json!({"ttl": LONGEST_TIMEOUT, "loop_wait": 10, "retry_timeout": 10});
        let (dynamic, warnings) = Dynamic::read(longest.as_object().unwrap()).unwrap();
        assert_eq!(dynamic.ttl, Duration::from_secs(2_147_483));
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn settings_come_with_defaults_and_old_names() {
        let all_defaults = Dynamic::default();
        assert_eq!(all_defaults.primary_start_timeout, Duration::from_mins(5));
        assert!(all_defaults.use_slots);
        assert_eq!(
            read(&json!({"master_start_timeout": 7})).primary_start_timeout,
            Duration::from_secs(7)
        );
        assert_eq!(
            read(&json!({"synchronous_mode": "Quorum"})).synchronous_mode,
            SynchronousMode::Quorum
        );
        assert_eq!(
            read(&json!({"synchronous_mode": "on"})).synchronous_mode,
            SynchronousMode::Priority
        );
        let standby = read(&json!({"synchronous_mode": true, "standby_cluster": {"host": "h"}}));
        assert_eq!(standby.synchronous_mode, SynchronousMode::Off);
        assert_eq!(
            read(&json!({"standby_cluster": {"host": ""}})).standby_cluster,
            None
        );
        assert_eq!(
            read(&json!({"maximum_lag_on_failover": "1MB"})).maximum_lag_on_failover,
            1_048_576
        );
    }

    #[test]
    fn a_document_that_says_nothing_of_the_kind_is_refused_whole() {
        for (doc, refusal) in [
            (json!({"ttl": "abc"}), "ttl: abc is not an integer"),
            (
                json!({"loop_wait": "20.4"}),
                "loop_wait: 20.4 is not an integer",
            ),
            (
                json!({"postgresql": "x"}),
                "postgresql: x is not a dictionary",
            ),
            (
                json!({"standby_cluster": "x"}),
                "standby_cluster: x is not a dictionary",
            ),
        ] {
            let refused = Dynamic::read(doc.as_object().unwrap()).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("read dynamic setting {refusal}")
            );
        }
        let empty = json!({"postgresql": null, "standby_cluster": "", "ttl": "1_000"});
        assert_eq!(read(&empty).ttl, Duration::from_secs(1000));
    }
}
