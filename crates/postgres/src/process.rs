//! The postmaster as a process of the system: recognised, watched, signalled.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tracing::{info, warn};

use crate::pidfile::PidFile;
use crate::processes::{self, Handle, Row, children_of, is_no_process};

/// A postmaster that was seen alive. Holds that very process, so a later process with the same
/// number is never mistaken for it.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pid: Pid,
    single_user: bool,
    handle: Handle,
}

impl Postmaster {
    /// Takes hold of a process that is known to be the postmaster.
    pub(crate) fn open(pid: i32) -> io::Result<Self> {
        let raw = pid.checked_abs().and_then(Pid::from_raw);
        let number = raw.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Self {
            pid: number,
            single_user: pid < 0,
            handle: Handle::open(number)?,
        })
    }

    /// Recognises the postmaster of a data directory by its pid file, `None` when none runs.
    /// Source of the checks: the supervision contract, section 4.
    ///
    /// # Errors
    /// The question has no answer: the file is unreadable, or descriptors have run out.
    pub(crate) fn recognise(data_dir: &Path) -> io::Result<Option<Self>> {
        let file = match PidFile::read(data_dir) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            // A directory that nobody can read must not keep the lock of a server that has ended.
            Err(_) if nobody_works_in(data_dir) => return Ok(None),
            Err(error) => return Err(error),
        };
        // It is held first: what is checked afterwards is checked of this process.
        let postmaster = match Self::open(file.pid) {
            Ok(postmaster) => postmaster,
            Err(error) if is_no_process(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let row = processes::row(postmaster.pid());
        if !postmaster.is_alive() || row.is_some_and(|row| is_foreign(&file, &row)) {
            return Ok(None);
        }
        Ok(Some(postmaster))
    }

    /// The process of a stale pid file whose number now belongs to somebody else.
    pub(crate) fn impostor(data_dir: &Path) -> Option<i32> {
        let pid = PidFile::read(data_dir).ok()??.pid;
        let someone_else = matches!(Self::recognise(data_dir), Ok(None));
        (someone_else && processes::row(pid).is_some()).then_some(pid)
    }

    /// The process number, always positive.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it is a single-user server, which cannot be stopped from outside.
    pub(crate) fn is_single_user(&self) -> bool {
        self.single_user
    }

    /// Whether the process still exists (a zombie does not).
    pub(crate) fn is_alive(&self) -> bool {
        self.handle.is_alive()
    }

    /// Sends a signal to exactly this process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.handle.signal(signal)
    }

    /// Resolves when the process has ended. Cancel safe.
    pub(crate) async fn exited(&self) {
        self.handle.ended().await;
    }

    /// The same without a runtime: blocks at most for `patience`; `true` when the end came.
    pub(crate) fn exits_before(&self, patience: Duration) -> bool {
        self.handle.ends_within(patience) || !self.is_alive()
    }

    /// Waits for the end at most for `limit`; `true` when it came.
    pub(crate) async fn exits_within(&self, limit: Option<Duration>) -> bool {
        match limit {
            None => {
                self.exited().await;
                true
            }
            Some(limit) => {
                tokio::time::timeout(limit, self.exited()).await.is_ok() || !self.is_alive()
            }
        }
    }
}

/// Whether it is certain that no server runs on a data directory: every process of a server has
/// it as its working directory, and belongs to the user that we are.
fn nobody_works_in(data_dir: &Path) -> bool {
    fs::canonicalize(data_dir).is_ok_and(|data_dir| !processes::somebody_works_in(&data_dir))
}

/// Whether the pid file tells of another process than the one that now has its number.
fn is_foreign(file: &PidFile, row: &Row) -> bool {
    let pid = row.pid;
    match file.start_time.parse::<i64>() {
        Ok(0) => {}
        Ok(written) => {
            let born = processes::born_at(row);
            if born.is_some_and(|born| (born - written).abs() > 3) {
                info!(
                    "Process {pid} is not postmaster, too much difference between PID file start \
                     time {written} and process start time {}",
                    born.unwrap_or_default()
                );
                return true;
            }
        }
        Err(_) => warn!("Garbage start time value in pid file: {}", file.start_time),
    }
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let parent = nix::unistd::getppid().as_raw();
    if pid == own || pid == parent || row.parent == own {
        info!(
            "Patroni (pid={own}, ppid={parent}), \"fake postmaster\" (pid={pid}, ppid={})",
            row.parent
        );
        return true;
    }
    false
}

