//! The one lease of this process, on which the lock and the member key hang.
//!
//! Source: store contract, section 10 (lease).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Error, LeaseKeepAliveResponse, LeaseKeepAliveStream, LeaseKeeper};
use tokio::time::Instant;

use super::call::Target;
use super::failure::Failure;
use super::nodes::Nodes;
use crate::retry::Effort;

/// The lease as far as this process knows it.
#[derive(Default)]
pub(super) struct Lease {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    id: Option<i64>,
    refreshed: Option<Instant>,
    /// The stream of the last successful refresh, for the next one. It is taken out while it is
    /// used and comes back only after a complete answer, so that a late answer can never be
    /// taken for the answer to a later question.
    stream: Option<Stream>,
}

struct Stream {
    url: String,
    id: i64,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

/// When to speak to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Always.
    Now,
    /// If the last time is longer ago than this.
    After(Duration),
}

impl Lease {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the lease, which then ends by itself: after a change of the ttl.
    pub(super) fn renounce(&self) {
        *self.state() = State::default();
    }

    /// Forgets a lease that the server does not know any more.
    pub(super) fn lost(&self, id: i64) {
        let mut state = self.state();
        if state.id == Some(id) {
            *state = State::default();
        }
    }

    /// Whether a session, in the form of the snapshot, is our lease.
    pub(super) fn is(&self, session: Option<&str>) -> bool {
        let id = self.state().id.map(|id| id.to_string());
        session.is_some() && session == id.as_deref()
    }

    /// Makes the next refresh speak to the server.
    pub(super) fn clear_throttle(&self) {
        self.state().refreshed = None;
    }

    /// Makes the next refresh open a stream of its own: what is open speaks as whoever opened it.
    pub(super) fn reconnect(&self) {
        self.state().stream = None;
    }

    /// The lease, alive by the word of the server within what `refresh` allows; a new one when
    /// there was none or it is gone.
    ///
    /// Cancel safe: a lease that was granted unheard ends by itself.
    pub(super) async fn refresh(
        &self,
        nodes: &Nodes,
        refresh: Refresh,
        effort: Effort,
    ) -> Result<i64, Failure> {
        let (id, refreshed) = {
            let state = self.state();
            (state.id, state.refreshed)
        };
        let Some(id) = id else {
            return self.grant(nodes, effort).await;
        };
        let begun = Instant::now();
        if let (Refresh::After(pause), Some(last)) = (refresh, refreshed)
            && begun.saturating_duration_since(last) < pause
        {
            return Ok(id);
        }
        match nodes
            .call(effort, |target| self.keep_alive(target, id))
            .await
        {
            Ok(_) => {
                let mut state = self.state();
                if state.id == Some(id) {
                    state.refreshed = Some(begun);
                }
                Ok(id)
            }
            Err(Failure::LeaseGone) => {
                self.lost(id);
                self.grant(nodes, effort).await
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gets a lease. When two ask at a time both use the first answer, and the other lease ends
    /// by itself.
    async fn grant(&self, nodes: &Nodes, effort: Effort) -> Result<i64, Failure> {
        let begun = Instant::now();
        let ttl = nodes.timings().ttl;
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let granted = nodes
            .call(effort, |Target { mut client, .. }| async move {
                client.lease_grant(seconds, None).await
            })
            .await?;
        let mut state = self.state();
        if nodes.timings().ttl != ttl {
            return Err(Failure::Busy("the ttl changed meanwhile".to_owned()));
        }
        let id = *state.id.get_or_insert(granted.id());
        if id == granted.id() {
            state.refreshed = Some(begun);
        }
        Ok(id)
    }

    async fn keep_alive(
        &self,
        Target { url, mut client }: Target,
        id: i64,
    ) -> Result<LeaseKeepAliveResponse, Error> {
        let open = self.state().stream.take();
        if let Some(mut stream) = open.filter(|stream| stream.url == url && stream.id == id) {
            match stream.renew().await {
                Ok(answer) => {
                    self.keep(stream);
                    return Ok(answer);
                }
                Err(error) if Failure::of(&error) == Failure::LeaseGone => return Err(error),
                Err(error) => tracing::debug!(%error, "the stream for keeping the lease ended"),
            }
        }
        let (keeper, answers) = client.lease_keep_alive(id).await?;
        let mut stream = Stream {
            url,
            id,
            keeper,
            answers,
        };
        // The client hides the header of the first answer, and with it the node's term.
        let answer = stream.renew().await?;
        self.keep(stream);
        Ok(answer)
    }

    fn keep(&self, stream: Stream) {
        let mut state = self.state();
        if state.id == Some(stream.id) {
            state.stream = Some(stream);
        }
    }
}

impl Stream {
    async fn renew(&mut self) -> Result<LeaseKeepAliveResponse, Error> {
        self.keeper.keep_alive().await?;
        match self.answers.message().await? {
            Some(answer) if answer.ttl() > 0 && answer.id() == self.id => Ok(answer),
            Some(_) => Err(Error::LeaseKeepAliveError("lease not found".to_owned())),
            None => Err(Error::LeaseKeepAliveError("stream ended".to_owned())),
        }
    }
}
