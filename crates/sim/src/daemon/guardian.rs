//! The guardian of a primary: a process beside the daemon that stops the server when the lease it
//! was told of runs out without a word.

use patroni_core::{Moment, Role};
use patroni_ha::command::StopMode;
use patroni_ha::lease::guard_margin;

use crate::event::Event;
use crate::options::Mutant;
use crate::world::World;

impl World {
    /// The lease lasts until this moment of the node's clock: the guardian counts anew.
    pub(crate) fn tell_guardian(&mut self, node: usize, end: Moment) {
        let here = &mut self.nodes[node];
        if !here.traits.has_guardian || here.daemon.settings.pause {
            return;
        }
        let margin = guard_margin(here.daemon.settings.ttl);
        let fires = here.clock.when(end - margin / 2).max(self.now);
        if here.guardian.is_none_or(|before| fires > before) {
            here.guardian = Some(fires);
            self.queue.push(fires, Event::Guardian { node });
        }
    }

    /// After a cycle: no primary, or nothing is promised.
    pub(crate) fn rest_guardian(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let leads = matches!(here.daemon.supervised.role, Role::Primary | Role::Promoted);
        if !leads || here.daemon.settings.pause {
            here.guardian = None;
        }
    }

    /// The time that the guardian was told may have come. A machine that stands still keeps its
    /// guardian from acting, and all the more the server from answering.
    pub(crate) fn guardian(&mut self, node: usize) {
        let asleep = self.mutated(Mutant::GuardianAsleep);
        let here = &mut self.nodes[node];
        if here.guardian.is_none_or(|fires| self.now < fires) {
            return;
        }
        if asleep || !here.server.leads() {
            return;
        }
        here.guardian = None;
        self.coverage.count("guardian", "stopped a primary");
        self.note(node, "guardian", || "the lease is over".to_owned());
        self.stop_server(node, StopMode::Immediate, false);
    }
}
