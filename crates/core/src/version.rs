//! Versions of the software.

use std::fmt;

/// The version of a member's software, three numbers, compared numerically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

/// The level of the reference that this software is a drop-in replacement for. It is what a
/// member publishes: peers of the reference compare it with 4.0.0 to choose their protocol.
pub const COMPATIBLE: Version = Version(4, 1, 5);

/// The same as text, for command lines.
pub const COMPATIBLE_TEXT: &str = "4.1.5";

impl Version {
    /// A version from its three parts.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self(major, minor, patch)
    }

    /// Reads dotted integers; missing parts are zero, anything else is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = [0_u32; 3];
        for (index, part) in text.split('.').enumerate() {
            let number = part.parse().ok()?;
            if let Some(slot) = parts.get_mut(index) {
                *slot = number;
            }
        }
        Some(Self(parts[0], parts[1], parts[2]))
    }

    /// The number of the metric `patroni_version`: each part in two digits (`040105`).
    pub fn metric(self) -> String {
        format!("{:02}{:02}{:02}", self.0, self.1, self.2)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_as_numbers() {
        assert!(Version::parse("4.10.0") > Version::parse("4.9.9"));
        assert_eq!(Version::parse("4.2.0-beta"), None);
        assert_eq!(COMPATIBLE.metric(), "040105");
        assert_eq!(COMPATIBLE.to_string(), COMPATIBLE_TEXT);
    }
}
