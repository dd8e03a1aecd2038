//! The bodies of answers over HTTP.

use reqwest::Response;

/// A cluster's objects are small, and the stores keep at most a megabyte or so under a key; this
/// bounds one answer far above what they can be together.
#[cfg(any(feature = "consul", feature = "etcd"))]
pub(crate) const LARGEST: usize = 64 << 20;

/// Reads a body; `None` when it is longer than `largest`.
pub(crate) async fn read(
    response: &mut Response,
    largest: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > largest {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Enough of an answer to know it by, in one line.
#[cfg(any(feature = "consul", feature = "etcd"))]
pub(crate) fn first_line(body: &str) -> String {
    const LONGEST: usize = 200;
    let line = body.trim().lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}
