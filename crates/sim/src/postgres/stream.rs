//! Streaming replication: WAL flows from what one server has flushed to another, and the
//! confirmation comes back one step later.

use std::time::Duration;

use patroni_core::Lsn;

use super::server::{Process, Sender};
use super::wal::BranchId;
use crate::event::Event;
use crate::network::Traffic;
use crate::world::World;

/// A sender that hears nothing for so long gives up (`wal_sender_timeout`, shortened).
const SENDER_TIMEOUT: Duration = Duration::from_secs(15);
/// At most so much is received in one step.
const CHUNK: u64 = 2_000_000;
/// The same over a link that has hardly any room.
const DROP: u64 = 100;

impl World {
    /// One step of the WAL receiver of `node`. While nothing moves, steps are rare.
    pub(crate) fn stream(&mut self, node: usize) {
        if self.nodes[node].streams_at > self.now {
            return;
        }
        self.forget_silent_senders(node);
        self.consume(node);
        if self.nodes[node].server.process != Process::Standby {
            // Nothing to receive: only the senders are looked at, as often as the node does.
            self.watch_standbys(node);
            let pause = self.chance.millis(400, 600);
            self.stream_within(node, pause);
            return;
        }
        self.nodes[node].server.watch.forget();
        let before = self.streamed(node);
        self.stream_step(node);
        let moves = before != self.streamed(node);
        let pause = if moves {
            self.chance.millis(20, 150)
        } else {
            self.chance.millis(700, 1300)
        };
        self.stream_within(node, pause);
    }

    /// Makes the next step come after this time.
    pub(crate) fn stream_within(&mut self, node: usize, pause: Duration) {
        self.nodes[node].streams_at = self.now + pause;
        self.schedule(pause, Event::Stream { node });
    }

    /// There is something new to receive somewhere: idle receivers notice soon.
    pub(crate) fn kick_streams(&mut self) {
        const SOON: Duration = Duration::from_millis(150);
        for node in 0..self.nodes.len() {
            let here = &self.nodes[node];
            if here.server.process == Process::Standby && here.streams_at > self.now + SOON {
                let pause = self.chance.millis(20, 150);
                self.stream_within(node, pause);
            }
        }
    }

    /// Everything that a step can change.
    fn streamed(&self, node: usize) -> Option<(Lsn, Lsn, Lsn, BranchId, bool, Option<Lsn>)> {
        let server = &self.nodes[node].server;
        let data = server.data.as_ref()?;
        let confirmed = self
            .nodes
            .iter()
            .find_map(|other| other.server.senders.get(&node));
        Some((
            data.written,
            data.flushed,
            data.replayed,
            data.branch,
            server.receiving,
            confirmed.map(|sender| sender.flush),
        ))
    }

    fn stream_step(&mut self, node: usize) {
        let here = &self.nodes[node];
        if here.stands_still() || here.stalls {
            return;
        }
        let now = self.now;
        let server = &mut self.nodes[node].server;
        if server.replays_until.is_some_and(|until| now < until) {
            return;
        }
        server.replays_until = None;
        if let Some(data) = server.data.as_mut() {
            data.flushed = data.written;
            data.replayed = data.replayed.max(data.flushed);
            let (branch, flushed) = (data.branch, data.flushed);
            self.wal.flushed(branch, flushed);
        }
        let streaming = match self.source(node) {
            Some(source) => self.receive(node, source),
            None => self.receive_from_the_remote(node),
        };
        if self.nodes[node].server.receiving != streaming {
            self.nodes[node].server.receiving = streaming;
            self.note(node, "pg", || {
                if streaming {
                    "streaming"
                } else {
                    "not streaming"
                }
                .to_owned()
            });
        }
    }

    /// The server that this one is set up to follow, if it can be reached.
    fn source(&self, node: usize) -> Option<usize> {
        let data = self.nodes[node].server.data.as_ref()?;
        let name = data.upstream.member()?;
        let source = self.node_named(name)?;
        let there = &self.nodes[source];
        let reachable = self.network.reaches(Traffic::Postgres, node, source);
        let same = there.server.data.as_ref()?.system == data.system;
        (source != node && reachable && same && there.server.sends() && !there.stands_still())
            .then_some(source)
    }

    /// Confirms what there is and takes the next part. False when the histories do not fit.
    fn receive(&mut self, node: usize, source: usize) -> bool {
        let known = self.nodes[node].server.receiving;
        let there = &self.nodes[source].server;
        // A server that stops serves those who are connected, and nobody new.
        if !known && !there.accepts() {
            return false;
        }
        let (Some(mine), Some(theirs)) =
            (self.nodes[node].server.data.as_ref(), there.data.as_ref())
        else {
            return false;
        };
        let (branch, end) = (theirs.branch, theirs.flushed);
        let Some(limit) = self.wal.shared(mine.branch, branch) else {
            return false;
        };
        let limit = if mine.branch == branch { end } else { limit };
        if mine.written > limit || !self.timeline_is_sent(source, mine.branch) {
            return false;
        }
        let sender = Sender {
            write: mine.written,
            flush: mine.flushed,
            replay: mine.replayed,
            caught_up: mine.flushed >= end,
            heard: self.now,
            moved: self.now,
        };
        let next = self.wal.towards(mine.branch, branch);
        let most = if self.nodes[node].slow_stream {
            DROP
        } else {
            CHUNK
        };
        let now_at = self.nodes[node].server.data.as_mut().map(|data| {
            match next.filter(|_| data.written == limit) {
                Some(next) => data.branch = next,
                None => data.written = limit.min(data.written.saturating_add(most)),
            }
            data.written
        });
        self.nodes[node].server.received = now_at;
        let senders = &mut self.nodes[source].server.senders;
        let before = senders.get(&node).copied();
        let silent = before.filter(|old| old.flush == sender.flush && !sender.caught_up);
        senders.insert(
            node,
            Sender {
                caught_up: sender.caught_up || before.is_some_and(|old| old.caught_up),
                moved: silent.map_or(sender.moved, |old| old.moved),
                ..sender
            },
        );
        self.move_slot_of(node, source);
        self.release_commits(source);
        true
    }

    /// A standby in recovery sends only what it has on the timelines it knows: any, here.
    fn timeline_is_sent(&self, source: usize, wanted: BranchId) -> bool {
        let data = self.nodes[source].server.data.as_ref();
        data.is_some_and(|data| self.wal.shared(wanted, data.branch) > Some(Lsn::ZERO))
    }

    /// This server's end of its connections closes; those who can be reached see it.
    pub(crate) fn leave_upstreams(&mut self, node: usize) {
        for other in 0..self.nodes.len() {
            if self.network.reaches(Traffic::Postgres, node, other) {
                self.nodes[other].server.senders.remove(&node);
            }
        }
    }

    /// The daemon looks at the senders between two cycles, and wakes its loop for good reason.
    fn watch_standbys(&mut self, node: usize) {
        let here = &self.nodes[node];
        if here.daemon_stands_still() || here.stalls || !here.daemon.alive {
            return;
        }
        if !here.server.is_primary() || !here.daemon.settings.is_synchronous() {
            self.nodes[node].server.watch.forget();
            return;
        }
        let senders = self.status(&here.server).wal_senders;
        if self.nodes[node].server.watch.look(&senders) {
            self.wake(node);
        }
    }

    /// Connections that moved elsewhere or broke end here, at once or after a while.
    fn forget_silent_senders(&mut self, node: usize) {
        let now = self.now;
        let senders = &mut self.nodes[node].server.senders;
        senders.retain(|_, sender| now.since(sender.heard) < SENDER_TIMEOUT);
    }
}
