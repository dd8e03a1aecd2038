//! Stores on servers of a test's own.

use patroni_core::MemberName;
use patroni_dcs::etcd3::{Etcd3, Options};
use patroni_dcs::{Identity, StoreError};

use crate::server::Etcd;
use crate::shared::TIMINGS;

/// What the servers need beyond their addresses.
pub(crate) const ARGUMENTS: &[&str] = &[];

impl Etcd {
    /// Opens a store on this node.
    pub(crate) async fn store(&self, member: Option<&str>) -> Result<Etcd3, StoreError> {
        let identity = Identity {
            base_path: "/service/demo".to_owned(),
            group: None,
            member: member.map(MemberName::new),
        };
        Etcd3::connect(Options::new([self.url.as_str()]), identity, TIMINGS).await
    }
}
