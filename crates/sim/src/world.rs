//! The whole world and the turning of its clock.

use std::sync::Arc;
use std::time::Duration;

use patroni_config::Dynamic;
use patroni_core::server::CheckpointTask;
use patroni_core::{MemberName, Moment, Role, Scope, State};
use patroni_dcs::Identity;
use patroni_dcs::memory::{Discipline, Model, Session};
use patroni_ha::Memory;
use serde_json::{Map, Value, json};

use crate::chance::Chance;
use crate::clients::Client;
use crate::clock::Clock;
use crate::daemon::{Daemon, Supervised};
use crate::drills;
use crate::event::Event;
use crate::faults::Troubles;
use crate::invariants::{Invariant, Witness};
use crate::mishaps::Mishaps;
use crate::network::Network;
use crate::node::{Node, Traits};
use crate::operators::{Operator, random_mode};
use crate::options::{Mutant, Options};
use crate::oracle::Stored;
use crate::postgres::life::Transition;
use crate::postgres::server::Server;
use crate::postgres::wal::Wal;
use crate::queue::Queue;
use crate::remote::Remote;
use crate::report::{Report, Tally, Violation};
use crate::scenario::Scenario;

/// What makes the chance of fate another one than that of everything else.
const FATE: u64 = 0xFA7E_FA7E_FA7E_FA7E;

/// The key prefix of the simulated cluster.
pub(crate) const PREFIX: &str = "/service/sim";

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) now: Moment,
    pub(crate) queue: Queue<Event>,
    pub(crate) chance: Chance,
    /// Chooses what is to break and what people ask for, apart from all other chance, so that
    /// leaving one out does not change the others.
    pub(crate) fate: Chance,
    pub(crate) model: Model,
    pub(crate) network: Network,
    pub(crate) wal: Wal,
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: Vec<String>,
    pub(crate) clients: Vec<Client>,
    pub(crate) operator: Operator,
    pub(crate) remote: Option<Remote>,
    pub(crate) mishaps: Mishaps,
    /// Chooses what meets in a drill.
    pub(crate) drills: Chance,
    pub(crate) troubles: Troubles,
    pub(crate) witness: Witness,
    pub(crate) coverage: Tally,
    /// What the store holds, as the invariants need it.
    pub(crate) stored: Stored,
    /// When something happened last that is worth a closer look.
    pub(crate) stirred: Moment,
    /// The time between two disturbances, in percent of the usual.
    pub(crate) pace: u32,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Vec<String>,
    pub(crate) journal: Vec<String>,
    pub(crate) ops: u64,
    /// Percent of the local queries that time out.
    pub(crate) slow_queries: u64,
    pub(crate) over: bool,
    pub(crate) disturbances: u64,
    held_back: Vec<(usize, Event)>,
    pub(crate) config: Map<String, Value>,
}

