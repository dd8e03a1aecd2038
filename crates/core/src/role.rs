//! What a member is in its cluster.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The role of a member, in the words of the store and of REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The data directory is empty or unreadable.
    Uninitialized,
    /// In recovery, following somebody or the archive.
    Replica,
    /// Takes writes. `master` is read from members older than 4.0.
    #[serde(alias = "master")]
    Primary,
    /// Leads a standby cluster, itself in recovery.
    StandbyLeader,
    /// A primary after its stop.
    Demoted,
    /// A promotion was issued; the control file does not say "in production" yet.
    Promoted,
}

impl Role {
    /// Every role, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::Uninitialized,
        Self::Replica,
        Self::Primary,
        Self::StandbyLeader,
        Self::Demoted,
        Self::Promoted,
    ];

    /// The word in store and REST.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uninitialized => "uninitialized",
            Self::Replica => "replica",
            Self::Primary => "primary",
            Self::StandbyLeader => "standby_leader",
            Self::Demoted => "demoted",
            Self::Promoted => "promoted",
        }
    }

    /// Reads a role, also the old word `master`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "master" {
            return Some(Self::Primary);
        }
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// The word that callbacks get: `promoted` is reported as `primary`.
    pub const fn for_callback(self) -> &'static str {
        match self {
            Self::Promoted => "primary",
            Self::Uninitialized
            | Self::Replica
            | Self::Primary
            | Self::StandbyLeader
            | Self::Demoted => self.as_str(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_its_own_word() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("master"), Some(Role::Primary));
        assert_eq!(Role::parse("Primary"), None);
    }
}
