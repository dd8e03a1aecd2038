//! What runs, noted in a file below the target folder, so that another run can end it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use patroni_tests::wait;
use serde_json::{Value, json};

use super::Store;
use crate::cargo::target_dir;

/// How long a server may take for an orderly end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The servers of one store.
pub(super) struct Running {
    store: Store,
    /// Their files; removed with them.
    pub(super) folder: PathBuf,
    /// Where clients connect.
    pub(super) port: u16,
    /// The section of a node's file.
    pub(super) section: String,
    /// What else a person has to know.
    pub(super) note: String,
    processes: Vec<Process>,
}

/// A process, or a group of them. A number can be given again to somebody else, together with
/// the time of its start it cannot.
pub(super) struct Process {
    name: String,
    pid: Pid,
    began: String,
    group: bool,
}

impl Running {
    pub(super) fn new(store: Store, folder: PathBuf) -> Self {
        Self {
            store,
            folder,
            port: 0,
            section: String::new(),
            note: String::new(),
            processes: Vec::new(),
        }
    }

    /// What was noted for a store.
    ///
    /// # Errors
    /// The note cannot be read.
    pub(super) fn read(store: Store) -> Result<Option<Self>> {
        let path = path(store);
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)?;
        let running = serde_json::from_str(&text).ok();
        let running = running.and_then(|note| Self::from_json(store, &note));
        let running = running.with_context(|| format!("{} is no such note", path.display()))?;
        Ok(Some(running))
    }

    /// Notes one more process.
    ///
    /// # Errors
    /// The note cannot be written.
    pub(super) fn add(&mut self, process: Process) -> Result<()> {
        self.processes.push(process);
        let path = path(self.store);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, self.to_json().to_string())
            .with_context(|| format!("write {}", path.display()))
    }

    /// Whether everything runs.
    pub(super) fn is_alive(&self) -> bool {
        self.processes.iter().all(Process::is_alive)
    }

    /// Prints where it is and what to paste.
    pub(super) fn show(&self) {
        let name = self.store.name();
        if !self.is_alive() {
            say!("{name}: dead; `cargo xtask servers down {name}` clears it away");
            return;
        }
        let pids = self.processes.iter();
        let pids: Vec<String> = pids
            .map(|process| format!("{} has pid {}", process.name, process.pid))
            .collect();
        say!(
            "{name}: 127.0.0.1:{}, {}, files in {}",
            self.port,
            pids.join(", "),
            self.folder.display()
        );
        say!("{}", self.section.trim_end());
        if !self.note.is_empty() {
            say!("{}", self.note);
        }
    }

    /// Ends all processes, removes their files and the note.
    ///
    /// # Errors
    /// A process does not end, or something cannot be removed.
    pub(super) fn end(&self) -> Result<()> {
        // The last one uses those before it.
        self.processes.iter().rev().try_for_each(Process::end)?;
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)
                .with_context(|| format!("remove {}", self.folder.display()))?;
        }
        let note = path(self.store);
        if note.exists() {
            std::fs::remove_file(note)?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let processes: Vec<Value> = self.processes.iter().map(Process::to_json).collect();
        json!({
            "folder": self.folder,
            "port": self.port,
            "section": self.section,
            "note": self.note,
            "processes": processes,
        })
    }

    fn from_json(store: Store, note: &Value) -> Option<Self> {
        let text = |key: &str| note[key].as_str().map(str::to_owned);
        let processes = note["processes"].as_array()?.iter();
        Some(Self {
            store,
            folder: text("folder")?.into(),
            port: u16::try_from(note["port"].as_u64()?).ok()?,
            section: text("section")?,
            note: text("note")?,
            processes: processes.map(Process::from_json).collect::<Option<_>>()?,
        })
    }
}

impl Process {
    /// A process without children.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn alone(name: &str, pid: Pid) -> Result<Self> {
        Self::new(name, pid, false)
    }

    /// The leader of a group.
    ///
    /// # Errors
    /// It does not run.
    pub(super) fn group(name: &str, pid: Pid) -> Result<Self> {
        Self::new(name, pid, true)
    }

    fn new(name: &str, pid: Pid, group: bool) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            pid,
            began: began(pid).with_context(|| format!("{name} does not run"))?,
            group,
        })
    }

    fn is_alive(&self) -> bool {
        began(self.pid).is_some_and(|began| began == self.began)
    }

    fn end(&self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM);
        let gone = || {
            ensure!(!self.is_alive(), "{} still runs", self.name);
            Ok(())
        };
        if wait::until("its end", PATIENCE, gone).is_err() {
            self.signal(Signal::SIGKILL);
        }
        wait::until(&format!("the end of {}", self.name), PATIENCE, gone)
    }

    fn signal(&self, signal: Signal) {
        // One that is gone meanwhile does not mind.
        let _ = if self.group {
            killpg(self.pid, signal)
        } else {
            kill(self.pid, signal)
        };
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "pid": self.pid.as_raw(),
            "began": self.began,
            "group": self.group,
        })
    }

    fn from_json(note: &Value) -> Option<Self> {
        Some(Self {
            name: note["name"].as_str()?.to_owned(),
            pid: Pid::from_raw(i32::try_from(note["pid"].as_i64()?).ok()?),
            began: note["began"].as_str()?.to_owned(),
            group: note["group"].as_bool()?,
        })
    }
}

/// When a process began, in ticks since the start of the machine; `None` when there is none, or
/// it has ended and nobody has asked for its end yet.
fn began(pid: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let state = fields.first()?;
    (*state != "Z").then_some(())?;
    Some((*fields.get(19)?).to_owned())
}

/// The file of the note about a store.
fn path(store: Store) -> PathBuf {
    target_dir()
        .join("servers")
        .join(format!("{}.json", store.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let mut running = Running::new(Store::Consul, "/tmp/x".into());
        running.section = "consul:\n  host: h\n".to_owned();
        running.port = 8500;
        let own = Process::alone("self", Pid::this()).expect("this process runs");
        running.processes.push(own);
        let note = running.to_json();
        let read = Running::from_json(Store::Consul, &note).expect("a whole note");
        assert_eq!(read.to_json(), note);
        assert!(read.is_alive());
        assert!(Running::from_json(Store::Consul, &json!({"port": 1})).is_none());
    }

    #[test]
    fn somebody_else_with_the_same_number_is_left_alone() {
        let mut own = Process::alone("self", Pid::this()).expect("this process runs");
        own.began = "1".to_owned();
        assert!(!own.is_alive());
        own.end().expect("nothing to do");
    }
}
