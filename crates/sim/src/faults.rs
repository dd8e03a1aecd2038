//! What breaks, and how it gets mended.

use std::time::Duration;

use patroni_dcs::memory::Fault as StoreFault;

use crate::event::Event;
use crate::network::{Network, Traffic};
use crate::options::Mutant;
use crate::world::World;

/// Something broken that gets mended later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// One member and the store do not reach each other, or answers or requests are late.
    Store(usize, StoreFault),
    /// The store answers nobody.
    Outage,
    /// Answers of the store take long for one member.
    SlowStore(usize),
    /// What the first member sends does not arrive at the second.
    Link(Traffic, usize, usize),
    /// Two members do not reach each other.
    Pair(Traffic, usize, usize),
    /// One member reaches nobody.
    Isolated(usize),
    /// The loop of a daemon waits for something that does not come; the rest of it goes on.
    LoopHangs(usize),
    /// The postmaster hangs, its sessions go on.
    Silent(usize),
    /// The disk does not answer: queries time out, nothing is flushed, starts and stops wait.
    Stalls(usize),
    /// The daemon stands still, its server goes on.
    DaemonFrozen(usize),
    /// The machine stands still.
    Frozen(usize),
    /// The machine has no power.
    Down(usize),
    /// The files of the server cannot be reached.
    DiskAway(usize),
    /// The data are those of another cluster.
    Foreign(usize),
    /// The member must not lead.
    MayNotLead(usize),
    /// The WAL receiver of the member gets little at a time.
    SlowStream(usize),
}

/// What is broken now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Troubles {
    /// No more of them.
    pub(crate) over: bool,
}

impl World {
    /// Something breaks, and the next thing is planned.
    pub(crate) fn break_something(&mut self) {
        if self.troubles.over {
            return;
        }
        let next = self.fate.skewed((500, 20_000), (20_000, 60_000), 20) * self.pace / 100;
        self.schedule(next, Event::Break);
        let node = self.victim();
        let other = self.fate.index(self.nodes.len());
        let lasts = self.fate.skewed((200, 20_000), (20_000, 90_000), 35);
        let late = self.fate.millis(100, 8000);
        let (kind, variant) = (self.fate.below(19), self.fate.below(4));
        let step = self.fate.between(1, 300_000);
        if !self.disturbed() {
            return;
        }
        let faults = self.options.faults;
        match kind {
            0..8 if faults.network => {
                if let Some(fault) = network_fault(kind, variant, node, other, late) {
                    self.begin_fault(fault, lasts);
                }
            }
            8 if faults.network => self.elect_store_leader(late / 2),
            9 if faults.freezes && variant < 2 => self.begin_fault(Fault::LoopHangs(node), lasts),
            9 if faults.freezes => self.begin_fault(Fault::DaemonFrozen(node), lasts),
            10 if faults.freezes => self.begin_fault(Fault::Frozen(node), lasts),
            11 if faults.freezes => self.begin_fault(Fault::Stalls(node), lasts),
            18 if faults.freezes => self.begin_silence(node, lasts),
            12 if faults.crashes => self.kill_daemon(node),
            13 if faults.crashes => self.kill_server(node),
            14 if faults.crashes => {
                self.kill_server(node);
                self.kill_daemon(node);
            }
            15 if faults.crashes => self.power_off(node),
            16 if faults.drift => {
                let ppm = self.drift();
                self.nodes[node].clock.change_rate(self.now, ppm);
                self.coverage.count("fault", "drift");
            }
            17 if faults.drift => {
                let step = i64::try_from(step).unwrap_or_default();
                self.nodes[node].wall_ahead_millis += if variant < 2 { step } else { -step };
                self.coverage.count("fault", "wall clock step");
                self.note(node, "fault", || "wall clock step".to_owned());
            }
            _ => {}
        }
    }

    /// Counts a disturbance. False when this one is to be left out.
    pub(crate) fn disturbed(&mut self) -> bool {
        self.disturbances += 1;
        if self.options.without.contains(&self.disturbances) {
            return false;
        }
        self.stir();
        let number = self.disturbances;
        self.trace("-", "number", || number.to_string());
        true
    }

    /// The leader is the most interesting victim.
    fn victim(&mut self) -> usize {
        let primary = self.nodes.iter().position(|node| node.server.is_primary());
        let (leader, anybody) = (self.fate.percent(50), self.fate.index(self.nodes.len()));
        match primary {
            Some(primary) if leader => primary,
            Some(_) | None => anybody,
        }
    }

    /// The store loses its leader for a while, and the next one knows nothing of the age of
    /// leases.
    fn elect_store_leader(&mut self, takes: Duration) {
        self.begin_fault(Fault::Outage, takes);
        self.coverage.count("fault", "store election");
        self.schedule(takes, Event::StoreElected);
    }

    pub(crate) fn store_elected(&mut self) {
        self.trace("-", "store", || "has another leader".to_owned());
        self.model.extend_leases();
    }

