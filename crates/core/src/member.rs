//! What a member publishes about itself: the object `members/<name>`.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::json;
use crate::lsn::Lsn;
use crate::name::MemberName;
use crate::role::Role;
use crate::state::State;
use crate::tags::Tags;
use crate::timeline::Timeline;
use crate::value;
use crate::version::Version;

/// A member as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// Its name, from the key.
    pub name: MemberName,
    /// The lease or session that the key hangs on, opaque; `None` where the store has none.
    pub session: Option<String>,
    /// Its data, empty when unreadable.
    pub data: MemberData,
}

/// The published data, kept verbatim so that nothing another version wrote is lost, with typed
/// access. Unreadable fields read as absent; the member still exists. Clones share the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct MemberData(Arc<Map<String, Value>>);

impl MemberData {
    /// Data from a mapping.
    pub fn new(map: Map<String, Value>) -> Self {
        Self(Arc::new(map))
    }

    /// Reads the stored text: a JSON object, or the old URL form. Anything else is empty.
    pub fn parse(text: &str) -> Self {
        if text.starts_with("postgres") {
            return Self::from_url(text);
        }
        Self::new(json::object(text).unwrap_or_default())
    }

    fn from_url(text: &str) -> Self {
        let mut map = Map::new();
        let (url, query) = text.split_once('?').unwrap_or((text, ""));
        map.insert("conn_url".to_owned(), url.into());
        let api = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("application_name="));
        if let Some(api) = api {
            map.insert("api_url".to_owned(), percent_decoded(api).into());
        }
        Self::new(map)
    }

    /// The stored text: compact JSON.
    pub fn to_json(&self) -> String {
        json::compact(self.as_map())
    }

    /// All fields as written.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Equality in the sense of the store: a write is skipped when nothing differs in it.
    pub fn same_as(&self, other: &Self) -> bool {
        value::deep_equal(&self.0, &other.0)
    }

    fn str(&self, field: &str) -> Option<&str> {
        self.0
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    fn int(&self, field: &str) -> Option<i64> {
        self.0.get(field).and_then(value::parse_int)
    }

    fn lsn(&self, field: &str) -> Option<Lsn> {
        self.int(field)
            .and_then(|n| u64::try_from(n).ok())
            .map(Lsn::new)
    }

    /// `postgres://host:port/database`, also from the old pair of `conn_kwargs`.
    pub fn conn_url(&self) -> Option<String> {
        if let Some(url) = self.str("conn_url") {
            return Some(url.to_owned());
        }
        let kwargs = self.0.get("conn_kwargs")?.as_object()?;
        let host = kwargs.get("host").map(value::text)?;
        let port = kwargs
            .get("port")
            .map_or_else(|| "5432".to_owned(), value::text);
        Some(format!("postgresql://{host}:{port}"))
    }

    /// `http(s)://host:port/patroni`.
    pub fn api_url(&self) -> Option<&str> {
        self.str("api_url")
    }

    /// The state's text; `unknown` when absent. Text, because other versions know others.
    pub fn state(&self) -> &str {
        self.str("state").unwrap_or("unknown")
    }

    /// Whether the state is exactly `running`.
    pub fn is_running(&self) -> bool {
        self.state() == State::Running.as_str()
    }

    /// The role, if it is one we know.
    pub fn role(&self) -> Option<Role> {
        self.str("role").and_then(Role::parse)
    }

    /// The software version, if it can be read.
    pub fn version(&self) -> Option<Version> {
        self.str("version").and_then(Version::parse)
    }

    /// The main position: flushed on a primary, the greater of received and replayed elsewhere.
    pub fn position(&self) -> Option<Lsn> {
        self.lsn("xlog_location")
    }

    /// The replayed position of a standby.
    pub fn replay_lsn(&self) -> Option<Lsn> {
        self.lsn("replay_lsn")
    }

    /// The received position of a standby.
    pub fn receive_lsn(&self) -> Option<Lsn> {
        self.lsn("receive_lsn")
    }

    /// `streaming` or `in archive recovery`.
    pub fn replication_state(&self) -> Option<&str> {
        self.str("replication_state")
    }

    /// Why the member gets no WAL, in words; a key of ours that the reference does not know.
    pub fn replication_problem(&self) -> Option<&str> {
        self.str("replication_problem")
    }

    /// The timeline, when known.
    pub fn timeline(&self) -> Option<Timeline> {
        self.int("timeline")
            .and_then(|n| u32::try_from(n).ok())
            .and_then(Timeline::new)
    }

    /// The member's tags.
    pub fn tags(&self) -> Tags {
        self.0
            .get("tags")
            .and_then(Value::as_object)
            .cloned()
            .map(Tags::new)
            .unwrap_or_default()
    }

    /// A preferred source of copies, which counts only with an address.
    pub fn clonefrom(&self) -> bool {
        self.tags().clonefrom() && self.conn_url().is_some()
    }

    /// The leader says that the checkpoint after its promotion has not finished yet.
    pub fn awaits_checkpoint(&self) -> bool {
        self.0.get("checkpoint_after_promote") == Some(&Value::Bool(false))
    }

    /// The member has noticed the pause.
    pub fn is_paused(&self) -> bool {
        self.0.get("pause").is_some_and(value::is_truthy)
    }

    /// A restart is pending.
    pub fn pending_restart(&self) -> bool {
        self.0.get("pending_restart").is_some_and(value::is_truthy)
    }

    /// Why, by parameter.
    pub fn pending_restart_reason(&self) -> Option<&Map<String, Value>> {
        self.0
            .get("pending_restart_reason")
            .and_then(Value::as_object)
    }

    /// The scheduled restart, as requested.
    pub fn scheduled_restart(&self) -> Option<&Map<String, Value>> {
        self.0.get("scheduled_restart").and_then(Value::as_object)
    }
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [a, b, ..]) => std::str::from_utf8(&[*a, *b])
                .ok()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_url_form_is_split() {
        let data = MemberData::parse(
            "postgres://u:p@h:5432/postgres?application_name=http://h:8008/patroni",
        );
        assert_eq!(
            data.conn_url().as_deref(),
            Some("postgres://u:p@h:5432/postgres")
        );
        assert_eq!(data.api_url(), Some("http://h:8008/patroni"));
        assert_eq!(data.state(), "unknown");
    }

    #[test]
    fn unreadable_data_is_empty() {
        for text in ["{", "[]", "", "null"] {
            assert_eq!(MemberData::parse(text), MemberData::default(), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_leniently() {
        let data =
            MemberData::parse(r#"{"xlog_location":"12","timeline":0,"version":"4.2.0-beta"}"#);
        assert_eq!(data.position(), Some(Lsn::new(12)));
        assert_eq!(data.timeline(), None);
        assert_eq!(data.version(), None);
    }
}