impl World {
    /// A world of empty machines.
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let mut chance = Chance::new(seed);
        let count = options.members.unwrap_or_else(|| match chance.below(10) {
            0..2 => 2,
            2..8 => 3,
            _ => 5,
        });
        let mut config = random_config(&mut chance);
        if options.scenario.is_some() {
            Scenario::set_timings(&mut config);
        } else if seed.is_multiple_of(2) {
            config.insert("slots".to_owned(), permanent_slots());
        }
        // A scenario asks for a known answer, so its store is one.
        let discipline = match options.scenario {
            Some(_) => Discipline::Lease,
            None => random_discipline(&mut chance),
        };
        let pace = match chance.below(4) {
            0 => 100,
            1 | 2 => 400,
            _ => 1200,
        };
        let names: Vec<String> = (0..count).map(|index| format!("n{}", index + 1)).collect();
        let mut world = Self {
            seed,
            options: options.clone(),
            mutant: options.mutant,
            fate: Chance::new(seed ^ FATE),
            stored: Stored::default(),
            stirred: Moment::ZERO,
            pace,
            now: Moment::ZERO,
            queue: Queue::new(),
            chance,
            model: Model::new(discipline),
            network: Network::default(),
            wal: Wal::default(),
            nodes: Vec::new(),
            names,
            clients: (0..3).map(|_| Client::default()).collect(),
            operator: Operator::new(),
            remote: None,
            mishaps: Mishaps::new(seed),
            drills: drills::chance(seed),
            troubles: Troubles::default(),
            witness: Witness::default(),
            coverage: Tally::default(),
            violation: None,
            trace: Vec::new(),
            journal: Vec::new(),
            ops: 0,
            slow_queries: 0,
            over: false,
            disturbances: 0,
            held_back: Vec::new(),
            config,
        };
        world.begin_as_standby();
        world.people();
        world
    }

    fn people(&mut self) {
        let watchdogs = self.chance.percent(30);
        let required = watchdogs && self.chance.percent(50);
        let guardians = self.chance.percent(70);
        let silence_fails_over = self.chance.percent(50);
        let can_rewind = self.chance.percent(80);
        let wipe = self.chance.percent(40);
        let hook = self.chance.percent(15);
        let lazy = self.names.len() > 2 && self.chance.percent(15);
        let mixed = self.names.len() > 2 && self.chance.percent(30);
        let discipline = self.model.discipline();
        self.coverage.count("store", discipline_name(discipline));
        if self.chance.percent(30) {
            self.slow_queries = 3;
        }
        for index in 0..self.names.len() {
            let name = MemberName::new(self.names[index].clone());
            let drift = self.drift();
            let offset = self.chance.millis(0, 1_000_000);
            let daemon = self.new_daemon(&name, Role::Uninitialized, State::Stopped);
            let mut traits = Traits {
                has_watchdog: watchdogs,
                watchdog_required: required,
                has_guardian: guardians,
                silence_fails_over,
                can_rewind,
                wipe_on_divergence: wipe || !can_rewind,
                wipe_on_rewind_failure: wipe,
                has_hook: hook,
                nofailover: lazy && index + 1 == self.names.len(),
                nosync: mixed && self.chance.percent(25),
                priority: if mixed { self.chance.below(3) } else { 1 },
            };
            if self.options.scenario.is_some() {
                Scenario::set_traits(&mut traits);
            }
            self.nodes.push(Node {
                clock: Clock::new(offset, drift),
                server: Server::empty(),
                daemon: Daemon {
                    alive: false,
                    ..daemon
                },
                traits,
                wall_ahead_millis: 0,
                stalls: false,
                disk_away: false,
                slow_stream: false,
                replays_long: false,
                out_of_reach: None,
                slept: Duration::ZERO,
                slept_since: Moment::ZERO,
                streams_at: Moment::ZERO,
                watchdog: None,
                guardian: None,
                loop_hangs: false,
                daemon_frozen: false,
                frozen: false,
                excused_until: Moment::ZERO,
                paused_until: Moment::ZERO,
                down: false,
                slow_store: false,
                silent_since: None,
                name,
            });
            let after = self.chance.millis(0, 3000);
            self.schedule(after, Event::Boot { node: index });
            self.stream_within(index, after);
        }
        for client in 0..self.clients.len() {
            self.schedule(Duration::from_secs(1), Event::Client { client });
        }
        self.schedule(Duration::from_secs(1), Event::Survey);
    }

    /// Half a percent is far more than honest clocks drift.
    pub(crate) fn drift(&mut self) -> i64 {
        if !self.options.faults.drift {
            return 0;
        }
        let ppm = i64::try_from(self.chance.below(10_000)).unwrap_or(0);
        ppm - 5000
    }

    pub(crate) fn new_daemon(&self, name: &MemberName, role: Role, state: State) -> Daemon {
        let settings = Dynamic::read(&self.config).map(|(settings, _)| settings);
        let settings = settings.unwrap_or_else(|_| unreachable!("our own document is readable"));
        let identity = Identity::new("service", &Scope::new("sim"), Some(name.clone()));
        let mut memory = Memory::default();
        self.infect(&mut memory);
        Daemon {
            alive: true,
            life: 0,
            session: Session::new(&identity, settings.ttl),
            memory,
            settings: Arc::new(settings),
            config: self.config.clone().into(),
            supervised: Supervised {
                state,
                since: Moment::ZERO,
                role,
                callback_ran: false,
                feedback: false,
                checkpoint: CheckpointTask::Idle,
            },
            cycle: None,
            job: None,
            job_since: Moment::ZERO,
            committed: false,
            ordered: None,
            finished: Vec::new(),
            view: None,
            next_run: Moment::ZERO,
            loop_at: None,
            woken: false,
            store_until: None,
            seen_revision: 0,
            guard: Moment::ZERO,
            leased_until: Moment::ZERO,
            lock_lasts: Moment::ZERO,
            lock_life: Duration::ZERO,
            failsafe: None,
            view_until: Moment::ZERO,
            scheduled_restart: None,
            leaving: false,
        }
    }

    /// Turns the clock until the run is over or something is broken.
    pub(crate) fn run(mut self) -> Report {
        let mut seen = u64::MAX;
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            self.model.advance(at);
            self.happen(event);
            if self.over || self.violation.is_some() {
                break;
            }
            if self.model.revision() != seen {
                seen = self.model.revision();
                self.stored.refresh(&self.model);
                self.watch_store();
            }
        }
        Report {
            seed: self.seed,
            violation: self.violation,
            disturbances: self.disturbances,
            coverage: self.coverage.finish(),
            trace: self.trace,
            journal: self.journal,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { node, life, op } => {
                if self.nodes[node].daemon.life == life {
                    self.arrive(node, op);
                }
            }
            Event::Watchdog { node } => self.watchdog_event(node),
            Event::Guardian { node } => self.guardian_event(node),
            Event::Server {
                node,
                generation,
                transition,
            } => self.server_turn(node, generation, transition),
            Event::Stream { node } => self.stream(node),
            Event::Client { client } => self.client(client),
            Event::ClientTimeout { client, request } => self.client_timeout(client, request),
            Event::Boot { node } => self.boot(node),
            Event::Break => self.break_something(),
            Event::Mishap => self.mishap(),
            Event::Drill => self.drill(),
            Event::Deed { deed } => self.do_deed(deed),
            Event::FlipBack => self.flip_back(),
            Event::StoreElected => self.store_elected(),
            Event::Mend { fault } => self.mend(&fault),
            Event::Operator => self.operate(),
            Event::LateSync { state } => self.late_sync(&state),
            Event::Survey => self.survey(),
            Event::Loop { node, life }
            | Event::Check { node, life, .. }
            | Event::StartJob { node, life }
            | Event::Guard { node, life }
            | Event::Outcome { node, life, .. }
            | Event::Checkpointed { node, life, .. } => {
                if let Some(event) = self.taken(node, life, event) {
                    self.happen_to(node, event);
                }
            }
        }
    }

    /// An event of a daemon that runs.
    fn happen_to(&mut self, node: usize, event: Event) {
        match event {
            Event::Loop { .. } => self.loop_event(node),
            Event::Check { op, .. } => self.check(node, op),
            Event::StartJob { .. } => self.start_job(node),
            Event::Guard { .. } => self.guard(node),
            Event::Outcome {
                lane, op, outcome, ..
            } => {
                let pending = self.nodes[node].daemon.pending(lane);
                if pending.is_some_and(|pending| pending.op == op) {
                    self.resume(node, lane, *outcome);
                }
            }
            Event::Checkpointed { generation, .. } => self.checkpointed(node, generation),
            Event::Arrive { .. }
            | Event::Watchdog { .. }
            | Event::Guardian { .. }
            | Event::Server { .. }
            | Event::Stream { .. }
            | Event::Client { .. }
            | Event::ClientTimeout { .. }
            | Event::Boot { .. }
            | Event::Break
            | Event::Mishap
            | Event::Drill
            | Event::Deed { .. }
            | Event::FlipBack
            | Event::StoreElected
            | Event::Mend { .. }
            | Event::Operator
            | Event::LateSync { .. }
            | Event::Survey => unreachable!("not an event of a daemon"),
        }
    }

    /// A server goes on, unless its machine or its disk stands still. An immediate stop needs
    /// no disk.
    fn server_turn(&mut self, node: usize, generation: u64, transition: Transition) {
        let here = &self.nodes[node];
        if here.server.generation != generation {
            return;
        }
        let waits = here.stands_still() || (here.stalls && transition != Transition::Gone);
        if waits {
            let event = Event::Server {
                node,
                generation,
                transition,
            };
            self.held_back.push((node, event));
        } else {
            self.server_event(node, transition);
        }
    }

    /// The event, if a daemon can take it now. One that stands still takes it later.
    fn taken(&mut self, node: usize, life: u64, event: Event) -> Option<Event> {
        let here = &self.nodes[node];
        if !here.daemon.alive || here.daemon.life != life {
            return None;
        }
        let hangs = here.loop_hangs && event.is_of_the_loop(&here.daemon);
        if hangs || here.daemon_stands_still() {
            self.held_back.push((node, event));
            return None;
        }
        Some(event)
    }

    /// Something happened that is worth a closer look for a while.
    pub(crate) fn stir(&mut self) {
        self.stirred = self.now;
    }

    /// What waited for a machine or its daemon happens now. The lease comes first, most times: no
    /// system promises in which order it wakes the threads of a process.
    pub(crate) fn release_held_back(&mut self, node: usize) {
        let here = &self.nodes[node];
        if !here.daemon_stands_still() && here.daemon.alive {
            let life = here.daemon.life;
            if self.chance.percent(25) {
                let after = self.chance.millis(0, 500);
                self.schedule(after, Event::Guard { node, life });
            } else {
                self.guard(node);
            }
        }
        let waiting = std::mem::take(&mut self.held_back);
        let (mine, others) = waiting.into_iter().partition(|(held, _)| *held == node);
        self.held_back = others;
        let mine: Vec<(usize, Event)> = mine;
        for (_, event) in mine {
            let after = self.chance.millis(0, 30);
            self.schedule(after, event);
        }
    }

    /// The rules get their known fault back, where the build has it.
    #[cfg(feature = "mutants")]
    fn infect(&self, memory: &mut Memory) {
        if let Some(Mutant::Rule(rule)) = self.mutant {
            memory.mutant = Some(rule);
        }
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    const fn infect(&self, _memory: &mut Memory) {}

    fn checkpointed(&mut self, node: usize, generation: u64) {
        let here = &mut self.nodes[node];
        let same = here.server.generation == generation && here.server.is_primary();
        if same && let Some(data) = here.server.data.as_mut() {
            crate::postgres::life::checkpoint(data);
            let (branch, flushed) = (data.branch, data.flushed);
            self.wal.flushed(branch, flushed);
        }
        let task = if same {
            CheckpointTask::Done
        } else {
            CheckpointTask::Failed
        };
        self.nodes[node].daemon.supervised.checkpoint = task;
        self.wake(node);
    }

    fn watchdog_event(&mut self, node: usize) {
        // The virtual device of a machine that stands still stands still with it.
        if self.nodes[node].stands_still() {
            self.held_back.push((node, Event::Watchdog { node }));
        } else {
            self.watchdog(node);
        }
    }

    fn guardian_event(&mut self, node: usize) {
        if self.nodes[node].stands_still() {
            self.held_back.push((node, Event::Guardian { node }));
        } else {
            self.guardian(node);
        }
    }

    pub(crate) fn schedule(&mut self, after: Duration, event: Event) {
        self.queue.push(self.now + after, event);
    }

    pub(crate) fn node_named(&self, name: &MemberName) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == *name)
    }

    pub(crate) fn nodes_name(&self, node: usize) -> MemberName {
        self.nodes[node].name.clone()
    }

    /// The first broken invariant ends the run.
    pub(crate) fn broken(&mut self, invariant: Invariant, message: String) {
        if self.violation.is_some() {
            return;
        }
        self.trace("-", "BROKEN", || format!("{invariant}: {message}"));
        let at_millis = u64::try_from(self.now.since_origin().as_millis()).unwrap_or(u64::MAX);
        self.violation = Some(Violation {
            invariant,
            at_millis,
            message,
        });
    }
}

