//! What became of one request, and what that asks of the caller.
//!
//! Source: store contract, section 9, and etcd's list of error codes (`errorcode.md` of its
//! documentation of the version 2 API).

use serde::Deserialize;

use crate::body::first_line;
use crate::error::{StoreError, StoreErrorKind};
use crate::topology::{Asks, Failed};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The node did not answer, or cannot serve: another one may. The request may have been
    /// carried out.
    #[error("{0}")]
    Node(String),
    /// There is no such key, at this index of the store.
    #[error("key not found")]
    Missing(u64),
    /// The condition does not hold.
    #[error("the condition does not hold")]
    Refused,
    /// The same after an attempt whose answer was lost: perhaps our own write is in the way.
    #[error("the condition does not hold any more")]
    Unclear,
    /// The changes that were asked for are forgotten.
    #[error("the event index is outdated")]
    Cleared,
    /// We may not do this.
    #[error("{0}")]
    Denied(String),
    /// The store answered, but not what we asked for.
    #[error("{0}")]
    Rejected(String),
    /// Something answered that is no etcd.
    #[error("{0}")]
    Nonsense(String),
}

/// The body of an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    error_code: u32,
    message: String,
    #[serde(default)]
    cause: String,
    #[serde(default)]
    index: u64,
}

impl Failure {
    /// Sorts an answer that is no success.
    pub(super) fn of_answer(status: u16, body: &[u8]) -> Self {
        if let Ok(refusal) = serde_json::from_slice::<Refusal>(body) {
            return Self::of_refusal(&refusal);
        }
        let body = String::from_utf8_lossy(body);
        let text = format!("HTTP {status}: {}", first_line(&body));
        match status {
            401 | 403 => Self::Denied(text),
            404 => Self::Node(format!(
                "{text} (no API of version 2: etcd before 3.6 has it with --enable-v2)"
            )),
            500.. => Self::Node(text),
            200..300 => Self::Nonsense(text),
            _ => Self::Rejected(text),
        }
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        let Refusal {
            error_code,
            message,
            cause,
            index,
        } = refusal;
        let text = format!("{message} ({error_code}): {}", first_line(cause));
        match *error_code {
            KEY_NOT_FOUND => Self::Missing(*index),
            TEST_FAILED | NODE_EXIST => Self::Refused,
            UNAUTHORIZED => Self::Denied(text),
            RAFT_INTERNAL | LEADER_ELECT => Self::Node(text),
            WATCHER_CLEARED | EVENT_INDEX_CLEARED => Self::Cleared,
            _ => Self::Rejected(text),
        }
    }

    /// The error that callers of the store see. What is unexpected is "unreachable": it must
    /// never read as a lost lock.
    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        let kind = match self {
            Self::Denied(why) => StoreErrorKind::Denied(why),
            Self::Nonsense(why) => StoreErrorKind::Nonsense(why),
            other @ (Self::Node(_)
            | Self::Missing(_)
            | Self::Refused
            | Self::Unclear
            | Self::Cleared
            | Self::Rejected(_)) => StoreErrorKind::Unreachable(other.to_string()),
        };
        StoreError::new(operation, kind)
    }

    /// The same for a write under a condition, which is a lost race when it does not hold.
    pub(super) fn of_condition(self, operation: &'static str) -> StoreError {
        match self {
            Self::Refused | Self::Missing(_) => StoreError::lost_race(operation),
            other @ (Self::Node(_)
            | Self::Unclear
            | Self::Cleared
            | Self::Denied(_)
            | Self::Rejected(_)
            | Self::Nonsense(_)) => other.into_error(operation),
        }
    }
}

impl Failed for Failure {
    fn of_node(why: String) -> Self {
        Self::Node(why)
    }

    fn asks(&self) -> Asks {
        match self {
            Self::Node(_) | Self::Nonsense(_) => Asks::AnotherNode,
            Self::Missing(_)
            | Self::Refused
            | Self::Unclear
            | Self::Cleared
            | Self::Denied(_)
            | Self::Rejected(_) => Asks::Nothing,
        }
    }

    fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

const KEY_NOT_FOUND: u32 = 100;
const TEST_FAILED: u32 = 101;
const NODE_EXIST: u32 = 105;
const UNAUTHORIZED: u32 = 110;
const RAFT_INTERNAL: u32 = 300;
const LEADER_ELECT: u32 = 301;
const WATCHER_CLEARED: u32 = 400;
const EVENT_INDEX_CLEARED: u32 = 401;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_their_code() {
        let class = |status: u16, body: &str| Failure::of_answer(status, body.as_bytes());
        let coded = |code: u32| {
            let body = format!(r#"{{"errorCode":{code},"message":"m","cause":"c","index":1}}"#);
            class(500, &body)
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(coded(100), Failure::Missing(1));
        assert_eq!(coded(101), Failure::Refused);
        assert_eq!(coded(105), Failure::Refused);
        assert_eq!(coded(110), Failure::Denied(text("m (110): c")));
        assert_eq!(coded(300), Failure::Node(text("m (300): c")));
        assert_eq!(coded(401), Failure::Cleared);
        assert_eq!(coded(209), Failure::Rejected(text("m (209): c")));
        assert_eq!(
            class(401, r#"{"message":"Insufficient credentials"}"#),
            Failure::Denied(text(r#"HTTP 401: {"message":"Insufficient credentials"}"#))
        );
        assert_eq!(class(503, ""), Failure::Node(text("HTTP 503: ")));
        assert_eq!(class(418, ""), Failure::Rejected(text("HTTP 418: ")));
    }

    #[test]
    fn the_page_not_found_of_a_stranger_is_no_absent_key() {
        let stranger = Failure::of_answer(404, b"404 page not found\n");
        assert_eq!(stranger.asks(), Asks::AnotherNode);
        assert!(stranger.to_string().contains("--enable-v2"), "{stranger}");
    }
}
