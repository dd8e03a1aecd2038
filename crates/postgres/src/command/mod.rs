//! External commands: how they are started, waited for and ended.
//!
//! Every program that is not the postmaster itself goes through [`Command`]: arguments are
//! explicit, each command is a process group of its own, its output is bounded, and a command
//! that is cancelled takes its descendants with it. Passwords are never arguments.

pub(crate) mod capture;
pub(crate) mod outcome;
pub(crate) mod run;
pub(crate) mod tree;
pub mod words;

pub use outcome::{CommandOutcome, End};

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use patroni_config::file::Postgresql;

use self::words::{WordsError, quote, split};

/// A command to be run.
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    captures: bool,
    stdin: Option<Arc<File>>,
    deadline: Option<Duration>,
}

/// A command that gave no exit status because it never ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The configured text has no words.
    #[error("run a command without text")]
    Empty,
    /// The configured text cannot be split.
    #[error("split the command {text:?} into words")]
    Words {
        /// The text as configured.
        text: String,
        /// What is wrong with it.
        #[source]
        source: WordsError,
    },
    /// The system refused to start it, or lost it.
    #[error("execute {argv}")]
    Execute {
        /// The command, quoted for a shell.
        argv: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Command {
    /// A program, found by path or through PATH, without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            captures: false,
            stdin: None,
            deadline: None,
        }
    }

    /// A configured command: split like a POSIX shell splits words, without running one.
    ///
    /// # Errors
    /// No words, or a quotation that does not end.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let words = split(text).map_err(|source| CommandError::Words {
            text: text.to_owned(),
            source,
        })?;
        let (program, args) = words.split_first().ok_or(CommandError::Empty)?;
        Ok(Self::new(program).args(args))
    }

    /// A text for `/bin/sh -c`.
    pub fn shell(text: &str) -> Self {
        Self::new("/bin/sh").arg("-c").arg(text)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Changes every word of the command, for placeholders in configured texts.
    #[must_use]
    pub(crate) fn map_words(mut self, change: impl Fn(&str) -> String) -> Self {
        for word in std::iter::once(&mut self.program).chain(&mut self.args) {
            if let Some(text) = word.to_str() {
                *word = change(text).into();
            }
        }
        self
    }

    /// Sets a variable beside those of the daemon.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets what libpq is told by its environment: `PGPASSFILE`, when there is such a file, and
    /// `PGKRBSRVNAME`.
    #[must_use]
    pub fn connecting(self, settings: &Postgresql, pgpass: Option<&Path>) -> Self {
        let command = match pgpass {
            Some(file) => self.env("PGPASSFILE", file),
            None => self,
        };
        match &settings.krbsrvname {
            Some(name) => command.env("PGKRBSRVNAME", name),
            None => command,
        }
    }

    /// Asks for messages in English, for those whose output is read.
    #[must_use]
    pub fn untranslated(self) -> Self {
        self.env("LANG", "C").env("LC_ALL", "C")
    }

    /// Keeps standard output and standard error, the last megabyte of each, instead of sharing
    /// those of the daemon.
    #[must_use]
    pub fn capture(mut self) -> Self {
        self.captures = true;
        self
    }

    /// Ends the command like a cancelled one when it takes longer.
    #[must_use]
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// Gives the command an open file as standard input instead of an empty one. A lock on that
    /// file then lives as long as the command and what it started, even if the daemon dies.
    #[must_use]
    pub(crate) fn holding(mut self, file: Arc<File>) -> Self {
        self.stdin = Some(file);
        self
    }

    /// The program and its arguments, quoted for a shell: what logs show.
    pub fn argv(&self) -> String {
        self.to_string()
    }

    /// Translates for the system. Variables of our own configuration hold passwords and are not
    /// handed on.
    fn prepare(&self) -> io::Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args);
        hide_own_settings(&mut command);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.process_group(0);
        command.stdin(match &self.stdin {
            Some(file) => Stdio::from(file.try_clone()?),
            None => Stdio::null(),
        });
        if self.captures {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Ok(command)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quote(&self.program.to_string_lossy()))?;
        for arg in &self.args {
            write!(f, " {}", quote(&arg.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// Names the variables that the configuration was read from: children do not inherit them, while
/// others are the operator's. Without a call no `PATRONI_*` is handed on; only the first call
/// counts.
pub fn hide_variables(names: impl IntoIterator<Item = String>) {
    let _ = HIDDEN.set(names.into_iter().collect());
}

/// Removes the variables of our own configuration from what a child inherits.
pub(crate) fn hide_own_settings(command: &mut tokio::process::Command) {
    for (name, _) in std::env::vars_os() {
        if is_hidden(HIDDEN.get(), &name) {
            command.env_remove(name);
        }
    }
}

fn is_hidden(ours: Option<&BTreeSet<String>>, name: &OsStr) -> bool {
    match ours {
        Some(ours) => name.to_str().is_some_and(|name| ours.contains(name)),
        None => name.as_encoded_bytes().starts_with(b"PATRONI_"),
    }
}

/// The environment of a process does not change, and belongs to no object.
static HIDDEN: OnceLock<BTreeSet<String>> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_variables_are_hidden() {
        let ours = BTreeSet::from(["PATRONI_SUPERUSER_PASSWORD".to_owned()]);
        for (known, name, hidden) in [
            (Some(&ours), "PATRONI_SUPERUSER_PASSWORD", true),
            (Some(&ours), "PATRONI_BACKUP_BUCKET", false),
            (Some(&ours), "PATH", false),
            (None, "PATRONI_BACKUP_BUCKET", true),
            (None, "PATH", false),
        ] {
            assert_eq!(is_hidden(known, OsStr::new(name)), hidden, "{name}");
        }
    }

    #[test]
    fn configured_text_is_split_but_not_interpreted() {
        let command = Command::parse("/bin/echo 'a b' $HOME;ls").unwrap();
        assert_eq!(command.argv(), "/bin/echo 'a b' '$HOME;ls'");
        assert!(matches!(Command::parse("  "), Err(CommandError::Empty)));
        assert!(matches!(
            Command::parse("a 'b"),
            Err(CommandError::Words { .. })
        ));
    }
}
