//! The task that waits for changes: a list, then one long poll after the other.
//!
//! Source: store contract, sections 9 (watch) and 15. One wait is for everything below the
//! cluster's directory, so that a change of any object that matters wakes.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::MemberName;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::failure::Failure;
use super::keys::{Keys, News, Way};
use crate::codec;
use crate::key::Leaf;
use crate::retry::Effort;
use crate::topology::discover;
use crate::wake::Change;

/// The least time between two lists, and after a failure, so that no store is flooded.
const PAUSE: Duration = Duration::from_secs(1);

/// After as many silent streams in a row changes are asked for one by one.
const MOST_SILENCES: u32 = 2;

/// What wakes a member.
pub(super) struct Follower {
    keys: Arc<Keys>,
    me: MemberName,
    wake: Arc<Notify>,
    /// Tells that another node was selected.
    switches: watch::Receiver<u64>,
    texts: BTreeMap<Leaf, String>,
    /// From where on changes are unknown.
    next: u64,
    /// So many streams in a row have shown nothing of what was written.
    silences: u32,
    was_silent: bool,
    /// When the nodes are asked for again.
    discovery: Instant,
}

/// What one request for changes brought.
enum Heard {
    /// All that it could.
    All,
    /// Not all.
    Nothing(Anew),
}

/// Why to list anew.
enum Anew {
    /// Changes may have been missed.
    Missed,
    /// Nothing was heard for longer than members keep quiet.
    Silence,
    /// Another node is in use.
    Switched,
}

impl Follower {
    /// Lists once: what changes from now on wakes.
    pub(super) async fn begin(
        keys: Arc<Keys>,
        me: MemberName,
        wake: Arc<Notify>,
        effort: Effort,
    ) -> Result<Self, Failure> {
        let switches = keys.nodes.topology.switches();
        let discovery = Instant::now() + keys.nodes.topology.timings().ttl * 10;
        let (listed, index) = keys.list(effort).await?;
        Ok(Self {
            keys,
            me,
            wake,
            switches,
            texts: texts(listed),
            next: index + 1,
            silences: 0,
            was_silent: false,
            discovery,
        })
    }

    /// Follows the store until the task is aborted.
    pub(super) async fn run(mut self) {
        let mut failed = false;
        loop {
            let begun = Instant::now();
            match Box::pin(self.follow(&mut failed)).await {
                Ok(Anew::Switched) => {
                    self.discovery = Instant::now();
                    self.silences = 0;
                }
                Ok(Anew::Missed | Anew::Silence) => sleep_until(begun + PAUSE).await,
                Err(failure) => {
                    if !failed {
                        tracing::error!(%failure, "watch");
                    }
                    failed = true;
                    sleep(PAUSE).await;
                }
            }
            self.renew_nodes_if_due().await;
        }
    }

    /// One list, and the changes after it.
    async fn follow(&mut self, failed: &mut bool) -> Result<Anew, Failure> {
        self.switches.mark_unchanged();
        self.list().await?;
        *failed = false;
        loop {
            match self.hear().await? {
                Heard::All => {}
                Heard::Nothing(anew) => return Ok(anew),
            }
        }
    }

    /// One request for changes, and all that it brings.
    async fn hear(&mut self) -> Result<Heard, Failure> {
        let keys = Arc::clone(&self.keys);
        let changes = keys.changes(self.next, self.way());
        let mut changes = match self.unless_disturbed(changes).await? {
            Ok(changes) => changes,
            Err(anew) => return Ok(Heard::Nothing(anew)),
        };
        loop {
            let (index, news) = match self.unless_disturbed(changes.next()).await? {
                Ok(Some(change)) => change,
                Ok(None) => return Ok(Heard::Nothing(Anew::Missed)),
                Err(anew) => return Ok(Heard::Nothing(anew)),
            };
            self.next = index + 1;
            if self.way() == Way::Stream {
                self.silences = 0;
            }
            match news {
                News::Object(leaf, value) => self.take_in(leaf, value),
                News::Directory => return Ok(Heard::Nothing(Anew::Missed)),
                News::Foreign => {}
            }
            if !changes.go_on_after(index) {
                return Ok(Heard::All);
            }
        }
    }

    fn way(&self) -> Way {
        if self.silences < MOST_SILENCES {
            Way::Stream
        } else {
            Way::Polls
        }
    }

    /// Waits for the store, but not for longer than it may be silent, nor when there is a reason to
    /// list anew.
    async fn unless_disturbed<T>(
        &mut self,
        waiting: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Result<T, Anew>, Failure> {
        let mut waiting = pin!(waiting);
        // Every member writes its key once per `loop_wait`, this one, too.
        let silence = self.keys.nodes.topology.timings().loop_wait + PAUSE;
        let silence = Instant::now() + silence;
        loop {
            let heard = tokio::select! {
                heard = timeout_at(silence, &mut waiting) => heard,
                _ = self.switches.changed() => return Ok(Err(Anew::Switched)),
                () = sleep_until(self.discovery) => {
                    self.renew_nodes_if_due().await;
                    continue;
                }
            };
            return match heard {
                Ok(Ok(heard)) => Ok(Ok(heard)),
                Ok(Err(Failure::Cleared)) => Ok(Err(Anew::Missed)),
                Ok(Err(failure)) => Err(failure),
                Err(_) => {
                    self.was_silent = true;
                    Ok(Err(Anew::Silence))
                }
            };
        }
    }

    /// Lists all objects, which finds a node that answers, and wakes for what changed.
    async fn list(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.keys.nodes.topology.timings().retry_timeout;
        let (listed, index) = self.keys.list(Effort::Until(deadline)).await?;
        let new = texts(listed);
        let old = std::mem::replace(&mut self.texts, new.clone());
        if std::mem::take(&mut self.was_silent) && index >= self.next {
            self.count_silence();
        }
        self.next = index + 1;
        for leaf in old.keys().chain(new.keys()) {
            self.wake_for(&Change {
                leaf: leaf.clone(),
                old: old.get(leaf).cloned(),
                new: new.get(leaf).cloned(),
            });
        }
        Ok(())
    }

    /// Something was written, and the wait for it showed nothing. A server that stood still is
    /// like that once; a proxy that keeps an answer until it is complete, always.
    fn count_silence(&mut self) {
        self.silences = self.silences.saturating_add(1);
        if self.silences == MOST_SILENCES {
            tracing::info!(
                "etcd's changes do not arrive as a stream, perhaps because of a proxy: asking for \
                 each one"
            );
        }
    }

    fn take_in(&mut self, leaf: Leaf, new: Option<String>) {
        let old = match &new {
            Some(text) => self.texts.insert(leaf.clone(), text.clone()),
            None => self.texts.remove(&leaf),
        };
        self.wake_for(&Change { leaf, old, new });
    }

    fn wake_for(&self, change: &Change) {
        let leader = self.texts.get(&Leaf::Leader).map(String::as_str);
        if change.wakes(Some(&self.me), leader) {
            self.wake.notify_one();
        }
    }

    async fn renew_nodes_if_due(&mut self) {
        let now = Instant::now();
        if now < self.discovery {
            return;
        }
        let nodes = &self.keys.nodes;
        let timings = nodes.topology.timings();
        self.discovery = now + timings.ttl * 10;
        if let Err(failure) = discover(nodes, now + timings.retry_timeout).await {
            tracing::debug!(%failure, "could not renew the list of nodes");
        }
    }
}

fn texts(keys: codec::Keys) -> BTreeMap<Leaf, String> {
    let texts = codec::objects(keys).into_iter();
    texts.map(|(leaf, stored)| (leaf, stored.value)).collect()
}
