//! Requests of an observer to any member of the cluster.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use patroni_core::MemberName;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::command::{Origin, Outcome, Write};
use super::ident::Address;
use super::input::NoAnswer;
use super::machine::Item;
use super::marks::Marks;
use super::transport::channel::MAX_FRAME;
use super::transport::wire::{self, Reply, Request};
use super::transport::{Caller, Channel, Key};

/// For a member that hangs, before the next one is asked.
const ATTEMPT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// A way to the members, one after the other.
pub(crate) struct Remote {
    addresses: Vec<Address>,
    key: Option<Key>,
    /// The member that answered last.
    current: AtomicUsize,
    /// An open connection that nobody uses at the moment.
    idle: Mutex<Option<Channel>>,
}

impl Remote {
    /// A way to the given members; nothing is sent yet.
    pub(crate) fn new(addresses: Vec<Address>, key: Option<Key>) -> Self {
        Self {
            addresses,
            key,
            current: AtomicUsize::new(0),
            idle: Mutex::new(None),
        }
    }

    /// Whom to ask, and with which key.
    pub(crate) fn members(&self) -> (&[Address], Option<&Key>) {
        (&self.addresses, self.key.as_ref())
    }

    /// The keys below a prefix, not older than this call. Cancel safe.
    pub(crate) async fn read(
        &self,
        prefix: &str,
        budget: Duration,
    ) -> Result<BTreeMap<String, Item>, NoAnswer> {
        let request = |left: Duration| Request::Read {
            prefix: prefix.to_owned(),
            budget_ms: millis(left.min(ATTEMPT)),
        };
        self.ask(request, ATTEMPT, budget, |reply| match reply {
            Reply::Items(items) => Some(items),
            Reply::Outcome(_)
            | Reply::Changed(_)
            | Reply::Membership(_)
            | Reply::Standing(_)
            | Reply::Failed(_) => None,
        })
        .await
    }

    /// Writes; asked of several members if need be, carried out once.
    pub(crate) async fn write(
        &self,
        origin: Origin,
        write: Write,
        budget: Duration,
    ) -> Result<Outcome, NoAnswer> {
        let request = |left: Duration| Request::Write {
            origin,
            write: write.clone(),
            budget_ms: millis(left.min(ATTEMPT)),
        };
        self.ask(request, ATTEMPT, budget, |reply| match reply {
            Reply::Outcome(outcome) => Some(outcome),
            Reply::Items(_)
            | Reply::Changed(_)
            | Reply::Membership(_)
            | Reply::Standing(_)
            | Reply::Failed(_) => None,
        })
        .await
    }

    /// Waits until something differs from `seen`.
    pub(crate) async fn changed(
        &self,
        prefix: &str,
        seen: &Marks,
        me: Option<&MemberName>,
        budget: Duration,
    ) -> Result<bool, NoAnswer> {
        // Our deadline lies behind the one of the member, so that a quiet wait ends with an
        // answer and the connection stays.
        let request = |left: Duration| Request::Watch {
            prefix: prefix.to_owned(),
            seen: seen.clone(),
            member: me.cloned(),
            budget_ms: millis(left.saturating_sub(PAUSE)),
        };
        self.ask(request, budget, budget + PAUSE, |reply| match reply {
            Reply::Changed(changed) => Some(changed),
            Reply::Items(_)
            | Reply::Outcome(_)
            | Reply::Membership(_)
            | Reply::Standing(_)
            | Reply::Failed(_) => None,
        })
        .await
    }

    /// Asks one member after the other until one has an answer or time is over.
    async fn ask<T>(
        &self,
        request: impl Fn(Duration) -> Request,
        attempt: Duration,
        budget: Duration,
        accept: impl Fn(Reply) -> Option<T>,
    ) -> Result<T, NoAnswer> {
        let deadline = Instant::now() + budget;
        let mut trouble = NoAnswer::Late;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(trouble);
            }
            let frame = wire::encode(&request(left));
            let answered = timeout(left.min(attempt + PAUSE), self.exchange(&frame)).await;
            match answered {
                Ok(Ok(reply)) => match accept(reply) {
                    Some(answer) => return Ok(answer),
                    None => self.next(),
                },
                Ok(Err(error)) => {
                    trouble = self.unreached(&error);
                    self.next();
                }
                Err(_) => self.next(),
            }
            sleep(PAUSE.min(left)).await;
        }
    }

    async fn exchange(&self, frame: &[u8]) -> io::Result<Reply> {
        let kept = self.idle.lock().await.take();
        let mut channel = match kept {
            Some(channel) => channel,
            None => self.open().await?,
        };
        channel.send(frame, ATTEMPT).await?;
        let reply = channel.receive(MAX_FRAME).await?;
        let reply = reply.ok_or_else(|| io::Error::other("closed by the member"))?;
        *self.idle.lock().await = Some(channel);
        serde_json::from_slice(&reply).map_err(io::Error::other)
    }

    async fn open(&self) -> io::Result<Channel> {
        let address = self
            .current()
            .ok_or_else(|| io::Error::other("no raft member is configured"))?;
        Ok(Caller::client(address, self.key.as_ref()).await?.0)
    }

    fn current(&self) -> Option<&Address> {
        let place = self.current.load(Ordering::Relaxed) % self.addresses.len().max(1);
        self.addresses.get(place)
    }

    fn unreached(&self, error: &io::Error) -> NoAnswer {
        match self.current() {
            Some(address) => NoAnswer::Unreached(address.clone(), error.to_string()),
            None => NoAnswer::Late,
        }
    }

    fn next(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