    pub(crate) fn begin_fault(&mut self, fault: Fault, lasts: Duration) {
        self.coverage.count("fault", fault.name());
        self.trace("-", "fault", || {
            format!("{fault:?} for {} ms", lasts.as_millis())
        });
        self.schedule(lasts, Event::Mend { fault });
        if self.mutated(Mutant::WallClockLease) {
            // A clock that is wrong is put right at the worst moment.
            for node in &mut self.nodes {
                node.wall_ahead_millis -= 60_000;
            }
        }
        match fault {
            Fault::Store(node, fault) => self.model.set_fault(&self.names[node], Some(fault)),
            Fault::Outage => {
                for name in self.names.clone() {
                    self.model.set_fault(&name, Some(StoreFault::Unreachable));
                }
            }
            Fault::SlowStore(node) => self.nodes[node].slow_store = true,
            Fault::Link(traffic, from, to) => self.network.cut(traffic, from, to),
            Fault::Pair(traffic, a, b) => {
                self.network.cut(traffic, a, b);
                self.network.cut(traffic, b, a);
            }
            Fault::Isolated(node) => {
                let name = self.names[node].clone();
                self.model.set_fault(&name, Some(StoreFault::Unreachable));
                self.each_way(node, Network::cut);
            }
            Fault::LoopHangs(node) => self.nodes[node].loop_hangs = true,
            Fault::Stalls(node) => self.nodes[node].stalls = true,
            Fault::DaemonFrozen(node) => {
                self.falls_asleep(node);
                self.nodes[node].daemon_frozen = true;
            }
            Fault::Frozen(node) => {
                self.falls_asleep(node);
                self.nodes[node].frozen = true;
            }
            Fault::Silent(_)
            | Fault::Down(_)
            | Fault::DiskAway(_)
            | Fault::Foreign(_)
            | Fault::MayNotLead(_) => {}
            Fault::SlowStream(node) => self.nodes[node].slow_stream = true,
        }
    }

    fn falls_asleep(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        if !here.daemon_stands_still() {
            here.slept_since = self.now;
        }
    }

    /// All links of a node, in both directions.
    fn each_way(&mut self, node: usize, change: fn(&mut Network, Traffic, usize, usize)) {
        for other in 0..self.nodes.len() {
            for traffic in [Traffic::Rest, Traffic::Postgres] {
                change(&mut self.network, traffic, node, other);
                change(&mut self.network, traffic, other, node);
            }
        }
    }

    /// One fault is over.
    pub(crate) fn mend(&mut self, fault: &Fault) {
        self.trace("-", "mended", || format!("{fault:?}"));
        self.stir();
        match *fault {
            Fault::Store(node, _) => self.model.set_fault(&self.names[node], None),
            Fault::Outage => {
                for name in self.names.clone() {
                    self.model.set_fault(&name, None);
                }
            }
            Fault::SlowStore(node) => self.nodes[node].slow_store = false,
            Fault::Link(traffic, from, to) => self.network.mend(traffic, from, to),
            Fault::Pair(traffic, a, b) => {
                self.network.mend(traffic, a, b);
                self.network.mend(traffic, b, a);
            }
            Fault::Isolated(node) => {
                let name = self.names[node].clone();
                self.model.set_fault(&name, None);
                self.each_way(node, Network::mend);
            }
            Fault::LoopHangs(node) => {
                self.nodes[node].loop_hangs = false;
                self.release_held_back(node);
            }
            Fault::Silent(node) => self.end_silence(node),
            Fault::Stalls(node) => {
                self.nodes[node].stalls = false;
                self.release_held_back(node);
                self.release_commits(node);
            }
            Fault::DaemonFrozen(node) => self.thaw(node, |node| node.daemon_frozen = false),
            Fault::Frozen(node) => self.thaw(node, |node| node.frozen = false),
            Fault::Down(node) => {
                self.nodes[node].down = false;
                self.boot(node);
            }
            Fault::DiskAway(node) => self.disk_comes_back(node),
            Fault::Foreign(node) => self.remove_foreign_data(node),
            Fault::MayNotLead(node) => self.allow_to_lead(node),
            Fault::SlowStream(node) => self.nodes[node].slow_stream = false,
        }
    }

    fn thaw(&mut self, node: usize, change: impl FnOnce(&mut crate::node::Node)) {
        if !self.nodes[node].daemon_stands_still() {
            return;
        }
        change(&mut self.nodes[node]);
        if !self.nodes[node].daemon_stands_still() {
            let slept = self.now.since(self.nodes[node].slept_since);
            self.nodes[node].slept += slept;
        }
        self.nodes[node].excused_until = self.now + Duration::from_secs(1);
        self.release_held_back(node);
    }

    /// `kill -9`
    pub(crate) fn kill_daemon(&mut self, node: usize) {
        let here = &self.nodes[node];
        if !here.daemon.alive || here.daemon_stands_still() {
            return;
        }
        self.coverage.count("fault", "daemon killed");
        self.note(node, "fault", || "daemon killed".to_owned());
        self.exit_daemon(node, true);
    }

