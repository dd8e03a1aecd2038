//! What an Exhibitor says.

use serde::Deserialize;

/// The members of an ensemble.
#[derive(Debug, Deserialize)]
struct Answer {
    servers: Vec<String>,
    port: u16,
}

/// The servers of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servers {
    /// Their names, sorted. An Exhibitor runs beside each.
    pub(super) names: Vec<String>,
    /// `host:port` for clients of ZooKeeper.
    pub(super) addresses: Vec<String>,
}

/// Reads an answer.
///
/// # Errors
/// It is not what an Exhibitor says, or names no server.
pub(super) fn read(body: &[u8]) -> Result<Servers, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut names = answer.servers;
    if let Some(name) = names.iter().find(|name| !is_host(name)) {
        return Err(format!("{name:?} is no host"));
    }
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err("no servers are named".to_owned());
    }
    let address = |name: &String| format!("{name}:{}", answer.port);
    Ok(Servers {
        addresses: names.iter().map(address).collect(),
        names,
    })
}

/// Whether a text can be a host in a list of addresses.
fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_sorted_and_get_the_port() {
        let servers = read(br#"{"servers": ["zk2", "10.0.0.1", "zk1"], "port": 2181}"#).unwrap();
        assert_eq!(servers.names, ["10.0.0.1", "zk1", "zk2"]);
        assert_eq!(servers.addresses, ["10.0.0.1:2181", "zk1:2181", "zk2:2181"]);
    }

    #[test]
    fn nonsense_is_no_list_of_servers() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"servers": [], "port": 2181}"#,
            r#"{"servers": ["a"], "port": 70000}"#,
            r#"{"servers": ["a,b/c"], "port": 2181}"#,
            r#"{"servers": "a", "port": 2181}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
