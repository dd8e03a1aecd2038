//! Moving the logical slots of a standby along, in the background.
//!
//! Moving such a slot means decoding all WAL in between, which can take long; so a worker does
//! it that nobody waits for. It moves in steps: what one long statement had done would be lost
//! with it, and a slot is in use while it moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use patroni_core::{Lsn, SlotName};
use tracing::{debug, error};

use crate::connection::{Endpoint, QueryError, Session, quote_literal};
use crate::supervisor::{Supervisor, lock};
use patroni_core::Causes;

/// How far a logical slot may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotAdvance {
    /// Which.
    pub slot: SlotName,
    /// Its database.
    pub database: String,
    /// Where it is.
    pub from: Lsn,
    /// Up to where.
    pub to: Lsn,
}

/// WAL decoded by one statement, at most.
const STEP_BYTES: u64 = 256 << 20;

/// How long one step may take, by the server's clock and by ours.
const SERVER_LIMIT: Duration = Duration::from_mins(1);
const LIMIT: Duration = Duration::from_secs(65);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// SQLSTATEs of a slot that can never move again: its WAL is gone, or it was invalidated.
const HOPELESS: [&str; 2] = ["58P01", "55000"];

/// What the worker has to do and what it came to.
#[derive(Debug, Default)]
pub(crate) struct Advances {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    wanted: BTreeMap<SlotName, SlotAdvance>,
    given_up: BTreeSet<SlotName>,
    at_work: bool,
}

impl Advances {
    /// Replaces what is wanted. True when a worker has to be started for it.
    fn replace(&self, advances: Vec<SlotAdvance>) -> bool {
        let mut state = lock(&self.state);
        state.wanted = advances
            .into_iter()
            .map(|advance| (advance.slot.clone(), advance))
            .collect();
        let start = !state.at_work && !state.wanted.is_empty();
        state.at_work |= start;
        start
    }

    /// The next step; without one the worker is at its end.
    fn next(&self) -> Option<SlotAdvance> {
        let mut state = lock(&self.state);
        let next = state.wanted.values().next().cloned();
        state.at_work = next.is_some();
        next.map(|advance| SlotAdvance {
            to: advance.to.min(advance.from.saturating_add(STEP_BYTES)),
            ..advance
        })
    }

    fn moved(&self, step: &SlotAdvance) {
        let mut state = lock(&self.state);
        if let Some(advance) = state.wanted.get_mut(&step.slot) {
            advance.from = advance.from.max(step.to);
            if advance.to <= advance.from {
                state.wanted.remove(&step.slot);
            }
        }
    }

    /// The slot is left alone until somebody asks again.
    fn failed(&self, slot: &SlotName, hopeless: bool) {
        let mut state = lock(&self.state);
        state.wanted.remove(slot);
        if hopeless {
            state.given_up.insert(slot.clone());
        }
    }

    /// All slots of the database are left alone; false when none was wanted any more.
    fn unreachable(&self, database: &str) -> bool {
        let mut state = lock(&self.state);
        let before = state.wanted.len();
        state
            .wanted
            .retain(|_, advance| advance.database != database);
        before > state.wanted.len()
    }

    fn stopped(&self) {
        lock(&self.state).at_work = false;
    }

    /// Nothing is wanted any more: the server stops, or becomes a primary.
    pub(crate) fn clear(&self) {
        let mut state = lock(&self.state);
        state.wanted.clear();
        state.given_up.clear();
    }
}

impl Supervisor {
    /// Says how far logical slots may move, instead of what was said before. True when nobody
    /// moves slots at the moment: the caller then runs [`Supervisor::move_slots`], without
    /// waiting for it.
    pub fn want_slots_moved(&self, advances: Vec<SlotAdvance>) -> bool {
        self.advances().replace(advances)
    }

    /// The slots that cannot be moved any more, each told once.
    pub fn slots_given_up(&self) -> BTreeSet<SlotName> {
        std::mem::take(&mut lock(&self.advances().state).given_up)
    }

