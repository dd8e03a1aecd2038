//! Stopping a server without a supervisor: for the guardian, whose daemon is gone or hangs.
//!
//! Nothing here waits for a disk where it can be helped, logs, or needs a runtime.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::data_dir;
use crate::process::{Postmaster, kill_with_children};
use crate::processes;
use crate::supervisor::Supervisor;
use crate::version;

/// A server as its guardian knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pid: i32,
    /// When the process was born, as the system counts it: a number may be used again, the pair
    /// is not.
    born: u64,
    data_dir: PathBuf,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// No primary runs there.
    NothingRan,
    /// It ended when it was told to.
    Ended,
    /// It was killed with all its processes.
    Killed,
}

impl Target {
    /// One line of text that [`Target::parse`] reads.
    pub fn to_text(&self) -> String {
        format!("{} {} {}", self.pid, self.born, self.data_dir.display())
    }

    /// Reads what [`Target::to_text`] has written.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        Some(Self {
            pid: parts.next()?.parse().ok()?,
            born: parts.next()?.parse().ok()?,
            data_dir: parts.next()?.into(),
        })
    }

    /// Ends the server at once: an immediate stop, and after `patience` a kill of all its
    /// processes. A server that was started on the same data meanwhile is ended, too, unless
    /// its files say that it is a standby. Blocks for `patience` and some milliseconds.
    pub fn stop(&self, patience: Duration) -> Stopped {
        let Some(postmaster) = self.find() else {
            return Stopped::NothingRan;
        };
        // A signal that cannot be sent is followed by one that nobody can refuse.
        let _ = postmaster.signal(Signal::QUIT);
        if postmaster.exits_before(patience) {
            return Stopped::Ended;
        }
        kill_with_children(&postmaster);
        Stopped::Killed
    }

    fn find(&self) -> Option<Postmaster> {
        // It is held first: what is checked afterwards is checked of this process.
        let told = Postmaster::open(self.pid).ok().filter(|told| {
            let born = processes::row(told.pid()).map(|row| row.birth);
            told.is_alive() && born == Some(self.born)
        });
        if told.is_some() {
            return told;
        }
        let version = version::major_version(&self.data_dir).ok().flatten();
        if data_dir::has_recovery_signal(&self.data_dir, version) {
            return None;
        }
        Postmaster::recognise(&self.data_dir).ok().flatten()
    }
}

impl Supervisor {
    /// The server as a guardian can find it again: the process that runs now, and the data.
    pub fn target(&self) -> Target {
        let postmaster = self.postmaster().ok().flatten();
        let row = postmaster.and_then(|postmaster| processes::row(postmaster.pid()));
        Target {
            // No process has the number 0.
            pid: row.map_or(0, |row| row.pid),
            born: row.map_or(0, |row| row.birth),
            data_dir: self.data_dir(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use rustix::process::WaitOptions;

    use super::*;

    fn target(pid: u32, born_off: u64) -> Target {
        let pid = i32::try_from(pid).unwrap();
        Target {
            pid,
            born: processes::row(pid).unwrap().birth + born_off,
            data_dir: "/nowhere/at all".into(),
        }
    }

    #[test]
    fn the_text_is_read_back() {
        let target = target(std::process::id(), 0);
        assert_eq!(Target::parse(&target.to_text()), Some(target));
        assert_eq!(Target::parse("1 x /d"), None);
        assert_eq!(Target::parse("1 2"), None);
    }

    #[test]
    fn a_stopped_process_is_killed_and_a_stranger_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(
            target(child.id(), 1).stop(Duration::ZERO),
            Stopped::NothingRan
        );
        let signal = |signal| {
            let pid = i32::try_from(child.id()).unwrap();
            Postmaster::open(pid).unwrap().signal(signal).unwrap();
        };
        // A stopped process takes no SIGQUIT. Sent before it has stopped, that would come first.
        signal(Signal::STOP);
        let pid = rustix::process::Pid::from_child(&child);
        let stopped = rustix::process::waitpid(Some(pid), WaitOptions::UNTRACED);
        assert!(stopped.unwrap().unwrap().1.stopped());
        let begun = Instant::now();
        let patience = Duration::from_millis(100);
        assert_eq!(target(child.id(), 0).stop(patience), Stopped::Killed);
        assert!(begun.elapsed() >= patience);
        child.wait().unwrap();
    }
}
