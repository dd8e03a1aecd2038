//! The small world as a value.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use patroni_config::Dynamic;
use patroni_core::server::{
    Answer, CheckpointTask, ControlData, ControlState, DataDir, LocalServer, Process,
    RewindAbility, ServerStatus, WalReceiver, WalSender,
};
use patroni_core::sync_names::SyncKind;
use patroni_core::{
    FailoverRequest, Lsn, MemberData, MemberName, Moment, Role, Scope, State, SyncNames, SyncState,
    SystemId, Timeline,
};
use patroni_dcs::Identity;
use patroni_dcs::memory::{Model, Session};
use patroni_ha::job::{JobReport, RunningJob};
use patroni_ha::lease::guard_margin;
use patroni_ha::observation::{NodeFacts, Observation, ProbeFacts, WatchdogFacts};
use patroni_ha::{Command, Cycle, Job, JobRun, Memory};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::shared::{self, Print, Shared};
use super::{Bounds, Question, Scene};
use crate::daemon::observe::{api_url, conn_url, wall};

/// One span of time.
pub(super) const SPAN: Duration = Duration::from_secs(10);
const SYSTEM: &str = "7000000000000000001";
/// Where the log begins, so that no position is zero.
const FIRST: u64 = 100;

/// Everything that tells two worlds apart.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub(super) spans: u8,
    pub(super) faults: u8,
    pub(super) writes: u8,
    pub(super) last_write: u8,
    /// Acknowledged writes that synchronous mode promised to keep.
    pub(super) promised: Vec<u8>,
    pub(super) model: Shared<Model>,
    pub(super) members: Vec<Shared<Tiny>>,
}

/// One member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Tiny {
    pub(super) session: Session,
    pub(super) memory: Memory,
    pub(super) server: Server,
    /// When the lease is over, less the margin of the guard.
    pub(super) guard: Moment,
    /// Cycles left.
    pub(super) cycles: u8,
    pub(super) cycle: Option<(Cycle, Command)>,
    pub(super) loads: bool,
    pub(super) job: Option<(JobRun, Command)>,
    /// Nothing has happened yet that the loop, or the long task, waits for.
    pub(super) waits: Waits,
    pub(super) ordered: Option<Job>,
    pub(super) since: Moment,
    pub(super) committed: bool,
    pub(super) finished: Vec<JobReport>,
}

/// Who waits for the store or the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waits {
    pub(super) cycle: bool,
    pub(super) job: bool,
}

/// The smallest server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Server {
    pub(super) runs: bool,
    pub(super) standby: bool,
    pub(super) timeline: u32,
    pub(super) log: Vec<u8>,
    /// So many writes of the log were acknowledged.
    pub(super) acknowledged: usize,
    pub(super) clean: bool,
    pub(super) names: SyncNames,
    pub(super) state: State,
    pub(super) role: Role,
}

pub(super) fn name(member: usize) -> MemberName {
    MemberName::new(format!("n{}", member + 1))
}

