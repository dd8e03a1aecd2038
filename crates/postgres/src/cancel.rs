//! A way to tell long work to stop.

use tokio::sync::watch;

/// A cancellation flag shared by the one who may cancel and those who do the work.
///
/// Clones are handles of the same flag; once raised it stays raised.
#[derive(Clone, Debug)]
pub struct Cancel {
    flag: watch::Sender<bool>,
}

impl Cancel {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self {
            flag: watch::Sender::new(false),
        }
    }

    /// Raises the flag.
    pub fn cancel(&self) {
        self.flag.send_replace(true);
    }

    /// Whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        *self.flag.borrow()
    }

    /// Resolves when the flag is raised. Cancel safe.
    pub async fn cancelled(&self) {
        let mut seen = self.flag.subscribe();
        // `self` holds a sender, so the channel cannot close while this waits.
        let _ = seen.wait_for(|raised| *raised).await;
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_every_clone() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        assert!(!other.is_cancelled());
        cancel.cancel();
        other.cancelled().await;
        assert!(other.is_cancelled());
    }
}
