//! What validation wants to know about the machine.

use std::path::Path;

/// Looks at network, files and programs. Every call ends within a few seconds.
pub trait Probe {
    /// Tries to connect by TCP, once. `Err` has the resolver's words when the name means nothing.
    ///
    /// # Errors
    /// The name cannot be resolved.
    fn connects(&self, host: &str, port: u16) -> Result<bool, String>;

    /// What is at a path, links followed.
    fn kind(&self, path: &Path) -> PathKind;

    /// Names in a directory; empty when it cannot be read.
    fn names(&self, directory: &Path) -> Vec<String>;

    /// The content of a small text file.
    fn text(&self, file: &Path) -> Option<String>;

    /// Whether a program is in a directory, or anywhere in `PATH`.
    fn has_program(&self, directory: Option<&Path>, name: &str) -> bool;

    /// The first line that a program prints for `--version`.
    fn version(&self, directory: Option<&Path>, name: &str) -> Option<String>;
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing.
    Absent,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}
