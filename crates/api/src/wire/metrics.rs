//! `GET /metrics`: the text exposition.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use patroni_core::{Lsn, Role, State, Timeline};

use super::durations::{Durations, StoreOperation};
use super::histogram::{BOUNDS_MS, Reading};
use super::status::Status;

/// The exposition: the rows of the contract in their order, then the durations.
pub fn render(status: &Status<'_>, measured: &Durations) -> String {
    let mut page = Page::new(status);
    let metric = status.snapshot.version.metric();
    page.gauge("version", "Version of this member.", metric);
    server(&mut page, status);
    recovery(&mut page, status);
    node(&mut page, status);
    durations(&mut page, measured);
    page.text
}

fn server(page: &mut Page, status: &Status<'_>) {
    let row = status.row();
    let role = status.role();
    page.flag("postgres_running", "PostgreSQL runs.", status.is_running());
    let started = row.and_then(|row| row.postmaster_start_time.as_deref());
    page.gauge(
        "postmaster_start_time",
        "Epoch seconds of the postmaster's start, 0 unknown.",
        epoch(started),
    );
    page.flag("primary", "Is the primary.", role == Role::Primary);
    let flushed = row.filter(|row| !row.in_recovery).map(|row| row.flushed);
    page.position("xlog_location", "Flushed position of a primary.", flushed);
    let leads_standbys = role == Role::StandbyLeader;
    page.flag("standby_leader", "Leads a standby cluster.", leads_standbys);
    page.flag("replica", "Is a replica.", role == Role::Replica);
    let (sync, quorum) = (status.is_sync_standby(), status.is_quorum_standby());
    page.flag("sync_standby", "Is a synchronous standby.", sync);
    page.flag("quorum_standby", "Is a quorum standby.", quorum);
}

fn recovery(page: &mut Page, status: &Status<'_>) {
    let row = status.row();
    let recovering = row.filter(|row| row.in_recovery);
    let received = recovering.and_then(|row| row.received.or(row.replayed));
    page.position(
        "xlog_received_location",
        "Received position of a standby.",
        received,
    );
    page.position(
        "xlog_replayed_location",
        "Replayed position of a standby.",
        recovering.and_then(|row| row.replayed),
    );
    let last = recovering.and_then(|row| row.replayed_timestamp.as_deref());
    page.gauge(
        "xlog_replayed_timestamp",
        "Epoch seconds of the last replayed transaction, 0 if none.",
        epoch(last),
    );
    let paused = recovering.is_some_and(|row| row.replay_paused);
    page.flag("xlog_paused", "Replay is paused.", paused);
    if let Some(row) = row.filter(|row| row.server_version >= 90_600) {
        let is = |state: &str| row.replication_state.as_deref() == Some(state);
        page.flag("postgres_streaming", "WAL is streamed.", is("streaming"));
        page.flag(
            "postgres_in_archive_recovery",
            "WAL comes from the archive.",
            is("in archive recovery"),
        );
    }
}

fn node(page: &mut Page, status: &Status<'_>) {
    let snapshot = status.snapshot;
    let row = status.row();
    page.gauge(
        "postgres_server_version",
        "Version of PostgreSQL, 0 unknown.",
        row.map_or(0, |row| row.server_version),
    );
    page.flag(
        "cluster_unlocked",
        "Nobody is known to hold the leader lock.",
        status.is_cluster_unlocked(),
    );
    page.flag(
        "failsafe_mode_is_active",
        "A leader goes on without the store.",
        status.failsafe_active,
    );
    page.flag(
        "failsafe_mode_enabled",
        "The failsafe mode is on.",
        snapshot.failsafe_mode,
    );
    let on_list = |members: &BTreeMap<_, _>| members.contains_key(&snapshot.name);
    page.flag(
        "failsafe_member",
        "Is on the failsafe list.",
        snapshot.failsafe_members.as_ref().is_some_and(on_list),
    );
    page.gauge(
        "postgres_timeline",
        "Timeline of PostgreSQL, 0 unknown.",
        row.and_then(|row| row.timeline).map_or(0, Timeline::number),
    );
    page.gauge(
        "dcs_last_seen",
        "Epoch seconds of the last good read of the store.",
        snapshot.dcs_last_seen,
    );
    let pending = !snapshot.pending_restart.is_empty();
    page.flag(
        "pending_restart",
        "PostgreSQL waits for a restart.",
        pending,
    );
    page.flag("is_paused", "The cluster is paused.", snapshot.paused);
    let legend = state_legend();
    let help = "State of PostgreSQL as a number.";
    page.head("postgres_state", help, Some(&legend), "gauge");
    page.sample("postgres_state", status.state_number());
    page.flag(
        "postgres_accepts_connections",
        "PostgreSQL is not known to leave new connections without an answer.",
        status.is_running() && snapshot.accepts_connections,
    );
    page.gauge(
        "failover_priority",
        "Rank of this member in a failover, 0 never.",
        if snapshot.tags.nofailover() {
            0
        } else {
            snapshot.tags.failover_priority()
        },
    );
}

