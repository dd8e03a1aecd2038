//! The watchdog, the executor slot and time.

use super::{Cx, only};
use crate::citus;
use crate::command::{Command, Wait};
use crate::job::Job;
use crate::outcome::Outcome;
use crate::replay::{Asked, Halt};
use crate::sentence::Text;
use std::time::Duration;

/// How many changes of the store are looked at while waiting for a leader.
const MOST_LOOKS: usize = 20;

impl Cx<'_> {
    /// Arms the watchdog unless it is armed. False when it is needed and cannot be armed.
    pub(crate) fn watchdog_activate(&mut self) -> Asked<bool> {
        if self.watchdog_active {
            return Ok(true);
        }
        let armed = self.success(Command::WatchdogActivate)?;
        self.watchdog_active = armed;
        Ok(armed)
    }

    /// Arms the watchdog unless it is armed, whatever was last known of it.
    pub(crate) fn watchdog_rearm(&mut self) -> Asked<bool> {
        self.watchdog_active = false;
        self.watchdog_activate()
    }

    pub(crate) fn watchdog_keep_alive(&mut self) -> Asked<()> {
        if self.watchdog_active {
            self.done(Command::WatchdogKeepAlive)?;
        }
        Ok(())
    }

    /// Disarms the watchdog; does nothing when it is not armed.
    pub(crate) fn watchdog_disable(&mut self) -> Asked<()> {
        if self.watchdog_active {
            self.done(Command::WatchdogDisable)?;
            self.watchdog_active = false;
        }
        Ok(())
    }

    /// Lets the body keep the table of nodes of Citus, on the coordinator alone. Source: the Citus
    /// contract, section 7.
    pub(crate) fn keep_node_table(&mut self) -> Asked<()> {
        if self.node.citus_group == Some(citus::COORDINATOR) {
            self.done(Command::KeepNodeTable)?;
        }
        Ok(())
    }

    /// Puts a long task into the executor slot; gives the name of the one that occupies it.
    pub(crate) fn schedule(&mut self, job: Job) -> Asked<Result<(), String>> {
        let taken = only!(self.ask(Command::Schedule(job.clone()))?, Scheduled);
        match taken {
            Ok(()) => {
                self.scheduled = Some(job);
                Ok(Ok(()))
            }
            Err(old) => {
                self.say(Text::ActionBusy {
                    new: job.to_string(),
                    old: old.clone(),
                });
                Ok(Err(old))
            }
        }
    }

    pub(crate) fn cancel_job(&mut self, name: String) -> Asked<()> {
        self.say(Text::CancellingJob { name });
        self.done(Command::CancelJob)
    }

    pub(crate) fn drop_scheduled_restart(&mut self) -> Asked<()> {
        self.done(Command::DropScheduledRestart)
    }

    pub(crate) fn wait(&mut self, how_long: Duration) -> Asked<()> {
        let _happened = only!(self.ask(Command::Wait(Wait::For(how_long)))?, Waited);
        Ok(())
    }

    /// Gives others `at_most` to take the lock, and looks at the store. A change that this node
    /// made itself wakes, too, so one change is not always the awaited one. Whether the last
    /// look succeeded.
    pub(crate) fn wait_for_leader(&mut self, at_most: Duration) -> Asked<bool> {
        let deadline = self.now() + at_most;
        let mut seen = false;
        for _ in 0..MOST_LOOKS {
            let left = deadline.since(self.now());
            if left.is_zero() {
                break;
            }
            self.wait_for_store(left)?;
            seen = self.try_reload()?;
            let owner = self.view.leader_name();
            if seen && owner.is_some_and(|owner| !self.is_me(owner)) {
                break;
            }
        }
        Ok(seen)
    }

    pub(crate) fn wait_for_store(&mut self, at_most: Duration) -> Asked<bool> {
        Ok(only!(
            self.ask(Command::Wait(Wait::StoreChange { at_most }))?,
            Waited
        ))
    }
}
