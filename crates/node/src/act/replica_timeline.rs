//! The timeline of a standby as REST shows it (REST contract 6): learnt over a replication
//! connection to the local server, because the WAL receiver names one only after the first WAL.

use std::time::{Duration, Instant};

use patroni_core::Timeline;
use tokio::sync::Mutex;

use super::Body;
use super::server::FRESH;

/// The pause after a question without an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was learnt, and when it may be asked again.
#[derive(Debug, Default)]
pub(super) struct ReplicaTimeline(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    timeline: Option<Timeline>,
    next: Option<Instant>,
}

impl Body {
    /// Asks the server until it replays the leader's timeline; requests wait for one another.
    pub(super) async fn replica_timeline(&self) -> Option<Timeline> {
        let view = self.view();
        let leaders = view.and_then(|view| view.leader_member()?.data.timeline());
        let mut known = self.replica_timeline.0.lock().await;
        let is_leaders = leaders.is_some() && known.timeline == leaders;
        if !is_leaders && known.next.is_none_or(|next| Instant::now() >= next) {
            let position = self.supervisor.local_position().await;
            let timeline = position.map(|(position, _)| position.timeline);
            let pause = if timeline.is_some() { FRESH } else { PATIENCE };
            *known = Known {
                timeline,
                next: Some(Instant::now() + pause),
            };
        }
        known.timeline
    }
}