/// Stops the postmaster from replacing children, then kills all of them.
pub(crate) fn kill_with_children(postmaster: &Postmaster) {
    warn!("Sending SIGKILL to Postmaster and its children");
    if let Err(reason) = postmaster.signal(Signal::STOP) {
        warn!("Failed to suspend postmaster: {reason}");
    }
    // Taken hold of before anyone dies, so that no number is reused in between.
    let children: Vec<Postmaster> = children_of(postmaster.pid(), true)
        .into_iter()
        .filter_map(|pid| Postmaster::open(pid).ok())
        .collect();
    if let Err(reason) = postmaster.signal(Signal::KILL) {
        warn!("Could not kill postmaster: {reason}");
    }
    for child in children {
        // One that has ended meanwhile is as good as killed.
        let _ = child.signal(Signal::KILL);
    }
}

/// Whether a title belongs to a process that serves no client. Source of the list: the
/// supervision contract, section 6; unknown titles count as clients.
pub(crate) fn is_auxiliary(title: &str) -> bool {
    is_one_of(title, &AUXILIARY) || is_one_of(title, &["bgworker:"])
}

/// Whether a title belongs to a process that sends WAL.
fn is_sender(title: &str) -> bool {
    is_one_of(title, &["walsender", "wal sender process"])
}

fn is_one_of(title: &str, names: &[&str]) -> bool {
    let Some(rest) = title.strip_prefix("postgres:") else {
        return false;
    };
    let rest = rest.trim_start();
    let names_one = |text: &str| {
        names.iter().any(|name| {
            text.strip_prefix(name).is_some_and(|after| {
                after.is_empty() || after.starts_with(' ') || name.ends_with(':')
            })
        })
    };
    // An optional cluster name and its colon stand in front.
    names_one(rest)
        || rest
            .split_once(": ")
            .is_some_and(|(_, text)| names_one(text))
}

/// Asks the WAL senders of a server to end.
pub(crate) fn end_senders(postmaster: &Postmaster) {
    for pid in children_of(postmaster.pid(), false) {
        // Taken hold of before its title is read, so that the number is that of the title.
        let Ok(sender) = Postmaster::open(pid) else {
            continue;
        };
        if let Some(title) = processes::title_of(pid).filter(|title| is_sender(title)) {
            warn!("Ending a WAL sender that holds up the restart: {title}");
            // One that has ended meanwhile holds up nothing.
            let _ = sender.signal(Signal::TERM);
        }
    }
}

const AUXILIARY: [&str; 23] = [
    "archiver",
    "startup",
    "autovacuum launcher",
    "autovacuum worker",
    "checkpointer",
    "logger",
    "stats collector",
    "wal receiver",
    "wal writer",
    "writer",
    "walreceiver",
    "wal sender process",
    "walsender",
    "walwriter",
    "background writer",
    "logical replication launcher",
    "logical replication worker for subscription",
    "logical replication tablesync worker",
    "logical replication parallel apply worker",
    "logical replication apply worker for subscription",
    "slotsync worker",
    "walsummarizer",
    "io worker",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_processes_are_told_from_auxiliary_ones() {
        for title in [
            "postgres: checkpointer ",
            "postgres: demo: checkpointer ",
            "postgres: demo: walsender replicator 127.0.0.1(5) streaming 0/1",
            "postgres: demo: autovacuum worker  db",
            "postgres: demo: bgworker: x",
            "postgres: wal writer process  ",
        ] {
            assert!(is_auxiliary(title.trim_end()), "{title}");
            assert_eq!(is_sender(title), title.contains("walsender"), "{title}");
        }
        for title in [
            "postgres: demo: app db 10.0.0.1(5) idle",
            "postgres: app db [local] idle",
            "/usr/lib/postgresql/15/bin/postgres",
        ] {
            assert!(!is_auxiliary(title), "{title}");
        }
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_seen_at_once() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = Postmaster::open(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(process.is_alive());
        assert!(!process.exits_within(Some(Duration::from_millis(1))).await);
        process.signal(Signal::KILL).unwrap();
        assert!(process.exits_within(Some(Duration::from_secs(10))).await);
        assert!(!process.is_alive(), "a zombie is not alive");
        child.wait().unwrap();
    }

    #[test]
    fn a_recycled_number_is_not_the_postmaster() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id();
        fs::write(
            dir.path().join("postmaster.pid"),
            format!("{own}\n/d\n1000\n"),
        )
        .unwrap();
        assert!(Postmaster::recognise(dir.path()).unwrap().is_none());
        assert_eq!(Postmaster::impostor(dir.path()), i32::try_from(own).ok());
        fs::write(dir.path().join("postmaster.pid"), format!("{own}\n/d\n0\n")).unwrap();
        let found = Postmaster::recognise(dir.path()).unwrap();
        assert!(found.is_none(), "it is this very process");
    }
}
