//! What several failures do together at one moment, planned like a rehearsal: chance alone hardly
//! ever brings them about. Each drill is aimed at the part of the rules that answers it, in the
//! midst of everything else that breaks in its life.
//!
//! They have a chance of their own, and seeds of their own.

use std::time::Duration;

use patroni_core::RestartConditions;
use patroni_dcs::memory::Fault as StoreFault;
use patroni_ha::Job;
use serde_json::Value;

use crate::chance::Chance;
use crate::event::Event;
use crate::faults::Fault;
use crate::network::Traffic;
use crate::world::World;

/// In how many seeds there are any.
const EACH: u64 = 5;
/// What makes this chance another one than all others.
const OTHER: u64 = 0xD1A1_05ED_D1A1_05ED;

/// Before a stop that has just begun is over.
const SOON: Duration = Duration::from_millis(100);

/// One step of a drill.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// Something breaks for so long.
    Begin(Fault, Duration),
    /// A machine loses its power for so long, and its server has much to replay afterwards.
    PowerOff(usize, Duration),
    /// A daemon is killed.
    KillDaemon(usize),
    /// A person begins or ends a pause.
    Pause(bool),
    /// A person asks for a failover to this member.
    Failover(usize),
    /// A person forbids a member to lead for so long.
    Forbid(usize, Duration),
    /// A person removes the identity of the cluster from the store.
    ForgetIdentity,
    /// A person puts data of another cluster in the place of these for so long.
    Replace(usize, Duration),
}

/// Who takes part, and the times that matter.
struct Cast {
    primary: usize,
    other: usize,
    ttl: Duration,
    /// A cycle, and what may come between.
    cycle: Duration,
    /// Below a cycle.
    early: Duration,
    /// Below the time to live.
    late: Duration,
}

pub(crate) fn chance(seed: u64) -> Chance {
    Chance::new(seed ^ OTHER)
}

impl World {
    /// Whether this seed has any.
    pub(crate) fn has_drills(&self) -> bool {
        self.seed % EACH == EACH - 2 && self.options.scenario.is_none()
    }

    /// One of them, and the next is planned.
    pub(crate) fn drill(&mut self) {
        if self.troubles.over {
            return;
        }
        let (ttl, cycle) = (self.stored.ttl, self.stored.loop_wait);
        let chance = &mut self.drills;
        let next = chance.millis(60_000, 240_000);
        let (kind, other) = (chance.below(9), chance.index(self.nodes.len()));
        let early = chance.millis(1, millis(cycle));
        let late = chance.millis(1, millis(ttl));
        self.schedule(next, Event::Drill);
        let faults = self.options.faults;
        let allowed = faults.network && faults.crashes && faults.freezes && faults.operators;
        let primary = self.nodes.iter().position(|node| node.server.is_primary());
        let Some(primary) = primary.filter(|primary| *primary != other && allowed) else {
            return;
        };
        if !self.disturbed() {
            return;
        }
        let cast = Cast {
            primary,
            other,
            ttl,
            cycle: cycle + Duration::from_secs(2),
            early,
            late,
        };
        match kind {
            0..3 if !self.stored.failsafe => {
                self.change_config("failsafe_mode", Value::Bool(true));
            }
            0 => self.outsider_returns(&cast),
            1 => self.topology_gets_lost(&cast),
            2 => self.consent_is_forgotten(&cast),
            3 => self.restart_outlasts_the_lock(&cast),
            4 => self.replaced_in_a_pause(&cast),
            5 => self.other_data_in_a_pause(&cast),
            6 => self.identity_is_forgotten(&cast),
            _ => self.fail_one_by_one(&cast),
        }
    }

    /// A member is away until the failsafe topology does without it. It comes back when the
    /// primary loses the store and whoever it could ask it.
    fn outsider_returns(&mut self, cast: &Cast) {
        let away = cast.ttl + 2 * cast.cycle + cast.late;
        let lasts = 3 * cast.ttl;
        self.coverage.count("drill", "an outsider returns");
        self.loses_store(cast.other, StoreFault::Unreachable, Duration::ZERO, away);
        let cut = away.saturating_sub(cast.early);
        self.loses_store(cast.primary, StoreFault::Unreachable, cut, lasts);
        self.parted(cast, cut, lasts);
    }

    /// The same, but the new topology never arrives at the store.
    fn topology_gets_lost(&mut self, cast: &Cast) {
        let begin = cast.ttl.saturating_sub(cast.early);
        let away = begin + 3 * cast.cycle;
        let lasts = 3 * cast.ttl;
        self.coverage.count("drill", "a topology gets lost");
        self.loses_store(cast.other, StoreFault::Unreachable, Duration::ZERO, away);
        self.loses_store(cast.primary, StoreFault::LostWrites, begin, 3 * cast.cycle);
        self.parted(cast, begin, lasts);
        // The end of a fault of the way to the store is the end of any.
        let after = away + Duration::from_millis(1);
        self.loses_store(cast.primary, StoreFault::Unreachable, after, lasts);
    }

