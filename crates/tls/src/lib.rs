//! What the TLS of every connection has in common: whom it believes, and the keys that it shows.
//!
//! Connections go to other members, to stores and to PostgreSQL, by different libraries with
//! settings of different names. What they share is here once: a [`Trust`] (certificates that are
//! believed), a [`ServerVerifier`] (how much of a server's certificate is proved), and [`unlock`]
//! for private keys with a password (`keyfile_password` of the REST API, `key_password` of a
//! store, `sslpassword` of connections to PostgreSQL).
//!
//! ```
//! use patroni_tls::{KeyError, unlock};
//!
//! let open = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n";
//! assert_eq!(unlock(open, None)?, open);
//! # Ok::<(), KeyError>(())
//! ```

mod key;
mod server;
mod trust;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

pub use key::{KeyError, unlock};
pub use server::{Proof, ServerVerifier};
pub use trust::Trust;

/// The one provider of algorithms, named here so that no process-wide default is needed.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
