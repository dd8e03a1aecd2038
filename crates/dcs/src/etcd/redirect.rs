//! Being sent on to another address.
//!
//! Source: store contract, section 8 (redirects are followed). Method, body and condition stay
//! what they are, so that no write becomes a read; user and password go along only to where they
//! are meant for.

use reqwest::header::LOCATION;
use reqwest::{Response, Url};

/// Where an answer from `at` sends us; `None` when it is the answer itself.
///
/// # Errors
/// The address is none, or is in plain text behind an encrypted one.
pub(super) fn target(at: &Url, response: &Response) -> Result<Option<Url>, String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION);
    let Some(location) = location.and_then(|text| text.to_str().ok()) else {
        return Err(format!("a redirect to nowhere by {at}"));
    };
    next(at, location).map(Some)
}

fn next(at: &Url, location: &str) -> Result<Url, String> {
    let refused = |why: &str| Err(format!("a redirect by {at} {why}"));
    let Ok(next) = at.join(location) else {
        return refused("to no address");
    };
    match (at.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(next),
        (_, "http") => refused("from TLS to plain text is not followed"),
        _ => refused("to something else than HTTP"),
    }
}

/// Whether user and password, which are meant for `node`, may go to an address that it sent us
/// to: one on the same host, or of one of the known nodes.
pub(super) fn is_trusted(node: &Url, at: &Url, known: &[String]) -> bool {
    let is_at = |url: &String| Url::parse(url).is_ok_and(|url| url.origin() == at.origin());
    node.host() == at.host() || known.iter().any(is_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_encrypted_node_sends_nobody_to_plain_text() {
        let next = |at: &str, to: &str| next(&url(at), to).map(String::from);
        assert_eq!(next("http://a:1/x?y=1", "/z"), Ok("http://a:1/z".into()));
        assert_eq!(next("http://a:1/", "https://b/"), Ok("https://b/".into()));
        assert_eq!(next("https://a/", "https://b/"), Ok("https://b/".into()));
        for (at, to) in [("https://a/", "http://a/"), ("http://a/", "ftp://a/")] {
            assert!(next(at, to).is_err(), "{at} {to}");
        }
    }

    #[test]
    fn credentials_stay_within_the_cluster() {
        let known = ["http://b:2379".to_owned()];
        let trusted = |at: &str| is_trusted(&url("http://a:2379/v2"), &url(at), &known);
        assert!(trusted("http://a:2379/v2") && trusted("https://a:1/v2"));
        assert!(trusted("http://b:2379/v2"));
        assert!(!trusted("http://b:80/v2") && !trusted("http://c:2379/v2"));
    }
}
