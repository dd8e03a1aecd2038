//! The task that watches the store for a member, and wakes it.
//!
//! Source: store contract, section 12 (wake-up) and 15. Watches are set anew after each event,
//! and on each new client; what changed in between shows in the comparison with what the member
//! has seen.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::MemberName;
use tokio::time::{Instant, sleep, timeout};
use zookeeper_client::{Client, Error, EventType, OneshotWatcher};

use super::failure::Failure;
use super::store::Shared;
use crate::key::Leaf;

/// What a lost connection costs at least, so that a dead store is not flooded.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the store until the task is aborted.
pub(super) async fn run(shared: Arc<Shared>, me: MemberName) {
    loop {
        let begun = Instant::now();
        let failure = Box::pin(follow(&shared, &me)).await;
        tracing::debug!("following the store anew: {failure}");
        let spent = begun.elapsed();
        sleep(PAUSE.saturating_sub(spent)).await;
    }
}

/// Watches with one client until that is of no use any more.
async fn follow(shared: &Shared, me: &MemberName) -> Failure {
    let budget = shared.session.timings().retry_timeout;
    let (client, number) = match shared.session.client(Instant::now() + budget).await {
        Ok(client) => client,
        Err(failure) => return failure,
    };
    let mut numbers = shared.session.numbers();
    tokio::select! {
        // Somebody opened another client, or the store was closed: this one must be let go.
        _ = numbers.wait_for(|present| *present != number) => {
            Failure::Lost("the session was renewed".to_owned())
        }
        failure = watch_leader(shared, &client, me) => failure,
        failure = watch_config(shared, &client, me) => failure,
        failure = watch_members(shared, &client, me) => failure,
    }
}

async fn watch_leader(shared: &Shared, client: &Client, me: &MemberName) -> Failure {
    let path = shared.keys.key(&Leaf::Leader);
    loop {
        let (text, changed) = match bounded(shared, watch_text(client, &path)).await {
            Ok(found) => found,
            Err(failure) => return failure,
        };
        shared.wake_if(|seen| seen.leader_wakes(text, me));
        if let Err(failure) = wait(changed).await {
            return failure;
        }
    }
}

async fn watch_config(shared: &Shared, client: &Client, me: &MemberName) -> Failure {
    let path = shared.keys.key(&Leaf::Config);
    loop {
        let (text, changed) = match bounded(shared, watch_text(client, &path)).await {
            Ok(found) => found,
            Err(failure) => return failure,
        };
        shared.wake_if(|seen| seen.config_wakes(text, me));
        if let Err(failure) = wait(changed).await {
            return failure;
        }
    }
}

async fn watch_members(shared: &Shared, client: &Client, me: &MemberName) -> Failure {
    let path = format!("{}members", shared.keys.prefix());
    loop {
        let (names, changed) = match bounded(shared, watch_names(client, &path)).await {
            Ok(found) => found,
            Err(failure) => return failure,
        };
        shared.wake_if(|seen| seen.members_wake(&names, me));
        if let Err(failure) = wait(changed).await {
            return failure;
        }
    }
}

async fn bounded<T>(
    shared: &Shared,
    request: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match timeout(shared.session.timings().retry_timeout, request).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Silent("no answer to a watch".to_owned())),
    }
}

/// Waits for the event; an error when it is that the session ended.
async fn wait(changed: OneshotWatcher) -> Result<(), Failure> {
    let event = changed.changed().await;
    if event.event_type == EventType::Session {
        let state = event.session_state;
        return Err(Failure::Lost(format!("the session ended: {state}")));
    }
    Ok(())
}

/// Reads a node and watches it, also while it is absent.
async fn watch_text(
    client: &Client,
    path: &str,
) -> Result<(Option<String>, OneshotWatcher), Failure> {
    loop {
        match client.get_and_watch_data(path).await {
            Ok((bytes, _, changed)) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return Ok((Some(text), changed));
            }
            Err(Error::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
        if let (None, created) = client.check_and_watch_stat(path).await? {
            return Ok((None, created));
        }
    }
}

/// Reads the names below a node and watches them, also while the node is absent.
async fn watch_names(
    client: &Client,
    path: &str,
) -> Result<(Vec<String>, OneshotWatcher), Failure> {
    loop {
        match client.list_and_watch_children(path).await {
            Ok(found) => return Ok(found),
            Err(Error::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
        if let (None, created) = client.check_and_watch_stat(path).await? {
            return Ok((Vec::new(), created));
        }
    }
}
