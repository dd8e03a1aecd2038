//! Looking at everything a cycle may use, at one time.

use std::sync::Arc;

use patroni_config::dynamic::Dynamic;
use patroni_config::file::guardian::GuardianMode;
use patroni_config::file::watchdog::WatchdogMode;
use patroni_core::server::{Answer, LocalServer};
use patroni_core::{Cluster, Role, State};
use patroni_ha::Observation;
use patroni_ha::job::{Job, JobReport, RunningJob};
use patroni_ha::observation::{NodeFacts, ScheduledRestart, WatchdogFacts};
use patroni_postgres::Ask;
use serde_json::{Map, Value};

use crate::act::{Body, LOOK};
use crate::probe;

/// What the loop itself adds to an observation.
pub(crate) struct OfTheLoop {
    pub(crate) executor: Option<RunningJob>,
    pub(crate) finished: Vec<JobReport>,
    pub(crate) scheduled_restart: Option<ScheduledRestart>,
    pub(crate) config_in_memory: Arc<Map<String, Value>>,
}

/// Reads the store and looks at the server, at the same time.
pub(crate) async fn observe(body: &Arc<Body>, of_the_loop: OfTheLoop) -> Observation {
    let settings = body.settings();
    let dynamic = settings.dynamic.clone();
    let ask = what_to_ask(body, &dynamic);
    body.lock_turn.observed().await;
    let (store, mut server) = tokio::join!(body.load_view(), body.supervisor.observe(ask, LOOK));
    complete_timeline(body, store.as_deref().ok(), &mut server).await;
    let OfTheLoop {
        executor,
        finished,
        scheduled_restart,
        config_in_memory,
    } = of_the_loop;
    let now = body.clock.now();
    body.note_server(&server);
    let failsafe_leader = {
        let mut facts = body.facts();
        facts.positions_are_stable = executor
            .as_ref()
            .is_none_or(|running| running.job == Job::Promote);
        facts.scheduled_restart = scheduled_restart.as_ref().map(published);
        facts.failsafe_leader.take_if(|(_, until)| *until <= now);
        facts
            .failsafe_leader
            .as_ref()
            .map(|(leader, _)| leader.clone())
    };
    let watchdog = watchdog_facts(body);
    let probe = probe::facts(body);
    Observation {
        now,
        wall: jiff::Timestamp::now(),
        node: node_facts(body),
        settings: dynamic,
        config_in_memory,
        store,
        server,
        executor,
        finished,
        scheduled_restart,
        watchdog,
        failsafe_leader,
        probe,
    }
}

/// A look at the server alone, for settings that came with the view.
pub(crate) async fn look(body: &Body, dynamic: &Dynamic, view: Option<&Cluster>) -> LocalServer {
    let ask = what_to_ask(body, dynamic);
    let mut server = body.supervisor.observe(ask, LOOK).await;
    complete_timeline(body, view, &mut server).await;
    body.note_server(&server);
    server
}

fn what_to_ask(body: &Body, dynamic: &Dynamic) -> Ask {
    let role = body.supervisor.role();
    Ask {
        slots: true,
        sync: dynamic.is_synchronous() && matches!(role, Role::Primary | Role::Promoted),
        standby_leader: role == Role::StandbyLeader,
    }
}

/// A standby whose WAL receiver is gone still has a timeline, and decisions need it: of all the
/// moment after the primary died. It is asked once per timeline of the leader. Source: the HA
/// contract, section 29.
async fn complete_timeline(body: &Body, view: Option<&Cluster>, server: &mut LocalServer) {
    let is_running = server.state == State::Running;
    let Answer::Known(status) = &mut server.status else {
        return;
    };
    let told = status.receiver_timeline.or(status.control_timeline);
    if !status.in_recovery() || told.is_some() || !is_running {
        body.facts().asked_timeline = None;
        return;
    }
    let leaders = view
        .and_then(Cluster::leader_member)
        .and_then(|leader| leader.data.timeline());
    let asked = body.facts().asked_timeline;
    let mine = match asked.filter(|(then, _)| *then == leaders) {
        Some((_, mine)) => Some(mine),
        None => body.supervisor.replication_timeline().await,
    };
    body.facts().asked_timeline = mine.map(|mine| (leaders, mine));
    status.receiver_timeline = mine;
}

/// The watchdog as it is now.
pub(crate) fn watchdog_facts(body: &Body) -> WatchdogFacts {
    let required = body.settings().watchdog.mode == WatchdogMode::Required;
    let watchdog = body.watchdog();
    WatchdogFacts {
        active: watchdog.is_armed(),
        required,
        usable: watchdog.is_usable(),
        timeout: watchdog.timeout(),
    }
}

/// What this node's own configuration says.
pub(crate) fn node_facts(body: &Body) -> NodeFacts {
    let settings = body.settings();
    let postgresql = &settings.postgresql;
    let facts = body.facts();
    let says = |method: &String, key: &str| {
        let section = postgresql.methods.get(method).and_then(Value::as_object);
        section
            .and_then(|keys| keys.get(key))
            .is_some_and(patroni_core::value::is_truthy)
    };
    let methods = match &settings.dynamic.standby_cluster {
        Some(standby) => &standby.create_replica_methods,
        None => &postgresql.create_replica_methods,
    };
    NodeFacts {
        name: settings.name.clone(),
        api_url: facts.addresses.api_url.clone(),
        tags: settings.tags.clone(),
        may_bootstrap: settings.bootstrap.is_some(),
        can_clone_without_leader: methods.iter().any(|method| says(method, "no_leader")),
        keeps_data: methods
            .first()
            .is_some_and(|method| says(method, "keep_data")),
        wipe_on_rewind_failure: postgresql.remove_data_directory_on_rewind_failure,
        wipe_on_divergence: postgresql.remove_data_directory_on_diverged_timelines,
        citus_database: settings.citus.as_ref().map(|citus| citus.database.clone()),
        citus_group: settings.citus.as_ref().map(|citus| citus.group),
        guarded: settings.guardian.mode == GuardianMode::On
            || settings.watchdog.mode == WatchdogMode::Required,
        store_is_raft: body.store.kind() == "raft",
    }
}

/// The request as sent, and the start time of the postmaster that it was meant for.
fn published(restart: &ScheduledRestart) -> Map<String, Value> {
    let mut map = restart.published.clone();
    if let Some(start) = &restart.postmaster_start_time {
        map.insert("postmaster_start_time".to_owned(), start.as_str().into());
    }
    map
}

/// Whether somebody else leads, so that the store is worth watching.
pub(crate) fn follows_somebody(view: Option<&Cluster>, body: &Body) -> bool {
    view.and_then(Cluster::leader_name)
        .is_some_and(|leader| *leader != body.name)
}
