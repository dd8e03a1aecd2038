//! Names: of clusters, members and replication slots. They are shared, not copied: a snapshot of
//! the store is cloned often.

use std::borrow::Borrow;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_name! {
    /// The name of a cluster: a component of every store key, and PostgreSQL's `cluster_name`.
    Scope
}

text_name! {
    /// The name of a member, unique in its cluster; also its `application_name` in replication.
    MemberName
}

text_name! {
    /// The name of a replication slot.
    SlotName
}

impl Scope {
    /// A scope from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }
}

impl MemberName {
    /// A member name from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// Whether both names are equal but for the case of letters, the rule for synchronous
    /// standby names.
    pub fn matches(&self, other: &str) -> bool {
        self.0.to_lowercase() == other.to_lowercase()
    }
}

impl SlotName {
    /// A slot name that the server or an operator gave, taken as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The slot of a member: lower case, `-` and `.` become `_`, other characters become `u`
    /// and their decimal code point, cut to 63 characters.
    pub fn of_member(member: &MemberName) -> Self {
        let mut slot = String::new();
        for letter in member.0.to_lowercase().chars() {
            match letter {
                'a'..='z' | '0'..='9' | '_' => slot.push(letter),
                '-' | '.' => slot.push('_'),
                other => write!(slot, "u{:04}", u32::from(other)).expect("writing to a string"),
            }
        }
        slot.truncate(63); // all ASCII by construction
        Self(slot.into())
    }

    /// Whether PostgreSQL accepts the name: 1 to 63 of `[a-z0-9_]`.
    pub fn is_valid(&self) -> bool {
        (1..=63).contains(&self.0.len())
            && self
                .0
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_names_follow_the_rule_of_the_reference() {
        for (member, slot) in [
            ("node1", "node1"),
            ("Node-1.example.com", "node_1_example_com"),
            ("a b", "au0032b"),
            ("käse", "ku0228se"),
            ("数据", "u25968u25454"),
        ] {
            assert_eq!(SlotName::of_member(&MemberName::new(member)).as_str(), slot);
        }
        let long = MemberName::new("x".repeat(80));
        assert_eq!(SlotName::of_member(&long).as_str().len(), 63);
    }

    #[test]
    fn slot_names_are_checked_as_postgresql_does() {
        assert!(SlotName::new("a_1").is_valid());
        assert!(!SlotName::new("A").is_valid());
        assert!(!SlotName::new("").is_valid());
    }
}
