//! Processes of a test: started as the user who may run PostgreSQL, ended with the test.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};

use crate::wait;

/// The user that runs nodes: `postgres` when the tests run as root, else whoever runs them.
fn runner() -> Option<User> {
    Uid::effective().is_root().then(|| {
        User::from_name("postgres")
            .ok()
            .flatten()
            .expect("root needs a user `postgres` to run PostgreSQL as")
    })
}

/// A command that runs as the node user, with a clean environment for PostgreSQL and Patroni.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = if runner().is_some() {
        let mut wrapped = Command::new("setpriv");
        wrapped
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ])
            .arg(program);
        wrapped
    } else {
        Command::new(program)
    };
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PATRONI") || text.starts_with("PG") || text.starts_with("ETCD") {
            command.env_remove(&name);
        }
    }
    command
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .current_dir("/");
    command
}

/// The same inside of a network namespace.
pub fn command_in(namespace: Option<&str>, program: impl AsRef<OsStr>) -> Command {
    let inner = command(program);
    let Some(namespace) = namespace else {
        return inner;
    };
    let mut outer = Command::new("ip");
    outer.args(["netns", "exec", namespace]);
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.current_dir("/");
    outer
}

/// Gives a file or folder to the node user.
///
/// # Errors
/// The system refuses.
pub fn give_to_runner(path: &Path) -> Result<()> {
    if let Some(user) = runner() {
        chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("chown {}", path.display()))?;
    }
    Ok(())
}

static DIR: OnceLock<PathBuf> = OnceLock::new();

/// Takes the binaries from this folder instead of the default one.
///
/// # Errors
/// They are not there, or cannot be copied to where the node user can run them.
pub fn use_binaries_of(built: &Path) -> Result<()> {
    let dir = prepare_bin_dir(built)?;
    DIR.set(dir)
        .map_err(|_| anyhow::anyhow!("the binaries were already chosen"))
}

/// The folder of the built binaries, where the node user can run them: `PATRONI_TEST_BIN_DIR`,
/// else `target/debug` of the workspace; copied once per run when that may be unreadable for it.
///
/// # Panics
/// The binaries are not built.
pub fn bin(name: &str) -> PathBuf {
    let dir = DIR.get_or_init(|| {
        let built = std::env::var_os("PATRONI_TEST_BIN_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug"),
            PathBuf::from,
        );
        prepare_bin_dir(&built).expect("the binaries must be built first: cargo xtask test")
    });
    dir.join(name)
}

fn prepare_bin_dir(built: &Path) -> Result<PathBuf> {
    let names = ["patroni", "patronictl", "patroni_raft_controller"];
    for name in names {
        let path = built.join(name);
        if !path.is_file() {
            bail!("{} does not exist", path.display());
        }
    }
    if runner().is_none() {
        return Ok(built.canonicalize()?);
    }
    let copies = copies_dir(built)?;
    for name in names {
        // Through a new file, because the old one may be running.
        let (beside, place) = (
            copies.join(format!("{name}.{}", std::process::id())),
            copies.join(name),
        );
        std::fs::copy(built.join(name), &beside).with_context(|| format!("copy {name}"))?;
        std::fs::rename(&beside, &place)?;
    }
    Ok(copies)
}

/// One folder for the copies of each folder of binaries, ours alone.
fn copies_dir(built: &Path) -> Result<PathBuf> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let mut hasher = DefaultHasher::new();
    built.canonicalize()?.hash(&mut hasher);
    let dir = std::env::temp_dir().join(format!("patroni-tests-bin-{:x}", hasher.finish()));
    if !dir.is_dir() {
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(&dir)
            .with_context(|| format!("create {}", dir.display()))?;
    }
    if std::fs::symlink_metadata(&dir)?.uid() != Uid::effective().as_raw() {
        bail!("{} belongs to somebody else", dir.display());
    }
    Ok(dir)
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub struct Proc {
    name: String,
    command: Command,
    child: Child,
}

impl Proc {
    /// Starts a command with its output appended to a file.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log)?;
        give_to_runner(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            command,
            child,
        })
    }

    /// Starts the same again; what still runs of it is killed first.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        let child = self.command.spawn();
        self.child = child.with_context(|| format!("start {} again", self.name))?;
        Ok(())
    }

    /// The process id. `setpriv` replaces itself, so it is that of the program.
    ///
    /// # Panics
    /// Never: the system's process ids fit.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// Sends a signal as [`signal`] does; a process that is gone does not mind.
    pub fn signal(&self, signal: Signal) {
        let _ = self::signal(self.pid(), signal);
    }

    /// Whether it still runs, and its exit code if not.
    ///
    /// # Errors
    /// The system does not know the process.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        Ok(self
            .child
            .try_wait()?
            .map(|status| status.code().unwrap_or(-1)))
    }

    /// Waits for the end and gives the exit code.
    ///
    /// # Errors
    /// It did not end in time.
    pub fn wait_exit(&mut self, at_most: Duration) -> Result<i32> {
        let name = self.name.clone();
        wait::until(&format!("end of {name}"), at_most, || {
            self.exit_code()?
                .with_context(|| format!("{name} still runs"))
        })
    }

    /// Leaves it running, also when this process ends. Whoever keeps the process id ends it.
    pub fn leave(self) -> Pid {
        let pid = self.pid();
        std::mem::forget(self);
        pid
    }

    /// Kills it and waits.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal. A process that is stopped is so when this returns: `kill` returns before the
/// threads that run on other processors have stopped, and one of them may answer a request yet.
///
/// # Errors
/// The process is gone, belongs to somebody else, or does not stop.
pub fn signal(pid: Pid, signal: Signal) -> Result<()> {
    kill(pid, signal).with_context(|| format!("send {signal} to {pid}"))?;
    if signal == Signal::SIGSTOP {
        wait::until(&format!("stop of {pid}"), Duration::from_secs(10), || {
            ensure!(is_stopped(pid)?, "a thread still runs");
            Ok(())
        })?;
    }
    Ok(())
}

/// The words of a process's command line; none when it has ended and nobody has asked for its exit
/// code yet.
///
/// # Errors
/// There is no such process.
pub fn words(pid: Pid) -> Result<Vec<String>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let words = line.split_terminator('\0');
    Ok(words.map(str::to_owned).collect())
}

/// The parent of a process.
///
/// # Errors
/// There is no such process.
pub fn parent(pid: Pid) -> Result<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let parent = parent.context("no parent")?.trim().parse()?;
    Ok(Pid::from_raw(parent))
}

/// The ports at the other ends of a process's connections by IPv4.
///
/// # Errors
/// There is no such process, or it is not ours to look at.
pub fn connected_to(pid: Pid) -> Result<Vec<u16>> {
    let mut sockets = Vec::new();
    for file in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that was closed in between leads nowhere.
        let target = std::fs::read_link(file?.path()).unwrap_or_default();
        sockets.push(target.display().to_string());
    }
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let established = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (remote, state, socket) = (*fields.get(2)?, *fields.get(3)?, *fields.get(9)?);
        let is_theirs = sockets.contains(&format!("socket:[{socket}]"));
        (is_theirs && state == "01").then_some(remote)
    });
    established
        .map(|remote| {
            let (_, port) = remote.split_once(':').context("no port")?;
            Ok(u16::from_str_radix(port, 16)?)
        })
        .collect()
}

/// Whether no thread of a process runs.
fn is_stopped(pid: Pid) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended in between has no state any more.
        let stat = std::fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim_start().chars().next());
        if !matches!(state, None | Some('T' | 't' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a program can be started by its name.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
