//! Log and snapshot together: what the consensus library reads and the core writes.

use std::cell::Cell;
use std::collections::VecDeque;

use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::directory::{Directory, Meta};
use super::file::LogFile;
use super::snapshot;
use crate::raft::error::RaftError;

const BASE: u8 = 1;
const HARD_STATE: u8 = 2;
const ENTRY: u8 = 3;

/// The durable state of one member. Entries are also kept in memory, which the same bounds limit
/// as the file.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: Directory,
    log: LogFile,
    meta: Meta,
    hard_state: HardState,
    snapshot: Snapshot,
    base: Position,
    entries: VecDeque<Entry>,
    /// Somebody wants a snapshot that is newer than ours.
    wanted: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    index: u64,
    term: u64,
}

impl Disk {
    /// Lays out an empty directory. `first` is the state that all founders begin with; a joining
    /// member has none and waits for the leader's.
    pub(crate) fn create(
        directory: Directory,
        meta: Meta,
        first: Option<Snapshot>,
    ) -> Result<Self, RaftError> {
        let snapshot = first.unwrap_or_default();
        if !snapshot.is_empty() {
            snapshot::save(&directory.snapshot(), &snapshot)?;
        }
        let base = position(snapshot.get_metadata());
        let hard_state = HardState {
            term: base.term,
            commit: base.index,
            ..HardState::default()
        };
        let payload = items(Some(base), Some(&hard_state), [].iter());
        let log = LogFile::create(&directory.log(), &payload)?;
        directory.save_meta(&meta)?;
        Ok(Self {
            directory,
            log,
            meta,
            hard_state,
            snapshot,
            base,
            entries: VecDeque::new(),
            wanted: Cell::new(false),
        })
    }

    /// Reads what an earlier run left.
    pub(crate) fn open(directory: Directory, meta: Meta) -> Result<Self, RaftError> {
        let snapshot = snapshot::load(&directory.snapshot())?;
        let (log, payloads) = LogFile::open(&directory.log())?;
        let mut disk = Self {
            directory,
            log,
            meta,
            hard_state: HardState::default(),
            snapshot,
            base: Position { index: 0, term: 0 },
            entries: VecDeque::new(),
            wanted: Cell::new(false),
        };
        for payload in &payloads {
            disk.replay(payload)
                .ok_or_else(|| disk.damaged("a record without sense"))?;
        }
        disk.reconcile()?;
        Ok(disk)
    }

    fn replay(&mut self, mut payload: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = payload.split_first() {
            let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?;
            let body = rest.get(4..4 + length)?;
            payload = &rest[4 + length..];
            match kind {
                BASE => {
                    let index = u64::from_le_bytes(*body.first_chunk()?);
                    let term = u64::from_le_bytes(*body.get(8..)?.first_chunk()?);
                    self.base = Position { index, term };
                    self.entries.clear();
                }
                HARD_STATE => self.hard_state = HardState::parse_from_bytes(body).ok()?,
                ENTRY => self.push(Entry::parse_from_bytes(body).ok()?)?,
                _ => return None,
            }
        }
        Some(())
    }

    /// Adds an entry in memory; one that is there already is replaced with all behind it.
    fn push(&mut self, entry: Entry) -> Option<()> {
        let place = entry.index.checked_sub(self.base.index + 1)?;
        let place = usize::try_from(place).ok()?;
        if place > self.entries.len() {
            return None;
        }
        self.entries.truncate(place);
        self.entries.push_back(entry);
        Some(())
    }

    /// A crash between the writing of a snapshot and of the log leaves a log that is too old.
    fn reconcile(&mut self) -> Result<(), RaftError> {
        let at = position(self.snapshot.get_metadata());
        if at.index < self.base.index {
            return Err(self.damaged("the log begins behind the snapshot"));
        }
        if self.term_at(at.index) != Some(at.term) {
            self.base = at;
            self.entries.clear();
            self.hard_state.term = self.hard_state.term.max(at.term);
            self.hard_state.commit = at.index;
            self.rewrite()?;
        }
        self.hard_state.commit = self.hard_state.commit.max(at.index);
        if self.hard_state.commit > self.last() {
            return Err(self.damaged("the log ends before what it says is committed"));
        }
        Ok(())
    }

    fn damaged(&self, why: &str) -> RaftError {
        RaftError::Damaged {
            path: self.directory.log(),
            offset: self.log.len(),
            why: why.to_owned(),
        }
    }

    /// Makes entries and hard state durable. A change of the commit index alone is not worth a
    /// sync: it is learned again from the leader, and goes along with the next entry.
    pub(crate) fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<(), RaftError> {
        if let Some(new) = hard_state {
            let urgent = new.term != self.hard_state.term || new.vote != self.hard_state.vote;
            self.hard_state = new.clone();
            if entries.is_empty() && !urgent {
                return Ok(());
            }
        } else if entries.is_empty() {
            return Ok(());
        }
        let payload = items(None, Some(&self.hard_state), entries.iter());
        self.log.append(&payload)?;
        for entry in entries {
            self.push(entry.clone())
                .ok_or_else(|| self.damaged("entries with a gap"))?;
        }
        Ok(())
    }

