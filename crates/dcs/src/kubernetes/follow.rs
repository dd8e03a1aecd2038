//! The task that keeps the cache in step with the store: list, then watch, over and over.
//!
//! Source: store contract, section 13 (watch).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use kube::core::WatchEvent;
use tokio::time::{Instant, sleep, sleep_until};

use super::cache::Side;
use super::failure::Failure;
use super::names::Part;
use super::object::{List, Object};
use super::request::{Kind, Request};
use super::shared::Shared;
use crate::retry::Effort;

/// What a broken stream or list costs at least, so that a dead store is not flooded.
const PAUSE: Duration = Duration::from_secs(1);

/// The server ends a stream after this, in case one has become deaf without anybody noticing.
const LONGEST_WATCH_SECONDS: u64 = 300;

type Event = Result<WatchEvent<Object>, kube::Error>;

/// Follows the store until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let begun = Instant::now();
        let result = Box::pin(follow(&shared)).await;
        shared.set_stale();
        match result {
            Ok(Anew::Asked(why)) => {
                tracing::debug!("following the store anew: {why}");
                continue;
            }
            Ok(Anew::Ended(why)) => tracing::debug!("following the store anew: {why}"),
            Err(failure) => {
                if shared.note_failure(&failure) {
                    tracing::error!("ObjectCache.run {failure}");
                }
                sleep(PAUSE).await;
            }
        }
        // At once after a stream that lasted, but never in a tight circle.
        sleep_until(begun + PAUSE).await;
    }
}

/// Why to list and open the streams anew.
enum Anew {
    /// Somebody wants it.
    Asked(&'static str),
    /// The server ended a stream.
    Ended(&'static str),
}

/// Both lists and the streams after them. Ends when the streams must be opened anew.
async fn follow(shared: &Shared) -> Result<Anew, Failure> {
    let mut switches = shared.servers.switches();
    let (objects, pods) = lists(shared, Effort::Once).await?;
    let after = [&objects, &pods].map(|list| list.metadata.resource_version.clone());
    let [after_objects, after_pods] = &after;
    let watch_objects = watch(shared, shared.names.kind(), after_objects);
    let watch_pods = watch(shared, Kind::Pods, after_pods);
    let (of_objects, of_pods) = futures_util::try_join!(
        shared.servers.open(&watch_objects),
        shared.servers.open(&watch_pods),
    )?;
    if switches.has_changed().unwrap_or(false) {
        return Ok(Anew::Asked("another server was selected"));
    }
    shared.forget_failure();
    shared.replace(objects, pods);
    let mut events = pin!(stream::select(
        marked(Side::Objects, of_objects),
        marked(Side::Pods, of_pods)
    ));
    loop {
        tokio::select! {
            event = events.next() => {
                let Some((side, Some(event))) = event else {
                    return Ok(Anew::Ended("a stream ended"));
                };
                if let Some(anew) = take_in(shared, side, event)? {
                    return Ok(anew);
                }
            }
            () = sleep(silence(shared)) => {
                if !is_up_to_date(shared).await? {
                    return Ok(Anew::Ended("the streams have become deaf"));
                }
            }
            _ = switches.changed() => return Ok(Anew::Asked("another server was selected")),
            () = shared.relist.notified() => return Ok(Anew::Asked("the cache missed something")),
        }
    }
}

/// All objects and Pods of the cluster, as new as there are.
pub(super) async fn lists(shared: &Shared, effort: Effort) -> Result<(List, List), Failure> {
    let (namespace, selector) = (&shared.names.namespace, shared.names.selector());
    let kind = shared.names.kind();
    let objects = Request::list(kind, namespace, &selector);
    let pods = Request::list(Kind::Pods, namespace, &selector);
    futures_util::try_join!(
        shared.servers.call(effort, &objects),
        shared.servers.call(effort, &pods),
    )
}

fn watch(shared: &Shared, kind: Kind, after: &str) -> Request {
    let (namespace, selector) = (&shared.names.namespace, shared.names.selector());
    Request::watch(kind, namespace, &selector, after, LONGEST_WATCH_SECONDS)
}

/// The events with their side; `None` at the end, so that the end of one stream shows.
fn marked(
    side: Side,
    events: impl Stream<Item = Event>,
) -> impl Stream<Item = (Side, Option<Event>)> {
    let end = stream::once(std::future::ready(None));
    events.map(Some).chain(end).map(move |event| (side, event))
}

fn take_in(shared: &Shared, side: Side, event: Event) -> Result<Option<Anew>, Failure> {
    match event {
        Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
            shared.take_in(side, object);
            Ok(None)
        }
        Ok(WatchEvent::Deleted(object)) => {
            shared.take_out(side, &object);
            Ok(None)
        }
        Ok(WatchEvent::Bookmark(_)) => Ok(None),
        // 410 most of all: the version to go on from is forgotten.
        Ok(WatchEvent::Error(status)) => {
            tracing::debug!("the watch was ended: {}", status.message);
            Ok(Some(Anew::Ended(
                "the server gave an error in place of an event",
            )))
        }
        Err(error) => Err(Failure::of_transport(&error)),
    }
}

/// A leader writes once per `loop_wait`: who hears nothing for longer has to ask.
fn silence(shared: &Shared) -> Duration {
    shared.servers.timings().loop_wait + PAUSE
}

/// Asks for the leader object: whether the server still serves, and whether the streams have
/// told all that it knows.
async fn is_up_to_date(shared: &Shared) -> Result<bool, Failure> {
    let known = shared.cache().part(Part::Leader).map(Object::version);
    let present = shared.get(Part::Leader, Effort::Once).await?;
    Ok(present.as_ref().map(Object::version) == known)
}
