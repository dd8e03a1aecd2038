//! A postmaster that hangs: it takes no signal but a kill, and lets nobody in.

use std::time::Duration;

use patroni_ha::command::StopMode;

use super::life::Transition;
use super::server::Process;
use crate::faults::Fault;
use crate::world::World;

impl World {
    /// The postmaster hangs from now on, until it is woken up or killed.
    pub(crate) fn begin_silence(&mut self, node: usize, lasts: Duration) {
        let here = &mut self.nodes[node];
        let serves = matches!(here.server.process, Process::Primary | Process::Standby);
        if !serves || here.silent_since.is_some() || here.stands_still() {
            return;
        }
        here.silent_since = Some(self.now);
        self.begin_fault(Fault::Silent(node), lasts);
    }

    /// It goes on, and does what it was told meanwhile.
    pub(crate) fn end_silence(&mut self, node: usize) {
        if self.nodes[node].silent_since.take().is_none() {
            return;
        }
        if let Some(mode) = self.nodes[node].server.told_to_stop.take() {
            self.stop_server(node, mode, false);
        }
    }

    /// A hanging postmaster is told to stop. Whoever wants it to stop at once kills it when it
    /// has not, after a patience that is less than half of the guard's margin.
    pub(crate) fn stop_silent(&mut self, node: usize, mode: StopMode) {
        self.nodes[node].server.told_to_stop = Some(mode);
        if mode == StopMode::Immediate {
            let patience = self.chance.millis(250, 450);
            self.later(node, patience, Transition::Gone);
        }
    }
}
