//! A look at the standbys between two cycles, while this node runs a primary in synchronous mode.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::{Role, State};
use patroni_ha::StandbyWatch;

use crate::act::Body;
use crate::wake::Wake;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a look may take; giving one up costs the connection.
const LOOK: Duration = Duration::from_secs(2);

/// Looks for ever, and wakes the loop when a standby came, went or fell silent. One short query
/// per look; none while the mode is off or the server is no running primary.
pub(crate) async fn watch_standbys(body: Arc<Body>) {
    let mut watch = StandbyWatch::default();
    loop {
        tokio::time::sleep(PAUSE).await;
        let running = body.supervisor.state() == State::Running;
        let primary = body.supervisor.role() == Role::Primary;
        if !(running && primary && body.settings().dynamic.is_synchronous()) {
            watch.forget();
            continue;
        }
        if let Some(senders) = body.supervisor.wal_senders(LOOK).await
            && watch.look(&senders)
        {
            body.wakes.wake(Wake::StandbysChanged);
        }
    }
}
