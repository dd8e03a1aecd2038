//! What can go wrong, by kind of operation.

use std::io;
use std::path::PathBuf;

/// Material for TLS that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM.
    #[error("read {what} from {path}")]
    Read {
        /// `certificate`, `private key` or `trusted certificates`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds nothing of what is wanted.
    #[error("find any {what} in {path}")]
    Empty {
        /// `certificate`, `private key` or `trusted certificates`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The key is protected by a password that is not known, or in a form that is not.
    #[error("use {path}")]
    LockedKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: patroni_tls::KeyError,
    },
    /// The material was read, and does not fit.
    #[error("use the certificate in {path}")]
    Rejected {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A cipher list that selects nothing, or that cannot be read.
    #[error("use restapi.ciphers {list:?}")]
    Ciphers {
        /// The list.
        list: String,
        /// Why.
        #[source]
        source: CipherListError,
    },
    /// The trust store cannot be built.
    #[error("set up verification of certificates")]
    Verifier(#[source] rustls::Error),
}

/// A list of cipher suites that OpenSSL refuses, too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherListError {
    /// Something stands where a word or a command should be.
    #[error("it cannot be read from {0:?} on")]
    Unreadable(String),
    /// A command after `@` that does not exist.
    #[error("there is no {0:?}, only @STRENGTH and @SECLEVEL=0 to @SECLEVEL=5")]
    Command(String),
    /// It leaves nothing.
    #[error("it selects no cipher suite; there are {offer}")]
    Nothing {
        /// The suites of TLS 1.2 that could be selected.
        offer: String,
    },
}

/// The REST server cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be bound. The text is the one that operators know.
    #[error(
        "Couldn't start a service on '{listen}', please check your `restapi.listen` configuration"
    )]
    Listen {
        /// `HOST:PORT`, with the host `None` for all addresses.
        listen: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("set up TLS of the REST server")]
    Tls(#[source] TlsError),
}

impl BindError {
    /// Somebody, perhaps this process, listens there.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

/// The store gave no answer in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read the cluster: {0}")]
pub struct Unavailable(pub String);

/// A call to another member failed.
#[derive(Debug, thiserror::Error)]
#[error("call {url}")]
pub struct ClientError {
    /// What was called.
    pub url: String,
    /// Why it failed.
    #[source]
    pub kind: ClientErrorKind,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The address makes no sense.
    #[error("read the address: {0}")]
    Address(&'static str),
    /// No connection.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The connection broke, or its end talks nonsense.
    #[error("exchange HTTP messages")]
    Http(#[source] hyper::Error),
    /// The answer is larger than the bound.
    #[error("keep the answer: it is larger than {0} bytes")]
    TooLarge(usize),
    /// The deadline passed.
    #[error("finish in time")]
    Deadline,
}
