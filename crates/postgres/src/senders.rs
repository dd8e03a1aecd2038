//! How long each standby has left WAL unanswered.
//!
//! The server itself does not tell. `reply_time` is by the standby's clock, the lags stand still
//! when answers stop, and a WAL sender whose standby is gone without a word stays in
//! `pg_stat_replication` until `wal_sender_timeout`. So the positions of one look are compared
//! with those of the look before.

use std::collections::BTreeMap;
use std::time::Duration;

use patroni_core::server::WalSender;
use patroni_core::{Lsn, Moment};
use tracing::debug;

use crate::connection::Named;
use crate::monitor;
use crate::supervisor::Supervisor;

/// What the last look at the senders showed of those that lacked something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unanswered {
    behind: BTreeMap<String, (Option<Lsn>, Moment)>,
}

impl Unanswered {
    /// Completes a look: `position` is what the server has flushed.
    pub(crate) fn note(&mut self, now: Moment, position: Lsn, senders: &mut [WalSender]) {
        let before = std::mem::take(&mut self.behind);
        for sender in senders {
            if sender.flush >= Some(position) {
                continue;
            }
            let name = &sender.application_name;
            let since = match before.get(name) {
                Some((flush, since)) if *flush == sender.flush => *since,
                Some(_) | None => now,
            };
            sender.unanswered = Some(now.since(since));
            self.behind.insert(name.clone(), (sender.flush, since));
        }
    }
}

impl Supervisor {
    /// A look at the streaming WAL senders alone, between two looks at everything. `None` when
    /// the server does not answer within `limit`.
    pub async fn wal_senders(&self, limit: Duration) -> Option<Vec<WalSender>> {
        let sql = monitor::senders_statement(self.major_version()?);
        match self.query(Named::Heartbeat, &sql, limit).await {
            Ok(rows) => {
                let (position, mut senders) = monitor::read_senders(rows.first()?)?;
                self.note_unanswered(position, &mut senders);
                Some(senders)
            }
            Err(error) => {
                debug!("could not look at the WAL senders: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(flush: u64) -> WalSender {
        WalSender {
            application_name: "b".to_owned(),
            sync_state: "sync".to_owned(),
            write: None,
            flush: Some(Lsn::new(flush)),
            replay: None,
            unanswered: None,
        }
    }

    #[test]
    fn silence_counts_from_the_first_look_that_shows_something_missing() {
        let mut unanswered = Unanswered::default();
        let mut look = |second: u64, position: u64, flush: u64| {
            let mut senders = [sender(flush)];
            let now = Moment::new(Duration::from_secs(second));
            unanswered.note(now, Lsn::new(position), &mut senders);
            senders[0].unanswered.map(|time| time.as_secs())
        };
        assert_eq!(look(1, 100, 100), None, "it has everything");
        assert_eq!(look(5, 200, 100), Some(0), "something new");
        assert_eq!(look(7, 300, 100), Some(2), "no progress");
        assert_eq!(look(8, 300, 250), Some(0), "slow is not silent");
        assert_eq!(look(9, 300, 300), None);
        assert_eq!(look(20, 300, 300), None, "nothing to answer");
    }
}