    /// The postmaster dies with all its children.
    pub(crate) fn kill_server(&mut self, node: usize) {
        if !self.nodes[node].server.runs() || self.nodes[node].stands_still() {
            return;
        }
        self.coverage.count("fault", "server killed");
        self.note(node, "fault", || "server killed".to_owned());
        self.end_process(node);
    }

    /// Everything on the machine ends, and it comes back some time later.
    pub(crate) fn power_off(&mut self, node: usize) {
        if !self.nodes[node].down {
            let lasts = self.chance.millis(5000, 60_000);
            self.power_off_for(node, lasts);
        }
    }

    /// The same for so long.
    pub(crate) fn power_off_for(&mut self, node: usize, lasts: Duration) {
        if self.nodes[node].down {
            return;
        }
        self.coverage.count("fault", "power off");
        self.note(node, "fault", || "power off".to_owned());
        self.lose_power(node);
        let here = &mut self.nodes[node];
        here.down = true;
        here.frozen = false;
        here.daemon_frozen = false;
        here.loop_hangs = false;
        here.stalls = false;
        here.watchdog = None;
        here.guardian = None;
        here.daemon.alive = false;
        here.daemon.life += 1;
        here.daemon.cycle = None;
        here.daemon.job = None;
        here.daemon.ordered = None;
        here.daemon.leaving = false;
        let fault = Fault::Down(node);
        self.schedule(lasts, Event::Mend { fault });
    }

    /// Nothing breaks any more, and everything broken is mended.
    pub(crate) fn end_troubles(&mut self) {
        self.troubles.over = true;
        self.trace("-", "faults", || "are over".to_owned());
        self.mend(&Fault::Outage);
        self.network.mend_all();
        for node in 0..self.nodes.len() {
            self.mend(&Fault::SlowStore(node));
            self.mend(&Fault::LoopHangs(node));
            self.mend(&Fault::Silent(node));
            self.mend(&Fault::Stalls(node));
            self.mend(&Fault::DaemonFrozen(node));
            self.mend(&Fault::Frozen(node));
            self.mend(&Fault::DiskAway(node));
            self.mend(&Fault::Foreign(node));
            self.mend(&Fault::MayNotLead(node));
            self.mend(&Fault::SlowStream(node));
        }
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Store(_, StoreFault::Unreachable) => "store unreachable",
            Self::Store(_, StoreFault::LostReply) => "lost replies",
            Self::Store(_, StoreFault::LostWrites) => "lost writes",
            Self::Store(_, StoreFault::Delayed(_)) => "late requests",
            Self::Store(_, StoreFault::Repeated(_)) => "repeated requests",
            Self::Outage => "store outage",
            Self::SlowStore(_) => "slow store",
            Self::Link(Traffic::Rest, ..) => "rest cut one way",
            Self::Link(Traffic::Postgres, ..) => "streaming cut one way",
            Self::Pair(Traffic::Rest, ..) => "rest cut",
            Self::Pair(Traffic::Postgres, ..) => "streaming cut",
            Self::Isolated(_) => "isolated",
            Self::LoopHangs(_) => "loop hangs",
            Self::Silent(_) => "server silent",
            Self::Stalls(_) => "disk stalls",
            Self::DaemonFrozen(_) => "daemon frozen",
            Self::Frozen(_) => "machine frozen",
            Self::Down(_) => "power off",
            Self::DiskAway(_) => "disk away",
            Self::Foreign(_) => "data of another cluster",
            Self::MayNotLead(_) => "nofailover set",
            Self::SlowStream(_) => "slow streaming",
        }
    }
}

/// A fault of the network, from what fate chose.
fn network_fault(
    kind: u64,
    variant: u64,
    node: usize,
    other: usize,
    late: Duration,
) -> Option<Fault> {
    Some(match kind {
        0 => Fault::Store(node, StoreFault::Unreachable),
        1 => Fault::Store(node, StoreFault::LostReply),
        2 => Fault::Store(node, StoreFault::Delayed(late)),
        3 if variant == 0 => Fault::Store(node, StoreFault::Repeated(late)),
        3 => Fault::SlowStore(node),
        4 if variant < 2 => Fault::Outage,
        4 => Fault::Isolated(node),
        5 if other != node => Fault::Pair(Traffic::Rest, node, other),
        6 if other != node => Fault::Pair(Traffic::Postgres, node, other),
        7 if other != node && variant < 2 => Fault::Link(Traffic::Rest, node, other),
        7 if other != node => Fault::Link(Traffic::Postgres, node, other),
        _ => return None,
    })
}

/// The names of everything that can break, as the coverage shows them.
pub(crate) const NAMES: &[&str] = &[
    "store unreachable",
    "lost replies",
    "lost writes",
    "late requests",
    "repeated requests",
    "store outage",
    "store election",
    "slow store",
    "rest cut one way",
    "streaming cut one way",
    "rest cut",
    "streaming cut",
    "isolated",
    "loop hangs",
    "server silent",
    "disk stalls",
    "daemon frozen",
    "machine frozen",
    "daemon killed",
    "server killed",
    "power off",
    "disk away",
    "data of another cluster",
    "nofailover set",
    "slow streaming",
    "drift",
    "wall clock step",
];
