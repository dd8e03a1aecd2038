//! What stops a primary when its leadership is over, whatever the loop does: the lease guard of
//! the daemon, and the watchdog of the machine.

use std::time::Duration;

use patroni_core::Moment;
use patroni_ha::command::StopMode;
use patroni_ha::lease::guard_margin;
use patroni_ha::memory::{BootstrapPhase, Lease};

use crate::event::Event;
use crate::options::Mutant;
use crate::world::World;

/// So long before the end of the lease the watchdog of the machine fires.
const SAFETY_MARGIN: Duration = Duration::from_secs(5);

impl World {
    /// The lock is this node's until this moment of its clock, by a request that overtook none.
    pub(crate) fn extend_lease(&mut self, node: usize, until: Moment) {
        let margin = guard_margin(self.nodes[node].daemon.settings.ttl);
        let mut deadline = until - margin;
        self.nodes[node].daemon.leased_until = deadline;
        self.nodes[node].daemon.guard = Moment::ZERO;
        self.nodes[node].guardian = None;
        if self.mutated(Mutant::WallClockLease) {
            // What the guard will read is this much ahead of the clock that the lease is for.
            let ahead = self.nodes[node].wall_ahead_millis;
            deadline = shifted(deadline, ahead);
        }
        self.guard_until(node, deadline);
        self.tell_guardian(node, until);
    }

    /// After a cycle: the lease that the core found for itself (failsafe mode).
    pub(crate) fn follow_lease(&mut self, node: usize) {
        if let Lease::Until(end) = self.nodes[node].daemon.memory.lease {
            let margin = guard_margin(self.nodes[node].daemon.settings.ttl);
            self.guard_until(node, end - margin);
            self.tell_guardian(node, end);
        }
        self.rest_guardian(node);
    }

    pub(crate) fn guard_until(&mut self, node: usize, deadline: Moment) {
        let here = &mut self.nodes[node];
        if deadline <= here.daemon.guard {
            return;
        }
        here.daemon.guard = deadline;
        let at = here.clock.when(deadline).max(self.now) + Duration::from_millis(1);
        let life = here.daemon.life;
        self.queue.push(at, Event::Guard { node, life });
    }

    /// Looks at the lease, and stops a primary without one.
    pub(crate) fn guard(&mut self, node: usize) {
        let here = &self.nodes[node];
        let mut now = here.clock.read(self.now);
        if self.mutated(Mutant::WallClockLease) {
            now = shifted(now, here.wall_ahead_millis);
        }
        if self.mutated(Mutant::LeaseSleeps) {
            now = now - here.slept;
        }
        let leads = here.server.leads();
        // A cluster that is just being made has no lock yet, and nobody else to protect.
        let new = here.daemon.memory.bootstrap != BootstrapPhase::None;
        let off = new || here.daemon.settings.pause || self.mutated(Mutant::GuardOff);
        if !leads || off || now < here.daemon.guard {
            let mutated = [Mutant::WallClockLease, Mutant::LeaseSleeps];
            let looks_again = mutated.into_iter().any(|mutant| self.mutated(mutant));
            let left = here.daemon.guard.since(now);
            // A clock whose pace has changed calls a little too early.
            let early = left < Duration::from_secs(1);
            if leads && !off && (early || looks_again) {
                let life = here.daemon.life;
                let after = left.min(Duration::from_secs(1)) + Duration::from_millis(1);
                self.schedule(after, Event::Guard { node, life });
            }
            return;
        }
        self.coverage.count("guard", "stopped a primary");
        self.note(node, "guard", || "the lease is over".to_owned());
        self.stop_server(node, StopMode::Immediate, false);
        self.wake(node);
    }

    /// Arms the watchdog where there is one. False when it is required and missing.
    pub(crate) fn arm_watchdog(&mut self, node: usize) -> bool {
        // Devices fail, too, and matter where they are required.
        let required = self.nodes[node].traits.watchdog_required;
        let fails = required && !self.troubles.over && self.chance.percent(2);
        if self.nodes[node].traits.has_watchdog && !fails {
            self.feed_watchdog(node);
            return true;
        }
        !self.nodes[node].traits.watchdog_required
    }

    pub(crate) fn feed_watchdog(&mut self, node: usize) {
        if !self.nodes[node].traits.has_watchdog {
            return;
        }
        let mut fires = self.now + self.watchdog_timeout(node);
        if self.mutated(Mutant::WatchdogTooLong) {
            fires = fires + self.nodes[node].daemon.settings.ttl * 4;
        }
        self.nodes[node].watchdog = Some(fires);
        self.queue.push(fires, Event::Watchdog { node });
    }

    /// After how long without being fed the device fires.
    pub(crate) fn watchdog_timeout(&self, node: usize) -> Duration {
        let ttl = self.nodes[node].daemon.settings.ttl;
        ttl.saturating_sub(SAFETY_MARGIN)
    }

    /// The device fires when nobody fed it for too long: the machine starts anew.
    pub(crate) fn watchdog(&mut self, node: usize) {
        let due = self.nodes[node].watchdog.is_some_and(|at| self.now >= at);
        if !due {
            return;
        }
        self.coverage.count("watchdog", "fired");
        self.note(node, "watchdog", || "fires".to_owned());
        self.power_off(node);
    }
}

/// A moment of a clock that is ahead (or, negative, behind).
fn shifted(moment: Moment, ahead_millis: i64) -> Moment {
    let by = Duration::from_millis(ahead_millis.unsigned_abs());
    if ahead_millis < 0 {
        moment - by
    } else {
        moment + by
    }
}
