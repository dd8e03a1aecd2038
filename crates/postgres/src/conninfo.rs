//! Connection strings: reading what the server shows, writing what we want.

use std::collections::BTreeMap;
use std::fmt;

use patroni_config::file::postgresql::Credentials;

/// The order in which keywords are written.
const ORDER: [&str; 21] = [
    "dbname",
    "user",
    "passfile",
    "password",
    "host",
    "port",
    "sslmode",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "application_name",
    "krbsrvname",
    "gssencmode",
    "channel_binding",
    "target_session_attrs",
    "sslnegotiation",
    "options",
];

/// A libpq connection string as keywords and values. `Debug` hides passwords; `Display` writes
/// them, because the server's configuration needs them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnInfo {
    items: BTreeMap<String, String>,
}

impl ConnInfo {
    /// Reads `keyword = value` items; values may be single-quoted, `\` escapes. `None` when the
    /// text is no such list (a URI, a missing `=`, an unterminated quote).
    pub fn parse(text: &str) -> Option<Self> {
        let mut items = BTreeMap::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (keyword, after) = rest.split_once('=')?;
            let keyword = keyword.trim_end();
            if keyword.is_empty() || keyword.contains(char::is_whitespace) {
                return None;
            }
            let (item, after) = take_value(after.trim_start())?;
            items.insert(keyword.to_owned(), item);
            rest = after.trim_start();
        }
        Some(Self { items })
    }

    /// Reads a URI, `postgresql://user:password@host:port/dbname?keyword=value` with everything
    /// optional, several hosts and `%` escapes. `None` when the text is none. Source: the
    /// PostgreSQL manual, section "Connection URIs" of libpq.
    pub fn parse_uri(text: &str) -> Option<Self> {
        let schemes = ["postgresql://", "postgres://"];
        let rest = schemes.iter().find_map(|known| text.strip_prefix(known))?;
        let (user, rest) = match rest.find(['@', '/']) {
            Some(at) if rest[at..].starts_with('@') => (&rest[..at], &rest[at + 1..]),
            Some(_) | None => ("", rest),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, dbname) = place.split_once('/').unwrap_or((place, ""));
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let hosts: Option<Vec<_>> = hosts.split(',').map(host_and_port).collect();
        let (hosts, ports): (Vec<_>, Vec<_>) = hosts?.into_iter().unzip();
        let mut info = Self::default();
        for (keyword, escaped) in [
            ("user", user),
            ("password", password),
            ("host", &hosts.join(",")),
            ("port", &ports.join(",")),
            ("dbname", dbname),
        ] {
            let given = Some(unescape(escaped)?).filter(|text| !text.is_empty());
            info.set(keyword, given);
        }
        for item in query.split('&').filter(|item| !item.is_empty()) {
            let (keyword, escaped) = item.split_once('=')?;
            match (unescape(keyword)?, unescape(escaped)?) {
                // As programs of Java write it.
                (keyword, on) if keyword == "ssl" && on == "true" => {
                    info.set("sslmode", Some("require"))
                }
                (keyword, given) => info.set(&keyword, Some(given)),
            };
        }
        Some(info)
    }

    /// The value of a keyword.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.items.get(keyword).map(String::as_str)
    }

    /// Sets a keyword, when there is a value for it.
    pub fn set(&mut self, keyword: &str, item: Option<impl Into<String>>) -> &mut Self {
        if let Some(item) = item {
            self.items.insert(keyword.to_owned(), item.into());
        }
        self
    }

    /// Sets a keyword that has no value yet.
    pub fn set_default(&mut self, keyword: &str, item: &str) -> &mut Self {
        self.items
            .entry(keyword.to_owned())
            .or_insert_with(|| item.to_owned());
        self
    }

    /// Removes a keyword.
    pub fn remove(&mut self, keyword: &str) -> Option<String> {
        self.items.remove(keyword)
    }

    /// Sets all keywords of a user that servers and tools of this version (`server_version_num`)
    /// understand, without defaults.
    pub fn set_credentials(&mut self, user: &Credentials, version: u32) -> &mut Self {
        let text = |given: &Option<String>| given.clone().filter(|text| !text.is_empty());
        let secret = |given: &Option<patroni_core::Secret>| {
            given
                .as_ref()
                .filter(|secret| !secret.is_empty())
                .map(|secret| secret.expose().to_owned())
        };
        let since = |first: u32, item: Option<String>| item.filter(|_| version >= first);
        self.set("user", text(&user.username))
            .set("password", secret(&user.password))
            .set("sslmode", text(&user.sslmode))
            .set("sslcert", text(&user.sslcert))
            .set("sslkey", text(&user.sslkey))
            .set("sslpassword", since(130_000, secret(&user.sslpassword)))
            .set("sslrootcert", text(&user.sslrootcert))
            .set("sslcrl", text(&user.sslcrl))
            .set("sslcrldir", since(140_000, text(&user.sslcrldir)))
            .set("gssencmode", since(120_000, text(&user.gssencmode)))
            .set(
                "channel_binding",
                since(130_000, text(&user.channel_binding)),
            )
            .set("sslnegotiation", since(170_000, text(&user.sslnegotiation)))
    }

    /// Fills in what the reference writes when nothing is configured.
    pub fn set_defaults(&mut self, version: u32) -> &mut Self {
        self.set_default("sslmode", "prefer");
        if version >= 120_000 {
            self.set_default("gssencmode", "prefer");
        }
        if version >= 130_000 {
            self.set_default("channel_binding", "prefer");
        }
        if version >= 170_000 {
            self.set_default("sslnegotiation", "postgres");
        }
        self
    }

    /// The items in the order in which they are written.
    pub fn items(&self) -> impl Iterator<Item = (&str, &str)> {
        ORDER
            .iter()
            .filter_map(|keyword| Some((*keyword, self.get(keyword)?)))
    }
}