    /// A primary leads on by consent, and the daemon that gave it starts anew out of its sight.
    fn consent_is_forgotten(&mut self, cast: &Cast) {
        let then = cast.ttl + cast.cycle + cast.late;
        let lasts = 2 * cast.ttl;
        self.coverage.count("drill", "a consent is forgotten");
        self.loses_store(
            cast.primary,
            StoreFault::Unreachable,
            Duration::ZERO,
            2 * lasts,
        );
        self.parted(cast, then, lasts);
        self.plan(then, Deed::KillDaemon(cast.other));
        self.plan(then, Deed::Begin(Fault::LoopHangs(cast.primary), cast.ttl));
    }

    /// A primary is to restart, and its machine stands still until the lock is over and longer. The
    /// store stays out of reach.
    fn restart_outlasts_the_lock(&mut self, cast: &Cast) {
        self.coverage.count("drill", "a restart outlasts the lock");
        let lasts = cast.ttl + cast.cycle + cast.late;
        let primary = cast.primary;
        self.ask_for(primary, &Job::Restart(RestartConditions::default()));
        self.begin_fault(Fault::Stalls(primary), lasts);
        self.plan(SOON, Deed::Begin(Fault::Frozen(primary), lasts));
        self.loses_store(primary, StoreFault::Unreachable, SOON, lasts + cast.cycle);
    }

    /// In a pause somebody puts another node in the place of a primary that cannot reach the store.
    /// That one fails, the pause is over, and the old one comes back.
    fn replaced_in_a_pause(&mut self, cast: &Cast) {
        self.coverage.count("drill", "replaced in a pause");
        let asked = cast.ttl + 2 * cast.cycle;
        let resumed = asked + 2 * cast.cycle;
        let failed = resumed + cast.cycle;
        let back = failed + cast.ttl + cast.early;
        self.change_config("pause", Value::Bool(true));
        self.loses_store(
            cast.primary,
            StoreFault::Unreachable,
            cast.cycle,
            back.saturating_sub(cast.cycle),
        );
        self.plan(asked, Deed::Failover(cast.other));
        self.plan(resumed, Deed::Pause(false));
        self.plan(failed, Deed::Forbid(cast.primary, 3 * cast.ttl));
        self.plan(failed, Deed::PowerOff(cast.other, 3 * cast.ttl));
    }

    /// In a pause somebody restores a backup of another cluster over the data of the leader.
    fn other_data_in_a_pause(&mut self, cast: &Cast) {
        self.coverage.count("drill", "other data in a pause");
        self.change_config("pause", Value::Bool(true));
        self.plan(cast.cycle, Deed::Replace(cast.primary, 3 * cast.cycle));
        self.plan(5 * cast.cycle, Deed::Pause(false));
    }

    /// Nobody but one member, whose daemon starts anew, sees that the store has lost the identity
    /// of the cluster.
    fn identity_is_forgotten(&mut self, cast: &Cast) {
        self.coverage.count("drill", "the identity is forgotten");
        let lasts = cast.ttl + cast.cycle + cast.early;
        let others = (0..self.nodes.len()).filter(|node| *node != cast.other);
        for node in others {
            self.loses_store(node, StoreFault::Unreachable, Duration::ZERO, lasts);
        }
        let then = cast.ttl.saturating_sub(cast.cycle);
        self.plan(then, Deed::KillDaemon(cast.other));
        self.plan(then, Deed::ForgetIdentity);
    }

    /// A standby lags behind; whoever the primary waits for fails, and then the primary. The
    /// former are back at about that time.
    fn fail_one_by_one(&mut self, cast: &Cast) {
        self.coverage.count("drill", "one fails after the other");
        let lagging = cast.other;
        let second = cast.early;
        self.begin_fault(Fault::SlowStream(lagging), 2 * (second + cast.cycle));
        let others = (0..self.nodes.len()).filter(|node| ![cast.primary, lagging].contains(node));
        for node in others {
            let lasts = second + self.drills.skewed((1, 5000), (5000, 60_000), 60);
            self.plan(cast.cycle, Deed::PowerOff(node, lasts));
        }
        let lasts = self.drills.millis(20_000, 90_000);
        self.plan(cast.cycle + second, Deed::PowerOff(cast.primary, lasts));
    }

    fn loses_store(&mut self, node: usize, fault: StoreFault, after: Duration, lasts: Duration) {
        self.plan(after, Deed::Begin(Fault::Store(node, fault), lasts));
    }

    /// The two do not hear each other over REST.
    fn parted(&mut self, cast: &Cast, after: Duration, lasts: Duration) {
        let fault = Fault::Pair(Traffic::Rest, cast.primary, cast.other);
        self.plan(after, Deed::Begin(fault, lasts));
    }

    fn plan(&mut self, after: Duration, deed: Deed) {
        self.schedule(after, Event::Deed { deed });
    }

    pub(crate) fn do_deed(&mut self, deed: Deed) {
        if self.troubles.over {
            return;
        }
        match deed {
            Deed::Begin(fault, lasts) => self.begin_fault(fault, lasts),
            Deed::PowerOff(node, lasts) => {
                self.nodes[node].replays_long = true;
                self.power_off_for(node, lasts);
            }
            Deed::KillDaemon(node) => self.kill_daemon(node),
            Deed::Pause(on) => self.change_config("pause", Value::Bool(on)),
            Deed::Failover(candidate) => self.ask_for_failover(candidate),
            Deed::Forbid(node, lasts) => self.forbid_to_lead(node, lasts),
            Deed::ForgetIdentity => self.forget_identity(),
            Deed::Replace(node, lasts) => self.replace_data(node, lasts),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
