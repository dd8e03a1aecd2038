//! Callbacks: those the core asks for, and those that wait until the server is up.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use patroni_core::{Role, Scope, State};
use patroni_ha::command::CallbackEvent;
use patroni_postgres::Supervisor;
use patroni_postgres::callbacks as runner;

/// The callbacks of a node.
pub(crate) struct Callbacks {
    supervisor: Supervisor,
    runner: Mutex<runner::Callbacks>,
    /// Due when the server that is starting accepts connections.
    pending: Mutex<Option<CallbackEvent>>,
}

impl Callbacks {
    pub(crate) fn new(supervisor: Supervisor, scope: Scope) -> Self {
        let commands = supervisor.settings().callbacks.clone();
        let runner = Mutex::new(runner::Callbacks::new(commands, scope));
        Self {
            supervisor,
            runner,
            pending: Mutex::default(),
        }
    }

    /// Takes other commands from now on.
    pub(crate) fn reconfigure(&self, commands: &BTreeMap<String, String>) {
        self.runner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reconfigure(commands.clone());
    }

    /// Runs one at once.
    pub(crate) fn run(&self, event: CallbackEvent, role: Role) {
        if event != CallbackEvent::Reload {
            self.supervisor.note_callback();
        }
        let event = match event {
            CallbackEvent::Start => runner::CallbackEvent::OnStart,
            CallbackEvent::Stop => runner::CallbackEvent::OnStop,
            CallbackEvent::Restart => runner::CallbackEvent::OnRestart,
            CallbackEvent::Reload => runner::CallbackEvent::OnReload,
            CallbackEvent::RoleChange => runner::CallbackEvent::OnRoleChange,
        };
        self.runner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .run(event, role);
    }

    /// Notes the one that is due when the server is up; `None` forgets it.
    pub(crate) fn when_running(&self, event: Option<CallbackEvent>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = event;
    }

    /// Runs what was noted each time the server comes up. For ever.
    pub(crate) async fn watch(&self) {
        let mut states = self.supervisor.subscribe();
        loop {
            let (state, role) = *states.borrow_and_update();
            if state == State::Running {
                let due = self
                    .pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(event) = due {
                    self.run(event, role);
                }
                if self.supervisor.take_unreported_reload() {
                    self.run(CallbackEvent::Reload, role);
                }
            }
            if states.changed().await.is_err() {
                return;
            }
        }
    }
}
