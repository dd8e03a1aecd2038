//! Reading and writing nodes.

use std::sync::Arc;

use patroni_config::file::dcs::zookeeper as config;
use zookeeper_client::{
    Acl, Acls, AuthId, Client, CreateMode, CreateOptions, Error, Permission, Stat,
};

use super::failure::Failure;
use super::session::Lack;

/// The nodes as one client sees them.
#[derive(Clone)]
pub(super) struct Znodes {
    pub(super) client: Client,
    acls: Arc<[Acl]>,
    lack: Option<Lack>,
}

/// A node's text with its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) stat: Stat,
}

impl Znodes {
    pub(super) fn new(client: Client, acls: Arc<[Acl]>, lack: Option<Lack>) -> Self {
        Self { client, acls, lack }
    }

    /// Refuses a session that nothing may hang on which is counted on for the ttl.
    pub(super) fn can_hold_the_lock(&self) -> Result<(), Failure> {
        match self.lack {
            Some(lack) => Err(Failure::Denied(lack.to_string())),
            None => Ok(()),
        }
    }

    /// Whether a node hangs on the session of this client.
    pub(super) fn owns(&self, stat: &Stat) -> bool {
        stat.ephemeral_owner == self.client.session_id().0
    }

    fn options(&self, mode: CreateMode) -> CreateOptions<'_> {
        if self.acls.is_empty() {
            mode.with_acls(Acls::anyone_all())
        } else {
            mode.with_acls(Acls::new(&self.acls))
        }
    }

    /// Reads a node that may be absent.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Found>, Failure> {
        match self.client.get_data(path).await {
            Ok((bytes, stat)) => Ok(Some(Found {
                text: String::from_utf8_lossy(&bytes).into_owned(),
                stat,
            })),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a node after everything that was written before, whichever server writes went to.
    pub(super) async fn read_newest(&self, path: &str) -> Result<Option<Found>, Failure> {
        // Sent by the call, so before the read, and carried out in this order.
        let synced = self.client.sync(path);
        let (synced, found) = tokio::join!(synced, self.read(path));
        synced?;
        found
    }

    /// Creates a node, and its parents as needed.
    pub(super) async fn create(
        &self,
        path: &str,
        text: &str,
        mode: CreateMode,
    ) -> Result<(), Failure> {
        let create = || {
            self.client
                .create(path, text.as_bytes(), &self.options(mode))
        };
        match create().await {
            Err(Error::NoNode) => {
                self.create_parents(path).await?;
                create().await?;
            }
            other => {
                other?;
            }
        }
        Ok(())
    }

    async fn create_parents(&self, path: &str) -> Result<(), Failure> {
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let options = self.options(CreateMode::Persistent);
        Ok(self.client.mkdir(parent, &options).await?)
    }

    /// Writes a persistent node, whatever is there. Returns its version.
    pub(super) async fn put(&self, path: &str, text: &str) -> Result<i32, Failure> {
        let set = || self.client.set_data(path, text.as_bytes(), None);
        match set().await {
            Err(Error::NoNode) => {}
            other => return Ok(other?.version),
        }
        match self.create(path, text, CreateMode::Persistent).await {
            Ok(()) => Ok(0),
            Err(Failure::Exists) => Ok(set().await?.version),
            Err(failure) => Err(failure),
        }
    }

    /// Writes a node if nobody wrote it since it had this version. Returns the new version.
    pub(super) async fn replace(
        &self,
        path: &str,
        text: &str,
        version: i32,
    ) -> Result<i32, Failure> {
        let set = self.client.set_data(path, text.as_bytes(), Some(version));
        Ok(set.await?.version)
    }

    /// Puts an ephemeral node of ours in the place of one of another session, in one step.
    pub(super) async fn take_over(
        &self,
        path: &str,
        text: &str,
        version: i32,
    ) -> Result<(), Failure> {
        let mut both = self.client.new_multi_writer();
        both.add_delete(path, Some(version))?;
        let options = self.options(CreateMode::Ephemeral);
        both.add_create(path, text.as_bytes(), &options)?;
        both.commit().await.map_err(Error::from)?;
        Ok(())
    }

    /// Removes a node, if nobody wrote it since it had this version.
    pub(super) async fn delete(&self, path: &str, version: i32) -> Result<(), Failure> {
        Ok(self.client.delete(path, Some(version)).await?)
    }

    /// Removes a node with everything below. What is written meanwhile is removed, too.
    pub(super) async fn delete_tree(&self, path: &str) -> Result<(), Failure> {
        loop {
            for node in self.tree(path).await?.iter().rev() {
                match self.client.delete(node, None).await {
                    Ok(()) | Err(Error::NoNode | Error::NotEmpty) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if self.client.check_stat(path).await?.is_none() {
                return Ok(());
            }
        }
    }

    /// The nodes of a tree, parents first.
    pub(super) async fn tree(&self, path: &str) -> Result<Vec<String>, Failure> {
        let mut nodes = vec![path.to_owned()];
        let mut next = 0;
        while let Some(node) = nodes.get(next).cloned() {
            let children = self.children(&node).await?;
            nodes.extend(children.iter().map(|child| format!("{node}/{child}")));
            next += 1;
        }
        Ok(nodes)
    }

    /// The names below a node; none when it is absent.
    pub(super) async fn children(&self, path: &str) -> Result<Vec<String>, Failure> {
        match self.client.list_children(path).await {
            Err(Error::NoNode) => Ok(Vec::new()),
            other => Ok(other?),
        }
    }
}

/// The rights that created nodes get; none is everything for everybody.
pub(super) fn acls(given: &[config::Acl]) -> Arc<[Acl]> {
    let acl = |given: &config::Acl| {
        let permissions = given.permissions.iter().map(|one| permission(*one));
        let all = permissions.fold(Permission::NONE, |all, one| all | one);
        Acl::new(all, AuthId::new(&given.scheme, &given.id))
    };
    given.iter().map(acl).collect()
}

fn permission(given: config::Permission) -> Permission {
    match given {
        config::Permission::Create => Permission::CREATE,
        config::Permission::Read => Permission::READ,
        config::Permission::Write => Permission::WRITE,
        config::Permission::Delete => Permission::DELETE,
        config::Permission::Admin => Permission::ADMIN,
        config::Permission::All => Permission::ALL,
    }
}
