//! Starting the postmaster so that it outlives this daemon.
//!
//! The server must survive any end of the daemon, SIGKILL included, and must not be its child:
//! the launching process forks twice, opens a new session in between, and replaces itself by
//! `postgres`. Standard output and error are inherited; no pipe is left between the two, so the
//! server never blocks on or dies of a vanished reader.
//!
//! What happens between fork and exec cannot be expressed in safe code; it is kept to the three
//! functions here.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::libc;

/// A server to start.
pub(crate) struct Launch {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Process of a stale pid file that the server must not take for its rival.
    pub(crate) grandparent: Option<i32>,
}

impl Launch {
    /// Starts the server and returns its process number.
    ///
    /// # Errors
    /// The program cannot be executed, or the system refuses a process.
    pub(crate) fn run(&self) -> io::Result<i32> {
        // Both ends are closed in the server by exec.
        let (mut reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        clean_environment(&mut command);
        if let Some(pid) = self.grandparent {
            command.env("PG_GRANDPARENT_PID", pid.to_string());
        }
        let report = writer.as_raw_fd();
        #[expect(unsafe_code, reason = "work between fork and exec has no safe form")]
        // SAFETY: the closure runs in the forked child and calls only `detach`, which makes
        // system calls and touches no memory that another thread could have held locked.
        unsafe {
            command.pre_exec(move || detach(report));
        }
        // The launching process has ended when this returns; errors of exec are reported here.
        let mut launcher = command.spawn()?;
        launcher.wait()?;
        drop(writer);
        let mut pid = [0_u8; 4];
        reader.read_exact(&mut pid)?;
        Ok(i32::from_ne_bytes(pid))
    }
}

/// Runs in the launching process: leaves the daemon's session, forks once more, tells the number
/// of the second process and ends; returns only in the second one, which becomes the server.
fn detach(report: i32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "work between fork and exec has no safe form")]
    // SAFETY: plain system calls on values of this stack frame. `fork` in the single-threaded
    // child of a fork is what every daemon does; `_exit` runs no handlers of the parent.
    unsafe {
        if libc::setsid() < 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {}
            pid => {
                let bytes = pid.to_ne_bytes();
                let written = libc::write(report, bytes.as_ptr().cast(), bytes.len());
                libc::_exit(i32::from(written != 4));
            }
        }
    }
    keep_descriptors_from_the_server();
    Ok(())
}

/// Descriptors that somebody left open must not reach the server. Marking is enough and keeps the
/// one through which an error of exec is reported. Older kernels lack the call; then only
/// descriptors that were opened without the mark stay open.
#[cfg(target_os = "linux")]
fn keep_descriptors_from_the_server() {
    #[expect(unsafe_code, reason = "work between fork and exec has no safe form")]
    // SAFETY: a system call on constants.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
}

/// The same one by one, up to a number that is far above what a daemon has open.
#[cfg(not(target_os = "linux"))]
fn keep_descriptors_from_the_server() {
    for descriptor in 3..10_240 {
        #[expect(unsafe_code, reason = "work between fork and exec has no safe form")]
        // SAFETY: a system call on numbers; one that is not open is refused.
        unsafe {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// The daemon's environment without what is only for the daemon.
fn clean_environment(command: &mut Command) {
    for (name, setting) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "PG_MALLOC_ARENA_MAX" {
            command.env_remove(&name).env("MALLOC_ARENA_MAX", setting);
        } else if text == "NOTIFY_SOCKET"
            || text.starts_with("PATRONI_")
            || text.starts_with("KUBERNETES_")
        {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Postmaster;
    use crate::processes;
    use rustix::process::Signal;

    #[test]
    fn the_server_is_nobody_s_child_and_leads_no_rival() {
        let launch = Launch {
            program: "sleep".into(),
            arguments: vec!["60".into()],
            grandparent: None,
        };
        let pid = launch.run().unwrap();
        let process = Postmaster::open(pid).unwrap();
        let row = processes::row(pid).unwrap();
        assert_ne!(row.parent, i32::try_from(std::process::id()).unwrap());
        let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
        assert_ne!(session, nix::unistd::getsid(None).unwrap());
        process.signal(Signal::KILL).unwrap();
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let launch = Launch {
            program: "/nonexistent/postgres".into(),
            arguments: Vec::new(),
            grandparent: None,
        };
        assert_eq!(launch.run().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
