//! The process-wide TLS algorithms, for client libraries that take no provider of their own.

/// Makes sure that there is one. Binaries install theirs first thing; programs that embed this
/// crate may not, and two providers are compiled in, between which those libraries cannot
/// choose.
pub(crate) fn ensure_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Whoever is faster is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}