    /// Moves slots until all are where they may be. Failures are logged and end the work on the
    /// slot, or on all slots of a database that cannot be reached, until they are wanted again.
    ///
    /// Cancel safe: a slot that was moving is where it was, or at the end of the step.
    pub async fn move_slots(&self) {
        let _at_work = AtWork(self.advances());
        let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
        while let Some(step) = self.advances().next() {
            let database = step.database.clone();
            let session = match sessions.remove(&database) {
                Some(session) => Ok(session),
                None => self.session_in(&database).await,
            };
            let moved = match session {
                Ok(session) => match move_slot(&session, &step).await {
                    Ok(()) => Ok(session),
                    Err(reason @ (QueryError::Sql { .. } | QueryError::Cancelled)) => {
                        error!(
                            "Failed to advance logical replication slot '{}': {}",
                            step.slot,
                            Causes(&reason)
                        );
                        self.advances().failed(&step.slot, is_hopeless(&reason));
                        sessions.insert(database, session);
                        continue;
                    }
                    Err(reason) => Err(reason),
                },
                Err(reason) => Err(reason),
            };
            match moved {
                Ok(session) => {
                    self.advances().moved(&step);
                    sessions.insert(database, session);
                }
                Err(reason) if self.advances().unreachable(&database) => error!(
                    "Failed to advance replication slots in database {database}: {}",
                    Causes(&reason)
                ),
                Err(reason) => debug!(
                    "slots in database {database} were left alone: {}",
                    Causes(&reason)
                ),
            }
        }
    }

    async fn session_in(&self, database: &str) -> Result<Session, QueryError> {
        let endpoint = Endpoint {
            database: database.to_owned(),
            statement_timeout: Some(SERVER_LIMIT),
            ..Endpoint::local(&self.settings(), "Patroni")
        };
        Session::connect(&endpoint, CONNECT).await
    }
}

/// One step. The slot may have moved since the step was planned; it is never asked to go back,
/// which the server would refuse.
async fn move_slot(session: &Session, step: &SlotAdvance) -> Result<(), QueryError> {
    let SlotAdvance { slot, to, .. } = step;
    let sql = format!(
        "SELECT pg_replication_slot_advance(slot_name, '{to}') FROM pg_replication_slots \
         WHERE slot_name = {} AND confirmed_flush_lsn < '{to}'",
        quote_literal(slot.as_str())
    );
    session.query(&sql, LIMIT).await.map(drop)
}

fn is_hopeless(reason: &QueryError) -> bool {
    matches!(reason, QueryError::Sql { code, .. } if HOPELESS.contains(&code.as_str()))
}

/// Tells that nobody is at work any more, however the worker ended.
struct AtWork<'a>(&'a Advances);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.stopped();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advance(slot: &str, from: u64, to: u64) -> SlotAdvance {
        SlotAdvance {
            slot: SlotName::new(slot),
            database: format!("db_of_{slot}"),
            from: Lsn::new(from),
            to: Lsn::new(to),
        }
    }

    #[test]
    fn long_ways_are_gone_in_steps() {
        let advances = Advances::default();
        let far = STEP_BYTES + 100;
        assert!(advances.replace(vec![advance("a", 0, far)]));
        assert!(
            !advances.replace(vec![advance("a", 0, far)]),
            "one worker is enough"
        );
        let first = advances.next().unwrap();
        assert_eq!(first.to, Lsn::new(STEP_BYTES));
        advances.moved(&first);
        let second = advances.next().unwrap();
        assert_eq!((second.from, second.to), (first.to, Lsn::new(far)));
        advances.moved(&second);
        assert_eq!(advances.next(), None);
        assert!(
            advances.replace(vec![advance("a", far, far + 1)]),
            "another worker"
        );
    }

    #[test]
    fn what_failed_waits_until_it_is_wanted_again() {
        let advances = Advances::default();
        advances.replace(vec![
            advance("a", 0, 9),
            advance("b", 0, 9),
            advance("c", 0, 9),
        ]);
        advances.failed(&SlotName::new("a"), true);
        assert!(advances.unreachable("db_of_b"));
        assert!(!advances.unreachable("db_of_b"));
        assert_eq!(advances.next().unwrap().slot, SlotName::new("c"));
        assert_eq!(lock(&advances.state).given_up, [SlotName::new("a")].into());
        advances.clear();
        assert_eq!(advances.next(), None);
    }
}
