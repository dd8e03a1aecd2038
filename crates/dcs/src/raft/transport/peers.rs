//! Outgoing messages: one task, one queue and one connection per peer.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::channel::{Channel, HANDSHAKE, MAX_HELLO};
use super::key::Key;
use super::listener::Standing;
use super::wire::{self, Hello, Welcome};
use crate::raft::ident::Address;
use crate::raft::input::Input;

/// Messages waiting for one peer. The protocol has at most 64 appends under way.
const QUEUE: usize = 256;
/// Peers that called us before we learned of them, at most.
const STRANGERS: usize = 64;
const SEND: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between two lines about the same mistake in somebody's settings.
pub(crate) const REMINDER: Duration = Duration::from_secs(10);

/// Connects to others in our name.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The common key.
    pub(crate) key: Option<Key>,
    /// Who we are at the moment.
    pub(crate) standing: watch::Receiver<Standing>,
}

impl Caller {
    /// Opens a connection for requests, and says whom it reached.
    pub(crate) async fn client(
        address: &Address,
        key: Option<&Key>,
    ) -> io::Result<(Channel, Welcome)> {
        Self::open(address, key, &Hello::Client).await
    }

    async fn peer(&self, id: u64, address: &Address) -> io::Result<Channel> {
        let from = self.standing.borrow().who.clone();
        let hello = Hello::Peer { from, to: id };
        Ok(Self::open(address, self.key.as_ref(), &hello).await?.0)
    }

    async fn open(
        address: &Address,
        key: Option<&Key>,
        hello: &Hello,
    ) -> io::Result<(Channel, Welcome)> {
        let opened = async {
            let mut channel = Channel::call(address, key).await?;
            channel.send(&wire::encode(hello), HANDSHAKE).await?;
            let answer = channel.receive(MAX_HELLO).await?;
            let answer = answer.ok_or_else(|| io::Error::other("closed during the handshake"))?;
            let welcome: Welcome = serde_json::from_slice(&answer).map_err(io::Error::other)?;
            match &welcome.refused {
                Some(why) => Err(io::Error::new(io::ErrorKind::PermissionDenied, why.clone())),
                None => Ok((channel, welcome)),
            }
        };
        timeout(HANDSHAKE, opened).await?
    }
}

/// The ways to all peers. Dropping it ends the tasks.
pub(crate) struct Peers {
    caller: Caller,
    inputs: mpsc::Sender<Input>,
    runtime: tokio::runtime::Handle,
    tasks: JoinSet<()>,
    links: HashMap<u64, Link>,
}

struct Link {
    address: Address,
    queue: mpsc::Sender<Message>,
    task: AbortHandle,
}

impl Peers {
    /// The tasks will run on the runtime that this is called on.
    pub(crate) fn new(caller: Caller, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            caller,
            inputs,
            runtime: tokio::runtime::Handle::current(),
            tasks: JoinSet::new(),
            links: HashMap::new(),
        }
    }

    /// Makes the ways fit the membership. Ways to unknown members that called us stay.
    pub(crate) fn follow<'a>(&mut self, members: impl Iterator<Item = (&'a u64, &'a Address)>) {
        for (id, address) in members {
            self.link(*id, address);
        }
    }

    /// A member that we have not heard of called: a way back to it is needed.
    pub(crate) fn route(&mut self, id: u64, address: &Address) {
        if !self.links.contains_key(&id) && self.links.len() < STRANGERS {
            self.link(id, address);
        }
    }

    /// Closes ways that are not needed any more.
    pub(crate) fn forget(&mut self, gone: impl Fn(u64) -> bool) {
        self.links.retain(|id, link| {
            let gone = gone(*id);
            if gone {
                link.task.abort();
            }
            !gone
        });
        while self.tasks.try_join_next().is_some() {}
    }

    /// Queues a message; false when it cannot go out.
    pub(crate) fn send(&mut self, message: Message) -> bool {
        self.links
            .get(&message.to)
            .is_some_and(|link| link.queue.try_send(message).is_ok())
    }

    fn link(&mut self, id: u64, address: &Address) {
        if let Some(link) = self.links.get(&id) {
            if link.address == *address {
                return;
            }
            link.task.abort();
        }
        let (queue, waiting) = mpsc::channel(QUEUE);
        let errand = Line {
            id,
            address: address.clone(),
            caller: self.caller.clone(),
            inputs: self.inputs.clone(),
            waiting,
            trouble: Trouble::default(),
        };
        let task = self.tasks.spawn_on(errand.run(), &self.runtime);
        let address = address.clone();
        self.links.insert(
            id,
            Link {
                address,
                queue,
                task,
            },
        );
    }
}

