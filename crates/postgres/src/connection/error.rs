//! How a statement can fail.

use patroni_core::Causes;
use std::time::Duration;

/// Why a statement has no result. Callers choose by variant: only [`QueryError::Sql`] says
/// something about the statement itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no connection, or it was lost on the way.
    #[error("reach the server: {reason}")]
    Unreachable {
        /// The chain of causes in words.
        reason: String,
        /// SQLSTATE, when the server itself refused.
        code: Option<String>,
    },
    /// No answer came in time; the connection was given up.
    #[error("get an answer within {0:?}")]
    Deadline(Duration),
    /// The server cancelled the statement (statement timeout).
    #[error("run the statement in the server's time limit")]
    Cancelled,
    /// The server refused the statement.
    #[error("run the statement: {message} (SQLSTATE {code})")]
    Sql {
        /// SQLSTATE.
        code: String,
        /// The server's message.
        message: String,
    },
    /// The server is there, and the two do not agree on TLS: its certificate is not believed, or
    /// it has none.
    #[error("agree on TLS with the server: {0}")]
    TlsRefused(String),
    /// TLS material cannot be used.
    #[error(transparent)]
    Tls(#[from] super::tls::TlsError),
}

impl QueryError {
    /// Whether trying again on a new connection may help.
    pub fn is_connection_problem(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TlsRefused(_))
    }

    /// The refusal came from the server itself, so it is there.
    pub(crate) fn came_from_server(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { code: Some(_), .. } | Self::Sql { .. } | Self::TlsRefused(_)
        )
    }

    /// The server asked who is there, and did not let them in: its access rules or the password.
    pub(crate) fn is_access_refusal(&self) -> bool {
        // Class 28 of PostgreSQL's error codes: invalid authorization specification.
        matches!(self, Self::Sql { code, .. } if code.starts_with("28"))
            || matches!(self, Self::TlsRefused(_))
    }

    /// The server is there but does not accept connections yet (or no longer).
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Unreachable { code: Some(code), .. } if code == "57P03")
    }
}

impl From<tokio_postgres::Error> for QueryError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            if is_tls_refusal(&error) {
                return Self::TlsRefused(Causes(&error).to_string());
            }
            return Self::Unreachable {
                reason: Causes(&error).to_string(),
                code: None,
            };
        };
        let code = db.code().code().to_owned();
        match code.as_str() {
            "57014" => Self::Cancelled,
            // Connection exceptions and operator intervention: the session is over.
            _ if code.starts_with("08") || code.starts_with("57P") => Self::Unreachable {
                reason: db.message().to_owned(),
                code: Some(code),
            },
            _ => Self::Sql {
                message: db.message().to_owned(),
                code,
            },
        }
    }
}

/// Whether the handshake came to a "no", and not to a broken connection.
fn is_tls_refusal(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let wrapped = inner
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let in_io =
            wrapped.and_then(<dyn std::error::Error + Send + Sync>::downcast_ref::<rustls::Error>);
        if inner.is::<rustls::Error>() || in_io.is_some() {
            return true;
        }
        cause = inner.source();
    }
    // The library has no kind for this one.
    Causes(error)
        .to_string()
        .ends_with("server does not support TLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_login_is_told_from_a_refused_statement() {
        let refusal = |code: &str| QueryError::Sql {
            code: code.to_owned(),
            message: String::new(),
        };
        for code in ["28000", "28P01"] {
            assert!(refusal(code).is_access_refusal(), "{code}");
        }
        assert!(!refusal("42501").is_access_refusal());
        assert!(!refusal("57014").is_access_refusal());
    }
}
