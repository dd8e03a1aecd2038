//! The task that waits for changes of the lock and of the configuration, and for new members.
//!
//! Source: store contract, section 11 (watch) and 15. Blocking reads, one at a time for each of
//! the two keys, so that a change between two cycles is seen, too. What a change says does not
//! matter here: the cycle that it wakes loads everything. The members are followed by the leader
//! alone, who has to make a slot for a new one before that begins to stream: Consul knows no wait
//! for new keys, only one for each write below a path, and members write once per cycle.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::MemberName;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::failure::Failure;
use super::kv::Kv;
use crate::key::Leaf;
use crate::wake::Change;

/// After a read that failed, so that a dead agent is not flooded.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The least time between two reads. While a key is absent Consul ends its blocking reads at any
/// change of any key.
const BETWEEN: Duration = Duration::from_millis(100);

/// The same for members, of whom no news is so urgent.
const BETWEEN_MEMBERS: Duration = Duration::from_secs(1);

/// One followed key.
struct Followed {
    leaf: Leaf,
    /// What to wait for a change after; 0 when nothing was read yet.
    index: u64,
    text: Option<String>,
}

impl Followed {
    /// Reads the key as it is now.
    async fn begin(kv: &Kv, leaf: Leaf) -> Result<Self, Failure> {
        let (pair, index) = kv.get_after(&leaf, 0, Duration::ZERO).await?;
        let text = pair.map(|pair| pair.value);
        Ok(Self { leaf, index, text })
    }

    /// Waits for the next change, at most a ttl.
    async fn next(&mut self, kv: &Kv) -> Result<Change, Failure> {
        let wait = kv.agent.timings().ttl;
        let (pair, index) = kv.get_after(&self.leaf, self.index, wait).await?;
        self.index = index;
        let new = pair.map(|pair| pair.value);
        let old = std::mem::replace(&mut self.text, new.clone());
        Ok(Change {
            leaf: self.leaf.clone(),
            old,
            new,
        })
    }
}

/// What wakes a member.
pub(super) struct Follower {
    kv: Arc<Kv>,
    me: MemberName,
    wake: Arc<Notify>,
    lock: Followed,
    config: Followed,
}

impl Follower {
    /// Reads both keys once: what changes from now on wakes.
    pub(super) async fn begin(
        kv: Arc<Kv>,
        me: MemberName,
        wake: Arc<Notify>,
    ) -> Result<Self, Failure> {
        let lock = Followed::begin(&kv, Leaf::Leader).await?;
        let config = Followed::begin(&kv, Leaf::Config).await?;
        Ok(Self {
            kv,
            me,
            wake,
            lock,
            config,
        })
    }

    /// Follows all until the task is aborted.
    pub(super) async fn run(self) {
        let Self {
            kv,
            me,
            wake,
            lock,
            config,
        } = self;
        let leads = watch::Sender::new(lock.text.as_deref() == Some(me.as_str()));
        let lead = |text: Option<&str>| {
            leads.send_replace(text == Some(me.as_str()));
        };
        tokio::join!(
            follow(&kv, &me, &wake, lock, lead),
            follow(&kv, &me, &wake, config, |_| {}),
            follow_members(&kv, &me, &wake, leads.subscribe()),
        );
    }
}

/// Follows one key, and tells each text of it.
async fn follow(
    kv: &Kv,
    me: &MemberName,
    wake: &Notify,
    mut followed: Followed,
    tell: impl Fn(Option<&str>),
) {
    let mut trouble = Trouble::default();
    loop {
        let begun = Instant::now();
        let Some(change) = trouble.of(followed.next(kv).await).await else {
            continue;
        };
        tell(change.new.as_deref());
        if change.wakes(Some(me), None) {
            wake.notify_one();
        }
        sleep_until(begun + BETWEEN).await;
    }
}

/// Wakes for each new member while this one leads.
async fn follow_members(kv: &Kv, me: &MemberName, wake: &Notify, mut leads: watch::Receiver<bool>) {
    let mut trouble = Trouble::default();
    while leads.wait_for(|leads| *leads).await.is_ok() {
        tokio::select! {
            never = new_members(kv, me, wake, &mut trouble) => match never {},
            ended = leads.wait_for(|leads| !*leads) => drop(ended),
        }
    }
}

/// The same without an end. Cancel safe.
async fn new_members(kv: &Kv, me: &MemberName, wake: &Notify, trouble: &mut Trouble) -> Infallible {
    let mut known: Option<BTreeSet<MemberName>> = None;
    let mut index = 0;
    loop {
        let begun = Instant::now();
        let wait = known
            .as_ref()
            .map_or(Duration::ZERO, |_| kv.agent.timings().ttl);
        let read = kv.members_after(index, wait).await;
        let Some((members, next)) = trouble.of(read).await else {
            continue;
        };
        index = next;
        let is_new = |known: BTreeSet<MemberName>| {
            members
                .iter()
                .any(|name| name != me && !known.contains(name))
        };
        if known.take().is_some_and(is_new) {
            wake.notify_one();
        }
        known = Some(members);
        sleep_until(begun + BETWEEN_MEMBERS).await;
    }
}

/// What became of the reads of one follower.
#[derive(Default)]
struct Trouble {
    is_told: bool,
}

impl Trouble {
    /// What was read; `None` after a pause when nothing was. The first failure of a row is told.
    async fn of<T>(&mut self, read: Result<T, Failure>) -> Option<T> {
        match read {
            Ok(read) => {
                self.is_told = false;
                Some(read)
            }
            Err(error) => {
                if !self.is_told {
                    tracing::error!(%error, "watch");
                }
                self.is_told = true;
                sleep(AFTER_FAILURE).await;
                None
            }
        }
    }
}
