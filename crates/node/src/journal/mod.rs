//! The journal: what this node decided, and why, for whoever asks later.
//!
//! The loop and the executor hand over what they carried out and go on at once; a thread of its
//! own tells it, keeps the newest accounts in memory for REST, and writes whole records into
//! files. Uneventful cycles are counted, and only the last of them is kept whole.

mod files;
mod keeper;
mod restore;
mod shelf;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use patroni_api::wire::journal::{JournalPage, JournalQuery};
use patroni_config::Settings;
use patroni_ha::job::JobReport;
use patroni_ha::journal::{Asked, Record};
use patroni_ha::{Cycle, JobRun, Memory, Sentence, Verdict};
use tracing::warn;

use files::Place;
use keeper::Keeper;
use shelf::Shelf;

/// How many runs may wait for the keeper: some minutes of a busy node. More are dropped.
const WAITING: usize = 64;

/// A run that was carried out, raw: most are only counted.
#[expect(
    clippy::large_enum_variant,
    reason = "cycles are by far the most, and are boxed on the way"
)]
#[derive(Clone, Debug)]
pub(crate) enum Finished {
    /// A cycle with its verdict and what is remembered after it.
    Cycle {
        cycle: Cycle,
        asked: Vec<Asked>,
        say: Vec<Sentence>,
        verdict: Verdict,
        memory: Memory,
    },
    /// A cycle that the end of the daemon broke off.
    Broken { cycle: Cycle, asked: Vec<Asked> },
    /// A long task, begun at this time.
    Job {
        wall: Timestamp,
        run: JobRun,
        asked: Vec<Asked>,
        say: Vec<Sentence>,
        report: JobReport,
    },
}

impl Finished {
    fn record(self) -> Record {
        match self {
            Self::Cycle {
                cycle,
                asked,
                say,
                verdict,
                memory,
            } => Record::of_cycle(cycle, asked, say, verdict, &memory),
            Self::Broken { cycle, asked } => Record::of_broken_cycle(cycle, asked),
            Self::Job {
                wall,
                run,
                asked,
                say,
                report,
            } => Record::of_job(wall, run, asked, say, report),
        }
    }
}

/// What the keeper is told.
#[derive(Debug)]
enum Message {
    Finished(Box<Finished>),
    Settings(Wanted),
    /// Write everything and say so.
    Flush(SyncSender<()>),
}

/// What the settings ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    place: Option<Place>,
    every_cycle: bool,
}

impl Wanted {
    fn of(settings: &Settings) -> Self {
        let journal = &settings.journal;
        Self {
            place: journal.dir.as_ref().map(|dir| Place {
                path: dir.join(files::name(&settings.scope, &settings.name)),
                max_size: journal.max_size,
                keep: journal.keep,
            }),
            every_cycle: journal.every_cycle,
        }
    }
}

/// The journal of a node.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    enabled: AtomicBool,
    /// Runs that came while the keeper was behind.
    lost: AtomicU64,
    shelf: Mutex<Shelf>,
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Starts the keeper. It reads what an earlier daemon has left, beside everything else.
    pub(crate) fn start(settings: &Settings) -> Self {
        let (sender, messages) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        shared
            .enabled
            .store(settings.journal.enabled, Ordering::Relaxed);
        let (wanted, seen) = (Wanted::of(settings), Arc::clone(&shared));
        let keeper = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || Keeper::new(wanted, seen).run(&messages));
        if let Err(failure) = keeper {
            shared.enabled.store(false, Ordering::Relaxed);
            warn!("no journal is kept: {failure}");
        }
        Self { sender, shared }
    }

    /// Takes what was carried out. Never waits: a run that finds the queue full is only counted.
    pub(crate) fn take(&self, finished: Finished) {
        if !self.shared.enabled.load(Ordering::Relaxed) {
            return;
        }
        match self.sender.try_send(Message::Finished(Box::new(finished))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes other settings. While the keeper is behind they wait for the next reload.
    pub(crate) fn reload(&self, settings: &Settings) {
        let enabled = settings.journal.enabled;
        self.shared.enabled.store(enabled, Ordering::Relaxed);
        if self
            .sender
            .try_send(Message::Settings(Wanted::of(settings)))
            .is_err()
        {
            warn!("the journal is behind and does not take its new settings now");
        }
    }

    /// Waits until everything is written, at most so long. For the end of the daemon: it blocks.
    pub(crate) fn flush(&self, at_most: Duration) {
        let (sender, done) = sync_channel(1);
        if self.sender.try_send(Message::Flush(sender)).is_ok() {
            // Too late or not at all is the same here: the daemon ends.
            let _ = done.recv_timeout(at_most);
        }
    }

    /// The accounts that a request asks for.
    pub(crate) fn page(
        &self,
        member: &patroni_core::MemberName,
        query: &JournalQuery,
    ) -> JournalPage {
        let kept = self.shared.shelf();
        JournalPage {
            member: member.clone(),
            enabled: self.shared.enabled.load(Ordering::Relaxed),
            oldest: kept.oldest(),
            newest: kept.newest(),
            lost: self.shared.lost.load(Ordering::Relaxed),
            records: kept.page(query),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (sender, _messages) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        shared.enabled.store(true, Ordering::Relaxed);
        let journal = Journal { sender, shared };
        for _ in 0..3 {
            journal.take(keeper::tests::broken());
        }
        assert_eq!(journal.shared.lost.load(Ordering::Relaxed), 2);
        journal.flush(Duration::ZERO);
    }
}
