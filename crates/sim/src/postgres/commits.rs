//! Commits of clients: written, flushed, confirmed by standbys, acknowledged.

use patroni_core::Lsn;
use patroni_core::sync_names::SyncKind;

use super::server::Waiting;
use crate::clients::Answer;
use crate::invariants::{no_lost_write, one_primary, sync_key};
use crate::world::World;

impl World {
    /// A client's write arrives. What becomes of it is told now or later.
    pub(crate) fn commit(&mut self, node: usize, client: usize, request: u64) {
        if !self.nodes[node].server.is_primary() || self.nodes[node].stands_still() {
            self.answer(client, request, Answer::Refused);
            return;
        }
        let bytes = if self.chance.percent(2) {
            self.chance.between(500_000, 1_500_000)
        } else {
            self.chance.between(100, 5000)
        };
        let unflushed = self.chance.between(0, 400);
        let stalls = self.nodes[node].stalls;
        let Some(data) = self.nodes[node].server.data.as_mut() else {
            return;
        };
        let (_, end) = data.append(bytes);
        if stalls {
            // Its flush does not return, and the client hears nothing.
            return;
        }
        data.flushed = data.written;
        let branch = data.branch;
        self.wal.flushed(branch, end);
        // Others write, too, and their records are not flushed yet.
        if let Some(data) = self.nodes[node].server.data.as_mut() {
            data.append(unflushed);
        }
        self.nodes[node].server.waiting.push(Waiting {
            client,
            request,
            lsn: end,
        });
        self.release_commits(node);
        self.kick_streams();
    }

    /// Acknowledges what needs to wait no longer.
    pub(crate) fn release_commits(&mut self, node: usize) {
        let here = &self.nodes[node];
        let idle = here.server.waiting.is_empty() || !here.server.is_primary();
        if idle || here.stands_still() || here.stalls {
            return;
        }
        let Some(limit) = here.server.confirmed(&self.names) else {
            return;
        };
        let waiting = std::mem::take(&mut self.nodes[node].server.waiting);
        let (done, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|w| w.lsn <= limit);
        self.nodes[node].server.waiting = rest;
        for commit in done {
            self.acknowledge(node, commit.lsn);
            self.answer(commit.client, commit.request, Answer::Acknowledged);
        }
    }

    fn acknowledge(&mut self, node: usize, lsn: Lsn) {
        let server = &self.nodes[node].server;
        let Some(branch) = server.data.as_ref().map(|data| data.branch) else {
            return;
        };
        let waited = server.sync_names().kind != SyncKind::Off;
        self.coverage
            .count("commit", if waited { "synchronous" } else { "alone" });
        one_primary::acknowledged(self, node, branch, lsn);
        sync_key::acknowledged(self, node, branch, lsn);
        if waited {
            no_lost_write::acknowledged(self, node, branch, lsn);
        }
    }

    /// The connections of waiting clients break: they will never know.
    pub(crate) fn drop_waiting(&mut self, node: usize) {
        for commit in std::mem::take(&mut self.nodes[node].server.waiting) {
            self.answer(commit.client, commit.request, Answer::Unknown);
        }
    }
}
