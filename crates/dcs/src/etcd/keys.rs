//! Keys: reading, writing and awaiting them.
//!
//! Source: store contract, section 9 (table of operations).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use patroni_core::Revision;
use reqwest::Method;
use serde::Deserialize;

use super::failure::Failure;
use super::nodes::{Answer, Nodes, Parts, Request};
use crate::codec::{self, Stored};
use crate::key::{KeySpace, Leaf};
use crate::retry::Effort;
use crate::topology::call;

/// A key or a directory as etcd holds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    key: String,
    value: Option<String>,
    #[serde(default)]
    dir: bool,
    #[serde(default)]
    nodes: Vec<Node>,
    modified_index: u64,
}

/// What was done to a key.
#[derive(Deserialize)]
struct Event {
    node: Node,
}

/// One key that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The text.
    pub(super) value: String,
    /// The index of the last change.
    pub(super) index: u64,
}

/// Something that happened below the cluster's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// An object holds this now; `None` when it was removed.
    Object(Leaf, Option<String>),
    /// A directory was changed, with all that is in it.
    Directory,
    /// Something that is none of ours.
    Foreign,
}

/// Under which condition a key is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    /// Always.
    None,
    /// It does not exist.
    Absent,
    /// It exists.
    Present,
    /// It has this text.
    Value(&'a str),
    /// Nobody changed it since.
    Unchanged(&'a Revision),
}

impl Condition<'_> {
    fn parameter(self) -> Option<(&'static str, String)> {
        match self {
            Self::None => None,
            Self::Absent => Some(("prevExist", "false".to_owned())),
            Self::Present => Some(("prevExist", "true".to_owned())),
            Self::Value(text) => Some(("prevValue", text.to_owned())),
            Self::Unchanged(revision) => Some(("prevIndex", index(revision).to_string())),
        }
    }
}

/// A revision of ours as etcd's index. What is no number compares as never written by anybody, so
/// the condition fails; so does zero, which would be no condition for etcd.
fn index(revision: &Revision) -> u64 {
    let number = revision.as_str().parse().ok();
    number.filter(|index| *index != 0).unwrap_or(u64::MAX)
}

/// The keys of one cluster.
pub(super) struct Keys {
    pub(super) nodes: Nodes,
    space: KeySpace,
}

impl Keys {
    pub(super) fn new(nodes: Nodes, base_path: &str) -> Self {
        Self {
            nodes,
            space: KeySpace::new(base_path),
        }
    }

    fn request(&self, method: Method, leaf: &Leaf) -> Request {
        Request::new(method, &format!("keys{}", self.space.key(leaf)))
    }

    fn whole(&self, method: Method) -> Request {
        let path = format!("keys{}", self.space.prefix());
        Request::new(method, &path).with("recursive", "true")
    }

    /// Makes a request; [`Failure::Refused`] is [`Failure::Unclear`] when an earlier attempt of
    /// it may have been carried out.
    async fn call(&self, effort: Effort, request: &Request) -> Result<Answer, Failure> {
        let unanswered = &AtomicBool::new(false);
        let called = call(&self.nodes, effort, |url, limit| async move {
            let answered = self.nodes.attempt(&url, limit, request).await;
            if matches!(answered, Err(Failure::Node(_) | Failure::Nonsense(_))) {
                unanswered.store(true, Ordering::Relaxed);
            }
            answered
        });
        match called.await {
            Err(Failure::Refused) if unanswered.load(Ordering::Relaxed) => Err(Failure::Unclear),
            other => other,
        }
    }

    /// Everything of the cluster, confirmed by a majority, with the index of the store.
    pub(super) async fn list(&self, effort: Effort) -> Result<(codec::Keys, u64), Failure> {
        let request = self.whole(Method::GET).with("quorum", "true");
        let answer = match self.call(effort, &request).await {
            Ok(answer) => answer,
            Err(Failure::Missing(index)) => return Ok((codec::Keys::new(), index)),
            Err(failure) => return Err(failure),
        };
        let mut keys = codec::Keys::new();
        self.collect(answer.json::<Event>()?.node, &mut keys);
        Ok((keys, answer.index))
    }

    fn collect(&self, node: Node, keys: &mut codec::Keys) {
        if let (Some(name), Some(value)) = (self.space.relative(&node.key), node.value) {
            let stored = Stored {
                value,
                revision: Revision::new(node.modified_index),
                session: None,
            };
            keys.insert(name.to_owned(), stored);
        }
        for node in node.nodes {
            self.collect(node, keys);
        }
    }

