//! The query string of a request.

use std::borrow::Cow;
use std::collections::HashSet;

use patroni_core::value;
use serde_json::Value;

/// Decoded form data. Of a repeated key the first value counts; keys with an empty value are
/// dropped, as if they were absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads what stands after `?`.
    pub fn parse(text: &'a str) -> Self {
        let mut pairs = Vec::new();
        let mut known = HashSet::new();
        for pair in text.split('&') {
            let Some((key, value)) = pair.split_once('=') else {
                continue;
            };
            let key = decoded(key);
            if !value.is_empty() && known.insert(key.clone()) {
                pairs.push((key, decoded(value)));
            }
        }
        Self { pairs }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_ref())
    }

    /// The keys that begin with `tag_`, without that, and their values.
    pub fn tags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("tag_")?, value.as_ref())))
    }

    /// `lag` in bytes; `None` when it is absent or cannot be read, which means no limit.
    pub fn lag(&self) -> Option<i64> {
        self.get("lag")
            .and_then(|text| value::parse_bytes(&Value::from(text)))
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (code, byte) {
            (Some(code), _) => out.push(code),
            (None, b'+') => out.push(b' '),
            (None, other) => out.push(other),
        }
        at += if code.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_empty_ones_are_dropped() {
        let query = Query::parse("lag=&a=1&a=2&lag=16MB&tag_zone=%61+b&tag_x=&c");
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.lag(), Some(16 << 20));
        assert_eq!(query.tags().collect::<Vec<_>>(), [("zone", "a b")]);
        assert_eq!(query.get("c"), None);
        assert_eq!(Query::parse("lag=16mb").lag(), None);
        assert_eq!(Query::parse("lag=-1").lag(), Some(-1));
        assert_eq!(Query::parse("a=%zz%4").get("a"), Some("%zz%4"));
    }

    /// A header of 64 KiB holds some 10,000 keys; compared each with each they took a second.
    #[test]
    fn many_keys_take_no_time() {
        let keys: Vec<String> = (0..200_000).map(|key| format!("{key:x}=1")).collect();
        let text = keys.join("&");
        let query = Query::parse(&text);
        assert_eq!(query.get("30d3f"), Some("1"));
    }
}
