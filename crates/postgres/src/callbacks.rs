//! Callbacks: commands that tell the outside what happened here.
//!
//! They are not waited for. All but `on_reload` share one place: a new one kills the one that
//! still runs, and of several that come at once only the latest runs. `on_reload` has a place of
//! its own with the same rule (configuration contract, section 8).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use patroni_core::{Role, Scope};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::command::run::pid_of;
use crate::command::words::split;
use crate::command::{hide_own_settings, tree};

/// What a callback is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallbackEvent {
    /// PostgreSQL accepts connections after a start.
    OnStart,
    /// PostgreSQL was stopped, and not for a restart.
    OnStop,
    /// A restart is finished.
    OnRestart,
    /// PostgreSQL was told to read its configuration again.
    OnReload,
    /// Promotion, demotion, or a change between replica and standby leader.
    OnRoleChange,
}

impl CallbackEvent {
    /// The key in the configuration, also the first argument of the command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnStart => "on_start",
            Self::OnStop => "on_stop",
            Self::OnRestart => "on_restart",
            Self::OnReload => "on_reload",
            Self::OnRoleChange => "on_role_change",
        }
    }
}

impl fmt::Display for CallbackEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Runs callbacks. Dropping it starts no further one, but leaves a running one alone: `on_stop`
/// outlives the daemon that called it.
#[derive(Debug)]
pub struct Callbacks {
    commands: BTreeMap<String, String>,
    scope: Scope,
    has_run: AtomicBool,
    main: Place,
    reload: Place,
}

impl Callbacks {
    /// The configured commands of a cluster. Must be called inside a tokio runtime.
    pub fn new(commands: BTreeMap<String, String>, scope: Scope) -> Self {
        Self {
            commands,
            scope,
            has_run: AtomicBool::new(false),
            main: Place::new(Eviction::StopFirst),
            reload: Place::new(Eviction::TerminateFirst),
        }
    }

    /// Takes changed commands into use for the next call.
    pub fn reconfigure(&mut self, commands: BTreeMap<String, String>) {
        self.commands = commands;
    }

    /// Calls what is configured for the event, without waiting for it.
    pub fn run(&self, event: CallbackEvent, role: Role) {
        let place = match event {
            CallbackEvent::OnReload => &self.reload,
            CallbackEvent::OnStart
            | CallbackEvent::OnStop
            | CallbackEvent::OnRestart
            | CallbackEvent::OnRoleChange => {
                self.has_run.store(true, Ordering::Relaxed);
                &self.main
            }
        };
        if let Some(text) = self.commands.get(event.as_str()) {
            place.submit(Job {
                text: text.clone(),
                event,
                role: role.for_callback(),
                scope: self.scope.clone(),
            });
        }
    }

    /// Whether any callback but `on_reload` was called since the daemon started, configured or
    /// not.
    pub fn has_run(&self) -> bool {
        self.has_run.load(Ordering::Relaxed)
    }

    /// Waits until every callback asked for has been started (not until it has ended): the last
    /// thing to do before the daemon ends. Cancel safe.
    pub async fn started(&self) {
        self.main.idle().await;
        self.reload.idle().await;
    }
}

/// One command to be started.
#[derive(Clone, Debug)]
struct Job {
    text: String,
    event: CallbackEvent,
    role: &'static str,
    scope: Scope,
}

/// How a running callback makes room for the next.
#[derive(Clone, Copy, Debug)]
enum Eviction {
    /// Stopped, its descendants listed, killed.
    StopFirst,
    /// Told to end, then killed without waiting.
    TerminateFirst,
}

/// Room for one running and one waiting callback.
#[derive(Debug)]
struct Place {
    waiting: Arc<watch::Sender<Option<Job>>>,
    _worker: JoinSet<()>,
}

impl Place {
    fn new(eviction: Eviction) -> Self {
        let waiting = Arc::new(watch::Sender::new(None));
        let mut worker = JoinSet::new();
        worker.spawn(serve(Arc::clone(&waiting), eviction));
        Self {
            waiting,
            _worker: worker,
        }
    }

    fn submit(&self, job: Job) {
        self.waiting.send_replace(Some(job));
    }

    async fn idle(&self) {
        self.waiting
            .subscribe()
            .wait_for(Option::is_none)
            .await
            .expect("the sender lives in self");
    }
}

/// Starts what is waiting, after making room. The waiting job is taken only when it is started,
/// so that a newer one can still replace it.
async fn serve(waiting: Arc<watch::Sender<Option<Job>>>, eviction: Eviction) {
    let mut news = waiting.subscribe();
    let mut running: Option<(String, Child)> = None;
    loop {
        if let Some((_, child)) = &mut running {
            tokio::select! {
                _reaped = child.wait() => {
                    running = None;
                    continue;
                }
                news = news.wait_for(Option::is_some) => {
                    if news.is_err() {
                        return;
                    }
                }
            }
        } else if news.wait_for(Option::is_some).await.is_err() {
            return;
        }
        if let Some((text, child)) = running.take() {
            evict(text, child, eviction).await;
        }
        let mut job = None;
        waiting.send_if_modified(|waiting| {
            job = waiting.take();
            false
        });
        if let Some(job) = job {
            running = job.start().map(|child| (job.text, child));
        }
        waiting.send_modify(|_| {}); // for those who wait until nothing waits
    }
}

async fn evict(text: String, mut child: Child, eviction: Eviction) {
    if let Some(pid) = pid_of(&child) {
        if let Eviction::TerminateFirst = eviction {
            tree::send(pid, Signal::SIGTERM);
        }
        tree::kill_with_descendants(pid);
        tracing::warn!("Killed {text} because it was still running");
    }
    if let Err(error) = child.wait().await {
        tracing::warn!("Failed to kill the process: {error}");
    }
}

impl Job {
    fn start(&self) -> Option<Child> {
        match self.spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                tracing::error!(
                    "callback {} {} {} {} failed: {error}",
                    self.text,
                    self.event,
                    self.role,
                    self.scope
                );
                None
            }
        }
    }

    /// Standard streams, directory and environment are those of the daemon.
    fn spawn(&self) -> std::io::Result<Child> {
        let words = split(&self.text).map_err(std::io::Error::other)?;
        let (program, args) = words
            .split_first()
            .ok_or_else(|| std::io::Error::other("the command has no words"))?;
        let mut command = tokio::process::Command::new(program);
        command
            .args(args)
            .args([self.event.as_str(), self.role, self.scope.as_str()])
            .process_group(0);
        hide_own_settings(&mut command);
        command.spawn()
    }
}
