//! Transaction identifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A transaction identifier of PostgreSQL, 32 bits that wrap around.
///
/// It is not ordered: which of two is older depends on where the counter is. See
/// [`Xid::is_at_most`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Xid(u32);

impl Xid {
    /// An identifier from the server's number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Whether this transaction is as old as `other` or older. Right for any two that are less
    /// than two billion apart, which PostgreSQL itself guarantees for those in use (manual,
    /// "Preventing Transaction ID Wraparound Failures").
    pub const fn is_at_most(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0) < 1 << 31
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_goes_round() {
        for (a, b, at_most) in [
            (3, 3, true),
            (700, 701, true),
            (701, 700, false),
            (u32::MAX, 3, true),
            (3, u32::MAX, false),
        ] {
            assert_eq!(Xid::new(a).is_at_most(Xid::new(b)), at_most, "{a} {b}");
        }
    }
}
