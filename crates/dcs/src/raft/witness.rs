//! A voting member without PostgreSQL, as a process of its own: the third voter of two nodes.

use std::future::Future;

use super::error::RaftError;
use super::node::Node;
use super::options::{Options, Tuning};

/// Runs a member until `stop` is done, then hands over and ends. Says `waiting on raft` while
/// there is no cluster yet.
///
/// # Errors
/// The member could not start, or could not go on.
pub async fn run(options: &Options, stop: impl Future<Output = ()>) -> Result<(), RaftError> {
    let node = Node::start(options, Tuning::default()).await?;
    tokio::pin!(stop);
    let mut ready = false;
    let failed = loop {
        tokio::select! {
            () = &mut stop => break None,
            error = node.failed() => break Some(error),
            now = node.ready(std::time::Duration::from_secs(5)), if !ready => {
                ready = now;
                if !ready {
                    tracing::info!("waiting on raft");
                }
            }
        }
    };
    if let Some(error) = failed {
        return Err(error);
    }
    node.stop().await;
    Ok(())
}
