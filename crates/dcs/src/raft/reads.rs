//! Reads that must not be stale: confirmed by a majority, then answered from the local state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ident;
use super::machine::Machine;

/// A question without an answer for so long was probably lost.
const REPEAT: Duration = Duration::from_millis(300);

type Reader = oneshot::Sender<Arc<Machine>>;

/// Readers by the stage of their question.
#[derive(Debug)]
pub(crate) struct Reads {
    member: u64,
    next: u64,
    waiting: Vec<Reader>,
    asked: BTreeMap<u64, (Instant, Vec<Reader>)>,
    confirmed: Vec<(u64, Vec<Reader>)>,
}

impl Reads {
    /// For the member with this number. Questions are told apart by member and a count that does
    /// not begin at the same place after a restart.
    pub(crate) fn new(member: u64) -> Self {
        Self {
            member,
            next: ident::random_id(),
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            confirmed: Vec::new(),
        }
    }

    /// One more reader.
    pub(crate) fn add(&mut self, reader: Reader) {
        self.waiting.push(reader);
    }

    /// The question to ask the leader for all readers that have come since the last one.
    pub(crate) fn ask(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.waiting.retain(|reader| !reader.is_closed());
        if self.waiting.is_empty() {
            return None;
        }
        let count = self.next;
        self.next = self.next.wrapping_add(1);
        let readers = std::mem::take(&mut self.waiting);
        self.asked.insert(count, (now, readers));
        Some([self.member.to_be_bytes(), count.to_be_bytes()].concat())
    }

    /// Lets lost questions be asked again.
    pub(crate) fn repeat(&mut self, now: Instant) {
        let lost = |at: &Instant| now.duration_since(*at) > REPEAT;
        let all = std::mem::take(&mut self.asked);
        for (count, (at, readers)) in all {
            if lost(&at) {
                self.waiting.extend(readers);
            } else {
                self.asked.insert(count, (at, readers));
            }
        }
    }

    /// A new leader knows nothing of the questions to the old one.
    pub(crate) fn leader_changed(&mut self) {
        let all = std::mem::take(&mut self.asked);
        self.waiting
            .extend(all.into_values().flat_map(|(_, readers)| readers));
    }

    /// A majority has confirmed that `index` was committed after the question came.
    pub(crate) fn confirmed(&mut self, context: &[u8], index: u64) {
        let count = context.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        if let Some((_, readers)) = count.and_then(|count| self.asked.remove(&count)) {
            self.confirmed.push((index, readers));
        }
    }

    /// Answers those whose index has been applied.
    pub(crate) fn answer(&mut self, machine: &Arc<Machine>) {
        let ready = self
            .confirmed
            .extract_if(.., |(index, _)| *index <= machine.applied);
        for reader in ready.flat_map(|(_, readers)| readers) {
            let _ = reader.send(Arc::clone(machine)); // who asked may have given up
        }
    }
}
