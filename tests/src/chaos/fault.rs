//! What breaks, and what people ask for meanwhile.

use std::fmt;

use anyhow::Result;
use fastrand::Rng;
use nix::sys::signal::{Signal, kill};

use crate::machines::{COUNT, Machines};
use crate::proc::{self, Proc};

/// A fault, or a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The daemon is killed, and started again later.
    KillDaemon(usize),
    /// The daemon stands still.
    StopDaemon(usize),
    /// The postmaster is killed.
    KillPostmaster(usize),
    /// The postmaster stands still; its sessions go on.
    StopPostmaster(usize),
    /// Everything on the machine is killed, and the daemon started again later.
    PowerOff(usize),
    /// Everything on the machine stands still.
    Freeze(usize),
    /// The links to all servers of the store are cut.
    CutFromStores(usize),
    /// All links are cut.
    Isolate(usize),
    /// The link between two nodes is cut.
    CutPair(usize, usize),
    /// So many servers of the store stand still, from this one on.
    StopStores(usize, usize),
    /// `patronictl switchover`, asked on a node.
    Switchover(usize),
    /// `patronictl restart` of a node.
    Restart(usize),
    /// `patronictl reinit` of a node.
    Reinitialize(usize),
}

/// What a fault is about; two faults about the same are never there at once.
#[derive(PartialEq, Eq)]
enum About {
    Node(usize),
    Network,
    Store,
    Request,
}

impl Fault {
    /// Any of them; the leader, if it is known, is met more often than others.
    pub(super) fn choose(rng: &mut Rng, leader: Option<usize>) -> Self {
        let any = rng.usize(..COUNT);
        let node = leader.filter(|_| rng.bool()).unwrap_or(any);
        match rng.u8(..13) {
            0 => Self::KillDaemon(node),
            1 => Self::StopDaemon(node),
            2 => Self::KillPostmaster(node),
            3 => Self::StopPostmaster(node),
            4 => Self::PowerOff(node),
            5 => Self::Freeze(node),
            6 => Self::CutFromStores(node),
            7 => Self::Isolate(node),
            8 => Self::CutPair(node, (node + 1) % COUNT),
            9 => Self::StopStores(any, rng.usize(1..=COUNT)),
            10 => Self::Switchover(any),
            11 => Self::Restart(node),
            _ => Self::Reinitialize(any),
        }
    }

    fn about(&self) -> About {
        match self {
            Self::KillDaemon(node)
            | Self::StopDaemon(node)
            | Self::KillPostmaster(node)
            | Self::StopPostmaster(node)
            | Self::PowerOff(node)
            | Self::Freeze(node) => About::Node(*node),
            Self::CutFromStores(_) | Self::Isolate(_) | Self::CutPair(..) => About::Network,
            Self::StopStores(..) => About::Store,
            Self::Switchover(_) | Self::Restart(_) | Self::Reinitialize(_) => About::Request,
        }
    }

    pub(super) fn collides(&self, other: &Self) -> bool {
        self.about() == other.about()
    }

    /// Whether it must be mended.
    pub(super) fn lasts(&self) -> bool {
        self.about() != About::Request && !matches!(self, Self::KillPostmaster(_))
    }

    /// Whether the daemon of a node does not run because of it.
    pub(super) fn ends_daemon(&self, node: usize) -> bool {
        *self == Self::KillDaemon(node) || *self == Self::PowerOff(node)
    }

    /// Breaks it. A request is a program that goes on.
    pub(super) fn begin(&self, machines: &mut Machines) -> Result<Option<Proc>> {
        match *self {
            Self::KillDaemon(node) => machines.nodes[node].kill_daemon(),
            Self::StopDaemon(node) => machines.nodes[node].signal(Signal::SIGSTOP),
            Self::KillPostmaster(node) => signal_postmaster(machines, node, Signal::SIGKILL),
            Self::StopPostmaster(node) => signal_postmaster(machines, node, Signal::SIGSTOP),
            Self::PowerOff(node) => machines.power_off(node)?,
            Self::Freeze(node) => machines.freeze(node, true)?,
            Self::CutFromStores(node) => machines.cut_from_stores(node)?,
            Self::Isolate(node) => machines.isolate(node, true)?,
            Self::CutPair(one, other) => machines.network.cut(one, other)?,
            Self::StopStores(from, count) => signal_stores(machines, from, count, Signal::SIGSTOP)?,
            Self::Switchover(node) => {
                return ask(machines, node, &["switchover", "--force"]).map(Some);
            }
            Self::Restart(node) => return ask_about(machines, node, "restart").map(Some),
            Self::Reinitialize(node) => return ask_about(machines, node, "reinit").map(Some),
        }
        Ok(None)
    }

