//! The task that keeps the cache in step with the store: list, then watch, over and over.
//!
//! Source: store contract, section 10 (cache, wake-ups).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Event, EventType, GetOptions, GetResponse, KeyValue, WatchOptions, WatchResponse, WatchStream,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::cache::Entry;
use super::call::Target;
use super::failure::Failure;
use super::shared::Shared;
use crate::codec::Keys;
use crate::key::Leaf;
use crate::retry::Effort;

/// What a broken stream or list costs at least, so that a dead store is not flooded.
const PAUSE: Duration = Duration::from_secs(1);

/// A cluster's objects are small; this bounds one answer far above what etcd stores by default.
pub(super) const LARGEST_ANSWER: usize = 64 << 20;

/// Follows the store until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut topology = Topology::new(&shared);
    loop {
        topology.renew_if_due(&shared).await;
        let begun = Instant::now();
        let result = Box::pin(follow(&shared, &mut topology)).await;
        shared.set_stale();
        match result {
            Ok(Anew::Asked(why)) => {
                tracing::debug!("following the store anew: {why}");
                continue;
            }
            Ok(Anew::Ended(why)) => tracing::debug!("following the store anew: {why}"),
            Err(Broken::List(failure)) => {
                tracing::error!("KVCache.run {failure}");
                shared.note_failure(&failure);
                sleep(PAUSE).await;
            }
            Err(Broken::Watch(failure)) => {
                tracing::error!("watchprefix failed: {failure}");
                shared.note_failure(&failure);
            }
        }
        // At once after a stream that lasted, but never in a tight circle.
        sleep_until(begun + PAUSE).await;
    }
}

