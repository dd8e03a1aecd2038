//! How a command ends, and with which exit code.

use patroni_core::Causes;
use std::path::PathBuf;

use patroni_dcs::error::StoreError;

/// Every way in which a command ends early. Texts are those of the control tool contract; what
/// servers answer is no failure of the tool and leaves the code 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line is wrong; the text is complete (usage, hint, error).
    #[error("{0}")]
    Usage(String),
    /// End of input at a question.
    #[error("Aborted!")]
    Aborted,
    /// Ctrl-C.
    #[error("\nAborted!")]
    Interrupted,
    /// Whoever reads the output has seen enough of it (`patronictl list | head`).
    #[error("Nobody reads the output")]
    Unread,
    /// A refusal that the contract words (`This cluster has no leader`).
    #[error("Error: {0}")]
    Refused(String),
    /// The file named by the user cannot be read.
    #[error(
        "Error: Provided config file {} not existing or no read rights. Check the -c/--config-file parameter",
        .0.display()
    )]
    ConfigFile(PathBuf),
    /// A configuration that makes no sense.
    #[error("Error: Invalid configuration: {0}")]
    Config(String),
    /// No section of any store.
    #[error(
        "Error: Can not find suitable configuration of distributed configuration store\nAvailable implementations: {}",
        .0.join(", ")
    )]
    NoStore(Vec<String>),
    /// The scheme of `-d` is unknown.
    #[error("Error: Unknown dcs scheme: {0}")]
    Scheme(String),
    /// The store did not answer within its time, or with a failure.
    #[error("Error: Can not access the {kind} store ({endpoint}): {}", Causes(.source))]
    Store {
        /// The kind of store.
        kind: String,
        /// Who was asked, as configured.
        endpoint: String,
        /// What happened.
        source: StoreError,
    },
    /// A member's REST API could not be asked.
    #[error("Error: Member {member} is not accessible: {why}")]
    Member {
        /// The member.
        member: String,
        /// What happened.
        why: String,
    },
    /// A file, a terminal or a child process failed.
    #[error("Error: Failed to {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// What happened.
        source: std::io::Error,
    },
    /// Text that is no YAML.
    #[error("Error: Invalid YAML in {place}: {why}")]
    Yaml {
        /// Where it came from.
        place: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Failure {
    /// A refusal.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// A failure of the operating system.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }

    /// 2 for a wrong command line, else 1.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Aborted
            | Self::Interrupted
            | Self::Unread
            | Self::Refused(_)
            | Self::ConfigFile(_)
            | Self::Config(_)
            | Self::NoStore(_)
            | Self::Scheme(_)
            | Self::Store { .. }
            | Self::Member { .. }
            | Self::Io { .. }
            | Self::Yaml { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usage_errors_end_with_two() {
        assert_eq!(Failure::Usage(String::new()).code(), 2);
        assert_eq!(Failure::Aborted.code(), 1);
        assert_eq!(
            Failure::refused("This cluster has no leader").to_string(),
            "Error: This cluster has no leader"
        );
    }
}
