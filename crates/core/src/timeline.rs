//! Timelines: the branches of a cluster's history.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a timeline. Every promotion starts a new one; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(u32);

impl Timeline {
    /// The timeline that initdb makes.
    pub const FIRST: Self = Self(1);

    /// A timeline from its number; zero is PostgreSQL's way to say "unknown" and gives `None`.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// The number, at least 1.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The timeline that a promotion of this one starts (at the earliest).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The timeline this number follows, `None` for the first.
    pub const fn previous(self) -> Option<Self> {
        Self::new(self.0 - 1)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
