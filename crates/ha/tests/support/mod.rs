//! Facts for tests: a small cluster, seen by its member `a`.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "shared with the unit tests of the crate")]
#![allow(missing_docs, reason = "test support")]
#![allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    clippy::unwrap_used,
    reason = "reads better at the call"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use patroni_config::Dynamic;
use patroni_core::server::{
    Answer, CheckpointTask, ControlData, ControlState, DataDir, LocalServer, Process,
    RewindAbility, ServerStatus, SlotKind, SlotRow, WalReceiver, WalSender,
};
use patroni_core::{
    Cluster, ConfigDoc, Failover, FailoverRequest, Leader, Lsn, Member, MemberData, MemberName,
    Moment, Revision, Role, SlotName, State, Status, SystemId, Tags, Timeline,
};
use patroni_ha::observation::{
    NodeFacts, Observation, PeerAnswer, PeerStatus, ProbeFacts, WatchdogFacts,
};
use patroni_ha::outcome::{
    HookOutcome, InspectFailure, LeaderSlots, LockOutcome, PhysicalSlot, RecoveryChange,
    RewindOutcome, ShutdownPoint, SlotChanged, StartOutcome, StopOutcome, Written,
};
use patroni_ha::{Command, Cycle, JobRun, JobStep, Memory, Outcome, Sentence, Step, Verdict};
use serde_json::{Map, Value, json};

pub const SYSTEM_ID: &str = "7000000000000000001";

pub fn name(text: &str) -> MemberName {
    MemberName::new(text)
}

pub fn at(seconds: u64) -> Moment {
    Moment::new(Duration::from_secs(seconds))
}

