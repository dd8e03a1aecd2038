//! What breaks, and how it gets mended.

use std::time::Duration;

use patroni_dcs::memory::Fault as StoreFault;

use crate::event::Event;
use crate::network::Traffic;
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
    /// Two members do not reach each other.
    Link(Traffic, usize, usize),
    /// One member reaches nobody.
    Isolated(usize),
    /// The loop of a daemon waits for something that does not come; the rest of it goes on.
    LoopHangs(usize),
    /// The postmaster hangs, its sessions go on.
    Silent(usize),
    /// The daemon stands still, its server goes on.
    DaemonFrozen(usize),
    /// The machine stands still.
    Frozen(usize),
    /// The machine has no power.
    Down(usize),
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
        let next = self.chance.skewed((500, 20_000), (20_000, 60_000), 20);
        self.schedule(next, Event::Break);
        let node = self.victim();
        let faults = self.options.faults;
        let kind = self.chance.below(14);
        match kind {
            0..7 if faults.network => self.break_network(node, kind),
            7 if faults.freezes && self.chance.percent(50) => {
                self.begin_fault(Fault::LoopHangs(node));
            }
            7 if faults.freezes => self.begin_fault(Fault::DaemonFrozen(node)),
            8 if faults.freezes => self.begin_fault(Fault::Frozen(node)),
            9 if faults.crashes => self.kill_daemon(node),
            10 if faults.freezes && self.chance.percent(40) => self.begin_silence(node),
            10 if faults.crashes => self.kill_server(node),
            11 if faults.crashes => {
                self.kill_server(node);
                self.kill_daemon(node);
            }
            12 if faults.crashes => self.power_off(node),
            13 if faults.drift => {
                let ppm = self.drift();
                self.nodes[node].clock.change_rate(self.now, ppm);
                self.coverage.count("fault", "drift");
            }
            _ => {}
        }
    }

    fn break_network(&mut self, node: usize, kind: u64) {
        let other = self.chance.index(self.nodes.len());
        let fault = match kind {
            0 => Fault::Store(node, StoreFault::Unreachable),
            1 => Fault::Store(node, StoreFault::LostReply),
            2 => {
                let late = self.chance.millis(100, 8000);
                Fault::Store(node, StoreFault::Delayed(late))
            }
            3 => Fault::SlowStore(node),
            4 if self.chance.percent(50) => Fault::Outage,
            4 => Fault::Isolated(node),
            5 if other != node => Fault::Link(Traffic::Rest, node, other),
            6 if other != node => Fault::Link(Traffic::Postgres, node, other),
            _ => return,
        };
        self.begin_fault(fault);
    }

    /// The leader is the most interesting victim.
    fn victim(&mut self) -> usize {
        let primary = self.nodes.iter().position(|node| node.server.is_primary());
        match primary {
            Some(primary) if self.chance.percent(50) => primary,
            Some(_) | None => self.chance.index(self.nodes.len()),
        }
    }

    pub(crate) fn begin_fault(&mut self, fault: Fault) {
        let lasts = self.chance.skewed((200, 20_000), (20_000, 90_000), 35);
        self.begin_fault_for(fault, lasts);
    }

    /// A fault of a known length.
    pub(crate) fn begin_fault_for(&mut self, fault: Fault, lasts: Duration) {
        self.coverage.count("fault", fault.name());
        self.trace("-", "fault", || {
            format!("{fault:?} for {} ms", lasts.as_millis())
        });
        self.schedule(lasts, Event::Mend { fault });
        match fault {
            Fault::Store(node, fault) => self.model.set_fault(&self.names[node], Some(fault)),
            Fault::Outage => {
                for name in self.names.clone() {
                    self.model.set_fault(&name, Some(StoreFault::Unreachable));
                }
            }
            Fault::SlowStore(node) => self.nodes[node].slow_store = true,
            Fault::Link(traffic, a, b) => self.network.cut(traffic, a, b),
            Fault::Isolated(node) => {
                let name = self.names[node].clone();
                self.model.set_fault(&name, Some(StoreFault::Unreachable));
                for other in 0..self.nodes.len() {
                    self.network.cut(Traffic::Rest, node, other);
                    self.network.cut(Traffic::Postgres, node, other);
                }
            }
            Fault::LoopHangs(node) => self.nodes[node].loop_hangs = true,
            Fault::Silent(_) | Fault::Down(_) => {}
            Fault::DaemonFrozen(node) => self.nodes[node].daemon_frozen = true,
            Fault::Frozen(node) => self.nodes[node].frozen = true,
        }
    }

    /// One fault is over.
    pub(crate) fn mend(&mut self, fault: &Fault) {
        self.trace("-", "mended", || format!("{fault:?}"));
        match *fault {
            Fault::Store(node, _) => self.model.set_fault(&self.names[node], None),
            Fault::Outage => {
                for name in self.names.clone() {
                    self.model.set_fault(&name, None);
                }
            }
            Fault::SlowStore(node) => self.nodes[node].slow_store = false,
            Fault::Link(traffic, a, b) => self.network.mend(traffic, a, b),
            Fault::Isolated(node) => {
                let name = self.names[node].clone();
                self.model.set_fault(&name, None);
                for other in 0..self.nodes.len() {
                    self.network.mend(Traffic::Rest, node, other);
                    self.network.mend(Traffic::Postgres, node, other);
                }
            }
            Fault::LoopHangs(node) => {
                self.nodes[node].loop_hangs = false;
                self.release_held_back(node);
            }
            Fault::Silent(node) => self.end_silence(node),
            Fault::DaemonFrozen(node) => self.thaw(node, |node| node.daemon_frozen = false),
            Fault::Frozen(node) => self.thaw(node, |node| node.frozen = false),
            Fault::Down(node) => {
                self.nodes[node].down = false;
                self.boot(node);
            }
        }
    }

    fn thaw(&mut self, node: usize, change: impl FnOnce(&mut crate::node::Node)) {
        if !self.nodes[node].daemon_stands_still() {
            return;
        }
        change(&mut self.nodes[node]);
        self.nodes[node].excused_until = self.now + Duration::from_secs(1);
        self.release_held_back(node);
    }

    /// `kill -9`
    fn kill_daemon(&mut self, node: usize) {
        let here = &self.nodes[node];
        if !here.daemon.alive || here.daemon_stands_still() {
            return;
        }
        self.coverage.count("fault", "daemon killed");
        self.note(node, "fault", || "daemon killed".to_owned());
        self.exit_daemon(node, true);
    }

    /// The postmaster dies with all its children.
    fn kill_server(&mut self, node: usize) {
        if !self.nodes[node].server.runs() || self.nodes[node].stands_still() {
            return;
        }
        self.coverage.count("fault", "server killed");
        self.note(node, "fault", || "server killed".to_owned());
        self.end_process(node);
    }

    /// Everything on the machine ends, and it comes back later.
    pub(crate) fn power_off(&mut self, node: usize) {
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
        here.watchdog = None;
        here.guardian = None;
        here.daemon.alive = false;
        here.daemon.life += 1;
        here.daemon.cycle = None;
        here.daemon.job = None;
        here.daemon.ordered = None;
        here.daemon.leaving = false;
        let lasts = self.chance.millis(5000, 60_000);
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
            self.mend(&Fault::DaemonFrozen(node));
            self.mend(&Fault::Frozen(node));
        }
    }
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Store(_, StoreFault::Unreachable) => "store unreachable",
            Self::Store(_, StoreFault::LostReply) => "lost replies",
            Self::Store(_, StoreFault::Delayed(_)) => "late requests",
            Self::Store(_, StoreFault::Repeated(_)) => "repeated requests",
            Self::Outage => "store outage",
            Self::SlowStore(_) => "slow store",
            Self::Link(Traffic::Rest, ..) => "rest cut",
            Self::Link(Traffic::Postgres, ..) => "streaming cut",
            Self::Isolated(_) => "isolated",
            Self::LoopHangs(_) => "loop hangs",
            Self::Silent(_) => "server silent",
            Self::DaemonFrozen(_) => "daemon frozen",
            Self::Frozen(_) => "machine frozen",
            Self::Down(_) => "power off",
        }
    }
}
