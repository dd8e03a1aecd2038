//! Writes, and what they tell the cache.

use etcd_client::{KeyValue, PutOptions, Txn, TxnOpResponse, TxnResponse};

use super::cache::Entry;
use super::call::Target;
use super::failure::Failure;
use super::shared::Shared;
use crate::key::Leaf;
use crate::retry::Effort;

/// How a conditional write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was carried out at this revision.
    Done(i64),
    /// The condition did not hold; this is what was there.
    Refused(Option<Entry>),
}

impl Shared {
    /// Puts a key unconditionally; returns the revision.
    pub(super) async fn put(
        &self,
        leaf: &Leaf,
        value: &str,
        lease: Option<i64>,
        effort: Effort,
    ) -> Result<i64, Failure> {
        let key = self.keys.key(leaf);
        let request = |Target { mut client, .. }: Target| {
            let key = key.clone();
            let options = lease.map(|id| PutOptions::new().with_lease(id));
            async move { client.put(key, value, options).await }
        };
        let answer = self.nodes.call(effort, request).await?;
        let revision = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        self.wrote(leaf, value, lease, revision);
        Ok(revision)
    }

    /// Removes a key unconditionally.
    pub(super) async fn delete(&self, leaf: &Leaf, effort: Effort) -> Result<(), Failure> {
        let key = self.keys.key(leaf);
        let request = |Target { mut client, .. }: Target| {
            let key = key.clone();
            async move { client.delete(key, None).await }
        };
        let answer = self.nodes.call(effort, request).await?;
        let revision = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        self.cache().remove(leaf.clone(), revision);
        Ok(())
    }

    /// Makes a transaction about one key, which puts `value` or (`None`) removes the key.
    pub(super) async fn transact(
        &self,
        leaf: &Leaf,
        txn: Txn,
        value: Option<&str>,
        lease: Option<i64>,
        effort: Effort,
    ) -> Result<Outcome, Failure> {
        let request = |Target { mut client, .. }: Target| {
            let txn = txn.clone();
            async move { client.txn(txn).await }
        };
        let answer = self.nodes.call(effort, request).await?;
        let revision = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        let verdict = Verdict::of(&answer);
        Ok(match (verdict, value) {
            (Verdict::Done, Some(value)) => {
                self.wrote(leaf, value, lease, revision);
                Outcome::Done(revision)
            }
            (Verdict::Done, None) => {
                self.cache().remove(leaf.clone(), revision);
                Outcome::Done(revision)
            }
            (Verdict::Refused(found), _) => {
                self.distrust_cache();
                Outcome::Refused(found)
            }
        })
    }

    /// An own write is in the cache as soon as it is answered, and wakes nobody.
    fn wrote(&self, leaf: &Leaf, value: &str, lease: Option<i64>, revision: i64) {
        let entry = Entry {
            value: value.to_owned(),
            revision,
            lease: lease.unwrap_or(0),
        };
        self.cache().put(leaf.clone(), entry);
    }
}

enum Verdict {
    Done,
    Refused(Option<Entry>),
}

impl Verdict {
    fn of(answer: &TxnResponse) -> Self {
        if answer.succeeded() {
            return Self::Done;
        }
        match answer.op_responses().into_iter().next() {
            Some(TxnOpResponse::Txn(nested)) => Self::of(&nested),
            Some(TxnOpResponse::Get(found)) => Self::Refused(found.kvs().first().map(entry)),
            Some(TxnOpResponse::Put(_) | TxnOpResponse::Delete(_)) | None => Self::Refused(None),
        }
    }
}

fn entry(kv: &KeyValue) -> Entry {
    Entry {
        value: String::from_utf8_lossy(kv.value()).into_owned(),
        revision: kv.mod_revision(),
        lease: kv.lease(),
    }
}