pub fn tl(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

pub fn settings(doc: Value) -> Arc<Dynamic> {
    Arc::new(Dynamic::read(doc.as_object().unwrap()).unwrap().0)
}

pub fn tags(value: Value) -> Tags {
    Tags::new(value.as_object().unwrap().clone())
}

pub fn node(me: &str) -> NodeFacts {
    NodeFacts {
        name: name(me),
        api_url: format!("http://{me}:8008/patroni"),
        tags: Tags::default(),
        may_bootstrap: true,
        can_clone_without_leader: false,
        keeps_data: false,
        wipe_on_rewind_failure: false,
        wipe_on_divergence: false,
        citus_database: None,
        citus_group: None,
        guarded: true,
        store_is_raft: false,
    }
}

pub fn member(who: &str, role: &str) -> Member {
    member_with(
        who,
        json!({"role": role, "state": "running", "timeline": 1, "xlog_location": 100}),
    )
}

pub fn member_with(who: &str, extra: Value) -> Member {
    let mut data = json!({
        "conn_url": format!("postgres://{who}:5432/postgres"),
        "api_url": format!("http://{who}:8008/patroni"),
        "version": "4.1.5",
    });
    for (key, value) in extra.as_object().unwrap() {
        data[key] = value.clone();
    }
    Member {
        name: name(who),
        session: None,
        data: MemberData::new(data.as_object().unwrap().clone()),
    }
}

pub fn leader(who: &str) -> Leader {
    Leader {
        name: name(who),
        revision: Revision::new(7),
        session: None,
    }
}

/// Three members `a`, `b`, `c` and this leader.
pub fn cluster(owner: Option<&str>) -> Cluster {
    let role = |who: &str| {
        if owner == Some(who) {
            "primary"
        } else {
            "replica"
        }
    };
    let mut config = Map::new();
    config.insert("ttl".to_owned(), json!(TTL.as_secs()));
    Cluster {
        initialize: Some(SYSTEM_ID.to_owned()),
        config: Some(ConfigDoc {
            revision: Revision::new(2),
            modify_revision: Some(Revision::new(2)),
            data: Arc::new(config),
        }),
        leader: owner.map(leader),
        status: Status {
            optime: Lsn::new(100),
            ..Status::default()
        },
        members: ["a", "b", "c"].map(|who| member(who, role(who))).into(),
        ..Cluster::default()
    }
}

pub fn failover(leader: Option<&str>, candidate: Option<&str>) -> Option<Failover> {
    Some(Failover {
        revision: Revision::new(9),
        request: FailoverRequest {
            leader: leader.map(name),
            candidate: candidate.map(name),
            scheduled_at: None,
        },
    })
}

fn server(role: Role, state: State) -> LocalServer {
    LocalServer {
        state,
        state_since: at(0),
        role,
        process: Process::Running,
        data_dir: DataDir::Present,
        system_id: SystemId::parse(SYSTEM_ID),
        major_version: Some(150_000),
        status: Answer::NotAsked,
        control: None,
        has_recovery_signal: false,
        has_backup_label: false,
        disk_is_full: false,
        half_rewound: false,
        rewind: RewindAbility::Possible,
        pending_restart: BTreeMap::new(),
        postmaster_start_time: Some("2026-01-01 00:00:00.000000+00:00".to_owned()),
        callback_ran: true,
        checkpoint: CheckpointTask::Done,
    }
}

pub fn primary() -> LocalServer {
    LocalServer {
        status: Answer::Known(ServerStatus {
            primary_timeline: Some(tl(1)),
            position: Lsn::new(100),
            slots: Some(Vec::new()),
            synchronous_commit: "on".to_owned(),
            ..ServerStatus::default()
        }),
        ..server(Role::Primary, State::Running)
    }
}

pub fn replica() -> LocalServer {
    LocalServer {
        status: Answer::Known(ServerStatus {
            received: Some(Lsn::new(100)),
            replayed: Some(Lsn::new(100)),
            receiver_timeline: Some(tl(1)),
            receiver: Some(WalReceiver {
                status: "streaming".to_owned(),
                slot_name: None,
                conninfo: String::new(),
            }),
            synchronous_commit: "on".to_owned(),
            ..ServerStatus::default()
        }),
        has_recovery_signal: true,
        ..server(Role::Replica, State::Running)
    }
}

pub fn stopped(role: Role, control: ControlState) -> LocalServer {
    LocalServer {
        process: Process::Absent,
        control: Some(ControlData {
            state: control,
            checkpoint: Some(Lsn::new(90)),
            checkpoint_timeline: Some(tl(1)),
            min_recovery: None,
            min_recovery_timeline: None,
            lines: Vec::new(),
        }),
        ..server(role, State::Running)
    }
}

pub fn empty() -> LocalServer {
    LocalServer {
        process: Process::Absent,
        data_dir: DataDir::Empty,
        system_id: None,
        callback_ran: false,
        ..server(Role::Uninitialized, State::Stopped)
    }
}

pub fn sender(who: &str, sync_state: &str, lsn: u64) -> WalSender {
    WalSender {
        application_name: who.to_owned(),
        sync_state: sync_state.to_owned(),
        write: Some(Lsn::new(lsn)),
        flush: Some(Lsn::new(lsn)),
        replay: Some(Lsn::new(lsn)),
        unanswered: None,
    }
}

/// A physical slot that nobody uses, at position 50.
pub fn physical_row(slot: &str) -> SlotRow {
    SlotRow {
        name: SlotName::new(slot),
        kind: SlotKind::Physical,
        active: false,
        restart_lsn: Some(Lsn::new(50)),
        confirmed_flush_lsn: None,
        xmin: None,
        catalog_xmin: None,
        wal_status: Some("reserved".to_owned()),
    }
}

/// A slot for logical decoding that nobody uses, confirmed up to position 60.
pub fn logical_row(slot: &str, database: &str, plugin: &str) -> SlotRow {
    SlotRow {
        kind: SlotKind::Logical {
            plugin: plugin.to_owned(),
            database: database.to_owned(),
        },
        confirmed_flush_lsn: Some(Lsn::new(60)),
        ..physical_row(slot)
    }
}

/// The same server with these slots.
pub fn with_slots(mut server: LocalServer, rows: Vec<SlotRow>) -> LocalServer {
    if let Answer::Known(status) = &mut server.status {
        status.slots = Some(rows);
    }
    server
}

pub fn observation(server: LocalServer, view: Cluster) -> Observation {
    Observation {
        now: at(1000),
        wall: "2026-01-01T00:00:00Z".parse().unwrap(),
        node: node("a"),
        settings: Arc::default(),
        config_in_memory: Arc::default(),
        store: Ok(Arc::new(view)),
        server,
        executor: None,
        finished: Vec::new(),
        scheduled_restart: None,
        watchdog: WatchdogFacts {
            active: false,
            required: false,
            usable: true,
            timeout: None,
        },
        failsafe_leader: None,
        probe: ProbeFacts::default(),
    }
}

/// What a replica of the same position answers.
pub fn peer(who: &MemberName, lsn: u64) -> PeerAnswer {
    PeerAnswer {
        name: who.clone(),
        reply: Ok(PeerStatus {
            in_recovery: true,
            position: Lsn::new(lsn),
            timeline: Some(tl(1)),
            tags: Tags::default(),
            watchdog_failed: false,
            replays_own_wal: false,
            streams: false,
            may_stream: false,
            body: "{}".to_owned(),
        }),
        stands_aside: false,
    }
}

/// The `ttl` of the settings here.
pub const TTL: Duration = Duration::from_secs(30);

/// The outcome of a world in which everything works. `server` is what a look at the server
/// finds, `view` what the store holds.
pub fn fine(command: &Command, server: &LocalServer, view: &Cluster, now: Moment) -> Outcome {
    match command {
        Command::LoadCluster => Outcome::Cluster(Ok(Arc::new(view.clone()))),
        Command::TouchMember(_)
        | Command::ReleaseLeader { .. }
        | Command::BeginInitialize
        | Command::SetSystemId(_)
        | Command::CancelInitialize
        | Command::WriteFailover { .. }
        | Command::WriteConfig { .. }
        | Command::DeleteSync { .. }
        | Command::WriteHistory(_) => Outcome::Write(Written::Yes),
        Command::AcquireLeader | Command::UpdateLeader { .. } | Command::TakeLeader => {
            Outcome::Lock(LockOutcome::Held { until: now + TTL })
        }
        Command::WriteSync { .. } => Outcome::SyncWritten(Ok(Revision::new(11))),
        Command::AskPeers(peers) => {
            Outcome::Peers(peers.iter().map(|asked| peer(&asked.name, 100)).collect())
        }
        Command::AnnounceFailsafe(peers) => Outcome::Failsafe(
            peers
                .iter()
                .map(|asked| (asked.name.clone(), Ok(Some(Lsn::new(100)))))
                .collect(),
        ),
        Command::Requery => Outcome::Server(Box::new(server.clone())),
        Command::PrePromote => Outcome::Hook(HookOutcome::NotConfigured),
        Command::Stop(_) => Outcome::Stopped(StopOutcome {
            stopped: true,
            shutdown: Some(ShutdownPoint {
                checkpoint: Lsn::new(100),
                previous: Lsn::new(96),
            }),
        }),
        Command::Start(_) => Outcome::Started(StartOutcome::Running),
        Command::CompareRecovery(_) => Outcome::Recovery(RecoveryChange::Same),
        Command::InspectLeader(_) => {
            Outcome::LeaderInspected(Err(InspectFailure::Failed("down".to_owned())))
        }
        Command::LocalPosition => Outcome::LocalPosition(None),
        Command::ReadTimelineHistory => Outcome::TimelineHistory(Ok(Vec::new())),
        Command::PgRewind { .. } => Outcome::Rewound(RewindOutcome::Success),
        Command::HasHistory(_) | Command::IsArchiving => Outcome::Success(false),
        Command::Schedule(_) => Outcome::Scheduled(Ok(())),
        Command::Wait(_) => Outcome::Waited(true),
        Command::WaitProduction { .. }
        | Command::Promote
        | Command::ReloadRecovery(_)
        | Command::SetSyncNames(_)
        | Command::SingleUserRecovery
        | Command::ArchiveShutdownCheckpoint
        | Command::RemoveDataDir(_)
        | Command::CreateCluster
        | Command::PostInit
        | Command::CloneFrom(_)
        | Command::EnforceFeedback(_)
        | Command::InstallSlots(_)
        | Command::WatchdogActivate => Outcome::Success(true),
        Command::ChangeSlot(_) => Outcome::SlotChanged(SlotChanged::Done),
        Command::AdvanceLogicalSlots(_) => Outcome::SlotsGivenUp(BTreeSet::new()),
        Command::ReadFeedback => Outcome::Feedback(Ok(true)),
        Command::ReadWalStart => Outcome::WalStart(Ok(Lsn::ZERO)),
        Command::InspectSlots { .. } => Outcome::LeaderSlots(Ok(LeaderSlots {
            physical: PhysicalSlot::HoldsNothing,
            logical: BTreeMap::new(),
        })),
        Command::FetchSlots { .. } => Outcome::SlotsFetched(Ok(Vec::new())),
        Command::SetState(_)
        | Command::SetRole(_)
        | Command::RunCallback(..)
        | Command::StartCheckpoint
        | Command::ResumeReplay
        | Command::ArchiveReadyWal
        | Command::MoveDataDirAside
        | Command::ResyncAfterPause
        | Command::KeepNodeTable
        | Command::WatchdogKeepAlive
        | Command::WatchdogDisable
        | Command::CancelJob
        | Command::DropScheduledRestart => Outcome::Done,
    }
}

/// A run with everything that was said and asked.
pub struct Played {
    pub lines: Vec<String>,
    pub commands: Vec<Command>,
    pub verdict: Verdict,
    pub memory: Memory,
}

impl Played {
    pub fn transcript(&self) -> String {
        self.lines.join("\n")
    }

    pub fn asked(&self, what: impl Fn(&Command) -> bool) -> bool {
        self.commands.iter().any(what)
    }
}

/// Plays a cycle; `answer` may override what a working world would say.
pub fn play(
    observation: Observation,
    memory: Memory,
    mut answer: impl FnMut(&Command) -> Option<Outcome>,
) -> Played {
    let server = observation.server.clone();
    let view = observation.store.clone().unwrap_or_default();
    let mut now = observation.now;
    let mut cycle = Cycle::begin(observation, memory);
    let (mut lines, mut commands) = (Vec::new(), Vec::new());
    loop {
        match cycle.step() {
            Step::Do { say, command } => {
                lines.extend(say.iter().map(spoken));
                lines.push(format!("> {}", serde_json::to_string(&command).unwrap()));
                now = now + Duration::from_millis(10);
                let outcome =
                    answer(&command).unwrap_or_else(|| fine(&command, &server, &view, now));
                commands.push(command);
                cycle.resume(outcome, now);
            }
            Step::Done {
                say,
                verdict,
                memory,
            } => {
                lines.extend(say.iter().map(spoken));
                lines.push(format!("= {verdict}"));
                return Played {
                    lines,
                    commands,
                    verdict,
                    memory,
                };
            }
        }
    }
}

/// Plays a long task and gives its transcript, ending in the report.
pub fn play_job(
    mut run: JobRun,
    server: &LocalServer,
    view: &Cluster,
    mut now: Moment,
    mut answer: impl FnMut(&Command) -> Option<Outcome>,
) -> String {
    let mut lines = Vec::new();
    loop {
        match run.step() {
            JobStep::Do { say, command } => {
                lines.extend(say.iter().map(spoken));
                lines.push(format!("> {}", serde_json::to_string(&command).unwrap()));
                now = now + Duration::from_millis(10);
                let outcome = answer(&command).unwrap_or_else(|| fine(&command, server, view, now));
                run.resume(outcome, now);
            }
            JobStep::Done { say, report } => {
                lines.extend(say.iter().map(spoken));
                let effects = serde_json::to_string(&report.effects).unwrap();
                lines.push(format!("= {}: {:?} {effects}", report.job, report.end));
                return lines.join("\n");
            }
        }
    }
}

/// A sentence with its level, as in the log.
pub fn spoken(sentence: &Sentence) -> String {
    format!("{:?} {sentence}", sentence.level).to_uppercase_level()
}

trait Levels {
    fn to_uppercase_level(self) -> String;
}

impl Levels for String {
    fn to_uppercase_level(self) -> String {
        match self.split_once(' ') {
            Some((level, text)) => format!("{} {text}", level.to_uppercase()),
            None => self,
        }
    }
}
