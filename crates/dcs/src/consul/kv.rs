//! Keys: reading and writing them, alone and in transactions.
//!
//! Source: store contract, section 11 (table of operations). A transaction is used where the
//! reference makes two requests one after the other, so that nobody sees the state between.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use patroni_config::file::dcs::consul::Consistency;
use patroni_core::{MemberName, Revision};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::{Agent, Answer, Audience, Request};
use super::failure::Failure;
use crate::codec::{Keys, Stored};
use crate::key::{KeySpace, Leaf};
use crate::retry::Effort;

/// One key as Consul holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    key: String,
    /// The text.
    pub(super) value: String,
    /// The index of the last change.
    pub(super) index: u64,
    /// The session that holds it.
    pub(super) session: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawPair {
    key: String,
    value: Option<String>,
    modify_index: u64,
    session: Option<String>,
}

impl Pair {
    fn of(raw: RawPair) -> Result<Self, Failure> {
        let bytes = STANDARD.decode(raw.value.unwrap_or_default());
        let bytes =
            bytes.map_err(|error| Failure::Nonsense(format!("value of {}: {error}", raw.key)))?;
        Ok(Self {
            key: raw.key,
            value: String::from_utf8_lossy(&bytes).into_owned(),
            index: raw.modify_index,
            session: raw.session,
        })
    }

    fn stored(self) -> Stored {
        Stored {
            value: self.value,
            revision: Revision::new(self.index),
            session: self.session,
        }
    }
}

/// How fresh a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As configured.
    Configured,
    /// Confirmed by a majority of the servers, whatever is configured.
    Consistent,
}

/// Under which condition a key is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition<'a> {
    /// Always.
    None,
    /// Nobody changed it since this index; 0: it does not exist.
    Unchanged(u64),
    /// No other session holds it; this one does from then on.
    Acquire(&'a str),
}

/// One step of a transaction about one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// Removes it.
    Delete,
    /// Removes it if nobody changed it since; what is absent is not changed.
    DeleteUnchanged(u64),
    /// Puts it under a session.
    Lock { value: &'a str, session: &'a str },
    /// Puts it if nobody changed it since; see [`ABSENT`].
    SetUnchanged(&'a str, u64),
}

/// The index of what is not there.
pub(super) const ABSENT: u64 = 0;

