//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A position in the write-ahead log, in bytes since the beginning of the cluster's life.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lsn(u64);

impl Lsn {
    /// The position `0/0`, which PostgreSQL calls invalid.
    pub const ZERO: Self = Self(0);

    /// A position from its number of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The position as a number of bytes, the form used in the store.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// How many bytes this position is behind `other`; zero when it is not behind.
    pub const fn lag_behind(self, other: Self) -> u64 {
        other.0.saturating_sub(self.0)
    }

    /// The position `bytes` further on, clamped to the greatest one.
    #[must_use]
    pub const fn saturating_add(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

/// PostgreSQL's form: two upper-case hexadecimal halves without padding (`0/D000000`).
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let bad = || LsnError {
            text: text.to_owned(),
        };
        let (high, low) = text.trim().split_once('/').ok_or_else(bad)?;
        let half = |part: &str| {
            let plain =
                (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            if plain {
                u64::from_str_radix(part, 16).map_err(|_| bad())
            } else {
                Err(bad())
            }
        };
        Ok(Self((half(high)? << 32) | half(low)?))
    }
}

/// A text that is no WAL position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read {text:?} as a WAL position (expected HIGH/LOW in hexadecimal)")]
pub struct LsnError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_unpadded_upper_case_hex() {
        assert_eq!(Lsn::new(0x1_0D00_0000).to_string(), "1/D000000");
        assert_eq!("1/d000000".parse(), Ok(Lsn::new(0x1_0D00_0000)));
    }

    #[test]
    fn refuses_what_is_no_position() {
        for text in ["", "0", "0/", "/1", "0/1/2", "0/+1", "0/123456789", "x/1"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn lag_never_goes_below_zero() {
        assert_eq!(Lsn::new(10).lag_behind(Lsn::new(15)), 5);
        assert_eq!(Lsn::new(15).lag_behind(Lsn::new(10)), 0);
    }
}