pub(super) fn config(scene: Scene) -> Map<String, Value> {
    let config = json!({
        "ttl": 20,
        "loop_wait": 10,
        "retry_timeout": 5,
        "maximum_lag_on_failover": 1_048_576,
        "synchronous_mode": match scene {
            Scene::Lock | Scene::Switchover => Value::Bool(false),
            Scene::Synchronous => Value::Bool(true),
            Scene::Quorum => Value::String("quorum".to_owned()),
        },
        "primary_start_timeout": 0,
    });
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(super) fn settings(scene: Scene) -> Dynamic {
    let read = Dynamic::read(&config(scene)).map(|(settings, _)| settings);
    read.unwrap_or_else(|_| unreachable!("our own document is readable"))
}

/// For whom `n1` waits, and how many of them have to be asked in an election.
fn promise(scene: Scene) -> Option<(SyncKind, usize, BTreeSet<MemberName>)> {
    match scene {
        Scene::Lock | Scene::Switchover => None,
        Scene::Synchronous => Some((SyncKind::Priority, 0, [name(1)].into())),
        Scene::Quorum => Some((SyncKind::Quorum, 1, [name(1), name(2)].into())),
    }
}

impl Small {
    /// `n1` leads, the others stream, and everything is written down in the store.
    pub(super) fn new(question: &Question) -> Self {
        let Bounds {
            cycles,
            faults,
            writes,
            spans,
            ..
        } = question.bounds;
        let scene = question.scene;
        let ttl = settings(scene).ttl;
        let mut model = Model::default();
        let now = Moment::ZERO;
        let mut members: Vec<Tiny> = (0..3)
            .map(|member| Tiny::new(member, ttl, cycles))
            .collect();
        for (index, member) in members.iter_mut().enumerate() {
            member.infect(question.mutant);
            let data = member_data(index, &member.server, &member.memory);
            let session = &mut member.session;
            let _touched = session.touch_member(&mut model, now, &data, None);
            if index == 0 {
                let id = SystemId::parse(SYSTEM).unwrap_or_else(|| unreachable!("nineteen digits"));
                let _named = session.set_system_id(&mut model, now, &id);
                let _configured = session.write_config(&mut model, now, &config(scene), None);
                let _led = session.take_leader(&mut model, now);
                member.guard = now + ttl - guard_margin(ttl);
                member.memory.lease = patroni_ha::memory::Lease::Until(now + ttl);
                if let Some((kind, quorum, standbys)) = promise(scene) {
                    let state = SyncState::new(Some(name(0)), quorum, standbys.clone());
                    let _sync = session.write_sync(&mut model, now, &state, None);
                    member.server.names = SyncNames {
                        kind,
                        count: 1,
                        star: false,
                        names: standbys.iter().map(ToString::to_string).collect(),
                    };
                }
                if scene == Scene::Switchover {
                    let request = FailoverRequest {
                        leader: Some(name(0)),
                        candidate: Some(name(1)),
                        scheduled_at: None,
                    };
                    let _asked = session.write_failover(&mut model, now, &request, None);
                }
            }
        }
        Self {
            spans,
            faults,
            writes,
            last_write: 0,
            promised: Vec::new(),
            model: Shared::new(model),
            members: members.into_iter().map(Shared::new).collect(),
        }
    }

    /// Equal for equal worlds.
    pub(super) fn print(&self) -> Print {
        let members: Vec<Print> = self.members.iter().map(Shared::print).collect();
        let left = (self.spans, self.faults, self.writes, self.last_write);
        shared::print(&(left, &self.promised, self.model.print(), members))
    }

    pub(super) fn now(&self) -> Moment {
        self.model.now()
    }

    /// What a member sees of its server.
    pub(super) fn look(&self, member: usize) -> LocalServer {
        let server = &self.members[member].server;
        let position = server.position();
        let timeline = Timeline::new(server.timeline);
        let primary = server.is_primary();
        let status = ServerStatus {
            primary_timeline: timeline.filter(|_| primary),
            position: if primary { position } else { Lsn::ZERO },
            replayed: Some(position).filter(|_| !primary),
            received: Some(position).filter(|_| !primary),
            receiver_timeline: timeline.filter(|_| !primary),
            receiver: (!primary).then(|| WalReceiver {
                status: "streaming".to_owned(),
                slot_name: None,
                conninfo: String::new(),
            }),
            slots: Some(Vec::new()),
            synchronous_commit: "on".to_owned(),
            synchronous_standby_names: server.names.to_string(),
            wal_senders: if primary {
                self.senders(member)
            } else {
                Vec::new()
            },
            ..ServerStatus::default()
        };
        LocalServer {
            state: server.state,
            state_since: Moment::ZERO,
            role: server.role,
            process: if server.runs {
                Process::Running
            } else {
                Process::Absent
            },
            data_dir: DataDir::Present,
            system_id: SystemId::parse(SYSTEM),
            major_version: Some(150_000),
            control: (!server.runs).then(|| ControlData {
                state: match (server.standby, server.clean) {
                    (true, _) => ControlState::ShutDownInRecovery,
                    (false, true) => ControlState::ShutDown,
                    (false, false) => ControlState::InProduction,
                },
                checkpoint: Some(position),
                checkpoint_timeline: timeline,
                min_recovery: None,
                min_recovery_timeline: None,
                lines: Vec::new(),
            }),
            status: if server.runs {
                Answer::Known(status)
            } else {
                Answer::NotAsked
            },
            has_recovery_signal: server.standby,
            has_backup_label: false,
            disk_is_full: false,
            half_rewound: false,
            rewind: RewindAbility::Disabled,
            pending_restart: std::collections::BTreeMap::new(),
            postmaster_start_time: None,
            callback_ran: true,
            checkpoint: CheckpointTask::Done,
        }
    }

    fn senders(&self, primary: usize) -> Vec<WalSender> {
        let names = &self.members[primary].server.names;
        let standbys = self.members.iter().enumerate();
        standbys
            .filter(|(member, _)| self.streams_from(*member, primary))
            .map(|(member, standby)| {
                let name = name(member);
                let position = Some(standby.server.position());
                WalSender {
                    sync_state: match names.kind {
                        _ if !names.has(name.as_str()) => "async",
                        SyncKind::Quorum => "quorum",
                        SyncKind::Priority | SyncKind::Off => "sync",
                    }
                    .to_owned(),
                    application_name: name.to_string(),
                    write: position,
                    flush: position,
                    replay: position,
                    unanswered: None,
                }
            })
            .collect()
    }

    /// A running standby whose log is the beginning of the primary's.
    pub(super) fn streams_from(&self, member: usize, primary: usize) -> bool {
        let (mine, theirs) = (&self.members[member].server, &self.members[primary].server);
        member != primary
            && mine.runs
            && mine.standby
            && theirs.is_primary()
            && mine.timeline <= theirs.timeline
            && theirs.log.starts_with(&mine.log)
    }

    pub(super) fn facts(member: usize) -> NodeFacts {
        NodeFacts {
            name: name(member),
            api_url: api_url(name(member).as_str()),
            tags: patroni_core::Tags::default(),
            may_bootstrap: false,
            can_clone_without_leader: false,
            keeps_data: false,
            wipe_on_rewind_failure: false,
            wipe_on_divergence: false,
            guarded: true,
            store_is_raft: false,
            citus_database: None,
            citus_group: None,
        }
    }

    pub(super) fn observe(
        &mut self,
        scene: Scene,
        member: usize,
        store: Result<Arc<patroni_core::Cluster>, String>,
    ) -> Observation {
        let here = &mut self.members[member];
        let finished = std::mem::take(&mut here.finished);
        let executor = here.job.as_ref().map(|(run, _)| RunningJob {
            job: run.job().clone(),
            since: here.since,
            committed: here.committed,
        });
        Observation {
            now: self.now(),
            wall: wall(self.now(), 0),
            node: Self::facts(member),
            settings: settings(scene).into(),
            config_in_memory: config(scene).into(),
            store,
            server: self.look(member),
            executor,
            finished,
            scheduled_restart: None,
            watchdog: WatchdogFacts::default(),
            failsafe_leader: None,
            probe: ProbeFacts::default(),
        }
    }
}

impl Tiny {
    fn new(member: usize, ttl: Duration, cycles: u8) -> Self {
        let identity = Identity::new("service", &Scope::new("small"), Some(name(member)));
        let leads = member == 0;
        Self {
            session: Session::new(&identity, ttl),
            memory: Memory::default(),
            server: Server {
                runs: true,
                standby: !leads,
                timeline: 1,
                log: Vec::new(),
                acknowledged: 0,
                clean: false,
                names: SyncNames::off(),
                state: State::Running,
                role: if leads { Role::Primary } else { Role::Replica },
            },
            guard: Moment::ZERO,
            cycles,
            cycle: None,
            loads: false,
            job: None,
            waits: Waits::default(),
            ordered: None,
            since: Moment::ZERO,
            committed: false,
            finished: Vec::new(),
        }
    }

    #[cfg(feature = "mutants")]
    fn infect(&mut self, mutant: Option<crate::Mutant>) {
        if let Some(crate::Mutant::Rule(rule)) = mutant {
            self.memory.mutant = Some(rule);
        }
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    const fn infect(&mut self, _mutant: Option<crate::Mutant>) {}
}

impl Server {
    pub(super) fn is_primary(&self) -> bool {
        self.runs && !self.standby
    }

    pub(super) fn position(&self) -> Lsn {
        let writes = u64::try_from(self.log.len()).unwrap_or(u64::MAX);
        Lsn::new(FIRST + writes)
    }
}

/// The member object.
pub(super) fn member_data(member: usize, server: &Server, memory: &Memory) -> MemberData {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("conn_url", conn_url(name(member).as_str()).into());
    put("api_url", api_url(name(member).as_str()).into());
    put("state", server.state.as_str().into());
    put("role", server.role.as_str().into());
    put("version", "4.1.5".into());
    if memory.leaving_sync {
        put("tags", json!({"nosync": true}));
    }
    MemberData::new(map)
}
