//! What became of one request, and what that asks of the caller.
//!
//! Source: store contract, section 10 (error classes).

use std::error::Error as _;

use etcd_client::Error;

use crate::error::{StoreError, StoreErrorKind};
use crate::topology::{Asks, Failed};
use patroni_core::causes::with_causes;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The node did not answer, or cannot serve: another one may. The request may have been
    /// carried out.
    #[error("{0}")]
    Node(String),
    /// The node asks to come again later.
    #[error("{0}")]
    Busy(String),
    /// Our token is not or no longer good.
    #[error("{0}")]
    Token(String),
    /// The lease is gone.
    #[error("requested lease not found")]
    LeaseGone,
    /// We may not do this.
    #[error("{0}")]
    Denied(String),
    /// The store answered, but not what we asked for.
    #[error("{0}")]
    Rejected(String),
}

impl Failure {
    /// Sorts an error of the client library.
    pub(super) fn of(error: &Error) -> Self {
        let text = error.to_string();
        match error {
            Error::GRpcStatus(status) => {
                // What the system said stands at the end of the chain.
                let message = with_causes(status.message().to_owned(), status.source());
                Self::of_status(status.code() as i32, &message)
            }
            Error::LeaseKeepAliveError(reason) if reason.contains("not found") => Self::LeaseGone,
            Error::TransportError(_)
            | Error::IoError(_)
            | Error::LeaseKeepAliveError(_)
            | Error::WatchError(_)
            | Error::EndpointError(_)
            | Error::EndpointsNotManaged
            | Error::Internal(_) => Self::Node(text),
            Error::InvalidArgs(_)
            | Error::InvalidUri(_)
            | Error::Utf8Error(_)
            | Error::ElectError(_)
            | Error::InvalidMetadataValue(_) => Self::Rejected(text),
        }
    }

    fn of_status(code: i32, message: &str) -> Self {
        let text = message.to_owned();
        let says = |part: &str| message.contains(part);
        if says("requested lease not found") {
            return Self::LeaseGone;
        }
        if says("invalid user ID or password") {
            return Self::Denied(text);
        }
        if says("user name is empty")
            || says("permission denied")
            || says("invalid auth token")
            || says("revision of auth store is old")
        {
            return Self::Token(text);
        }
        match code {
            DEADLINE_EXCEEDED | FAILED_PRECONDITION => Self::Busy(text),
            UNKNOWN if says("etcdserver:") && !says("not a primary lessor") => Self::Rejected(text),
            UNAVAILABLE | UNKNOWN | CANCELLED | INTERNAL => Self::Node(text),
            PERMISSION_DENIED | UNAUTHENTICATED => Self::Denied(text),
            _ => Self::Rejected(text),
        }
    }

    /// Whether the server said that it knows no users at all.
    pub(super) fn means_no_authentication(error: &Error) -> bool {
        matches!(error, Error::GRpcStatus(status)
            if status.message().contains("authentication is not enabled"))
    }

    /// The error that callers of the store see. What is unexpected is "unreachable": it must
    /// never read as a lost lock.
    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        let kind = match self {
            Self::Denied(why) | Self::Token(why) => StoreErrorKind::Denied(why),
            other @ (Self::Node(_) | Self::Busy(_) | Self::LeaseGone | Self::Rejected(_)) => {
                StoreErrorKind::Unreachable(other.to_string())
            }
        };
        StoreError::new(operation, kind)
    }
}

impl Failed for Failure {
    fn of_node(why: String) -> Self {
        Self::Node(why)
    }

    fn asks(&self) -> Asks {
        match self {
            Self::Node(_) => Asks::AnotherNode,
            Self::Busy(_) => Asks::Patience,
            Self::Token(_) | Self::LeaseGone | Self::Denied(_) | Self::Rejected(_) => Asks::Nothing,
        }
    }

    fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(_))
    }
}

// Codes of gRPC (statuscodes.md of its documentation).
const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_the_system_is_told() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(
            with_causes("tcp connect error".to_owned(), Some(&refused)),
            "tcp connect error: connection refused"
        );
        assert_eq!(
            with_causes("connection refused".to_owned(), Some(&refused)),
            "connection refused"
        );
    }

    #[test]
    fn statuses_are_sorted_by_text_first() {
        let class = Failure::of_status;
        assert_eq!(
            class(5, "etcdserver: requested lease not found"),
            Failure::LeaseGone
        );
        let text = |text: &str| text.to_owned();
        assert_eq!(
            class(14, "etcdserver: request timed out"),
            Failure::Node(text("etcdserver: request timed out"))
        );
        assert_eq!(
            class(2, "not a primary lessor"),
            Failure::Node(text("not a primary lessor"))
        );
        assert_eq!(
            class(16, "etcdserver: invalid auth token"),
            Failure::Token(text("etcdserver: invalid auth token"))
        );
        assert_eq!(
            class(8, "etcdserver: mvcc: database space exceeded"),
            Failure::Rejected(text("etcdserver: mvcc: database space exceeded"))
        );
        assert_eq!(class(4, "x"), Failure::Busy(text("x")));
    }
}
