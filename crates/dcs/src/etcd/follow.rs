//! The task that waits for changes: a list, then one long poll after the other.
//!
//! Source: store contract, sections 9 (watch) and 15. One wait is for everything below the
//! cluster's directory, so that a change of any object that matters wakes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::MemberName;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::failure::Failure;
use super::keys::{Keys, News};
use crate::codec;
use crate::key::Leaf;
use crate::retry::Effort;
use crate::topology::discover;
use crate::wake::Change;

/// The least time between two lists, and after a failure, so that no store is flooded.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// When the nodes are asked for again.
    discovery: Instant,
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
            discovery,
        })
    }

    /// Follows the store until the task is aborted.
    pub(super) async fn run(mut self) {
        let mut failed = false;
        loop {
            let begun = Instant::now();
            match Box::pin(self.follow(&mut failed)).await {
                Ok(Anew::Switched) => self.discovery = Instant::now(),
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
            // Every member writes its key once per `loop_wait`, this one, too.
            let silence = self.keys.nodes.topology.timings().loop_wait + PAUSE;
            let heard = tokio::select! {
                heard = timeout(silence, self.keys.await_change(self.next)) => heard,
                _ = self.switches.changed() => return Ok(Anew::Switched),
                () = sleep_until(self.discovery) => {
                    self.renew_nodes_if_due().await;
                    continue;
                }
            };
            match heard {
                Ok(Ok(Some((index, news)))) => {
                    self.next = index + 1;
                    match news {
                        News::Object(leaf, value) => self.take_in(leaf, value),
                        News::Directory => return Ok(Anew::Missed),
                        News::Foreign => {}
                    }
                }
                Ok(Ok(None)) | Err(_) => return Ok(Anew::Silence),
                Ok(Err(Failure::Cleared)) => return Ok(Anew::Missed),
                Ok(Err(failure)) => return Err(failure),
            }
        }
    }

    /// Lists all objects, which finds a node that answers, and wakes for what changed.
    async fn list(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.keys.nodes.topology.timings().retry_timeout;
        let (listed, index) = self.keys.list(Effort::Until(deadline)).await?;
        let new = texts(listed);
        let old = std::mem::replace(&mut self.texts, new.clone());
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
