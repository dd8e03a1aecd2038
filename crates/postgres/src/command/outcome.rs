//! How a command ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;

/// The end of a command and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// How it ended.
    pub end: End,
    /// The end of its standard output, at most a megabyte, when captured.
    pub stdout: Vec<u8>,
    /// The end of its standard error, at most a megabyte, when captured.
    pub stderr: Vec<u8>,
}

/// How a command ended. `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that we did not send.
    Signaled(i32),
    /// We ended it because its task was cancelled (or never started it, for that reason).
    Cancelled,
    /// We ended it because it took longer than this.
    TimedOut(Duration),
}

impl CommandOutcome {
    /// Whether it ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        self.end == End::Exited(0)
    }

    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl End {
    /// The code in the form of the log sentences: the exit code, a negative signal number, or
    /// `None` for a command that we ended.
    pub fn code(self) -> String {
        match self {
            Self::Exited(code) => code.to_string(),
            Self::Signaled(signal) => (-signal).to_string(),
            Self::Cancelled | Self::TimedOut(_) => "None".to_owned(),
        }
    }

    pub(crate) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Signaled(signal.unwrap_or(0)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signaled(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
            Self::Cancelled => f.write_str("was cancelled"),
            Self::TimedOut(after) => {
                write!(f, "did not end within {:.1} s", after.as_secs_f64())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_said_in_words_and_in_codes() {
        for (end, words, code) in [
            (End::Exited(3), "exited with code 3", "3"),
            (End::Signaled(9), "was killed by SIGKILL", "-9"),
            (End::Cancelled, "was cancelled", "None"),
            (
                End::TimedOut(Duration::from_millis(1500)),
                "did not end within 1.5 s",
                "None",
            ),
        ] {
            assert_eq!(
                (end.to_string().as_str(), end.code().as_str()),
                (words, code)
            );
        }
    }
}
