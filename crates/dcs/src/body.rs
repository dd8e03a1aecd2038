//! The bodies of answers over HTTP.

use reqwest::Response;

/// A cluster's objects are small, and the stores keep at most a megabyte or so under a key; this
/// bounds one answer far above what they can be together.
const LARGEST: usize = 64 << 20;

/// Reads a body; `None` when it does not end.
pub(crate) async fn read(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Enough of an answer to know it by, in one line.
pub(crate) fn first_line(body: &str) -> String {
    const LONGEST: usize = 200;
    let line = body.trim().lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}
