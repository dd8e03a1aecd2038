//! Running a command to its end.

use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::capture::Capture;
use super::outcome::{CommandOutcome, End};
use super::{Command, CommandError, tree};
use crate::cancel::Cancel;

/// How long a cancelled command may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often descendants without a parent of ours are looked at.
const GLANCE: Duration = Duration::from_millis(20);

impl Command {
    /// Runs the command to its end.
    ///
    /// When `cancel` is raised or the deadline passes, its process group gets SIGTERM and up to
    /// 10 s; what is left is stopped, listed and killed with all descendants. A command that ends
    /// by itself may leave descendants behind: a script may start a daemon on purpose.
    ///
    /// Dropping the future kills the command and its descendants at once.
    ///
    /// # Errors
    /// The command could not be started (logged here as ERROR), or the system lost it.
    pub async fn run(&self, cancel: &Cancel) -> Result<CommandOutcome, CommandError> {
        if cancel.is_cancelled() {
            return Ok(self.nothing_written(End::Cancelled));
        }
        let mut child = self.spawn()?;
        let mut last_resort = LastResort::of(&child);
        let mut capture = Capture::new();
        if let Some(stdout) = child.stdout.take() {
            capture.read(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            capture.read(stderr);
        }
        let end = self.wait(&mut child, cancel).await;
        last_resort.process = None;
        let end = end.map_err(|source| self.error(source))?;
        let mut written = capture.finish().await.into_iter();
        Ok(CommandOutcome {
            end,
            stdout: written.next().unwrap_or_default(),
            stderr: written.next().unwrap_or_default(),
        })
    }

    fn spawn(&self) -> Result<Child, CommandError> {
        self.prepare()
            .and_then(|mut command| command.spawn())
            .map_err(|source| {
                tracing::error!("Failed to execute {self}: {source}");
                self.error(source)
            })
    }

    fn error(&self, source: std::io::Error) -> CommandError {
        CommandError::Execute {
            argv: self.argv(),
            source,
        }
    }

    fn nothing_written(&self, end: End) -> CommandOutcome {
        tracing::debug!("{self} {end}");
        CommandOutcome {
            end,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    async fn wait(&self, child: &mut Child, cancel: &Cancel) -> std::io::Result<End> {
        let overdue = async {
            match self.deadline {
                Some(after) => {
                    sleep(after).await;
                    after
                }
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            status = child.wait() => return status.map(End::of),
            () = cancel.cancelled() => End::Cancelled,
            after = overdue => End::TimedOut(after),
        };
        self.terminate(child).await?;
        Ok(end)
    }

    /// Ends a running command and what it started.
    async fn terminate(&self, child: &mut Child) -> std::io::Result<()> {
        let Some(pid) = pid_of(child) else {
            return Ok(()); // ended and reaped in the meantime
        };
        tracing::info!("Terminating {self}");
        let mut below = tree::descendants(pid);
        tree::send_group(pid, Signal::SIGTERM);
        let limit = Instant::now() + PATIENCE;
        if let Ok(status) = timeout_at(limit, child.wait()).await {
            status?;
            let anyone =
                || tree::group_lives(pid) || below.iter().any(|process| process.is_alive());
            while anyone() && Instant::now() < limit {
                sleep_until(limit.min(Instant::now() + GLANCE)).await;
            }
        } else {
            tree::send(pid, Signal::SIGSTOP);
            below.extend(tree::descendants(pid));
            tree::send(pid, Signal::SIGKILL);
            tracing::warn!("Killed {self} because it was still running");
            child.wait().await?;
        }
        if tree::group_lives(pid) {
            tree::send_group(pid, Signal::SIGKILL);
        }
        for process in below {
            process.signal(Signal::SIGKILL);
        }
        Ok(())
    }
}

/// Kills the command when its future is dropped: the only way then not to leave it behind.
struct LastResort {
    process: Option<tree::Process>,
}

impl LastResort {
    fn of(child: &Child) -> Self {
        Self {
            process: pid_of(child).and_then(tree::Process::of),
        }
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            process.kill_with_descendants();
        }
    }
}

/// The process, as long as it is not reaped.
pub(crate) fn pid_of(child: &Child) -> Option<Pid> {
    let number = i32::try_from(child.id()?).ok()?;
    Some(Pid::from_raw(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_and_code_are_reported() {
        let outcome = Command::shell("echo out; echo err >&2; exit 3")
            .capture()
            .run(&Cancel::new())
            .await
            .unwrap();
        assert_eq!(outcome.end, End::Exited(3));
        assert_eq!(outcome.stdout_text(), "out\n");
        assert_eq!(outcome.stderr_text(), "err\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error() {
        let error = Command::new("/nonexistent/x").run(&Cancel::new()).await;
        assert!(matches!(error, Err(CommandError::Execute { .. })));
    }

    #[tokio::test]
    async fn a_stream_held_open_by_a_descendant_does_not_hold_us() {
        let begun = Instant::now();
        let outcome = Command::shell("sleep 30 & echo $!")
            .capture()
            .run(&Cancel::new())
            .await
            .unwrap();
        assert!(begun.elapsed() < Duration::from_secs(20));
        let left: i32 = outcome.stdout_text().trim().parse().unwrap();
        tree::send(Pid::from_raw(left), Signal::SIGKILL);
    }

    #[tokio::test]
    async fn the_deadline_ends_a_command() {
        let outcome = Command::shell("sleep 30")
            .deadline(Duration::from_millis(100))
            .run(&Cancel::new())
            .await
            .unwrap();
        assert!(matches!(outcome.end, End::TimedOut(_)));
    }

    #[tokio::test]
    async fn a_cancelled_task_starts_nothing() {
        let cancel = Cancel::new();
        cancel.cancel();
        let outcome = Command::new("/nonexistent/x").run(&cancel).await.unwrap();
        assert_eq!(outcome.end, End::Cancelled);
    }
}
