//! One machine of the world.

use std::time::Duration;

use patroni_core::{MemberName, Moment};

use crate::clock::Clock;
use crate::daemon::Daemon;
use crate::postgres::server::{Data, Server};

/// A machine with its server and its daemon.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: MemberName,
    pub(crate) clock: Clock,
    pub(crate) server: Server,
    pub(crate) daemon: Daemon,
    pub(crate) traits: Traits,
    /// How far its wall clock is ahead of the true time.
    pub(crate) wall_ahead_millis: i64,
    /// Its disk does not answer.
    pub(crate) stalls: bool,
    /// What its WAL receiver gets comes drop by drop.
    pub(crate) slow_stream: bool,
    /// Its next start replays for a while.
    pub(crate) replays_long: bool,
    /// Its disk is not there, and what is on it.
    pub(crate) disk_away: bool,
    pub(crate) out_of_reach: Option<Data>,
    /// For how long it has stood still, and since when it does.
    pub(crate) slept: Duration,
    pub(crate) slept_since: Moment,
    /// When its next step of replication is due.
    pub(crate) streams_at: Moment,
    /// When the watchdog fires; `None` while it is not armed.
    pub(crate) watchdog: Option<Moment>,
    /// When the guardian stops the server; `None` while it has nothing to guard.
    pub(crate) guardian: Option<Moment>,
    /// The loop of the daemon does not go on, while its guard and its long task do.
    pub(crate) loop_hangs: bool,
    /// The daemon does not run although it lives.
    pub(crate) daemon_frozen: bool,
    /// Nothing runs.
    pub(crate) frozen: bool,
    /// Until when the consequences of a daemon that did not run may be seen.
    pub(crate) excused_until: Moment,
    /// Until when the effects of a pause may be seen here.
    pub(crate) paused_until: Moment,
    /// Without power.
    pub(crate) down: bool,
    /// Answers of the store are often late.
    pub(crate) slow_store: bool,
    /// Since when the postmaster hangs: open sessions go on, signals and new ones wait.
    pub(crate) silent_since: Option<Moment>,
}

/// What does not change in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    pub(crate) has_watchdog: bool,
    pub(crate) watchdog_required: bool,
    pub(crate) has_guardian: bool,
    pub(crate) silence_fails_over: bool,
    pub(crate) can_rewind: bool,
    pub(crate) wipe_on_divergence: bool,
    pub(crate) wipe_on_rewind_failure: bool,
    pub(crate) has_hook: bool,
    pub(crate) nofailover: bool,
    pub(crate) nosync: bool,
    pub(crate) priority: u64,
}

impl Node {
    /// Nothing on this machine moves.
    pub(crate) fn stands_still(&self) -> bool {
        self.frozen || self.down
    }

    /// Its daemon does not move.
    pub(crate) fn daemon_stands_still(&self) -> bool {
        self.daemon_frozen || self.stands_still()
    }
}
