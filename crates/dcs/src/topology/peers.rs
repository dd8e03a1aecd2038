//! Nodes that are known by their addresses for each other: any of them tells those for clients.
//!
//! Source: store contract, section 8 (SRV). As in the reference the certificates of peers are not
//! verified: they often come from an authority of their own. The servers that they name are, by
//! every later connection.

use std::time::Duration;

use patroni_core::Causes;
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;

use super::options::Options;
use crate::body;
use crate::tls::{self, Files};

/// How long one of them may take; there may be several.
const PATIENCE: Duration = Duration::from_secs(1);

/// Enough for a thousand members.
const LARGEST_ANSWER: usize = 1 << 20;

#[derive(Deserialize)]
struct Member {
    #[serde(default, rename = "clientURLs")]
    client_urls: Vec<String>,
}

/// The URLs for clients of all members, as the first peer says that answers; none when no one
/// does, and the log tells why.
pub(super) async fn client_urls(peers: &[String], options: &Options) -> Vec<String> {
    for peer in peers {
        let url = format!("{peer}/members");
        match ask(&url, options).await {
            Ok(urls) => return urls,
            Err(why) => tracing::error!("GET {url}: {why}"),
        }
    }
    Vec::new()
}

async fn ask(url: &str, options: &Options) -> Result<Vec<String>, String> {
    let files = Files {
        verify: false,
        cacert: None,
        cert: options.cert.as_deref(),
        key: options.key.as_deref(),
    };
    let tls = tls::load(url, files).await;
    let client = Client::builder()
        .tls_backend_preconfigured(tls.map_err(|error| Causes(&error).to_string())?)
        .no_proxy()
        .redirect(Policy::none())
        .timeout(PATIENCE)
        .build();
    let told = |error: reqwest::Error| Causes(&error.without_url()).to_string();
    let sent = client.map_err(told)?.get(url).send().await;
    let mut response = sent
        .and_then(reqwest::Response::error_for_status)
        .map_err(told)?;
    let Some(answer) = body::read(&mut response, LARGEST_ANSWER)
        .await
        .map_err(told)?
    else {
        return Err("the answer is too long".to_owned());
    };
    read(&answer)
}

fn read(answer: &[u8]) -> Result<Vec<String>, String> {
    let members: Vec<Member> = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer is no list of members: {error}"))?;
    Ok(members
        .into_iter()
        .flat_map(|member| member.client_urls)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_have_not_started_have_no_address_for_clients() {
        let answer =
            br#"[{"id":1,"peerURLs":["http://a:2380"],"name":"a","clientURLs":["http://a:2379"]},
                          {"id":2,"peerURLs":["http://b:2380"],"name":""}]"#;
        assert_eq!(read(answer).unwrap(), ["http://a:2379"]);
        assert!(read(b"404 page not found").is_err());
    }
}