    /// Mends it.
    pub(super) fn end(&self, machines: &mut Machines) -> Result<()> {
        match *self {
            Self::KillDaemon(node) => machines.nodes[node].start()?,
            Self::PowerOff(node) => machines.power_on(node)?,
            Self::StopDaemon(node) => machines.nodes[node].signal(Signal::SIGCONT),
            Self::StopPostmaster(node) => signal_postmaster(machines, node, Signal::SIGCONT),
            Self::Freeze(node) => machines.freeze(node, false)?,
            Self::CutFromStores(node) => machines.mend_to_stores(node)?,
            Self::Isolate(node) => machines.isolate(node, false)?,
            Self::CutPair(one, other) => machines.network.mend(one, other)?,
            Self::StopStores(from, count) => signal_stores(machines, from, count, Signal::SIGCONT)?,
            Self::KillPostmaster(_)
            | Self::Switchover(_)
            | Self::Restart(_)
            | Self::Reinitialize(_) => {}
        }
        Ok(())
    }
}

/// There may be none just then.
fn signal_postmaster(machines: &Machines, node: usize, signal: Signal) {
    if let Ok(pid) = machines.nodes[node].postmaster() {
        let _ = kill(pid, signal);
    }
}

fn signal_stores(machines: &Machines, from: usize, count: usize, signal: Signal) -> Result<()> {
    let servers = (from..from + count).map(|index| &machines.stores.servers[index % COUNT]);
    servers
        .into_iter()
        .try_for_each(|server| server.signal(signal))
}

fn ask_about(machines: &Machines, node: usize, what: &str) -> Result<Proc> {
    let name = machines.nodes[node].name.clone();
    ask(machines, node, &[what, "demo", &name, "--force"])
}

fn ask(machines: &Machines, node: usize, args: &[&str]) -> Result<Proc> {
    let node = &machines.nodes[node];
    let mut command = proc::command_in(node.namespace.as_deref(), proc::bin("patronictl"));
    command.arg("-c").arg(node.config_path()).args(args);
    command.env("HOME", &node.dir);
    Proc::start("patronictl", command, &node.dir.join("patronictl.log"))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: usize| format!("node{}", node + 1);
        match self {
            Self::KillDaemon(node) => write!(f, "the daemon of {} is killed", name(*node)),
            Self::StopDaemon(node) => write!(f, "the daemon of {} stands still", name(*node)),
            Self::KillPostmaster(node) => write!(f, "the postmaster of {} is killed", name(*node)),
            Self::StopPostmaster(node) => {
                write!(f, "the postmaster of {} stands still", name(*node))
            }
            Self::PowerOff(node) => write!(f, "{} loses its power", name(*node)),
            Self::Freeze(node) => write!(f, "{} stands still", name(*node)),
            Self::CutFromStores(node) => write!(f, "{} is cut off from the store", name(*node)),
            Self::Isolate(node) => write!(f, "{} is cut off from everybody", name(*node)),
            Self::CutPair(one, other) => {
                write!(
                    f,
                    "{} and {} are cut off from each other",
                    name(*one),
                    name(*other)
                )
            }
            Self::StopStores(_, count) => {
                write!(f, "{count} of {COUNT} servers of the store stand still")
            }
            Self::Switchover(node) => write!(f, "a switchover is asked for on {}", name(*node)),
            Self::Restart(node) => write!(f, "a restart of {} is asked for", name(*node)),
            Self::Reinitialize(node) => write!(f, "a new copy for {} is asked for", name(*node)),
        }
    }
}
