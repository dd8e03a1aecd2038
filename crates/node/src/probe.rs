//! Knocking at the local server, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use patroni_config::file::postgresql_probe::ProbeMode;
use patroni_core::{Moment, State};
use patroni_ha::observation::ProbeFacts;
use patroni_postgres::Knock;
use tracing::{info, warn};

use crate::act::Body;
use crate::wake::Wake;

/// The pause between two knocks.
const PACE: Duration = Duration::from_secs(5);
/// So long an answer is waited for: a busy machine is not a hanging server.
const PATIENCE: Duration = Duration::from_secs(3);

/// Knocks for ever, and notes since when nobody answers.
pub(crate) async fn run(body: Arc<Body>) {
    loop {
        tokio::time::sleep(PACE).await;
        let off = body.settings().postgresql.probe.mode == ProbeMode::Off;
        // Only a server that answered before can be told from one that is not that far yet.
        if off || body.supervisor.state() != State::Running {
            note(&body, None);
            continue;
        }
        let begun = body.clock.now();
        match body.supervisor.knock(PATIENCE).await {
            Knock::Silent => note(&body, Some(begun)),
            Knock::Answered | Knock::Closed => note(&body, None),
        }
    }
}

/// Each change is said once.
fn note(body: &Body, silent: Option<Moment>) {
    let before = body.facts().silent_since;
    let since = silent.map(|since| before.unwrap_or(since));
    if since == before {
        return;
    }
    body.facts().silent_since = since;
    body.publish(|snapshot| snapshot.accepts_connections = since.is_none());
    match since {
        Some(_) => {
            warn!("PostgreSQL does not answer new connections (sessions that are open may go on)");
        }
        None => {
            info!("PostgreSQL is not known to leave new connections without an answer any more");
        }
    }
    body.wakes.wake(Wake::ProbeChanged);
}

/// What the core may know of it.
pub(crate) fn facts(body: &Body) -> ProbeFacts {
    let probe = body.settings().postgresql.probe;
    let now = body.clock.now();
    ProbeFacts {
        silent_for: body.facts().silent_since.map(|since| now.since(since)),
        fail_over_after: (probe.mode == ProbeMode::FailOver).then_some(probe.after),
    }
}
