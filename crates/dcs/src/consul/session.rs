//! The one session of this process, on which the lock and the member key hang.
//!
//! Source: store contract, section 11 (session). Consul ends a session at the earliest after its
//! ttl and at the latest after twice that, so ours lives for half of the configured ttl.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::agent::{Agent, Audience, Request};
use super::failure::Failure;
use crate::retry::Effort;

/// After a session ended without its owner's will nobody can lock its keys for this long. Zero
/// would mean Consul's default of 15 s.
const LOCK_DELAY: &str = "0.001s";

/// The session as far as this process knows it.
pub(super) struct Session {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    id: Option<String>,
    refreshed: Option<Instant>,
    /// The shortest life that the server allows, once it refused a shorter one.
    least: Duration,
}

/// When to speak to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// Always.
    Now,
    /// If the last time is longer ago than this.
    After(Duration),
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Created {
    id: String,
}

impl Session {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the session, which then ends by itself: after a change of the ttl.
    pub(super) fn renounce(&self) {
        let mut state = self.state();
        state.id = None;
        state.refreshed = None;
    }

    /// Forgets a session that the server does not know any more.
    pub(super) fn lost(&self, id: &str) {
        let mut state = self.state();
        if state.id.as_deref() == Some(id) {
            state.id = None;
            state.refreshed = None;
        }
    }

    /// Whether a session, in the form of the snapshot, is ours.
    pub(super) fn is(&self, session: Option<&str>) -> bool {
        session.is_some() && session == self.state().id.as_deref()
    }

    /// Makes the next refresh speak to the server.
    pub(super) fn clear_throttle(&self) {
        self.state().refreshed = None;
    }

    /// How long the session lives without a renewal, by its own number.
    pub(super) fn ttl(&self, agent: &Agent) -> Duration {
        (agent.timings().ttl / 2).max(self.state().least)
    }

    /// The session, alive by the word of the server within what `refresh` allows; a new one when
    /// there was none or it is gone.
    ///
    /// Cancel safe: a session that was created unheard ends by itself.
    pub(super) async fn refresh(
        &self,
        agent: &Agent,
        refresh: Refresh,
        effort: Effort,
    ) -> Result<String, Failure> {
        let (id, refreshed) = {
            let state = self.state();
            (state.id.clone(), state.refreshed)
        };
        let Some(id) = id else {
            return self.create(agent, effort).await;
        };
        let begun = Instant::now();
        if let (Refresh::After(pause), Some(last)) = (refresh, refreshed)
            && begun.saturating_duration_since(last) < pause
        {
            return Ok(id);
        }
        let path = format!("session/renew/{id}");
        let renew = Request::new(Audience::Datacenter, Method::PUT, &path);
        let answer = agent.call(effort, &renew).await?;
        if answer.is_unknown() {
            self.lost(&id);
            return self.create(agent, effort).await;
        }
        answer.done()?;
        let mut state = self.state();
        if state.id.as_deref() == Some(&id) {
            state.refreshed = Some(begun);
        }
        Ok(id)
    }

    async fn create(&self, agent: &Agent, effort: Effort) -> Result<String, Failure> {
        let ttl = self.ttl(agent);
        match self.create_for(agent, ttl, effort).await {
            Err(Failure::SessionTooShort(least)) if least > ttl => {
                tracing::warn!(
                    "Changing Session TTL from {} to {}",
                    seconds(ttl),
                    seconds(least)
                );
                self.state().least = least;
                self.create_for(agent, least, effort).await
            }
            other => other,
        }
    }

    /// Gets a session. When two ask at a time both use the first answer, and the other session
    /// ends by itself.
    async fn create_for(
        &self,
        agent: &Agent,
        ttl: Duration,
        effort: Effort,
    ) -> Result<String, Failure> {
        let begun = Instant::now();
        let body = json!({
            "name": self.name,
            "checks": agent.options.checks,
            "lockdelay": LOCK_DELAY,
            "behavior": "delete",
            "ttl": format!("{}s", seconds(ttl)),
        });
        let create = Request::new(Audience::Datacenter, Method::PUT, "session/create")
            .with_body(body.to_string());
        let created: Created = agent.call(effort, &create).await?.json()?;
        if self.ttl(agent) != ttl {
            let why = "the ttl changed meanwhile";
            return Err(Failure::Unanswered(why.to_owned()));
        }
        let mut state = self.state();
        let id = state.id.get_or_insert_with(|| created.id.clone()).clone();
        if id == created.id {
            state.refreshed = Some(begun);
        }
        Ok(id)
    }
}

/// Seconds with a fraction, as the reference writes them: `15.0`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:?}", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_a_fraction() {
        assert_eq!(seconds(Duration::from_secs(15)), "15.0");
        assert_eq!(seconds(Duration::from_millis(10_500)), "10.5");
    }
}
