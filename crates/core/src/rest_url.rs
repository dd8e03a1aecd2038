//! Addresses of a member's REST API.

/// Another endpoint of the member that publishes `api_url`: its last segment is replaced.
pub fn sibling(api_url: &str, endpoint: &str) -> String {
    let base = api_url.split('?').next().unwrap_or_default();
    let begin = base.find("://").map_or(0, |at| at + 3);
    match base[begin..].rfind('/') {
        Some(slash) => format!("{}/{endpoint}", &base[..begin + slash]),
        None => format!("{base}/{endpoint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_share_host_and_prefix() {
        for (url, expected) in [
            ("http://h:8008/patroni", "http://h:8008/failsafe"),
            (
                "https://[::1]:8008/a/patroni?x",
                "https://[::1]:8008/a/failsafe",
            ),
            ("http://h:8008", "http://h:8008/failsafe"),
        ] {
            assert_eq!(sibling(url, "failsafe"), expected);
        }
    }
}
