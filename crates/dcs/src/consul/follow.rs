//! The task that waits for changes of the lock and of the configuration.
//!
//! Source: store contract, section 11 (watch) and 15. Blocking reads, one at a time for each of
//! the two keys, so that a change between two cycles is seen, too. What a change says does not
//! matter here: the cycle that it wakes loads everything.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::MemberName;
use tokio::sync::Notify;
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

    /// Follows both until the task is aborted.
    pub(super) async fn run(self) {
        let Self {
            kv,
            me,
            wake,
            lock,
            config,
        } = self;
        tokio::join!(
            follow(&kv, &me, &wake, lock),
            follow(&kv, &me, &wake, config)
        );
    }
}

async fn follow(kv: &Kv, me: &MemberName, wake: &Notify, mut followed: Followed) {
    let mut failed = false;
    loop {
        let begun = Instant::now();
        match followed.next(kv).await {
            Ok(change) => {
                failed = false;
                if change.wakes(Some(me), None) {
                    wake.notify_one();
                }
                sleep_until(begun + BETWEEN).await;
            }
            Err(error) => {
                if !failed {
                    tracing::error!(%error, "watch");
                }
                failed = true;
                sleep(AFTER_FAILURE).await;
            }
        }
    }
}
