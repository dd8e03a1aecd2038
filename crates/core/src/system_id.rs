//! The identity of a database cluster.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// PostgreSQL's system identifier, kept as its decimal text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemId(Arc<str>);

impl SystemId {
    /// Reads a valid identifier: at least ten characters, all digits.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit());
        valid.then(|| Self(text.into()))
    }

    /// The decimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ten_digits_or_more_are_valid() {
        assert!(SystemId::parse("7000000000000000001").is_some());
        for text in [
            "",
            "123456789",
            "70000000000000000x1",
            " 7000000000000000001",
        ] {
            assert_eq!(SystemId::parse(text), None, "{text:?}");
        }
    }
}
