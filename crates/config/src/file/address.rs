//! Addresses as configuration writes them: `host:port`, with or without brackets.

use std::fmt;
use std::net::Ipv6Addr;

/// The addresses of `listen`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Hosts without brackets.
    pub hosts: Vec<String>,
    /// Port.
    pub port: u16,
}

/// One `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Host without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A text that is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No number stands after the last colon, or it is above 65535.
    #[error("contains a wrong value: no port number after the last colon")]
    Port,
    /// A port is needed and not there.
    #[error("contains a wrong value: expected <HOST>:<PORT>")]
    NoPort,
    /// What stands before the port has colons but is no IPv6 address.
    #[error("contains a wrong value: an IPv6 address needs brackets and a port")]
    Host,
}

impl Listen {
    /// Reads `host[,host...]:port`.
    ///
    /// # Errors
    /// The text is no such list.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        let (hosts, port) = split(text, default_port)?;
        let hosts = hosts.split(',').map(|host| host.trim().to_owned());
        Ok(Self {
            hosts: hosts.collect(),
            port,
        })
    }

    /// The host by which a process on this machine reaches the server over TCP.
    pub fn local_host(&self) -> &str {
        let everywhere =
            |host: &String| matches!(host.as_str(), "*" | "localhost" | "0.0.0.0" | "127.0.0.1");
        match self.hosts.first() {
            Some(first) if !self.hosts.iter().any(everywhere) => first,
            Some(_) | None => "localhost",
        }
    }
}

impl HostPort {
    /// Reads `host:port`; without a port the default is taken, if there is one.
    ///
    /// # Errors
    /// The text is no address.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        let (host, port) = split(text, default_port)?;
        Ok(Self { host, port })
    }
}

/// The form for a URL: IPv6 in brackets, a zero port left out.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') && !self.host.contains(',') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != 0 {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Splits at the last colon. What is left of it may be a comma list; its IPv6 hosts lose their
/// brackets.
pub(crate) fn split(text: &str, default_port: Option<u16>) -> Result<(String, u16), AddressError> {
    let Some((hosts, port)) = text.rsplit_once(':') else {
        let port = default_port.ok_or(AddressError::NoPort)?;
        return Ok((text.to_owned(), port));
    };
    let port = port.trim().parse().map_err(|_| AddressError::Port)?;
    if !hosts.contains(':') {
        return Ok((hosts.to_owned(), port));
    }
    let mut stripped = Vec::new();
    for host in hosts.split(',') {
        let host = host.trim().trim_start_matches('[').trim_end_matches(']');
        let address = host.split('%').next().unwrap_or_default();
        if host.contains(':') && address.parse::<Ipv6Addr>().is_err() {
            return Err(AddressError::Host);
        }
        stripped.push(host);
    }
    Ok((stripped.join(","), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_at_the_last_colon() {
        for (text, expected) in [
            ("127.0.0.1", Ok(("127.0.0.1", 5432))),
            ("a,b:1", Ok(("a,b", 1))),
            ("[::1]:5432", Ok(("::1", 5432))),
            ("::1:5432", Ok(("::1", 5432))),
            ("localhost,[::1]:5433", Ok(("localhost,::1", 5433))),
            (":5432", Ok(("", 5432))),
            ("host:", Err(AddressError::Port)),
            ("[::1]", Err(AddressError::Port)),
            ("::1", Err(AddressError::Host)),
            ("h:70000", Err(AddressError::Port)),
        ] {
            let expected = expected.map(|(hosts, port): (&str, u16)| (hosts.to_owned(), port));
            assert_eq!(split(text, Some(5432)), expected, "{text}");
        }
        assert_eq!(split("h", None), Err(AddressError::NoPort));
        assert_eq!(
            Listen::parse("127.0.0.1, 127.0.0.2,::1:5432", None)
                .unwrap()
                .hosts,
            ["127.0.0.1", "127.0.0.2", "::1"]
        );
    }

    #[test]
    fn urls_have_brackets_and_no_zero_port() {
        let address = |host: &str, port| {
            HostPort {
                host: host.to_owned(),
                port,
            }
            .to_string()
        };
        assert_eq!(address("fd00::1", 5432), "[fd00::1]:5432");
        assert_eq!(address("h1,h2", 5432), "h1,h2:5432");
        assert_eq!(address("h", 0), "h");
    }
}
