//! What became of one request, and what that asks of the caller.
//!
//! Source: store contract, section 11 (classes of answers).

use std::time::Duration;

use crate::body::first_line;
use crate::error::{StoreError, StoreErrorKind};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody answered, or with an error that says nothing about our request. It may have been
    /// carried out.
    #[error("{0}")]
    Unanswered(String),
    /// The session is gone.
    #[error("invalid session")]
    SessionGone,
    /// Sessions must live longer than we want ours to.
    #[error("sessions must live for at least {0:?}")]
    SessionTooShort(Duration),
    /// We may not do this.
    #[error("{0}")]
    Denied(String),
    /// The store answered, but not what we asked for.
    #[error("{0}")]
    Rejected(String),
    /// The store answered something that makes no sense.
    #[error("{0}")]
    Nonsense(String),
}

impl Failure {
    /// Sorts an answer that is no success.
    pub(super) fn of_status(status: u16, body: &str) -> Self {
        if body.contains("Invalid Session TTL") {
            return Self::SessionTooShort(least_ttl(body));
        }
        if body.contains("invalid session") {
            return Self::SessionGone;
        }
        let text = format!("HTTP {status}: {}", first_line(body));
        match status {
            401 | 403 => Self::Denied(text),
            429 | 500.. => Self::Unanswered(text),
            _ => Self::Rejected(text),
        }
    }

    /// The error that callers of the store see. What is unexpected is "unreachable": it must
    /// never read as a lost lock.
    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        let kind = match self {
            Self::Denied(why) => StoreErrorKind::Denied(why),
            Self::Nonsense(why) => StoreErrorKind::Nonsense(why),
            other @ (Self::Unanswered(_)
            | Self::SessionGone
            | Self::SessionTooShort(_)
            | Self::Rejected(_)) => StoreErrorKind::Unreachable(other.to_string()),
        };
        StoreError::new(operation, kind)
    }
}

/// The least life of a session, from `must be between [10s=24h0m0s]`. Consul tells it nowhere
/// else; its default is 10 s.
fn least_ttl(body: &str) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(10);
    let least = body
        .split_once("between [")
        .and_then(|(_, rest)| rest.split_once('='))
        .and_then(|(least, _)| go_duration(least));
    least.unwrap_or(DEFAULT)
}

/// Reads a duration as Go writes it: `1h2m3.5s`, `500ms`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(unit_at);
        let next = after.find(|c: char| c.is_ascii_digit());
        let (unit, after) = after.split_at(next.unwrap_or(after.len()));
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_text_first() {
        let class = Failure::of_status;
        assert_eq!(
            class(500, "invalid session \"00000000\""),
            Failure::SessionGone
        );
        assert_eq!(
            class(
                500,
                "Invalid Session TTL '5000000000', must be between [12.5s=24h0m0s]"
            ),
            Failure::SessionTooShort(Duration::from_millis(12_500))
        );
        assert_eq!(
            class(400, "Invalid Session TTL"),
            Failure::SessionTooShort(Duration::from_secs(10))
        );
        let text = |text: &str| text.to_owned();
        assert_eq!(
            class(403, "Permission denied\n"),
            Failure::Denied(text("HTTP 403: Permission denied"))
        );
        assert_eq!(
            class(500, "No cluster leader"),
            Failure::Unanswered(text("HTTP 500: No cluster leader"))
        );
        assert_eq!(class(418, ""), Failure::Rejected(text("HTTP 418: ")));
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("24h0m0s", Some(86_400_000)),
            ("", None),
            ("10", None),
            ("1y", None),
            ("..s", None),
        ] {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(go_duration(text), expected, "{text}");
        }
    }
}
