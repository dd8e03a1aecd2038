//! What one process remembers of the objects that it writes only when they change.
//!
//! Source: store contract, section 2.5 (writer rules) and 2.9.

use std::collections::BTreeMap;
#[cfg(any(
    feature = "consul",
    feature = "etcd",
    feature = "etcd3",
    feature = "zookeeper"
))]
use std::sync::{Mutex, MutexGuard, PoisonError};

use patroni_core::{Cluster, MemberName, Status, Version};
use serde::{Deserialize, Serialize};

#[cfg(any(
    feature = "consul",
    feature = "etcd",
    feature = "etcd3",
    feature = "zookeeper"
))]
use crate::{codec, error::StoreError, key::Leaf};

/// Members older than this read the leader's position from `optime/leader`.
const READS_STATUS: Version = Version::new(2, 1, 0);

/// The last known `status` and `failsafe`, from the last load or the last own write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    status: Option<Status>,
    failsafe: Option<BTreeMap<MemberName, String>>,
    old_readers: bool,
    /// What was written to `optime/leader`.
    #[serde(default)]
    optime: Option<String>,
}

/// A due write of `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusWrite {
    /// The whole value.
    pub status: Status,
    /// The text of `optime/leader`, while somebody reads it.
    pub optime: Option<String>,
}

impl Known {
    /// Takes over what a load showed.
    pub fn note(&mut self, cluster: &Cluster) {
        self.status = Some(cluster.status.clone());
        self.failsafe.clone_from(&cluster.failsafe);
        let oldest = cluster
            .members
            .iter()
            .filter_map(|m| m.data.version())
            .min();
        self.old_readers = oldest.is_some_and(|version| version < READS_STATUS);
    }

    /// What must be written for a new status; `None` when nothing changed, and everybody who reads
    /// `optime/leader` finds it there.
    pub fn status_write(&self, new: &Status) -> Option<StatusWrite> {
        let position = new.optime.bytes().to_string();
        let optime = self.old_readers.then_some(position);
        let optime = optime.filter(|position| self.optime.as_ref() != Some(position));
        let changed = self.status.as_ref() != Some(new);
        (changed || optime.is_some()).then(|| StatusWrite {
            status: new.clone(),
            optime,
        })
    }

    /// Remembers a status that was written.
    pub fn wrote_status(&mut self, status: Status) {
        self.status = Some(status);
    }

    /// Remembers what was written to `optime/leader`.
    pub fn wrote_optime(&mut self, optime: String) {
        self.optime = Some(optime);
    }

    /// Whether a failsafe topology differs from the last known one.
    pub fn failsafe_differs(&self, new: &BTreeMap<MemberName, String>) -> bool {
        self.failsafe.as_ref() != Some(new)
    }

    /// Remembers a failsafe topology that was written.
    pub fn wrote_failsafe(&mut self, members: BTreeMap<MemberName, String>) {
        self.failsafe = Some(members);
    }

    /// Forgets everything, after the objects were removed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The same for a store whose calls run side by side and whose objects are keys: it writes them
/// when that is due.
#[cfg(any(
    feature = "consul",
    feature = "etcd",
    feature = "etcd3",
    feature = "zookeeper"
))]
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Known>);

#[cfg(any(
    feature = "consul",
    feature = "etcd",
    feature = "etcd3",
    feature = "zookeeper"
))]
impl Remembered {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Known::note`].
    pub(crate) fn note(&self, cluster: &Cluster) {
        self.known().note(cluster);
    }

    /// See [`Known::clear`].
    pub(crate) fn clear(&self) {
        self.known().clear();
    }

    /// Writes `status`, and `optime/leader` for old readers, with `write` unless nothing changed.
    pub(crate) async fn write_status<W, F>(
        &self,
        status: &Status,
        write: W,
    ) -> Result<(), StoreError>
    where
        W: Fn(Leaf, String) -> F,
        F: Future<Output = Result<(), StoreError>>,
    {
        let due = self.known().status_write(status);
        let Some(StatusWrite { status, optime }) = due else {
            return Ok(());
        };
        write(Leaf::Status, status.to_json()).await?;
        self.known().wrote_status(status);
        if let Some(optime) = optime {
            write(Leaf::OptimeLeader, optime.clone()).await?;
            self.known().wrote_optime(optime);
        }
        Ok(())
    }

    /// Writes `failsafe` with `write` unless nothing changed.
    pub(crate) async fn write_failsafe<W, F>(
        &self,
        members: &BTreeMap<MemberName, String>,
        write: W,
    ) -> Result<(), StoreError>
    where
        W: Fn(Leaf, String) -> F,
        F: Future<Output = Result<(), StoreError>>,
    {
        if !self.known().failsafe_differs(members) {
            return Ok(());
        }
        write(Leaf::Failsafe, codec::failsafe_text(members)).await?;
        self.known().wrote_failsafe(members.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::{Lsn, Member, MemberData, SlotName};

    fn status(optime: u64, slot: Option<u64>) -> Status {
        Status {
            optime: Lsn::new(optime),
            slots: slot
                .map(|at| (SlotName::new("a"), Lsn::new(at)))
                .into_iter()
                .collect(),
            retain_slots: Vec::new(),
        }
    }

    #[test]
    fn an_equal_status_is_not_written_and_slots_that_are_gone_are() {
        let mut known = Known::default();
        assert!(known.status_write(&status(1, Some(1))).is_some());
        known.wrote_status(status(1, Some(1)));
        assert_eq!(known.status_write(&status(1, Some(1))), None);
        let write = known.status_write(&status(1, None)).unwrap();
        assert_eq!(write.status, status(1, None));
        assert_eq!(write.optime, None);
    }

    #[test]
    fn the_old_key_is_written_for_old_members_only() {
        let mut known = Known::default();
        let member = |version: &str| Member {
            name: MemberName::new(version),
            session: None,
            data: MemberData::parse(&format!("{{\"version\":\"{version}\"}}")),
        };
        let mut cluster = Cluster {
            members: vec![member("4.1.5")],
            status: status(9, None),
            ..Cluster::default()
        };
        known.note(&cluster);
        assert_eq!(known.status_write(&status(9, None)), None);
        cluster.members.push(member("2.0.9"));
        known.note(&cluster);
        let write = known.status_write(&status(9, None));
        let optime = write.and_then(|write| write.optime);
        assert_eq!(optime.as_deref(), Some("9"), "the position stands still");
        known.wrote_optime("9".to_owned());
        assert_eq!(known.status_write(&status(9, None)), None);
        cluster.members.pop();
        known.note(&cluster);
        assert_eq!(known.status_write(&status(10, None)).unwrap().optime, None);
    }
}