/// The string in the order of the reference, blanks, quotes and backslashes escaped.
impl fmt::Display for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (keyword, item)) in self.items().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{keyword}=")?;
            for letter in item.chars() {
                if matches!(letter, '\'' | '\\' | ' ') {
                    f.write_str("\\")?;
                }
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |keyword: &str| matches!(keyword, "password" | "sslpassword");
        f.debug_map()
            .entries(self.items.iter().map(|(keyword, item)| {
                let shown = if hidden(keyword) {
                    "***"
                } else {
                    item.as_str()
                };
                (keyword, shown)
            }))
            .finish()
    }
}

/// One host of a URI, an address of IPv6 in brackets, and its port; both may be empty.
fn host_and_port(text: &str) -> Option<(&str, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    match rest {
        "" => Some((host, "")),
        rest => Some((host, rest.strip_prefix(':')?)),
    }
}

/// The text of a part of a URI.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A value and what follows it.
fn take_value(text: &str) -> Option<(String, &str)> {
    let mut item = String::new();
    let quoted = text.starts_with('\'');
    let mut letters = text.char_indices();
    if quoted {
        letters.next();
    }
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, escaped)) => item.push(escaped),
                None => return (!quoted).then_some((item, "")),
            },
            '\'' if quoted => return Some((item, &text[at + 1..])),
            letter if !quoted && letter.is_whitespace() => return Some((item, &text[at..])),
            letter => item.push(letter),
        }
    }
    (!quoted).then_some((item, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::Secret;

    #[test]
    fn reads_bare_and_quoted_values() {
        let parsed = ConnInfo::parse(r"user=repl\ user password = 'a''b' host='x y'  port=1");
        assert_eq!(
            parsed, None,
            "a quote must be followed by a blank or the end"
        );
        let parsed = ConnInfo::parse(r"user=repl\ user password = 'a\'b' host='x y'  port=1");
        let parsed = parsed.unwrap();
        assert_eq!(parsed.get("user"), Some("repl user"));
        assert_eq!(parsed.get("password"), Some("a'b"));
        assert_eq!(parsed.get("host"), Some("x y"));
        assert_eq!(parsed.get("port"), Some("1"));
        for text in ["postgres://h/db", "user", "user='x", "a b=c"] {
            assert_eq!(ConnInfo::parse(text), None, "{text}");
        }
        assert_eq!(ConnInfo::parse(" "), Some(ConnInfo::default()));
    }

    #[test]
    fn reads_uris() {
        for (uri, expected) in [
            ("postgresql://", ""),
            ("postgres://h/d", "dbname=d host=h"),
            (
                "postgresql://u:p%40w@127.0.0.1:5433/d?sslmode=prefer&application_name=x%20y",
                "dbname=d user=u password=p@w host=127.0.0.1 port=5433 sslmode=prefer application_name=x\\ y",
            ),
            (
                "postgresql:///?user=u&password=p&host=/run&ssl=true",
                "user=u password=p host=/run sslmode=require",
            ),
            (
                "postgresql://u:p@/d?host=/dir&port=6000",
                "dbname=d user=u password=p host=/dir port=6000",
            ),
            (
                "postgresql://a,[::1]:6000,c:6001?dbname=d",
                "dbname=d host=a,::1,c port=,6000,6001",
            ),
            ("postgresql://%2Frun%2Fpg/d", "dbname=d host=/run/pg"),
        ] {
            let info = ConnInfo::parse_uri(uri).unwrap();
            assert_eq!(info.to_string(), expected, "{uri}");
        }
        for text in [
            "host=h",
            "mysql://h",
            "postgresql://[::1/d",
            "postgresql://[::1]x/d",
            "postgresql://h/d?user",
            "postgresql://h/%zz",
        ] {
            assert_eq!(ConnInfo::parse_uri(text), None, "{text}");
        }
    }

    #[test]
    fn writes_in_the_fixed_order() {
        let mut info = ConnInfo::default();
        let user = Credentials {
            username: Some("repl user".to_owned()),
            sslmode: Some("prefer".to_owned()),
            ..Credentials::default()
        };
        info.set_credentials(&user, 150_000)
            .set_defaults(150_000)
            .set("host", Some("10.0.0.1"))
            .set("port", Some("5432"))
            .set("dbname", Some("postgres"))
            .set("application_name", Some("node2"));
        assert_eq!(
            info.to_string(),
            "dbname=postgres user=repl\\ user host=10.0.0.1 port=5432 sslmode=prefer \
             application_name=node2 gssencmode=prefer channel_binding=prefer"
        );
        assert_eq!(ConnInfo::parse(&info.to_string()), Some(info));
    }

    #[test]
    fn debug_hides_passwords() {
        let mut info = ConnInfo::default();
        let user = Credentials {
            password: Some(Secret::new("hunter2")),
            ..Credentials::default()
        };
        info.set_credentials(&user, 150_000);
        assert!(!format!("{info:?}").contains("hunter2"));
        assert!(info.to_string().contains("hunter2"));
    }
}
