//! What became of one request, and what that asks of the caller.
//!
//! Source: store contract, section 13 (retriable statuses, permission errors); the manual of
//! Kubernetes, "API conventions", on the statuses.

use patroni_core::Causes;
use std::error::Error;
use std::time::Duration;

use http::StatusCode;
use kube::core::Status;

use super::request::Request;
use crate::error::{StoreError, StoreErrorKind};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The server did not answer, or cannot serve: another one may. The request may have been
    /// carried out.
    #[error("{0}")]
    Node(String),
    /// The server asks to come again later. The request may have been carried out.
    #[error("{why}")]
    Busy {
        why: String,
        /// When, if it said so.
        after: Option<Duration>,
    },
    /// The server does not know us, or not any more.
    #[error("{0}")]
    Unauthorized(String),
    /// We may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The object has another version, or exists already.
    #[error("{0}")]
    Conflict(String),
    /// There is no such object.
    #[error("{0}")]
    Absent(String),
    /// The server refuses for a reason of its own.
    #[error("{0}")]
    Rejected(String),
    /// The answer makes no sense.
    #[error("{0}")]
    Nonsense(String),
}

impl Failure {
    /// What a status other than success means, with the explanation in the body.
    pub(super) fn of_status(
        request: &Request,
        status: StatusCode,
        after: Option<Duration>,
        body: &[u8],
        retriable: &[u16],
    ) -> Self {
        let said = serde_json::from_slice::<Status>(body)
            .map(|status| status.message)
            .ok()
            .filter(|message| !message.is_empty());
        let why = match said {
            Some(message) => format!("{status}: {message}"),
            None => format!("{status} as answer to {request}"),
        };
        let may_pass = after.is_some()
            || status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || retriable.contains(&status.as_u16());
        match status {
            _ if may_pass => Self::Busy { why, after },
            StatusCode::UNAUTHORIZED => Self::Unauthorized(why),
            StatusCode::FORBIDDEN => Self::Forbidden(format!("{why}; {}", missing_rule(request))),
            StatusCode::CONFLICT => Self::Conflict(why),
            StatusCode::NOT_FOUND => Self::Absent(why),
            _ => Self::Rejected(why),
        }
    }

    /// An error on the way to an answer.
    pub(super) fn of_transport(error: &(dyn Error + 'static)) -> Self {
        Self::Node(Causes(error).to_string())
    }

    /// An error in place of a stream of events, or in it.
    pub(super) fn of_watch(request: &Request, error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::of_transport(error);
        };
        let code = StatusCode::from_u16(status.code).unwrap_or_default();
        let body = serde_json::to_vec(status).unwrap_or_default();
        Self::of_status(request, code, None, &body, &[])
    }

    /// The error that callers of the store see. What is unexpected is "unreachable": it must
    /// never read as a lost lock.
    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        let kind = match self {
            Self::Conflict(_) => StoreErrorKind::LostRace,
            Self::Unauthorized(why)
            | Self::Forbidden(why)
            | Self::Rejected(why)
            | Self::Absent(why) => StoreErrorKind::Denied(why),
            Self::Nonsense(why) => StoreErrorKind::Nonsense(why),
            other @ (Self::Node(_) | Self::Busy { .. }) => {
                StoreErrorKind::Unreachable(other.to_string())
            }
        };
        StoreError::new(operation, kind)
    }
}

/// The rule that a role needs for a request, to be copied into a manifest.
fn missing_rule(request: &Request) -> String {
    let Request {
        verb,
        kind,
        namespace,
        ..
    } = request;
    format!(
        "a Role in the namespace {namespace} needs the rule \
         {{apiGroups: [\"\"], resources: [{kind}], verbs: [{verb}]}}, bound to this account"
    )
}

#[cfg(test)]
mod tests {
    use super::super::request::Kind;
    use super::*;

    fn judged(code: u16, after: Option<u64>, body: &str) -> Failure {
        let request = Request::get(Kind::ConfigMaps, "default", "demo-leader");
        let status = StatusCode::from_u16(code).unwrap();
        let after = after.map(Duration::from_secs);
        Failure::of_status(&request, status, after, body.as_bytes(), &[418])
    }

    #[test]
    fn statuses_are_sorted_by_what_they_ask_of_us() {
        let busy = |failure| matches!(failure, Failure::Busy { .. });
        assert!(
            [500, 502, 503, 504, 429, 418].map(|code| busy(judged(code, None, ""))) == [true; 6]
        );
        assert!(
            busy(judged(409, Some(1), "")),
            "who names a time wants us back"
        );
        assert!(matches!(judged(409, None, "{}"), Failure::Conflict(_)));
        assert!(matches!(judged(401, None, "?"), Failure::Unauthorized(_)));
        assert!(matches!(judged(404, None, ""), Failure::Absent(_)));
        assert!(matches!(judged(422, None, ""), Failure::Rejected(_)));
    }

    #[test]
    fn a_missing_permission_names_the_rule() {
        let text = judged(403, None, r#"{"message": "user x cannot get"}"#).to_string();
        assert!(text.contains("user x cannot get"), "{text}");
        assert!(
            text.contains("resources: [configmaps], verbs: [get]"),
            "{text}"
        );
    }
}