    /// Notes a commit index that the next record will carry.
    pub(crate) fn set_commit(&mut self, index: u64) {
        self.hard_state.commit = index;
    }

    /// Takes the leader's state in place of our log.
    pub(crate) fn install(&mut self, snapshot: Snapshot) -> Result<(), RaftError> {
        snapshot::save(&self.directory.snapshot(), &snapshot)?;
        let at = position(snapshot.get_metadata());
        self.snapshot = snapshot;
        self.hard_state.term = self.hard_state.term.max(at.term);
        self.hard_state.commit = self.hard_state.commit.max(at.index);
        self.base = at;
        self.entries.clear();
        self.rewrite()
    }

    /// Writes our own state as of `index` and cuts the log, keeping at most `keep` entries and
    /// `keep_bytes` bytes of them behind it.
    pub(crate) fn compact(
        &mut self,
        index: u64,
        conf: &ConfState,
        state: Vec<u8>,
        keep: u64,
        keep_bytes: u64,
    ) -> Result<(), RaftError> {
        let Some(term) = self.term_at(index) else {
            return Ok(());
        };
        let mut snapshot = Snapshot {
            data: state.into(),
            ..Snapshot::default()
        };
        let meta = snapshot.mut_metadata();
        meta.index = index;
        meta.term = term;
        meta.set_conf_state(conf.clone());
        snapshot::save(&self.directory.snapshot(), &snapshot)?;
        self.snapshot = snapshot;
        self.wanted.set(false);
        let mut bytes = 0;
        let kept = self.entries.iter().rev().skip_while(|e| e.index > index);
        let kept = kept.take_while(|entry| {
            bytes += u64::from(entry.compute_size());
            entry.index + keep > index && bytes <= keep_bytes
        });
        let first_kept = kept.last().map_or(index + 1, |entry| entry.index);
        while let Some(entry) = self.entries.pop_front_if(|e| e.index < first_kept) {
            self.base = Position {
                index: entry.index,
                term: entry.term,
            };
        }
        self.rewrite()
    }

    fn rewrite(&mut self) -> Result<(), RaftError> {
        let payload = items(Some(self.base), Some(&self.hard_state), self.entries.iter());
        self.log = LogFile::create(&self.directory.log(), &payload)?;
        Ok(())
    }

    /// Who we are.
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Notes the cluster that we belong to, durably.
    pub(crate) fn set_cluster(&mut self, cluster: u64) -> Result<(), RaftError> {
        if self.meta.cluster != cluster {
            self.meta.cluster = cluster;
            self.directory.save_meta(&self.meta)?;
        }
        Ok(())
    }

    /// The last snapshot.
    pub(crate) fn last_snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether the log has grown past a bound, or somebody needs a newer snapshot.
    pub(crate) fn is_compaction_due(&self, applied: u64, entries: u64, bytes: u64) -> bool {
        let since = applied.saturating_sub(self.snapshot.get_metadata().index);
        since > 0 && (self.wanted.get() || since >= entries || self.log.len() >= bytes)
    }

    fn last(&self) -> u64 {
        self.base.index + self.entries.len() as u64
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        let place = usize::try_from(index.checked_sub(self.base.index + 1)?).ok()?;
        self.entries.get(place).map(|entry| entry.term)
    }
}

impl Storage for Disk {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let conf = self.snapshot.get_metadata().get_conf_state().clone();
        Ok(RaftState::new(self.hard_state.clone(), conf))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(StorageError::Compacted.into());
        }
        let place = |index: u64| usize::try_from(index - self.base.index - 1).unwrap_or(usize::MAX);
        if place(high) > self.entries.len() {
            return Err(StorageError::Unavailable.into());
        }
        let range = self.entries.range(place(low)..place(high));
        let mut entries: Vec<Entry> = range.cloned().collect();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.base.index {
            return Err(StorageError::Compacted.into());
        }
        self.term_at(index)
            .ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// A member ignores a snapshot whose membership does not mention it, so one that joined
    /// after our last snapshot has to wait for the next, which the core takes at once.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let meta = self.snapshot.get_metadata();
        let conf = meta.get_conf_state();
        let mentioned = conf.voters.contains(&to) || conf.learners.contains(&to);
        if meta.index < request_index || !mentioned {
            self.wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(self.snapshot.clone())
    }
}

fn position(meta: &SnapshotMetadata) -> Position {
    Position {
        index: meta.index,
        term: meta.term,
    }
}

fn items<'a>(
    base: Option<Position>,
    hard_state: Option<&HardState>,
    entries: impl Iterator<Item = &'a Entry>,
) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut item = |kind: u8, body: &[u8]| {
        payload.push(kind);
        let length = u32::try_from(body.len()).expect("entries are far below 4 GiB");
        payload.extend(length.to_le_bytes());
        payload.extend(body);
    };
    if let Some(base) = base {
        let body = [base.index.to_le_bytes(), base.term.to_le_bytes()].concat();
        item(BASE, &body);
    }
    let bytes = |message: &dyn protobuf::Message| {
        message
            .write_to_bytes()
            .expect("a message without required fields")
    };
    if let Some(state) = hard_state {
        item(HARD_STATE, &bytes(state));
    }
    for entry in entries {
        item(ENTRY, &bytes(entry));
    }
    payload
}