/// The task of one peer.
struct Line {
    id: u64,
    address: Address,
    caller: Caller,
    inputs: mpsc::Sender<Input>,
    waiting: mpsc::Receiver<Message>,
    trouble: Trouble,
}

impl Line {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        // A connection is opened when there is something to say.
        while let Some(first) = self.waiting.recv().await {
            match self.caller.peer(self.id, &self.address).await {
                Ok(channel) => {
                    if self.trouble.is_over() {
                        tracing::info!("raft member {} is reachable again", self.address);
                    }
                    pause = FIRST_PAUSE;
                    if let Err(error) = self.talk(channel, first).await {
                        tracing::debug!(%error, "raft connection to {} lost", self.address);
                    }
                }
                Err(error) => {
                    if self.trouble.is_worth_a_line(&error) {
                        tracing::warn!("could not reach raft member {}: {error}", self.address);
                    }
                    self.lost(&first).await;
                }
            }
            if self.inputs.try_send(Input::Unreachable(self.id)).is_err() {
                tracing::debug!("the raft member is too busy to hear of a lost connection");
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            while let Ok(stale) = self.waiting.try_recv() {
                self.lost(&stale).await;
            }
        }
    }

    async fn talk(&mut self, mut channel: Channel, first: Message) -> io::Result<()> {
        let mut next = Some(first);
        while let Some(message) = next {
            let sent = match message.write_to_bytes() {
                #[cfg(test)]
                Ok(_) if crate::raft::tests::is_cut(&self.caller, &self.address) => Ok(()),
                Ok(bytes) => channel.send(&bytes, SEND).await,
                Err(error) => Err(io::Error::other(error)),
            };
            if sent.is_err() {
                self.lost(&message).await;
            } else if message.get_msg_type() == MessageType::MsgSnapshot {
                self.snapshot_sent(true).await;
            }
            sent?;
            // A peer that went away must be noticed before the next message is lost in the
            // buffers of a dead connection: it may be the vote that an election hangs on.
            next = tokio::select! {
                message = self.waiting.recv() => message,
                () = channel.closed() => return Err(io::Error::other("closed by the peer")),
            };
        }
        Ok(())
    }

    async fn lost(&self, message: &Message) {
        if message.get_msg_type() == MessageType::MsgSnapshot {
            self.snapshot_sent(false).await;
        }
    }

    /// The leader sends nothing else to the peer until it knows, so this waits for its turn.
    async fn snapshot_sent(&self, ok: bool) {
        let input = Input::SnapshotSent { to: self.id, ok };
        let _ = self.inputs.send(input).await; // fails when the core has ended
    }
}

/// What was logged of the trouble with one peer.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    said: Option<(Instant, io::ErrorKind)>,
}

impl Trouble {
    /// A peer that went away is worth one line. One that refuses us is not going to change its
    /// mind, somebody must mend the settings: that is said again and again.
    pub(crate) fn is_worth_a_line(&mut self, error: &io::Error) -> bool {
        let refuses = error.kind() == io::ErrorKind::PermissionDenied;
        let due = self
            .said
            .is_none_or(|(at, kind)| refuses && (kind != error.kind() || at.elapsed() >= REMINDER));
        if due {
            self.said = Some((Instant::now(), error.kind()));
        }
        due
    }

    /// The peer answers; whether there was trouble before.
    pub(crate) fn is_over(&mut self) -> bool {
        self.said.take().is_some()
    }
}
