//! Incoming connections of peers and clients.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protobuf::Message as _;
use raft::eraftpb::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::channel::{Channel, HANDSHAKE, MAX_FRAME, MAX_HELLO};
use super::key::Key;
use super::wire::{self, Hello, Reply, Request, Stage, Welcome, Who};
use crate::raft::error::RaftError;
use crate::raft::ident::Address;
use crate::raft::input::{Handle, Input};
use crate::raft::machine::MAX_VALUE;
use crate::raft::serve;

/// Open connections, strangers included.
const CONNECTIONS: usize = 256;
/// A client that says nothing for so long is let go.
const IDLE: Duration = Duration::from_mins(1);
/// Largest request: the largest value, escaped in the worst way.
const MAX_REQUEST: usize = 7 * MAX_VALUE;
const REPLY: Duration = Duration::from_secs(10);

/// What a member says about itself at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Who it is and how far it has come.
    pub(crate) who: Who,
}

/// The open port of a member.
pub(crate) struct Listener {
    socket: TcpListener,
    door: Door,
}

#[derive(Clone)]
struct Door {
    key: Option<Key>,
    standing: watch::Receiver<Standing>,
    handle: Handle,
    /// The one connection that each peer may have; a new one replaces the old one.
    peers: Arc<Mutex<HashMap<u64, watch::Sender<()>>>>,
}

impl Listener {
    /// Opens the port.
    pub(crate) async fn bind(
        address: &Address,
        key: Option<Key>,
        standing: watch::Receiver<Standing>,
        handle: Handle,
    ) -> Result<Self, RaftError> {
        let socket = TcpListener::bind(address.as_str())
            .await
            .map_err(|source| RaftError::Listen {
                address: address.clone(),
                source,
            })?;
        let door = Door {
            key,
            standing,
            handle,
            peers: Arc::default(),
        };
        Ok(Self { socket, door })
    }

    /// Answers calls for ever.
    pub(crate) async fn run(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut guests = JoinSet::new();
        loop {
            while guests.try_join_next().is_some() {}
            let place = Arc::clone(&places).acquire_owned().await;
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "could not accept a raft connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let door = self.door.clone();
            guests.spawn(async move {
                let _place = place;
                if let Err(error) = door.welcome(stream).await {
                    tracing::debug!(%error, "raft connection ended");
                }
            });
        }
    }
}

impl Door {
    async fn welcome(self, stream: TcpStream) -> io::Result<()> {
        let greeted = async {
            let mut channel = Channel::answer(stream, self.key.as_ref()).await?;
            let hello = channel.receive(MAX_HELLO).await?;
            let hello = hello.ok_or_else(|| io::Error::other("closed during the handshake"))?;
            let hello: Hello = serde_json::from_slice(&hello).map_err(io::Error::other)?;
            let who = self.standing.borrow().who.clone();
            let refused = match &hello {
                Hello::Peer { from, to } => self.objection(&who, from, *to),
                Hello::Client => None,
            };
            let ended = refused.clone();
            let welcome = Welcome { who, refused };
            channel.send(&wire::encode(&welcome), HANDSHAKE).await?;
            match ended {
                Some(why) => Err(io::Error::other(why)),
                None => Ok((channel, hello)),
            }
        };
        match timeout(HANDSHAKE, greeted).await?? {
            (channel, Hello::Peer { from, .. }) => self.listen_to(channel, from).await,
            (channel, Hello::Client) => self.serve(channel).await,
        }
    }

    /// Why we do not take messages of this peer.
    fn objection(&self, me: &Who, from: &Who, to: u64) -> Option<String> {
        let strangers = me.cluster == 0 && from.cluster == 0 && me.founders != from.founders;
        let foreign = me.cluster != 0 && from.cluster != 0 && me.cluster != from.cluster;
        let joins = me.stage == Stage::Joining || from.stage == Stage::Joining;
        let view = self.handle.view();
        let removed = view.borrow().machine.is_removed(from.id);
        if me.stage == Stage::Blank || me.id != to {
            Some("there is no such member here now".to_owned())
        } else if removed {
            Some("you were removed from this cluster".to_owned())
        } else if foreign || (strangers && !joins) {
            tracing::error!(
                "refused {}, a raft member of another cluster: check partner_addrs, and whether \
                 somebody restored or emptied a data_dir",
                from.address
            );
            Some("this member belongs to another cluster".to_owned())
        } else {
            None
        }
    }

    async fn listen_to(self, mut channel: Channel, from: Who) -> io::Result<()> {
        let (id, address) = (from.id, from.address);
        let gone = |_| io::Error::other("the member has stopped");
        let (cut, mut replaced) = watch::channel(());
        drop(self.replace(id, cut));
        let seen = Input::PeerSeen { id, address };
        self.handle.pass(seen).await.map_err(gone)?;
        loop {
            let frame = tokio::select! {
                frame = channel.receive(MAX_FRAME) => frame?,
                _ = replaced.changed() => None,
            };
            let Some(frame) = frame else {
                return Ok(());
            };
            let message: Message = Message::parse_from_bytes(&frame).map_err(io::Error::other)?;
            if message.from != id {
                return Err(io::Error::other("a message in another member's name"));
            }
            let input = Input::Message(Box::new(message));
            self.handle.pass(input).await.map_err(gone)?;
        }
    }

    /// Puts the end of a new connection in the place of the old one, which ends with it.
    fn replace(&self, id: u64, cut: watch::Sender<()>) -> Option<watch::Sender<()>> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.insert(id, cut)
    }

    async fn serve(self, mut channel: Channel) -> io::Result<()> {
        while let Some(frame) = timeout(IDLE, channel.receive(MAX_REQUEST)).await?? {
            let reply = match serde_json::from_slice::<Request>(&frame) {
                Ok(request) => serve::answer(&self.handle, request).await,
                Err(error) => Reply::Failed(error.to_string()),
            };
            channel.send(&wire::encode(&reply), REPLY).await?;
        }
        Ok(())
    }
}
