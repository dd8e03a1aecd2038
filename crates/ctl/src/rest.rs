//! Asking members over REST, as a trait.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

/// The methods that the tool uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Acts.
    Post,
    /// Changes the dynamic configuration.
    Patch,
    /// Removes a schedule.
    Delete,
}

/// An answer of a member, whatever its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The body as text.
    pub body: String,
    /// When the member answered by its own clock, to the second: the header `Date`.
    pub date: Option<String>,
}

/// No answer: not reachable, TLS refused, time over, answer broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RestError(pub String);

/// What became of one of several questions, and when by our clock.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The answer.
    pub(crate) answer: Result<Answer, RestError>,
    /// When it was there.
    pub(crate) at: Timestamp,
    /// How long it took, repeats included.
    pub(crate) took: Duration,
}

/// A client with the configured credentials and trust. It repeats while connecting (at most
/// three times; GET and DELETE also after a broken answer), never a POST or PATCH that was sent.
#[async_trait]
pub trait Rest: Send + Sync {
    /// One request. `url` is absolute, the body is sent as JSON, the whole call ends within
    /// `limit`. Dropping the future leaves unknown whether the member acted.
    ///
    /// # Errors
    /// There was no answer.
    async fn request(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, RestError>;
}

/// For calls that a member answers at once.
pub(crate) const QUICK: Duration = Duration::from_secs(30);

/// For restarts: a shutdown checkpoint and a long recovery are waited for by the member, whose
/// own limit (`timeout`, else `primary_start_timeout`) decides; this one only ends what would
/// never end.
pub(crate) const PATIENT: Duration = Duration::from_hours(24);

/// The address of `path` at the member that published `api_url` (`http://h:8008/patroni`).
pub(crate) fn endpoint(api_url: &str, path: &str) -> String {
    let (scheme, rest) = api_url.split_once("://").unwrap_or(("http", api_url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    format!("{scheme}://{authority}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_replace_the_published_path() {
        assert_eq!(
            endpoint("http://h:8008/patroni", "restart"),
            "http://h:8008/restart"
        );
        assert_eq!(
            endpoint("https://[::1]:8008", "config"),
            "https://[::1]:8008/config"
        );
    }
}
