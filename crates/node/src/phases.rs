//! The phases of a change of leader, timed from what passes through the body.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use patroni_api::wire::durations::Durations;
use patroni_core::Role;

/// What has begun and not ended.
#[derive(Debug)]
pub(crate) struct Phases {
    durations: Arc<Durations>,
    begun: Mutex<Begun>,
}

#[derive(Debug, Default)]
struct Begun {
    promotion: Option<Instant>,
    demotion: Option<Instant>,
}

impl Phases {
    pub(crate) fn new(durations: Arc<Durations>) -> Self {
        Self {
            durations,
            begun: Mutex::default(),
        }
    }

    /// The lock was taken by a node of this role. A primary has nothing to become.
    pub(crate) fn lock_taken(&self, role: Role, now: Instant) {
        self.begun().promotion = (role != Role::Primary).then_some(now);
    }

    /// The lock was given back: what it was taken for will not be.
    pub(crate) fn lock_released(&self) {
        self.begun().promotion = None;
    }

    /// A server of this role is being stopped, and not for a restart.
    pub(crate) fn stop_begun(&self, role: Role, now: Instant) {
        if matches!(role, Role::Primary | Role::Promoted) {
            self.begun().demotion.get_or_insert(now);
        }
    }

    /// The server has this role. May be told more than once.
    pub(crate) fn role_is(&self, role: Role, now: Instant) {
        let mut begun = self.begun();
        let since = |begun: Option<Instant>| begun.map(|begun| now.duration_since(begun));
        match role {
            Role::Primary => {
                if let Some(took) = since(begun.promotion.take()) {
                    self.durations.promotion.record(took);
                }
            }
            Role::Demoted => {
                if let Some(took) = since(begun.demotion.take()) {
                    self.durations.demotion.record(took);
                }
            }
            // It leads without a promotion.
            Role::StandbyLeader => begun.promotion = None,
            Role::Promoted | Role::Replica | Role::Uninitialized => {}
        }
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_change_of_leader_is_measured_once_from_begin_to_end() {
        let durations = Arc::new(Durations::default());
        let phases = Phases::new(durations.clone());
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        phases.lock_taken(Role::Replica, begin);
        phases.role_is(Role::Promoted, at(1));
        phases.role_is(Role::Primary, at(2));
        phases.role_is(Role::Primary, at(3));
        let promotions = durations.promotion.read();
        assert_eq!((promotions.count(), promotions.sum.as_secs()), (1, 2));
        phases.stop_begun(Role::Primary, at(10));
        phases.stop_begun(Role::Primary, at(12));
        phases.role_is(Role::Demoted, at(13));
        phases.role_is(Role::Demoted, at(14));
        let demotions = durations.demotion.read();
        assert_eq!((demotions.count(), demotions.sum.as_secs()), (1, 3));
    }

    #[test]
    fn what_is_no_change_of_leader_is_not_measured() {
        let durations = Arc::new(Durations::default());
        let phases = Phases::new(durations.clone());
        let begin = Instant::now();
        let later = begin + Duration::from_hours(1);
        // A running primary takes its lock again, and is demoted long after.
        phases.lock_taken(Role::Primary, begin);
        phases.role_is(Role::Primary, later);
        // A lock that was given back, and the leader of a standby cluster.
        phases.lock_taken(Role::Replica, begin);
        phases.lock_released();
        phases.role_is(Role::Primary, later);
        phases.lock_taken(Role::Replica, begin);
        phases.role_is(Role::StandbyLeader, begin);
        phases.role_is(Role::Primary, later);
        // A replica is stopped.
        phases.stop_begun(Role::Replica, begin);
        phases.role_is(Role::Demoted, later);
        assert_eq!(durations.promotion.read().count(), 0);
        assert_eq!(durations.demotion.read().count(), 0);
    }
}