/// What the node measures of itself.
fn durations(page: &mut Page, measured: &Durations) {
    page.histogram(
        "ha_cycle_seconds",
        "Time of a cycle of the HA loop.",
        [(String::new(), measured.cycle.read())],
    );
    // Operations that never happened here are left out: a page is read often.
    let used = StoreOperation::ALL
        .into_iter()
        .map(|operation| (operation, measured.store(operation).read()))
        .filter(|(_, reading)| reading.count() > 0)
        .map(|(operation, reading)| (format!(",operation=\"{}\"", operation.as_str()), reading));
    page.histogram(
        "store_request_seconds",
        "Time of a call to the store, successful or not.",
        used,
    );
    page.histogram(
        "promotion_seconds",
        "Time from taking the leader lock until PostgreSQL accepts writes.",
        [(String::new(), measured.promotion.read())],
    );
    page.histogram(
        "demotion_seconds",
        "Time from the request to stop a primary until it takes no more writes.",
        [(String::new(), measured.demotion.read())],
    );
}

struct Page {
    text: String,
    labels: String,
}

impl Page {
    /// The labels are written as they are, without escapes: a promise to existing dashboards.
    fn new(status: &Status<'_>) -> Self {
        let (scope, name) = (&status.snapshot.scope, &status.snapshot.name);
        Self {
            text: String::with_capacity(6 * 1024),
            labels: format!("{{scope=\"{scope}\",name=\"{name}\"}}"),
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, help, None, "gauge");
        self.sample(name, value);
    }

    fn position(&mut self, name: &str, help: &str, value: Option<Lsn>) {
        self.head(name, help, None, "counter");
        self.sample(name, value.unwrap_or_default().bytes());
    }

    fn flag(&mut self, name: &str, help: &str, set: bool) {
        self.gauge(name, help, u8::from(set));
    }

    fn head(&mut self, name: &str, help: &str, legend: Option<&str>, kind: &str) {
        let legend = legend.map_or_else(String::new, |legend| format!("# Values: {legend}\n"));
        write!(
            self.text,
            "# HELP patroni_{name} {help}\n{legend}# TYPE patroni_{name} {kind}\n"
        )
        .expect("writing to a string");
    }

    /// Each series comes with the labels that it adds, a comma before each.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (String, Reading)>,
    ) {
        self.head(name, help, None, "histogram");
        for (added, reading) in series {
            self.series(name, &added, &reading);
        }
    }

    fn series(&mut self, name: &str, added: &str, reading: &Reading) {
        let common = self.labels.strip_suffix('}').unwrap_or_default();
        let labels = format!("{common}{added}");
        let bounds = BOUNDS_MS.map(|bound| (bound / 1000.0).to_string());
        let bounds = bounds.into_iter().chain(["+Inf".to_owned()]);
        let mut line = |end: std::fmt::Arguments<'_>| {
            writeln!(self.text, "patroni_{name}_{end}").expect("writing to a string");
        };
        for (bound, count) in bounds.zip(reading.up_to) {
            line(format_args!("bucket{labels},le=\"{bound}\"}} {count}"));
        }
        line(format_args!("sum{labels}}} {}", reading.sum.as_secs_f64()));
        line(format_args!("count{labels}}} {}", reading.count()));
    }

    fn sample(&mut self, name: &str, value: impl Display) {
        let labels = &self.labels;
        writeln!(self.text, "patroni_{name}{labels} {value}").expect("writing to a string");
    }
}

