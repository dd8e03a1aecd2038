//! What became of one request, and what that asks of the caller.

use zookeeper_client::Error;

use crate::error::{StoreError, StoreErrorKind};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The connection or the session was lost on the way. The request may have been carried out.
    #[error("{0}")]
    Lost(String),
    /// The session is over, or another connection has it. The request may have been carried out.
    #[error("session expired")]
    Expired,
    /// Nobody answered in time. The request may have been, or may yet be, carried out.
    #[error("{0}")]
    Silent(String),
    /// The node does not exist.
    #[error("node does not exist")]
    Missing,
    /// The node exists already.
    #[error("node exists")]
    Exists,
    /// The node was written since.
    #[error("node has another version")]
    Version,
    /// We may not do this, or cannot ask for it.
    #[error("{0}")]
    Denied(String),
    /// The server answered that it cannot do this now.
    #[error("{0}")]
    Rejected(String),
    /// The server answered something else.
    #[error("{0}")]
    Nonsense(String),
}

impl Failure {
    /// Whether the same request may go through later, or elsewhere.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Expired)
    }

    /// The error that callers of the store see. What is unexpected is "unreachable": it must
    /// never read as a lost lock.
    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        let text = self.to_string();
        let kind = match self {
            Self::Missing | Self::Exists | Self::Version => StoreErrorKind::LostRace,
            Self::Denied(why) => StoreErrorKind::Denied(why),
            Self::Nonsense(why) => StoreErrorKind::Nonsense(why),
            Self::Lost(_) | Self::Expired | Self::Silent(_) | Self::Rejected(_) => {
                StoreErrorKind::Unreachable(text)
            }
        };
        StoreError::new(operation, kind)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::NoNode => Self::Missing,
            Error::NodeExists => Self::Exists,
            Error::BadVersion => Self::Version,
            Error::SessionExpired | Error::SessionMoved => Self::Expired,
            Error::NoAuth
            | Error::AuthFailed
            | Error::InvalidAcl
            | Error::BadArguments(_)
            | Error::QuotaExceeded => Self::Denied(text),
            Error::NoHosts
            | Error::Timeout
            | Error::ClientClosed
            | Error::ConnectionLoss
            | Error::NotReadOnly
            | Error::Throttled
            | Error::Custom(_) => Self::Lost(text),
            Error::UnmarshalError { .. } | Error::UnexpectedError(_) => Self::Nonsense(text),
            Error::NoChildrenForEphemerals
            | Error::NotEmpty
            | Error::NoWatcher
            | Error::MarshallingError
            | Error::Unimplemented
            | Error::ReconfigDisabled
            | Error::RuntimeInconsistent
            | Error::UnexpectedErrorCode(_) => Self::Rejected(text),
            _ => Self::Rejected(format!("unknown error: {text}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_somebody_else_was_first_is_a_lost_race() {
        let kind = |error: Error| Failure::from(error).into_error("try").kind;
        for error in [Error::NodeExists, Error::NoNode, Error::BadVersion] {
            assert_eq!(kind(error), StoreErrorKind::LostRace);
        }
        for error in [Error::NoAuth, Error::AuthFailed] {
            assert!(matches!(kind(error), StoreErrorKind::Denied(_)));
        }
        for error in [
            Error::SessionExpired,
            Error::ConnectionLoss,
            Error::UnexpectedErrorCode(-1),
            Error::NotEmpty,
        ] {
            assert!(matches!(kind(error), StoreErrorKind::Unreachable(_)));
        }
        let nonsense = Error::UnexpectedError("x".to_owned());
        assert!(matches!(kind(nonsense), StoreErrorKind::Nonsense(_)));
    }
}
