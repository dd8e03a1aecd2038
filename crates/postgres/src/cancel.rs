//! Telling long work to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// A flag that is raised once and never lowered; clones share it.
#[derive(Clone, Debug)]
pub struct Cancel {
    raised: Arc<watch::Sender<bool>>,
}

impl Cancel {
    /// A flag that is down.
    pub fn new() -> Self {
        Self {
            raised: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Raises the flag.
    pub fn cancel(&self) {
        self.raised.send_replace(true);
    }

    /// Whether the flag is up.
    pub fn is_cancelled(&self) -> bool {
        *self.raised.borrow()
    }

    /// Waits until the flag is up. Cancel safe.
    pub async fn cancelled(&self) {
        let mut flag = self.raised.subscribe();
        let raised = flag.wait_for(|raised| *raised).await;
        debug_assert!(raised.is_ok(), "the sender lives in self");
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}
