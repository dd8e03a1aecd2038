//! "First nothing bad happens under faults, then all heals when faults end" (style, section 10):
//! within a bounded time one node leads, all others stream from its timeline, and writes succeed.

use std::time::Duration;

use patroni_core::Moment;

use crate::world::World;

/// Enough for a lock to expire, a slow start (up to 60 s), a promotion, a rewind and a copy.
const LIMIT: Duration = Duration::from_mins(6);

pub(crate) fn overdue(world: &mut World, since: Moment, complaint: Option<String>) {
    let Some(complaint) = complaint.filter(|_| world.now.since(since) > LIMIT) else {
        return;
    };
    let jobs = world.jobs_running();
    let message = format!("not healed: {complaint}; long tasks: {jobs:?}");
    world.broken(super::Invariant::Healing, message);
}