    /// One object, confirmed by a majority; `None` when it is absent.
    pub(super) async fn get(&self, leaf: &Leaf, effort: Effort) -> Result<Option<Found>, Failure> {
        let request = self.request(Method::GET, leaf).with("quorum", "true");
        match self.call(effort, &request).await {
            Ok(answer) => self.found(leaf, &answer).map(Some),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Writes an object, which then lives for `ttl` if one is given. Returns its index.
    pub(super) async fn put(
        &self,
        leaf: &Leaf,
        value: &str,
        ttl: Option<Duration>,
        condition: Condition<'_>,
        effort: Effort,
    ) -> Result<u64, Failure> {
        let mut request = self.request(Method::PUT, leaf).with_field("value", value);
        if let Some(ttl) = ttl {
            request = request.with_field("ttl", ttl.as_secs().to_string());
        }
        if let Some((name, value)) = condition.parameter() {
            request = request.with_field(name, value);
        }
        let found = self.found(leaf, &self.call(effort, &request).await?)?;
        if found.value == value {
            Ok(found.index)
        } else {
            Err(Failure::Nonsense("another value was written".to_owned()))
        }
    }

    /// The same; a repeated write whose first answer was lost finds its own text. Only for texts
    /// that nobody else writes.
    pub(super) async fn put_own(
        &self,
        leaf: &Leaf,
        value: &str,
        condition: Condition<'_>,
        effort: Effort,
    ) -> Result<u64, Failure> {
        match self.put(leaf, value, None, condition, effort).await {
            Err(Failure::Unclear) => match self.get(leaf, effort).await? {
                Some(found) if found.value == value => Ok(found.index),
                Some(_) | None => Err(Failure::Refused),
            },
            other => other,
        }
    }

    /// Removes an object.
    pub(super) async fn delete(
        &self,
        leaf: &Leaf,
        condition: Condition<'_>,
        effort: Effort,
    ) -> Result<(), Failure> {
        let mut request = self.request(Method::DELETE, leaf);
        if let Some((name, value)) = condition.parameter() {
            request = request.with(name, value);
        }
        let answer = self.call(effort, &request).await?;
        answer.json::<Event>().map(|_| ())
    }

    /// Removes all objects of the cluster.
    pub(super) async fn delete_all(&self, effort: Effort) -> Result<(), Failure> {
        self.call(effort, &self.whole(Method::DELETE)).await?;
        Ok(())
    }

    fn found(&self, leaf: &Leaf, answer: &Answer) -> Result<Found, Failure> {
        let node = answer.json::<Event>()?.node;
        match node.value {
            Some(value) if node.key == self.space.key(leaf) => Ok(Found {
                value,
                index: node.modified_index,
            }),
            Some(_) | None => Err(Failure::Nonsense(format!("an answer about {}", node.key))),
        }
    }

    /// Asks the current node for the changes at `from` and later. Without a limit, cancel safe.
    pub(super) async fn changes(&self, from: u64, way: Way) -> Result<Changes<'_>, Failure> {
        let url = self.current()?;
        let request = self.whole(Method::GET).with("wait", "true");
        let mut request = request.with("waitIndex", from.to_string());
        if way == Way::Stream {
            request = request.with("stream", "true");
        }
        let parts = self.nodes.open(&url, &request).await;
        let parts = parts.inspect_err(|failure| self.leave(&url, failure))?;
        let keys = self;
        Ok(Changes {
            keys,
            url,
            way,
            parts,
        })
    }

    fn current(&self) -> Result<String, Failure> {
        let known = self.nodes.topology.order().into_iter().next();
        known.ok_or_else(|| Failure::Node("no nodes are known".to_owned()))
    }

    /// What is asked next goes to another node, if it was the node that failed.
    fn leave(&self, url: &str, failure: &Failure) {
        if matches!(failure, Failure::Node(_)) {
            self.nodes.topology.forget(url);
            self.nodes.topology.move_on_from(url);
        }
    }

    fn news(&self, node: Node) -> News {
        match self.space.leaf(&node.key) {
            Some(leaf) => News::Object(leaf, node.value),
            None if node.dir => News::Directory,
            None => News::Foreign,
        }
    }
}

/// How changes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One request for all.
    Stream,
    /// A request for each, which what is between us and the node cannot hold back.
    Polls,
}

/// The changes from one point on, as they come.
pub(super) struct Changes<'a> {
    keys: &'a Keys,
    url: String,
    way: Way,
    parts: Parts,
}

impl Changes<'_> {
    /// The next change with its index; `None` when they have to be asked for anew after the last
    /// one. Without a limit, cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, News)>, Failure> {
        let event = self.parts.next::<Event>().await;
        let event = event.inspect_err(|failure| self.keys.leave(&self.url, failure))?;
        let Some(Event { node }) = event else {
            return Ok(None);
        };
        Ok(Some((node.modified_index, self.keys.news(node))))
    }

    /// Whether more can come after the change at this index. etcd takes a first change that is
    /// older than the request from its history, and then says nothing for ever.
    pub(super) fn go_on_after(&self, index: u64) -> bool {
        self.way == Way::Stream && index > self.parts.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_revision_is_no_condition() {
        assert_eq!(index(&Revision::new(7)), 7);
        for text in ["", "x", "0", "-1"] {
            assert_eq!(index(&Revision::new(text)), u64::MAX, "{text}");
        }
    }
}