/// `0=initdb, 1=..`: the numbers of the states. The reference names three of them otherwise here
/// than in the status document.
fn state_legend() -> String {
    let states: Vec<String> = State::ALL
        .into_iter()
        .map(|state| {
            let word = match state {
                State::InitializingNewCluster => "initdb",
                State::RunningCustomBootstrap => "custom_bootstrap",
                State::StartingAfterCustomBootstrap => "bootstrap_starting",
                State::InitdbFailed
                | State::CustomBootstrapFailed
                | State::CreatingReplica
                | State::Running
                | State::Starting
                | State::StartFailed
                | State::Restarting
                | State::RestartFailed
                | State::Stopping
                | State::Stopped
                | State::StopFailed
                | State::Crashed => state.as_str(),
            };
            format!("{}={}", state.metric(), word.replace(' ', "_"))
        })
        .collect();
    states.join(", ")
}

/// Epoch seconds with a fraction; `0` when unknown.
fn epoch(text: Option<&str>) -> String {
    let micros = text
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map(jiff::Timestamp::as_microsecond);
    match micros {
        None => "0".to_owned(),
        Some(micros) => {
            let (whole, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
            let digits = format!("{fraction:06}");
            let digits = digits.trim_end_matches('0');
            format!("{whole}.{}", if digits.is_empty() { "0" } else { digits })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use patroni_core::{MemberName, Scope};

    use super::super::facts::ServerFacts;
    use super::super::snapshot::Snapshot;
    use super::*;

    #[test]
    fn durations_follow_the_rows_of_the_contract() {
        let snapshot = Snapshot::new(Scope::new("demo"), MemberName::new("a"));
        let facts = ServerFacts::without_row(State::Stopped, Role::Uninitialized);
        let status = Status::new(&snapshot, &facts, Instant::now());
        let measured = Durations::default();
        let load = measured.store(StoreOperation::Load);
        load.record(Duration::from_micros(1500));
        load.record(Duration::from_mins(1));
        let page = render(&status, &measured);
        let (contract, ours) = page.split_once("# HELP patroni_ha_cycle_seconds ").unwrap();
        assert!(
            contract.ends_with("\npatroni_failover_priority{scope=\"demo\",name=\"a\"} 1\n"),
            "{contract}"
        );
        let series: Vec<&str> = ours
            .lines()
            .filter(|line| line.starts_with("patroni_store"))
            .collect();
        let line = |end: &str, labels: &str, value: &str| {
            let name = "patroni_store_request_seconds";
            format!("{name}_{end}{{scope=\"demo\",name=\"a\",operation=\"load\"{labels}}} {value}")
        };
        assert_eq!(series.len(), BOUNDS_MS.len() + 3);
        assert_eq!(series[0], line("bucket", ",le=\"0.001\"", "0"));
        assert_eq!(series[1], line("bucket", ",le=\"0.0025\"", "1"));
        assert_eq!(series[13], line("bucket", ",le=\"30\"", "1"));
        assert_eq!(series[14], line("bucket", ",le=\"+Inf\"", "2"));
        assert_eq!(series[15], line("sum", "", "60.0015"));
        assert_eq!(series[16], line("count", "", "2"));
        for name in ["ha_cycle", "store_request", "promotion", "demotion"] {
            let kind = format!("# TYPE patroni_{name}_seconds histogram\n");
            assert_eq!(page.matches(&kind).count(), 1, "{name}");
        }
    }

    #[test]
    fn the_legend_has_the_names_of_the_reference() {
        assert_eq!(
            state_legend(),
            "0=initdb, 1=initdb_failed, 2=custom_bootstrap, 3=custom_bootstrap_failed, \
             4=creating_replica, 5=running, 6=starting, 7=bootstrap_starting, 8=start_failed, \
             9=restarting, 10=restart_failed, 11=stopping, 12=stopped, 13=stop_failed, 14=crashed"
        );
    }

    #[test]
    fn times_are_epoch_seconds_with_a_fraction() {
        for (text, expected) in [
            (Some("1970-01-01 00:00:10.250000+00:00"), "10.25"),
            (Some("1970-01-01 02:00:10+02:00"), "10.0"),
            (Some("nonsense"), "0"),
            (None, "0"),
        ] {
            assert_eq!(epoch(text), expected);
        }
    }
}
