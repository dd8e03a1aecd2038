//! Reading a cluster.
//!
//! Source: store contract, section 12 (`get_cluster`) and 4 (versions).

use futures_util::future::try_join_all;
use patroni_core::{Cluster, MemberName, Revision};

use super::failure::Failure;
use super::znodes::{Found, Znodes};
use crate::codec::{self, Keys, Objects, Stored};
use crate::key::{KeySpace, Leaf};

/// What a load found.
pub(super) struct Loaded {
    pub(super) objects: Objects,
    pub(super) cluster: Cluster,
}

/// Reads all objects, newer than everything that was written before, but one after the other: no
/// snapshot. Requests are sent together and answered in two rounds.
pub(super) async fn load(znodes: &Znodes, keys: &KeySpace) -> Result<Loaded, Failure> {
    let leaves = leaves(znodes, keys).await?;
    let read = leaves.iter().map(async |leaf| {
        let found = znodes.read(&keys.key(leaf)).await?;
        Ok::<_, Failure>(found.map(|found| (leaf.clone(), found)))
    });
    let mut found: Vec<(Leaf, Found)> = try_join_all(read).await?.into_iter().flatten().collect();
    // An object that went away meanwhile is absent; so is `status`, then, and the older key counts.
    let has_status = found.iter().any(|(leaf, _)| *leaf == Leaf::Status);
    if !has_status && let Some(optime) = znodes.read(&keys.key(&Leaf::OptimeLeader)).await? {
        found.push((Leaf::OptimeLeader, optime));
    }
    Ok(assemble(found))
}

/// Reads everything below the base path, newer than what was written before. Nodes without a text
/// are shown where nothing is below them.
pub(super) async fn keys(znodes: &Znodes, keys: &KeySpace) -> Result<Keys, Failure> {
    let base = keys.prefix().trim_end_matches('/');
    let synced = znodes.client.sync(base); // sent by the call, so before the lists
    let (synced, nodes) = tokio::join!(synced, znodes.tree(base));
    synced?;
    let nodes = nodes?;
    let read = nodes.iter().map(async |node| {
        let Some(name) = keys.relative(node) else {
            return Ok(None);
        };
        let found = znodes.read(node).await?;
        let found = found.filter(|found| !found.text.is_empty() || found.stat.num_children == 0);
        Ok::<_, Failure>(found.map(|found| (name.to_owned(), stored(found))))
    });
    Ok(try_join_all(read).await?.into_iter().flatten().collect())
}

/// The objects that exist.
async fn leaves(znodes: &Znodes, keys: &KeySpace) -> Result<Vec<Leaf>, Failure> {
    let base = keys.prefix().trim_end_matches('/');
    let below = format!("{base}/members");
    let synced = znodes.client.sync(base); // sent by the call, so before the lists
    let (names, members) = (znodes.children(base), znodes.children(&below));
    let (synced, names, members) = tokio::join!(synced, names, members);
    synced?;
    let (names, members) = (names?, members?);
    let objects = names.iter().filter_map(|name| Leaf::parse(name));
    let members = members
        .iter()
        .map(|name| Leaf::Member(MemberName::new(name.as_str())));
    Ok(objects.chain(members).collect())
}

fn assemble(found: Vec<(Leaf, Found)>) -> Loaded {
    let config_written = found
        .iter()
        .find(|(leaf, _)| *leaf == Leaf::Config)
        .map(|(_, found)| Revision::new(found.stat.mzxid));
    let objects: Objects = found
        .into_iter()
        .map(|(leaf, found)| (leaf, stored(found)))
        .collect();
    let mut cluster = codec::cluster(&objects);
    // A node that was removed and created anew has the version of a new node again; its last
    // write has a number that never comes back.
    if let Some(config) = cluster.config.as_mut().filter(|config| config.is_valid()) {
        config.modify_revision = config_written;
    }
    Loaded { objects, cluster }
}

fn stored(found: Found) -> Stored {
    let owner = found.stat.ephemeral_owner;
    Stored {
        value: found.text,
        revision: Revision::new(found.stat.version),
        session: (owner != 0).then(|| owner.to_string()),
    }
}
