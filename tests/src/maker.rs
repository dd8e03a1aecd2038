//! Whose programs a node runs: ours, or those of the implementation that ours has to live with.

use std::io::Write as _;
use std::path::PathBuf;

use crate::proc;

/// The environment variable that names the folder with the reference's `patroni` and
/// `patronictl`. The user that runs the nodes must be able to read and execute them.
pub const REFERENCE_BIN: &str = "PATRONI_REFERENCE_BIN";

/// Whose programs these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maker {
    /// This project's.
    Ours,
    /// Those of the reference, a black box.
    Reference,
}

impl Maker {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Reference, Self::Ours];

    /// The path of a program.
    ///
    /// # Panics
    /// The reference is asked for, but [`reference_is_there`] was false.
    pub fn program(self, name: &str) -> PathBuf {
        match self {
            Self::Ours => proc::bin(name),
            Self::Reference => {
                PathBuf::from(std::env::var_os(REFERENCE_BIN).expect("asked for before it is used"))
                    .join(name)
            }
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Ours => Self::Reference,
            Self::Reference => Self::Ours,
        }
    }
}

/// Whether the reference can be run here. When not, one line says which test is skipped; it goes
/// past the test runner's capture, because a skipped test must not look like a passed one.
pub fn reference_is_there(test: &str) -> bool {
    if std::env::var_os(REFERENCE_BIN).is_some() {
        return true;
    }
    let _ = writeln!(
        std::io::stderr(),
        "skipped: {test}: {REFERENCE_BIN} does not name a folder with the reference's programs"
    );
    false
}
