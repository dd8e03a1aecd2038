//! The first process of a container: the daemon runs as its child.
//!
//! Orphans of callbacks and scripts, and every PostgreSQL, become children of process 1, which
//! must collect them when they end. Source: the configuration contract, section 16.1.

use std::io;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tracing::info;

/// Whether this process is the first of its PID namespace.
pub fn is_first_process() -> bool {
    std::process::id() == 1
}

/// Lets this process hear every signal: a child of process 1 begins with those blocked that its
/// parent waits for.
///
/// # Errors
/// The system refuses.
pub fn hear_signals() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Runs this program with the same arguments as a child, hands the operator's signals on and
/// collects whatever ends. Returns the child's exit status.
///
/// Called before there are other threads: they would get the signals that are waited for here.
///
/// # Errors
/// The child cannot be started, or the system refuses to wait.
pub fn run_as_first_process() -> io::Result<u8> {
    let mut watched = SigSet::empty();
    for signal in FORWARDED.iter().chain(&[Signal::SIGCHLD]) {
        watched.add(*signal);
    }
    watched.thread_block()?;
    let mut command = Command::new(std::env::current_exe()?);
    let daemon = command.args(std::env::args_os().skip(1)).spawn()?;
    let daemon = Pid::from_raw(i32::try_from(daemon.id()).map_err(io::Error::other)?);
    loop {
        match watched.wait()? {
            Signal::SIGCHLD => {
                if let Some(status) = reap(daemon)? {
                    return Ok(status);
                }
            }
            signal => match kill(daemon, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(refusal) => return Err(refusal.into()),
            },
        }
    }
}

/// Collects everything that has ended; the daemon's exit status when that is among it.
fn reap(daemon: Pid) -> io::Result<Option<u8>> {
    let mut ended = None;
    loop {
        let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code),
            // As a shell tells it.
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(ended),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(refusal) => return Err(refusal.into()),
        };
        if pid == daemon {
            ended = Some(u8::try_from(status).unwrap_or(u8::MAX));
        } else {
            info!("Reaped pid={pid}, exit status={status}");
        }
    }
}

/// What an operator, or the container's runtime, may tell the daemon.
const FORWARDED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGABRT,
];