/// Why to list and open the stream anew.
enum Anew {
    /// Somebody wants it.
    Asked(&'static str),
    /// The server ended the stream.
    Ended(&'static str),
}

enum Broken {
    List(Failure),
    Watch(Failure),
}

/// When the list of nodes is asked for again: every ten ttl, and after a change of the node.
struct Topology {
    due: Instant,
}

impl Topology {
    fn new(shared: &Shared) -> Self {
        Self {
            due: Instant::now() + shared.nodes.timings().ttl * 10,
        }
    }

    fn is_due_now(&mut self) {
        self.due = Instant::now();
    }

    async fn renew_if_due(&mut self, shared: &Shared) {
        let now = Instant::now();
        if now < self.due {
            return;
        }
        let timings = shared.nodes.timings();
        self.due = now + timings.ttl * 10;
        let renewed = shared.nodes.discover(now + timings.retry_timeout).await;
        if let Err(failure) = renewed {
            tracing::debug!(%failure, "could not renew the list of nodes");
        }
    }
}

/// One list and the stream after it. Ends when the stream must be opened anew.
async fn follow(shared: &Shared, topology: &mut Topology) -> Result<Anew, Broken> {
    let mut switches = shared.nodes.topology.switches();
    let list = list(shared).await.map_err(Broken::List)?;
    let (list, revision) = list;
    let (mut stream, url) = Box::pin(open(shared, revision + 1))
        .await
        .map_err(Broken::Watch)?;
    let order = shared.nodes.topology.order();
    if switches.has_changed().unwrap_or(false) && order.first() != Some(&url) {
        topology.is_due_now();
        return Ok(Anew::Asked("another node was selected"));
    }
    switches.mark_unchanged();
    if !shared.replace(list, revision) {
        return Ok(Anew::Ended("a write of ours is newer than the list"));
    }
    loop {
        tokio::select! {
            message = stream.message() => {
                let response = message
                    .map_err(|error| Failure::of(&error))
                    .map_err(|failure| broken_stream(shared, &url, failure))?;
                let Some(response) = response else {
                    return Ok(Anew::Ended("the stream ended"));
                };
                if response.canceled() {
                    tracing::info!("Watch request canceled");
                    return Ok(Anew::Ended("the watch was canceled"));
                }
                shared.nodes.judge(response.header()).map_err(Broken::Watch)?;
                take_in(shared, &response);
            }
            _ = switches.changed() => {
                topology.is_due_now();
                return Ok(Anew::Asked("another node was selected"));
            }
            () = shared.relist.notified() => return Ok(Anew::Asked("the cache or its stream is out of date")),
            () = sleep_until(topology.due) => topology.renew_if_due(shared).await,
        }
    }
}

fn broken_stream(shared: &Shared, url: &str, failure: Failure) -> Broken {
    if matches!(failure, Failure::Node(_)) {
        shared.nodes.topology.forget(url);
        shared.nodes.topology.move_on_from(url);
    }
    Broken::Watch(failure)
}

/// Lists all objects, from any node that is not behind what we have seen. A node that is behind
/// may still be right when the store was put back to an older state: then a majority says so.
async fn list(shared: &Shared) -> Result<(BTreeMap<Leaf, Entry>, i64), Failure> {
    let seen = shared.cache().revision();
    let answer = range(shared, true).await?;
    if revision(&answer) >= seen {
        return Ok(entries(shared, &answer));
    }
    let answer = range(shared, false).await?;
    if revision(&answer) < seen {
        shared.cache().start_over();
    }
    Ok(entries(shared, &answer))
}

/// Reads the whole prefix, within the budget of one operation.
pub(super) async fn range(shared: &Shared, may_be_old: bool) -> Result<GetResponse, Failure> {
    let deadline = Instant::now() + shared.nodes.timings().retry_timeout;
    let prefix = shared.keys.prefix();
    let mut options = GetOptions::new().with_range(shared.keys.range_end());
    if may_be_old {
        options = options.with_serializable();
    }
    let request = |Target { client, .. }: Target| {
        let options = options.clone();
        let mut kv = client.kv_client().max_decoding_message_size(LARGEST_ANSWER);
        async move { kv.get(prefix, Some(options)).await }
    };
    shared.nodes.call(Effort::Until(deadline), request).await
}

/// The objects of a list, with its revision.
pub(super) fn entries(shared: &Shared, answer: &GetResponse) -> (BTreeMap<Leaf, Entry>, i64) {
    let entries = answer.kvs().iter().filter_map(|kv| known(shared, kv));
    (entries.collect(), revision(answer))
}

/// The keys of a list.
pub(super) fn keys(shared: &Shared, answer: &GetResponse) -> Keys {
    let named = answer.kvs().iter().filter_map(|kv| {
        let name = shared.keys.relative(kv.key_str().ok()?)?;
        Some((name.to_owned(), entry(kv).stored()))
    });
    named.collect()
}

fn revision(answer: &GetResponse) -> i64 {
    answer
        .header()
        .map_or(0, etcd_client::ResponseHeader::revision)
}

fn known(shared: &Shared, kv: &KeyValue) -> Option<(Leaf, Entry)> {
    let leaf = shared.keys.leaf(kv.key_str().ok()?)?;
    Some((leaf, entry(kv)))
}

fn entry(kv: &KeyValue) -> Entry {
    Entry {
        value: String::from_utf8_lossy(kv.value()).into_owned(),
        revision: kv.mod_revision(),
        lease: kv.lease(),
    }
}

/// Opens the stream on the current node and waits until the server confirms it.
async fn open(shared: &Shared, from: i64) -> Result<(WatchStream, String), Failure> {
    let topology = &shared.nodes.topology;
    let Some(url) = topology.order().into_iter().next() else {
        return Err(Failure::Node("no nodes are known".to_owned()));
    };
    let limit = topology.single_attempt();
    let opened = match timeout(limit, Box::pin(open_on(shared, &url, from))).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Node(format!("no answer within {limit:.1?}"))),
    };
    match opened {
        Ok(stream) => Ok((stream, url)),
        Err(failure) => {
            if matches!(failure, Failure::Node(_) | Failure::Token(_)) {
                topology.forget(&url);
            }
            if matches!(failure, Failure::Node(_)) {
                topology.move_on_from(&url);
            }
            Err(failure)
        }
    }
}

async fn open_on(shared: &Shared, url: &str, from: i64) -> Result<WatchStream, Failure> {
    let client = shared.nodes.client(url).await?;
    let mut client = client
        .watch_client()
        .max_decoding_message_size(LARGEST_ANSWER);
    let options = WatchOptions::new()
        .with_range(shared.keys.range_end())
        .with_start_revision(from);
    let opened = client.watch(shared.keys.prefix(), Some(options)).await;
    let mut stream = opened.map_err(|error| Failure::of(&error))?;
    let first = stream
        .message()
        .await
        .map_err(|error| Failure::of(&error))?;
    match first {
        Some(first) if first.created() && !first.canceled() => {
            shared.nodes.judge(first.header())?;
            Ok(stream)
        }
        Some(first) => Err(Failure::Rejected(first.cancel_reason().to_owned())),
        None => Err(Failure::Node("the stream ended".to_owned())),
    }
}

fn take_in(shared: &Shared, response: &WatchResponse) {
    for event in response.events() {
        take_in_event(shared, event);
    }
    if let Some(header) = response.header() {
        shared.cache().caught_up_to(header.revision());
    }
}

fn take_in_event(shared: &Shared, event: &Event) {
    let Some((leaf, entry)) = event.kv().and_then(|kv| known(shared, kv)) else {
        return;
    };
    let change = match event.event_type() {
        EventType::Put => shared.cache().put(leaf, entry),
        EventType::Delete => shared.cache().remove(leaf, entry.revision),
    };
    shared.wake_for(change);
}