impl Step<'_> {
    fn json(self, key: &str) -> Value {
        let text = |value: &str| STANDARD.encode(value);
        json!({"KV": match self {
            Self::Delete => json!({"Verb": "delete", "Key": key}),
            Self::DeleteUnchanged(index) => {
                json!({"Verb": "delete-cas", "Key": key, "Index": index})
            }
            Self::Lock { value, session } => {
                json!({"Verb": "lock", "Key": key, "Value": text(value), "Session": session})
            }
            Self::SetUnchanged(value, index) => {
                json!({"Verb": "cas", "Key": key, "Value": text(value), "Index": index})
            }
        }})
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was carried out; the index of the key after it.
    Done(u64),
    /// A condition did not hold, and nothing was changed.
    Refused,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TxnAnswer {
    results: Option<Vec<TxnResult>>,
    errors: Option<Vec<TxnError>>,
}

#[derive(Deserialize)]
struct TxnResult {
    #[serde(rename = "KV")]
    kv: Option<RawPair>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TxnError {
    what: String,
}

/// The keys of one cluster.
pub(super) struct Kv {
    pub(super) agent: Agent,
    keys: KeySpace,
}

impl Kv {
    pub(super) fn new(agent: Agent, base_path: &str) -> Self {
        Self {
            agent,
            keys: KeySpace::new(base_path.trim_start_matches('/')),
        }
    }

    fn request(&self, method: Method, leaf: &Leaf) -> Request {
        let path = format!("kv/{}", self.keys.key(leaf));
        Request::new(Audience::Datacenter, method, &path)
    }

    fn whole(&self, method: Method) -> Request {
        let path = format!("kv/{}", self.keys.prefix());
        Request::new(Audience::Datacenter, method, &path).with("recurse", "1")
    }

    fn fresh(&self, request: Request, freshness: Freshness) -> Request {
        let consistency = match freshness {
            Freshness::Configured => self.agent.changeable().consistency,
            Freshness::Consistent => Consistency::Consistent,
        };
        match consistency {
            Consistency::Default => request,
            Consistency::Consistent => request.with("consistent", "1"),
            Consistency::Stale => request.with("stale", "1"),
        }
    }

    /// All keys of the cluster.
    pub(super) async fn list(&self, freshness: Freshness, effort: Effort) -> Result<Keys, Failure> {
        let request = self.fresh(self.whole(Method::GET), freshness);
        let pairs = pairs(&self.agent.call(effort, &request).await?)?;
        let named = pairs.into_iter().filter_map(|pair| {
            let name = self.keys.relative(&pair.key)?.to_owned();
            Some((name, pair.stored()))
        });
        Ok(named.collect())
    }

    /// One object; `None` when it is absent.
    pub(super) async fn get(
        &self,
        leaf: &Leaf,
        freshness: Freshness,
        effort: Effort,
    ) -> Result<Option<Pair>, Failure> {
        let request = self.fresh(self.request(Method::GET, leaf), freshness);
        let answer = self.agent.call(effort, &request).await?;
        Ok(pairs(&answer)?.pop())
    }

    /// One object once it changed after `index`, or after about `wait`; with the index to go on
    /// from. One attempt, cancel safe.
    pub(super) async fn get_after(
        &self,
        leaf: &Leaf,
        index: u64,
        wait: std::time::Duration,
    ) -> Result<(Option<Pair>, u64), Failure> {
        let request = self.request(Method::GET, leaf);
        let (answer, next) = self.after(request, index, wait).await?;
        Ok((pairs(&answer)?.pop(), next))
    }

    /// The members once one of them came, went or wrote its key after `index`; otherwise the same.
    pub(super) async fn members_after(
        &self,
        index: u64,
        wait: std::time::Duration,
    ) -> Result<(BTreeSet<MemberName>, u64), Failure> {
        let path = format!("kv/{}members/", self.keys.prefix());
        let request = Request::new(Audience::Datacenter, Method::GET, &path).with("keys", "1");
        let (answer, next) = self.after(request, index, wait).await?;
        if answer.found_nothing() {
            return Ok((BTreeSet::new(), next));
        }
        let keys: Vec<String> = answer.json()?;
        let members = keys.iter().filter_map(|key| {
            let Leaf::Member(name) = self.keys.leaf(key)? else {
                return None;
            };
            Some(name)
        });
        Ok((members.collect(), next))
    }

    /// A read that is answered when something changed after `index`, or after about `wait`; with
    /// the index to go on from.
    async fn after(
        &self,
        request: Request,
        index: u64,
        wait: std::time::Duration,
    ) -> Result<(Answer, u64), Failure> {
        // The server adds up to a sixteenth by chance, and the answer takes its time, too.
        let limit = wait + wait / 16 + self.agent.timings().retry_timeout / 3;
        let request = self
            .fresh(request, Freshness::Configured)
            .with("index", index.to_string())
            .with("wait", format!("{}ms", wait.as_millis()));
        let answer = self.agent.send(&request, limit).await?;
        let next = answer.index.unwrap_or(0);
        // An index that goes back (the store was restored) must be begun anew: see Consul's
        // documentation of blocking queries.
        Ok((answer, if next < index { 0 } else { next }))
    }

    /// Writes an object; false when the condition does not hold.
    pub(super) async fn put(
        &self,
        leaf: &Leaf,
        value: &str,
        condition: Condition<'_>,
        effort: Effort,
    ) -> Result<bool, Failure> {
        let request = self.request(Method::PUT, leaf).with_body(value);
        let request = match condition {
            Condition::None => request,
            Condition::Unchanged(index) => request.with("cas", index.to_string()),
            Condition::Acquire(session) => request.with("acquire", session),
        };
        self.agent.call(effort, &request).await?.json()
    }

    /// Removes an object, if nobody changed it since the index, when one is given; else false.
    /// What is absent counts as removed.
    pub(super) async fn delete(
        &self,
        leaf: &Leaf,
        unchanged: Option<u64>,
        effort: Effort,
    ) -> Result<bool, Failure> {
        let request = self.request(Method::DELETE, leaf);
        let request = match unchanged {
            Some(index) => request.with("cas", index.to_string()),
            None => request,
        };
        self.agent.call(effort, &request).await?.json()
    }

    /// Removes all objects of the cluster.
    pub(super) async fn delete_all(&self, effort: Effort) -> Result<(), Failure> {
        let answer = self.agent.call(effort, &self.whole(Method::DELETE)).await?;
        answer.json::<bool>().map(|_| ())
    }

    /// Takes all steps about one object at once, or none.
    pub(super) async fn transact(
        &self,
        leaf: &Leaf,
        steps: &[Step<'_>],
        effort: Effort,
    ) -> Result<Outcome, Failure> {
        let key = self.keys.key(leaf);
        let steps: Vec<Value> = steps.iter().map(|step| step.json(&key)).collect();
        let request = Request::new(Audience::Datacenter, Method::PUT, "txn")
            .with_body(Value::Array(steps).to_string());
        let answer = self.agent.call(effort, &request).await?;
        outcome(&answer)
    }
}

fn pairs(answer: &Answer) -> Result<Vec<Pair>, Failure> {
    if answer.found_nothing() {
        return Ok(Vec::new());
    }
    let raw: Vec<RawPair> = answer.json()?;
    raw.into_iter().map(Pair::of).collect()
}

fn outcome(answer: &Answer) -> Result<Outcome, Failure> {
    let parsed: TxnAnswer = answer.json()?;
    if !answer.is_conflict() {
        let last = parsed.results.and_then(|mut results| results.pop());
        let index = last.and_then(|result| result.kv).map(|kv| kv.modify_index);
        return index
            .map(Outcome::Done)
            .ok_or_else(|| Failure::Nonsense("a transaction without a result".to_owned()));
    }
    let errors = parsed.errors.unwrap_or_default();
    let says = |part: &str| errors.iter().find(|error| error.what.contains(part));
    if says("invalid session").is_some() {
        return Err(Failure::SessionGone);
    }
    match says("lock delay") {
        Some(error) => Err(Failure::Unanswered(error.what.clone())),
        None => Ok(Outcome::Refused),
    }
}
