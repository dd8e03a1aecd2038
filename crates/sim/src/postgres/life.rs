//! How a server starts, stops, dies and is promoted.

use std::time::Duration;

use patroni_core::server::ControlState;
use patroni_core::{Lsn, Role};
use patroni_ha::command::{StartRequest, StopMode};

use super::server::{Checkpoint, Data, Process};
use crate::event::Event;
use crate::invariants::{Invariant, slots, timelines};
use crate::world::World;

/// A checkpoint record.
pub(crate) const CHECKPOINT_BYTES: u64 = 128;

/// What a process does by itself after some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// The start ends.
    Ready,
    /// The promotion ends.
    Promoted,
    /// The checkpoint before an orderly stop is over, during which clients were served.
    Drain,
    /// The shutdown checkpoint is written.
    Drained,
    /// Are all WAL senders done?
    Exit,
    /// It is gone.
    Gone,
}

impl World {
    pub(crate) fn later(&mut self, node: usize, after: Duration, transition: Transition) {
        let generation = self.nodes[node].server.generation;
        let event = Event::Server {
            node,
            generation,
            transition,
        };
        self.schedule(after, event);
    }

    /// Starts a postmaster. False when there is nothing to start it on.
    pub(crate) fn start_server(&mut self, node: usize, request: &StartRequest) -> bool {
        let now = self.now;
        let long = self.chance.percent(5);
        let server = &mut self.nodes[node].server;
        if server.runs() {
            return true;
        }
        if server.data.as_ref().is_some_and(|data| data.torn) {
            let message = format!("{} starts on half rewound data", self.names[node]);
            self.broken(Invariant::DataDirectory, message);
            return false;
        }
        let Some(data) = server.data.as_mut().filter(|d| d.system.is_some()) else {
            return false;
        };
        data.signal = request.role != Role::Primary;
        if data.signal {
            data.upstream = request.upstream.clone();
        }
        let clean = matches!(
            data.control,
            ControlState::ShutDown | ControlState::ShutDownInRecovery
        );
        server.process = Process::Starting;
        server.generation += 1;
        server.started = now;
        server.received = None;
        server.receiving = false;
        server.replays_until = None;
        server.before_power_loss = None;
        let after = match (clean, long) {
            (_, true) => self.chance.millis(5000, 45_000),
            (true, false) => self.chance.millis(100, 800),
            (false, false) => self.chance.millis(300, 4000),
        };
        self.later(node, after, Transition::Ready);
        self.note(node, "pg", || format!("starting as {}", request.role));
        true
    }

    /// Tells a server to stop. Harmless when it stops already, and rougher when asked to be.
    pub(crate) fn stop_server(&mut self, node: usize, mode: StopMode, checkpoint: bool) {
        let process = self.nodes[node].server.process;
        if self.nodes[node].silent_since.is_some() {
            self.stop_silent(node, mode);
            return;
        }
        match (mode, process) {
            (_, Process::Absent | Process::Dying)
            | (StopMode::Fast, Process::Draining | Process::Drained) => {}
            (StopMode::Fast, Process::Primary) if checkpoint => {
                let after = self.chance.millis(50, 1200);
                self.later(node, after, Transition::Drain);
            }
            (StopMode::Fast, Process::Standby | Process::Promoting | Process::Primary) => {
                self.drain(node);
            }
            (StopMode::Fast, Process::Starting) | (StopMode::Immediate, _) => {
                self.set_process(node, Process::Dying);
                let after = self.chance.millis(5, 120);
                self.later(node, after, Transition::Gone);
            }
        }
    }

    fn drain(&mut self, node: usize) {
        self.set_process(node, Process::Draining);
        let after = self.chance.skewed((20, 600), (2000, 30_000), 5);
        self.later(node, after, Transition::Drained);
    }

    fn set_process(&mut self, node: usize, process: Process) {
        let server = &mut self.nodes[node].server;
        let before = server.process;
        server.process = process;
        server.generation += 1;
        if !server.is_primary() {
            self.drop_waiting(node);
        }
        self.note(node, "pg", || format!("{before:?} -> {process:?}"));
        self.stir();
        self.kick_streams();
    }

    /// The process ends now, leaving its control file as it is.
    pub(crate) fn end_process(&mut self, node: usize) {
        if !self.nodes[node].server.runs() {
            return;
        }
        self.set_process(node, Process::Absent);
        self.nodes[node].silent_since = None;
        let server = &mut self.nodes[node].server;
        server.told_to_stop = None;
        server.senders.clear();
        server.receiving = false;
        // What was written is in the hands of the operating system, which lives on.
        if let Some(data) = server.data.as_mut() {
            data.flushed = data.written;
            let (branch, flushed) = (data.branch, data.flushed);
            self.wal.flushed(branch, flushed);
        }
        self.leave_upstreams(node);
        self.wake(node);
    }

    /// The power goes: what was not flushed is lost.
    pub(crate) fn lose_power(&mut self, node: usize) {
        let server = &mut self.nodes[node].server;
        if let Some(data) = server.data.as_mut() {
            server.before_power_loss = Some((data.branch, data.written));
            data.written = data.flushed;
            data.replayed = data.replayed.min(data.flushed);
        }
        self.end_process(node);
    }

