//! The one owner of consensus, log and state.
//!
//! The core runs on a thread of its own: a sync of the disk blocks nobody else, and a busy process
//! does not delay heartbeats. Everything reaches it as an [`Input`]; it answers through reply
//! channels, hands messages to [`Peers`], and shows its state in a `watch` channel.
//!
//! Order on every turn: inputs, then what the protocol made ready of them: entries and vote are on
//! the disk before a message that promises them is sent, and entries are applied when they are
//! both committed and on our disk. Requests that found no leader, or whose leader went, are
//! proposed again by themselves; their origin makes sure that they are carried out once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protobuf::Message as _;
use raft::eraftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, EntryType, Message, MessageType,
};
use raft::{Config, RawNode, SnapshotStatus, StateRole};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::command::{Command, Origin, Outcome, Write};
use super::error::RaftError;
use super::ident::{self, Address};
use super::input::{Input, View};
use super::lease::Leases;
use super::log::Disk;
use super::machine::Machine;
use super::options::Tuning;
use super::reads::Reads;
use super::tracing_log;
use super::transport::Peers;

/// Inputs taken in one turn before the disk is written: bounds the batch, not the throughput.
const BATCH: usize = 512;
/// Most writes under way.
const PENDING: usize = 1024;
/// A write that was proposed and not applied for so long was probably lost. Each repetition waits
/// twice as long as the one before: where everything is slow, a large write must not be in the way
/// of itself.
const REPEAT: Duration = Duration::from_millis(700);

/// Consensus, log and state of one member.
pub(crate) struct Core {
    pub(super) raw: RawNode<Disk>,
    pub(super) machine: Arc<Machine>,
    pub(super) conf: ConfState,
    pub(super) heard: HashMap<u64, Instant>,
    pub(super) tuning: Tuning,
    /// Addresses from which members may come without being known; `None`: from anywhere, because
    /// only who knows the password reaches us.
    pub(super) allowed: Option<Vec<Address>>,
    peers: Peers,
    inputs: mpsc::Receiver<Input>,
    view: watch::Sender<View>,
    pending: HashMap<Origin, Pending>,
    reads: Reads,
    leases: Leases,
    named: Option<Instant>,
    /// Waiting writes can be proposed again: there is a new leader, or the cluster got its name.
    repropose: bool,
    snapshot_due: bool,
    stopping: Option<Instant>,
}

struct Pending {
    command: Vec<u8>,
    replies: Vec<oneshot::Sender<Outcome>>,
    proposed: Option<Proposal>,
}

/// The last time that a write was proposed.
#[derive(Clone, Copy)]
struct Proposal {
    at: Instant,
    patience: Duration,
}

impl Proposal {
    fn is_late(&self, now: Instant) -> bool {
        now.duration_since(self.at) > self.patience
    }
}

impl Core {
    /// Starts from what is on the disk.
    pub(crate) fn new(
        disk: Disk,
        tuning: Tuning,
        allowed: Option<Vec<Address>>,
        peers: Peers,
        inputs: mpsc::Receiver<Input>,
        view: watch::Sender<View>,
    ) -> Result<Self, RaftError> {
        let snapshot = disk.last_snapshot();
        let conf = snapshot.get_metadata().get_conf_state().clone();
        let machine = if snapshot.is_empty() {
            Machine::default()
        } else {
            state_of(snapshot.get_metadata().index, &snapshot.data)?
        };
        let config = Config {
            id: disk.meta().id,
            election_tick: tuning.election_ticks,
            min_election_tick: tuning.election_ticks,
            max_election_tick: tuning.election_ticks_end,
            heartbeat_tick: tuning.heartbeat_ticks,
            applied: machine.applied,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 64,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: 32 << 20,
            max_committed_size_per_ready: 4 << 20,
            ..Config::default()
        };
        let raw =
            RawNode::new(&config, disk, &tracing_log::logger()).map_err(RaftError::Protocol)?;
        let reads = Reads::new(config.id);
        let mut core = Self {
            raw,
            machine: Arc::new(machine),
            conf,
            heard: HashMap::new(),
            tuning,
            allowed,
            peers,
            inputs,
            view,
            pending: HashMap::new(),
            reads,
            leases: Leases::default(),
            named: None,
            repropose: false,
            snapshot_due: false,
            stopping: None,
        };
        core.follow_membership();
        // A founder that is alone has nobody to wait for.
        if core.conf.voters == [config.id] {
            core.raw.campaign().map_err(RaftError::Protocol)?;
        }
        Ok(core)
    }

