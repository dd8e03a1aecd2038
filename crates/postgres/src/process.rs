//! The postmaster as a process of the system: recognised, watched, signalled.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{info, warn};

use crate::pidfile::PidFile;

/// A postmaster that was seen alive. Holds a descriptor of that very process, so a later process
/// with the same number is never mistaken for it.
#[derive(Debug)]
pub(crate) struct Postmaster {
    pid: Pid,
    single_user: bool,
    handle: OwnedFd,
}

impl Postmaster {
    /// Takes hold of a process that is known to be the postmaster.
    pub(crate) fn open(pid: i32) -> io::Result<Self> {
        let raw = pid.checked_abs().and_then(Pid::from_raw);
        let number = raw.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Self {
            pid: number,
            single_user: pid < 0,
            handle: pidfd_open(number, PidfdFlags::empty())?,
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
        // The descriptor is opened first: what is checked afterwards is checked of this process.
        let postmaster = match Self::open(file.pid) {
            Ok(postmaster) => postmaster,
            Err(error) if is_no_process(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = Stat::read(postmaster.pid());
        if !postmaster.is_alive() || stat.is_some_and(|stat| is_foreign(&file, &stat)) {
            return Ok(None);
        }
        Ok(Some(postmaster))
    }

    /// The process of a stale pid file whose number now belongs to somebody else.
    pub(crate) fn impostor(data_dir: &Path) -> Option<i32> {
        let pid = PidFile::read(data_dir).ok()??.pid;
        let someone_else = matches!(Self::recognise(data_dir), Ok(None));
        (someone_else && Stat::read(pid).is_some()).then_some(pid)
    }

    /// The process number, always positive.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The descriptor, which becomes readable when the process has ended.
    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    /// Whether it is a single-user server, which cannot be stopped from outside.
    pub(crate) fn is_single_user(&self) -> bool {
        self.single_user
    }

    /// Whether the process still exists (a zombie does not).
    pub(crate) fn is_alive(&self) -> bool {
        let mut fds = [PollFd::new(&self.handle, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match rustix::event::poll(&mut fds, Some(&now)) {
            Ok(ready) => ready == 0,
            // Asking again is the only sensible thing to do when the question was interrupted.
            Err(_) => true,
        }
    }

    /// Sends a signal to exactly this process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        pidfd_send_signal(&self.handle, signal).map_err(io::Error::from)
    }

    /// Resolves when the process has ended. Cancel safe.
    pub(crate) async fn exited(&self) {
        if let Ok(watched) = self.handle.try_clone().and_then(watch)
            && watched.readable().await.is_ok()
        {
            return;
        }
        // Without a place in the reactor (descriptor limit) the process is looked at instead.
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
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

/// Puts a process descriptor into the reactor; it becomes readable when the process ends.
fn watch(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "the reactor asks for a promise about the descriptor"
    )]
    // SAFETY: an `OwnedFd` is open until dropped, and the `AsyncFd` owns it and never gives it
    // away.
    let watched = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Whether it is certain that no server runs on a data directory: every process of a server has
/// it as its working directory, and belongs to the user that we are.
fn nobody_works_in(data_dir: &Path) -> bool {
    let Ok(data_dir) = fs::canonicalize(data_dir) else {
        return false;
    };
    let Ok(entries) = fs::read_dir("/proc") else {
        return false;
    };
    let us = nix::unistd::geteuid().as_raw();
    for entry in entries {
        let Ok(entry) = entry else {
            return false;
        };
        let name = entry.file_name();
        if !name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        match fs::read_link(entry.path().join("cwd")) {
            Ok(cwd) if cwd == data_dir => return false,
            Ok(_) => {}
            // It has ended, or is about to: then it works nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_no_process(&error) => {}
            // Those of others are closed to us, and no servers of ours.
            Err(_) => match entry.metadata() {
                Ok(found) if found.uid() == us => return false,
                Ok(_) | Err(_) => {}
            },
        }
    }
    true
}

/// No process has the number, or it cannot be one.
fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
        || error.kind() == io::ErrorKind::InvalidInput
}

/// Whether the pid file tells of another process than the one that now has its number.
fn is_foreign(file: &PidFile, stat: &Stat) -> bool {
    let pid = stat.pid;
    match file.start_time.parse::<i64>() {
        Ok(0) => {}
        Ok(written) => {
            let born = stat.born_at();
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
    if pid == own || pid == parent || stat.parent == own {
        info!(
            "Patroni (pid={own}, ppid={parent}), \"fake postmaster\" (pid={pid}, ppid={})",
            stat.parent
        );
        return true;
    }
    false
}

/// What `/proc/<pid>/stat` tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Clock ticks between boot and birth.
    started: u64,
}

impl Stat {
    pub(crate) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let pid = text.split_whitespace().next()?.parse().ok()?;
        // The name in brackets may hold anything, brackets and blanks, too.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            started,
        })
    }

    /// Clock ticks between boot and birth.
    pub(crate) fn born_ticks(&self) -> u64 {
        self.started
    }

    /// Birth in seconds of the epoch.
    fn born_at(&self) -> Option<i64> {
        let boot: u64 = fs::read_to_string("/proc/stat")
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?
            .trim()
            .parse()
            .ok()?;
        let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
        let per_second = u64::try_from(per_second).ok().filter(|ticks| *ticks > 0)?;
        i64::try_from(boot + self.started / per_second).ok()
    }
}

/// Every process with its parent.
fn all_processes() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read)
        .collect()
}

/// The children of a process, or with `deep` all its descendants.
pub(crate) fn children_of(parent: i32, deep: bool) -> Vec<i32> {
    let all = all_processes();
    let mut found = vec![parent];
    let mut next = 0;
    while let Some(&current) = found.get(next) {
        found.extend(
            all.iter()
                .filter(|stat| stat.parent == current)
                .map(|stat| stat.pid),
        );
        next += 1;
        if !deep {
            break;
        }
    }
    found.split_off(1)
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

/// The title of a process (its `argv[0]`), `None` when it has no command line.
pub(crate) fn title_of(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let first = line.split(|byte| *byte == 0).next()?;
    let title = String::from_utf8_lossy(first).trim_end().to_owned();
    (!title.is_empty()).then_some(title)
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
        if let Some(title) = title_of(pid).filter(|title| is_sender(title)) {
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
    fn stat_lines_with_odd_names_are_read() {
        let tail = "S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 1 1";
        let stat = Stat::parse(&format!("42 (a) b (c)) {tail}")).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.started), (42, 7, 5000));
    }

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
