//! Clients that write to every primary they can find.

use std::time::Duration;

use crate::event::Event;
use crate::world::World;

/// What a client learns of its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is committed.
    Acknowledged,
    /// It was not even begun.
    Refused,
    /// Nobody will ever tell.
    Unknown,
}

/// One client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    node: usize,
    request: u64,
    waiting: bool,
}

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long after the last event worth a look everything is calm.
const CALM: Duration = Duration::from_secs(12);

impl World {
    /// The next write. Half of them go to a random node, so that no primary is overlooked.
    pub(crate) fn client(&mut self, client: usize) {
        if self.clients[client].waiting {
            return;
        }
        if self.chance.percent(50) {
            self.clients[client].node = self.chance.index(self.nodes.len());
        }
        let state = &mut self.clients[client];
        state.request += 1;
        state.waiting = true;
        let (node, request) = (state.node, state.request);
        self.commit(node, client, request);
        if self.clients[client].waiting {
            self.schedule(PATIENCE, Event::ClientTimeout { client, request });
        }
    }

    pub(crate) fn client_timeout(&mut self, client: usize, request: u64) {
        self.answer(client, request, Answer::Unknown);
    }

    /// An answer reaches a client, which goes on.
    pub(crate) fn answer(&mut self, client: usize, request: u64, answer: Answer) {
        let nodes = self.nodes.len();
        let state = &mut self.clients[client];
        if !state.waiting || state.request != request {
            return;
        }
        state.waiting = false;
        match answer {
            Answer::Acknowledged => {
                self.witness.last_acknowledged = self.now;
            }
            Answer::Refused | Answer::Unknown => state.node = (state.node + 1) % nodes,
        }
        let kind = match answer {
            Answer::Acknowledged => "acknowledged",
            Answer::Refused => "refused",
            Answer::Unknown => "unknown",
        };
        self.coverage.count("client", kind);
        // Clients are in a hurry when something happens: what goes wrong, goes wrong then.
        let calm = self.now.since(self.stirred) > CALM;
        let pause = if calm {
            self.chance.millis(1000, 8000)
        } else {
            self.chance.millis(50, 900)
        };
        self.schedule(pause, Event::Client { client });
    }
}
