//! One look at the whole store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config_doc::ConfigDoc;
use crate::failover::Failover;
use crate::history::History;
use crate::member::Member;
use crate::name::MemberName;
use crate::status::Status;
use crate::sync::SyncState;
use crate::system_id::SystemId;
use crate::timeline::Timeline;

/// A revision of a stored object, opaque: only equality has a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(Arc<str>);

impl Revision {
    /// A revision from the store's own form.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "stores give numbers and texts, and both read well at the call"
    )]
    pub fn new(text: impl ToString) -> Self {
        Self(text.to_string().into())
    }

    /// The store's own form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The lock as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Who holds it.
    pub name: MemberName,
    /// The revision of the key.
    pub revision: Revision,
    /// The lease or session it hangs on.
    pub session: Option<String>,
}

/// Everything a node reads from the store at once. A decision is made on one such snapshot, and
/// every conditional write of that decision carries the snapshot's revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `initialize`: `None` when absent, empty while somebody bootstraps, else the identity.
    pub initialize: Option<String>,
    /// `config`.
    pub config: Option<ConfigDoc>,
    /// `leader`.
    pub leader: Option<Leader>,
    /// `status`, or the older `optime/leader`.
    pub status: Status,
    /// `members/`, in the order of their names.
    pub members: Vec<Member>,
    /// `failover`, absent until the first request.
    pub failover: Option<Failover>,
    /// `sync`.
    pub sync: SyncState,
    /// `history`.
    pub history: Option<History>,
    /// `failsafe`: name to API address; `None` when absent or unreadable.
    pub failsafe: Option<BTreeMap<MemberName, String>>,
}

impl Cluster {
    /// Nobody holds the lock.
    pub fn is_unlocked(&self) -> bool {
        self.leader_name().is_none()
    }

    /// Who holds the lock. An empty name (possible on Kubernetes) is nobody.
    pub fn leader_name(&self) -> Option<&MemberName> {
        self.leader
            .as_ref()
            .map(|leader| &leader.name)
            .filter(|name| !name.as_str().is_empty())
    }

    /// The leader's member data, when its key exists.
    pub fn leader_member(&self) -> Option<&Member> {
        self.leader_name().and_then(|name| self.member(name))
    }

    /// A member by its name.
    pub fn member(&self, name: &MemberName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// The identity of the cluster, when it is a valid one.
    pub fn system_id(&self) -> Option<SystemId> {
        self.initialize.as_deref().and_then(SystemId::parse)
    }

    /// The timeline by the history, `None` when that says nothing.
    pub fn timeline(&self) -> Option<Timeline> {
        self.history.as_ref().and_then(History::timeline)
    }

    /// The request in the failover key, when one is set.
    pub fn failover_request(&self) -> Option<&Failover> {
        self.failover
            .as_ref()
            .filter(|failover| failover.request.is_set())
    }
}
