//! `restapi.ciphers`: cipher lists in OpenSSL's notation, as people have them in their files.
//!
//! A list is judged with all suites that OpenSSL 3 knows (`suites.txt`, by `openssl ciphers -v`,
//! in the order in which it ranks them), so that it means here what it means there, its order
//! and its mistakes included; then what this server can speak is taken of it. Like
//! there it rules TLS 1.2 alone: the suites of TLS 1.3 are always on offer, unless a
//! `@SECLEVEL` forbids them. The source of the notation is the manual page `ciphers(1)`.

mod list;
mod offer;
mod suite;
#[cfg(test)]
mod tests;
mod words;

pub(super) use offer::Offer;
