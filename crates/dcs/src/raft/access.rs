//! The two ways to the replicated keys: through the member in this process, or through others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::{MemberName, Revision};
use tokio::time::timeout;

use super::command::{Origin, Outcome, Write};
use super::ident::Address;
use super::input::{Handle, NoAnswer};
use super::machine::{Item, Machine};
use super::marks::Marks;
use super::remote::Remote;
use super::transport::Key;
use crate::codec::{self, Stored};
use crate::key::KeySpace;

/// A way to the keys.
pub(crate) enum Access {
    /// Our own member, and the key to the others.
    Local(Handle, Option<Key>),
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

    /// Everything of one cluster.
    pub(crate) fn below(&self, keys: &KeySpace) -> codec::Keys {
        let below = self.items().range(keys.prefix().to_owned()..);
        below
            .take_while(|(key, _)| key.starts_with(keys.prefix()))
            .filter_map(|(key, item)| {
                let stored = Stored {
                    value: item.value.clone(),
                    revision: Revision::new(item.index),
                    session: None,
                };
                Some((keys.relative(key)?.to_owned(), stored))
            })
            .collect()
    }
}

impl Access {
    /// The keys below `base`, not older than this call. Cancel safe.
    pub(crate) async fn read(&self, base: &str, budget: Duration) -> Result<Keys, NoAnswer> {
        match self {
            Self::Local(handle, _) => handle.read(budget).await.map(Keys::Shared),
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
            Self::Local(handle, _) => handle.write(origin, write, budget).await,
            Self::Remote(remote) => remote.write(origin, write, budget).await,
        }
    }

    /// The addresses of all members, as far as we know them, and the key to them.
    pub(crate) fn members(&self) -> (Vec<Address>, Option<&Key>) {
        match self {
            Self::Local(handle, key) => {
                let members = handle.view().borrow().machine.members.clone();
                (members.into_values().collect(), key.as_ref())
            }
            Self::Remote(remote) => {
                let (members, key) = remote.members();
                (members.to_vec(), key)
            }
        }
    }

    /// Waits until something that wakes `me` differs from `seen`. Cancel safe.
    pub(crate) async fn changed(
        &self,
        base: &str,
        seen: &Marks,
        me: Option<&MemberName>,
        budget: Duration,
    ) -> bool {
        match self {
            Self::Local(handle, _) => {
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
            Self::Remote(remote) => remote
                .changed(base, seen, me, budget)
                .await
                .unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn only_the_objects_of_one_cluster_are_read() {
        let items = [
            ("/s/c/else", "x"),
            ("/s/c/leader", "a"),
            ("/s/c/members/a", "{}"),
            ("/s/c/members/a/b", "{}"),
            ("/s/cc/leader", "wrong"),
        ]
        .into_iter()
        .zip(2..)
        .map(|((key, value), index)| {
            let (value, ttl_ms) = (value.to_owned(), None);
            let item = Item {
                value,
                index,
                ttl_ms,
            };
            (key.to_owned(), item)
        });
        let objects = codec::objects(Keys::Owned(items.collect()).below(&KeySpace::new("/s/c")));
        assert_eq!(objects.len(), 2);
        let leader = codec::cluster(&objects).leader.unwrap();
        assert_eq!(
            (leader.name.as_str(), leader.revision),
            ("a", Revision::new(3))
        );
    }
}