    /// Runs until it is told to stop, or cannot go on.
    pub(crate) async fn run(mut self) -> Result<(), RaftError> {
        let mut beat = tokio::time::interval(self.tuning.tick);
        // After a freeze one beat is enough: a burst of them would start an election.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                _ = beat.tick() => self.beat(),
                count = self.inputs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
            }
            for input in batch.drain(..) {
                self.take(input);
            }
            self.settle()?;
            if self.has_stopped() {
                return Ok(());
            }
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.raw.raft.id
    }

    pub(super) fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Message(message) => self.step(*message),
            Input::PeerSeen { id, address } => self.peers.route(id, &address),
            Input::Unreachable(id) => self.raw.report_unreachable(id),
            Input::SnapshotSent { to, ok } => {
                let status = if ok {
                    SnapshotStatus::Finish
                } else {
                    SnapshotStatus::Failure
                };
                self.raw.report_snapshot(to, status);
            }
            Input::Write {
                origin,
                write,
                reply,
            } => self.write(origin, write, reply),
            Input::Read { reply } => self.reads.add(reply),
            // Whoever asked may have gone; then nobody needs the answer.
            Input::Join { id, address, reply } => drop(reply.send(self.join(id, &address))),
            Input::Remove { address, reply } => drop(reply.send(self.remove(&address))),
            Input::Stop => self.stop(),
        }
    }

    fn step(&mut self, message: Message) {
        if message.to != self.id() {
            return;
        }
        self.heard.insert(message.from, Instant::now());
        if let Err(error) = self.raw.step(message) {
            tracing::debug!(%error, "raft message not taken");
        }
    }

    fn beat(&mut self) {
        self.raw.tick();
        let now = Instant::now();
        self.reads.repeat(now);
        self.pending
            .retain(|_, pending| pending.replies.iter().any(|reply| !reply.is_closed()));
        let late: Vec<Origin> = self
            .pending
            .iter()
            .filter(|(_, p)| p.proposed.is_none_or(|last| last.is_late(now)))
            .map(|(origin, _)| *origin)
            .collect();
        for origin in late {
            self.propose_pending(origin);
        }
        if self.raw.raft.leader_id == 0 {
            self.leases.pause();
        } else {
            self.leases.look(&self.machine, now);
        }
        if self.leads() {
            self.lead(now);
        }
    }

    /// What the leader does on every beat.
    fn lead(&mut self, now: Instant) {
        let unnamed = self.machine.cluster == 0 && self.raw.raft.commit_to_current_term();
        if unnamed && self.named.is_none_or(|at| now.duration_since(at) > REPEAT) {
            self.named = Some(now);
            let cluster = ident::random_id();
            self.propose(&Command::Found { cluster });
        }
        let keys = self.leases.take_due();
        if !keys.is_empty() {
            tracing::debug!(?keys, "time is over for keys");
            self.propose(&Command::Expire { keys });
        }
    }

    /// A command of our own: when it gets lost, the reason for it is still there next time.
    fn propose(&mut self, command: &Command) {
        if let Err(error) = self.raw.propose(Vec::new(), command.encode()) {
            tracing::debug!(%error, "raft command not proposed");
        }
    }

    fn write(&mut self, origin: Origin, write: Write, reply: oneshot::Sender<Outcome>) {
        if self.pending.len() >= PENDING {
            return; // dropping the reply says that we have too much to do
        }
        let pending = self.pending.entry(origin).or_insert_with(|| Pending {
            command: Command::Write { origin, write }.encode(),
            replies: Vec::new(),
            proposed: None,
        });
        pending.replies.push(reply);
        if pending.proposed.is_none() {
            self.propose_pending(origin);
        }
    }

    /// A cluster without a name takes no writes yet: until the name is on a majority of disks, a
    /// founder that loses its disk would found again under its old number.
    fn propose_pending(&mut self, origin: Origin) {
        if self.machine.cluster == 0 {
            return;
        }
        if let Some(pending) = self.pending.get_mut(&origin) {
            let taken = self.raw.propose(Vec::new(), pending.command.clone());
            let last = pending.proposed.take();
            pending.proposed = taken.is_ok().then(|| Proposal {
                at: Instant::now(),
                patience: last.map_or(REPEAT, |last| last.patience * 2),
            });
        }
    }

    /// Carries out everything that the protocol has made ready.
    fn settle(&mut self) -> Result<(), RaftError> {
        if let Some(context) = self.reads.ask(Instant::now()) {
            self.raw.read_index(context);
        }
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            let leader_changed = ready
                .ss()
                .is_some_and(|state| self.view.borrow().leader != state.leader_id);
            self.send(ready.take_messages());
            if !ready.snapshot().is_empty() {
                self.install(ready.snapshot().clone())?;
            }
            let hard_state = ready.hs().cloned();
            self.raw
                .mut_store()
                .append(ready.entries(), hard_state.as_ref())?;
            self.send(ready.take_persisted_messages());
            for state in ready.take_read_states() {
                self.reads.confirmed(&state.request_ctx, state.index);
            }
            self.apply(ready.take_committed_entries())?;
            let mut light = self.raw.advance_append(ready);
            if let Some(index) = light.commit_index() {
                self.raw.mut_store().set_commit(index);
            }
            self.send(light.take_messages());
            self.apply(light.take_committed_entries())?;
            self.raw.advance_apply();
            // Only now: the library does not bear a proposal between `ready` and `advance`.
            if leader_changed {
                self.leader_changed();
            }
            if std::mem::take(&mut self.repropose) {
                self.propose_all_pending();
            }
        }
        self.reads.answer(&self.machine);
        self.show();
        self.compact()
    }

    fn leader_changed(&mut self) {
        let (leader, term) = (self.raw.raft.leader_id, self.raw.raft.term);
        if leader == 0 {
            return;
        }
        if let Some(address) = self.machine.members.get(&leader) {
            tracing::info!("raft leader is {address} in term {term}");
        } else {
            tracing::info!("raft leader is member {leader:016x} in term {term}");
        }
        self.reads.leader_changed();
        self.repropose = true;
    }

    fn propose_all_pending(&mut self) {
        let all: Vec<Origin> = self.pending.keys().copied().collect();
        for origin in all {
            self.propose_pending(origin);
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let (to, is_snapshot) = (
                message.to,
                message.get_msg_type() == MessageType::MsgSnapshot,
            );
            if !self.peers.send(message) {
                self.raw.report_unreachable(to);
                if is_snapshot {
                    self.raw.report_snapshot(to, SnapshotStatus::Failure);
                }
            }
        }
    }

    fn install(&mut self, snapshot: raft::eraftpb::Snapshot) -> Result<(), RaftError> {
        let index = snapshot.get_metadata().index;
        let machine = state_of(index, &snapshot.data)?;
        tracing::info!("took the state of the raft leader at entry {index}");
        self.conf = snapshot.get_metadata().get_conf_state().clone();
        self.raw.mut_store().install(snapshot)?;
        self.machine = Arc::new(machine);
        self.check_cluster()?;
        self.follow_membership();
        Ok(())
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<(), RaftError> {
        for entry in entries {
            match entry.get_entry_type() {
                EntryType::EntryNormal if entry.data.is_empty() => {
                    Arc::make_mut(&mut self.machine).apply_nothing(entry.index);
                }
                EntryType::EntryNormal => self.apply_command(&entry)?,
                EntryType::EntryConfChange => self.apply_membership(&entry)?,
                EntryType::EntryConfChangeV2 => {
                    return Err(RaftError::Unknown { index: entry.index });
                }
            }
        }
        Ok(())
    }

    fn apply_command(&mut self, entry: &Entry) -> Result<(), RaftError> {
        let command =
            Command::decode(&entry.data).ok_or(RaftError::Unknown { index: entry.index })?;
        let (origin, is_name) = match &command {
            Command::Write { origin, .. } => (Some(*origin), false),
            Command::Found { .. } => (None, true),
            Command::Expire { .. } => (None, false),
        };
        let outcome = Arc::make_mut(&mut self.machine).apply(entry.index, command);
        if is_name {
            self.check_cluster()?;
            self.repropose = true;
        }
        if let Some(pending) = origin.and_then(|origin| self.pending.remove(&origin)) {
            for reply in pending.replies {
                let _ = reply.send(outcome); // who asked may have given up
            }
        }
        Ok(())
    }

    /// The cluster's number is on our disk before anything after it is applied, so that this
    /// member never takes part in another cluster with the log of this one.
    fn check_cluster(&mut self) -> Result<(), RaftError> {
        let (ours, theirs) = (self.raw.store().meta().cluster, self.machine.cluster);
        if ours != 0 && theirs != 0 && ours != theirs {
            let why = format!("the log names cluster {theirs:016x}, we belong to {ours:016x}");
            return Err(RaftError::Stopped(why));
        }
        self.raw.mut_store().set_cluster(theirs.max(ours))
    }

    fn apply_membership(&mut self, entry: &Entry) -> Result<(), RaftError> {
        let unknown = || RaftError::Unknown { index: entry.index };
        let change: ConfChange =
            ConfChange::parse_from_bytes(&entry.data).map_err(|_| unknown())?;
        let machine = Arc::make_mut(&mut self.machine);
        machine.apply_nothing(entry.index);
        let id = change.node_id;
        match change.get_change_type() {
            kind @ (ConfChangeType::AddNode | ConfChangeType::AddLearnerNode) => {
                let address = std::str::from_utf8(&change.context).map_err(|_| unknown())?;
                let address = Address::parse(address).map_err(|_| unknown())?;
                let does = if kind == ConfChangeType::AddNode {
                    "votes"
                } else {
                    "learns, and votes when it has caught up"
                };
                tracing::info!("raft member {address} {does}");
                machine.add_member(id, address);
            }
            ConfChangeType::RemoveNode => {
                if let Some(address) = machine.members.get(&id) {
                    tracing::info!("raft member {address} was removed");
                }
                machine.remove_member(id);
                if id == self.id() {
                    tracing::error!(
                        "this member was removed from the raft cluster; to add it again, stop \
                         it, empty its data_dir and start it"
                    );
                }
            }
        }
        self.conf = self
            .raw
            .apply_conf_change(&change)
            .map_err(RaftError::Protocol)?;
        // A member that joins needs a snapshot that mentions it.
        self.snapshot_due = true;
        self.follow_membership();
        Ok(())
    }

    fn follow_membership(&mut self) {
        let id = self.id();
        let others = self
            .machine
            .members
            .iter()
            .filter(|(other, _)| **other != id);
        self.peers.follow(others);
        let machine = &self.machine;
        self.peers.forget(|peer| machine.is_removed(peer));
    }

    fn show(&mut self) {
        let raft = &self.raw.raft;
        let (leader, term, id) = (raft.leader_id, raft.term, raft.id);
        self.view.send_if_modified(|view| {
            let same = Arc::ptr_eq(&view.machine, &self.machine)
                && (view.leader, view.term, view.id) == (leader, term, id)
                && view.voters == self.conf.voters;
            if !same {
                *view = View {
                    machine: Arc::clone(&self.machine),
                    id,
                    leader,
                    term,
                    voters: self.conf.voters.clone(),
                };
            }
            !same
        });
    }

    fn compact(&mut self) -> Result<(), RaftError> {
        let (applied, tuning) = (self.machine.applied, self.tuning);
        let disk = self.raw.store();
        let grown = disk.is_compaction_due(applied, tuning.snapshot_entries, tuning.snapshot_bytes);
        if !grown && !self.snapshot_due {
            return Ok(());
        }
        self.snapshot_due = false;
        let state = self.machine.to_snapshot();
        let conf = self.conf.clone();
        self.raw.mut_store().compact(
            applied,
            &conf,
            state,
            tuning.keep_entries,
            tuning.keep_bytes,
        )
    }

    /// A leader hands over first, so that the others need not wait for an election.
    fn stop(&mut self) {
        let deadline = Instant::now() + self.tuning.election_timeout();
        self.stopping.get_or_insert(deadline);
        if let Some(successor) = self.successor() {
            self.raw.transfer_leader(successor);
        }
    }

    fn has_stopped(&self) -> bool {
        self.stopping.is_some_and(|deadline| {
            !self.leads() || self.successor().is_none() || Instant::now() >= deadline
        })
    }

    /// The voter that has most of the log among those that we heard of lately.
    pub(super) fn successor(&self) -> Option<u64> {
        if !self.leads() {
            return None;
        }
        let lately = self.tuning.election_timeout();
        let alive = |id: &u64| self.heard.get(id).is_some_and(|at| at.elapsed() < lately);
        let voters = self.conf.voters.iter().copied();
        voters
            .filter(|id| *id != self.id() && alive(id))
            .max_by_key(|id| self.raw.raft.prs().get(*id).map(|p| p.matched))
    }
}

fn state_of(index: u64, bytes: &[u8]) -> Result<Machine, RaftError> {
    Machine::from_snapshot(bytes)
        .filter(|machine| machine.applied == index)
        .ok_or(RaftError::Unknown { index })
}