    pub(crate) fn server_event(&mut self, node: usize, transition: Transition) {
        match transition {
            Transition::Ready => self.ready(node),
            Transition::Promoted => self.promoted(node),
            Transition::Drain => self.drain(node),
            Transition::Drained => self.drained(node),
            Transition::Exit => self.exit_when_delivered(node),
            Transition::Gone => self.end_process(node),
        }
    }

    fn ready(&mut self, node: usize) {
        let long = std::mem::take(&mut self.nodes[node].replays_long);
        let late = self.chance.percent(20) || long;
        let late = late.then(|| self.now + self.chance.skewed((20, 1000), (1000, 20_000), 20));
        let server = &mut self.nodes[node].server;
        let Some(data) = server.data.as_mut() else {
            return;
        };
        data.label = false;
        if data.signal {
            data.control = ControlState::InArchiveRecovery;
            // Readers are served before the standby has replayed what it has.
            let begin = data.checkpoint.begin;
            server.replays_until = late.filter(|_| begin < data.flushed);
            data.replayed = server.replays_until.map_or(data.flushed, |_| begin);
            self.set_process(node, Process::Standby);
            return;
        }
        self.become_primary(node);
    }

    /// Recovery ends on the same timeline: a start as primary.
    fn become_primary(&mut self, node: usize) {
        let Some(data) = self.nodes[node].server.data.as_mut() else {
            return;
        };
        let (branch, flushed) = (data.branch, data.flushed);
        if self.wal.get(branch).extent > flushed {
            let forked = self.wal.fork(branch, flushed);
            data.branch = forked;
        }
        if data.control != ControlState::ShutDown {
            checkpoint(data);
        }
        data.control = ControlState::InProduction;
        data.replayed = data.flushed;
        let (branch, flushed) = (data.branch, data.flushed);
        self.wal.flushed(branch, flushed);
        self.set_process(node, Process::Primary);
        timelines::in_production(self, node, branch);
    }

    /// Issues a promotion. False when there is no server to promote.
    pub(crate) fn promote_server(&mut self, node: usize) -> bool {
        let here = &self.nodes[node];
        // A postmaster that hangs does not hear of it.
        if here.server.process != Process::Standby || here.silent_since.is_some() {
            return false;
        }
        self.set_process(node, Process::Promoting);
        let after = self.chance.skewed((50, 1500), (3000, 30_000), 8);
        self.later(node, after, Transition::Promoted);
        true
    }

    fn promoted(&mut self, node: usize) {
        let server = &mut self.nodes[node].server;
        server.receiving = false;
        let Some(data) = server.data.as_mut() else {
            return;
        };
        data.flushed = data.written;
        let (parent, at) = (data.branch, data.flushed);
        self.wal.flushed(parent, at);
        let branch = self.wal.promote(parent, at);
        data.branch = branch;
        data.append(CHECKPOINT_BYTES);
        data.flushed = data.written;
        data.replayed = data.flushed;
        data.control = ControlState::InProduction;
        data.signal = false;
        let flushed = data.flushed;
        self.wal.flushed(branch, flushed);
        self.leave_upstreams(node);
        self.set_process(node, Process::Primary);
        let number = self.wal.get(branch).number;
        self.note(node, "pg", || {
            format!("promoted to timeline {number} at {at}")
        });
        timelines::in_production(self, node, branch);
        slots::promoted(self, node, at);
        self.promotion(node, branch);
    }

    fn drained(&mut self, node: usize) {
        let server = &mut self.nodes[node].server;
        let Some(data) = server.data.as_mut() else {
            return;
        };
        data.flushed = data.written;
        if data.signal {
            data.control = ControlState::ShutDownInRecovery;
            let (branch, flushed) = (data.branch, data.flushed);
            self.wal.flushed(branch, flushed);
            self.end_process(node);
            return;
        }
        checkpoint(data);
        data.control = ControlState::ShutDown;
        let (branch, flushed) = (data.branch, data.flushed);
        self.wal.flushed(branch, flushed);
        self.set_process(node, Process::Drained);
        self.later(node, Duration::from_millis(20), Transition::Exit);
    }

    /// A server that shuts down waits for its connected standbys to confirm everything.
    fn exit_when_delivered(&mut self, node: usize) {
        let server = &self.nodes[node].server;
        let end = server.data.as_ref().map_or(Lsn::ZERO, |data| data.flushed);
        if server.senders.values().all(|sender| sender.flush >= end) {
            self.end_process(node);
        } else {
            self.later(node, Duration::from_millis(20), Transition::Exit);
        }
    }
}

/// Writes a checkpoint record and makes it the latest.
pub(crate) fn checkpoint(data: &mut Data) {
    let (begin, end) = data.append(CHECKPOINT_BYTES);
    data.flushed = data.written;
    data.checkpoint = Checkpoint {
        branch: data.branch,
        begin,
        end,
    };
}
