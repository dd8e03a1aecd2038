//! The two ways to the replicated keys: through the member in this process, or through others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::command::{Origin, Outcome, Write};
use super::input::{Handle, NoAnswer};
use super::machine::{Item, Machine};
use super::marks::Marks;
use super::remote::Remote;

/// A way to the keys.
pub(crate) enum Access {
    /// Our own member.
    Local(Handle),
    /// Other processes.
    Remote(Box<Remote>),
}

/// Keys as one read gave them.
pub(crate) enum Keys {
    /// The state of our member.
    Shared(Arc<Machine>),
    /// What another member sent.
    Owned(BTreeMap<String, Item>),
}

impl Keys {
    /// By name.
    pub(crate) fn items(&self) -> &BTreeMap<String, Item> {
        match self {
            Self::Shared(machine) => &machine.items,
            Self::Owned(items) => items,
        }
    }
}

impl Access {
    /// The keys below `base`, not older than this call. Cancel safe.
    pub(crate) async fn read(&self, base: &str, budget: Duration) -> Result<Keys, NoAnswer> {
        match self {
            Self::Local(handle) => handle.read(budget).await.map(Keys::Shared),
            Self::Remote(remote) => remote.read(base, budget).await.map(Keys::Owned),
        }
    }

    /// Writes; returns when the entry is committed and applied.
    pub(crate) async fn write(
        &self,
        origin: Origin,
        write: Write,
        budget: Duration,
    ) -> Result<Outcome, NoAnswer> {
        match self {
            Self::Local(handle) => handle.write(origin, write, budget).await,
            Self::Remote(remote) => remote.write(origin, write, budget).await,
        }
    }

    /// Waits until something that wakes `me` differs from `seen`. Cancel safe.
    pub(crate) async fn changed(
        &self,
        base: &str,
        seen: &Marks,
        me: Option<&str>,
        budget: Duration,
    ) -> bool {
        match self {
            Self::Local(handle) => {
                let mut view = handle.view();
                let wakes =
                    view.wait_for(|view| seen.wakes(&Marks::of(&view.machine.items, base), me));
                match timeout(budget, wakes).await {
                    Ok(Ok(_)) => return true,
                    Err(_) => return false,
                    Ok(Err(_)) => {}
                }
                // The member has ended: nothing will change any more, but the caller's rhythm
                // must not become a busy loop.
                tokio::time::sleep(budget).await;
                false
            }
            Self::Remote(remote) => remote.changed(base, seen, budget).await.unwrap_or(false),
        }
    }
}
