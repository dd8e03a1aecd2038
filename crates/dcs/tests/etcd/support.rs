//! Stores on servers of a test's own.

use patroni_core::MemberName;
use patroni_dcs::etcd::{Etcd as Store, Options};
use patroni_dcs::{Identity, StoreError};

use crate::server::Etcd;
use crate::shared::TIMINGS;

/// What the servers need beyond their addresses.
pub(crate) const ARGUMENTS: &[&str] = &["--enable-v2"];

impl Etcd {
    /// Opens a store on this node.
    pub(crate) async fn store(&self, member: Option<&str>) -> Result<Store, StoreError> {
        open(Options::new([self.url.as_str()]), member).await
    }
}

/// Opens a store of the cluster `demo`.
pub(crate) async fn open(options: Options, member: Option<&str>) -> Result<Store, StoreError> {
    Box::pin(Store::connect(options, identity(member), TIMINGS)).await
}

/// Opens a store that uses the nodes in this order: proxies are not asked for members.
pub(crate) async fn open_on<'a>(
    urls: impl IntoIterator<Item = &'a str>,
    member: Option<&str>,
) -> Result<Store, StoreError> {
    let mut options = Options::new(urls);
    options.use_proxies = true;
    open(options, member).await
}

fn identity(member: Option<&str>) -> Identity {
    Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: member.map(MemberName::new),
    }
}