fn random_discipline(chance: &mut Chance) -> Discipline {
    match chance.below(8) {
        0..3 => Discipline::Lease,
        3 => Discipline::Session {
            lock_delay: Duration::from_millis(if chance.percent(50) { 1 } else { 15_000 }),
        },
        4 => Discipline::Ephemeral {
            tick: Duration::from_secs(2),
        },
        5 => Discipline::Judged,
        _ => Discipline::Ticks {
            every: Duration::from_millis(500),
        },
    }
}

fn discipline_name(discipline: Discipline) -> &'static str {
    match discipline {
        Discipline::Lease => "lease (etcd)",
        Discipline::Session { .. } => "session with lock-delay (Consul)",
        Discipline::Ephemeral { .. } => "ephemeral nodes (ZooKeeper)",
        Discipline::Judged => "judged by its clients (Kubernetes)",
        Discipline::Ticks { .. } => "ticks of the log (Raft)",
    }
}

fn random_config(chance: &mut Chance) -> Map<String, Value> {
    let (ttl, loop_wait, retry_timeout) = match chance.below(4) {
        0 => (30, 10, 10),
        1 => (20, 5, 5),
        2 => (20, 10, 5),
        _ => (30, 5, 10),
    };
    let synchronous = random_mode(chance);
    let strict = synchronous != Value::Bool(false) && chance.percent(30);
    let config = json!({
        "ttl": ttl,
        "loop_wait": loop_wait,
        "retry_timeout": retry_timeout,
        "maximum_lag_on_failover": 1_048_576,
        "primary_start_timeout": if chance.percent(15) { 0 } else { 60 },
        "check_timeline": chance.percent(30),
        "failsafe_mode": chance.percent(30),
        "synchronous_mode": synchronous,
        "synchronous_mode_strict": strict,
        "synchronous_node_count": chance.between(1, 2),
    });
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// One slot of each kind.
fn permanent_slots() -> Value {
    json!({
        "app": {"type": "physical"},
        "log": {"type": "logical", "database": "app", "plugin": "pgoutput"},
    })
}
