//! A few members, and what a test does to them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use patroni_core::Secret;
use tempfile::TempDir;

use crate::raft::command::{Condition, Origin, Outcome, Write};
use crate::raft::ident::{self, Address};
use crate::raft::input::NoAnswer;
use crate::raft::node::Node;
use crate::raft::options::{Options, Tuning};
use crate::raft::transport::Caller;

pub(super) const LONG: Duration = Duration::from_secs(20);

/// Pairs (from, to) whose messages get lost on the way.
static CUT: Mutex<BTreeSet<(Address, Address)>> = Mutex::new(BTreeSet::new());

pub(crate) fn is_cut(caller: &Caller, to: &Address) -> bool {
    let from = caller.standing.borrow().who.address.clone();
    let cut = CUT.lock().unwrap_or_else(PoisonError::into_inner);
    cut.contains(&(from, to.clone()))
}

pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) addresses: Vec<String>,
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) tuning: Tuning,
    pub(super) password: Option<Secret>,
    client: u64,
    sequence: u64,
}

pub(super) fn free_address() -> String {
    format!("127.0.0.1:{}", patroni_tests::ports::free())
}

impl World {
    /// Addresses for some members; none is started.
    pub(super) fn new(members: usize) -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            addresses: (0..members).map(|_| free_address()).collect(),
            nodes: (0..members).map(|_| None).collect(),
            tuning: Tuning::default(),
            password: None,
            client: ident::random_id(),
            sequence: 0,
        }
    }

    /// A cluster that has a leader.
    pub(super) async fn running(members: usize) -> Self {
        let mut world = Self::new(members);
        for place in 0..members {
            world.start(place).await;
        }
        for place in 0..members {
            assert!(world.node(place).ready(LONG).await, "{place} is not ready");
        }
        world
    }

    pub(super) fn data_dir(&self, place: usize) -> PathBuf {
        self.directory.path().join(place.to_string())
    }

    pub(super) fn options(&self, place: usize) -> Options {
        let mut partners = self.addresses.clone();
        let own = partners.remove(place);
        Options {
            self_addr: Some(own),
            bind_addr: None,
            partner_addrs: partners,
            data_dir: self.data_dir(place),
            password: self.password.clone(),
        }
    }

    pub(super) async fn start(&mut self, place: usize) {
        let options = self.options(place);
        // The port and the lock of a member that was just killed may take a moment.
        let deadline = Instant::now() + LONG;
        let node = loop {
            match Node::start(&options, self.tuning).await {
                Ok(node) => break node,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.nodes[place] = Some(node);
    }

    /// Ends a member as a crash would.
    pub(super) fn kill(&mut self, place: usize) {
        self.nodes[place] = None;
    }

    /// Empties the directory of a member that was killed.
    pub(super) async fn wipe(&self, place: usize) {
        let path = self.data_dir(place);
        let deadline = Instant::now() + LONG;
        // Only when nobody uses it any more.
        while let Err(error) = crate::raft::log::Directory::open(&path) {
            assert!(Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::fs::remove_dir_all(path).unwrap();
    }

    pub(super) fn node(&self, place: usize) -> &Node {
        self.nodes[place].as_ref().unwrap()
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = usize> {
        let alive = self.nodes.iter().enumerate();
        alive
            .filter(|(_, node)| node.is_some())
            .map(|(place, _)| place)
    }

    /// The place of the member that leads and that a majority of the others follows.
    pub(super) async fn leader(&self) -> usize {
        let deadline = Instant::now() + LONG;
        loop {
            for place in self.alive() {
                let node = self.node(place);
                if node.view().is_leader() && node.handle().read(LONG / 20).await.is_ok() {
                    return place;
                }
            }
            assert!(Instant::now() < deadline, "no leader");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn set(key: &str, value: &str) -> Write {
        Write::set(key.to_owned(), value.to_owned(), Condition::none())
    }

    pub(super) async fn write(&mut self, place: usize, write: Write) -> Result<Outcome, NoAnswer> {
        self.write_within(place, write, LONG).await
    }

    pub(super) async fn write_within(
        &mut self,
        place: usize,
        write: Write,
        budget: Duration,
    ) -> Result<Outcome, NoAnswer> {
        self.sequence += 1;
        let origin = Origin {
            client: self.client,
            sequence: self.sequence,
        };
        self.node(place).handle().write(origin, write, budget).await
    }

    pub(super) async fn value(&self, place: usize, key: &str) -> Option<String> {
        let machine = self.node(place).handle().read(LONG).await.unwrap();
        machine.items.get(key).map(|item| item.value.clone())
    }

    /// Loses all messages between one member and all others, or no more.
    pub(super) fn isolate(&self, place: usize, cut: bool) {
        let mut pairs = CUT.lock().unwrap();
        let address = |place: usize| Address::parse(&self.addresses[place]).unwrap();
        for other in (0..self.addresses.len()).filter(|other| *other != place) {
            for pair in [
                (address(place), address(other)),
                (address(other), address(place)),
            ] {
                if cut {
                    pairs.insert(pair);
                } else {
                    pairs.remove(&pair);
                }
            }
        }
    }

    pub(super) async fn until(&self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !reached(self) {
            assert!(Instant::now() < deadline, "never {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
