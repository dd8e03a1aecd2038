//! The executor slot: one long task beside the cycles; and the end of a daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use patroni_core::{Moment, State};
use patroni_ha::job::{DemoteReason, JobEnd, JobReport};
use patroni_ha::{Command, Job, JobContext, JobRun, JobStep, Outcome};

use super::{Lane, Program, Shown};
use crate::event::Event;
use crate::postgres::server::Process;
use crate::world::World;

impl World {
    /// Takes a task if the slot is free. It begins when the cycle that ordered it is over.
    pub(crate) fn order_job(&mut self, node: usize, job: &Job) -> Result<(), String> {
        let daemon = &mut self.nodes[node].daemon;
        if let Some(running) = &daemon.job {
            return Err(running.run.job().to_string());
        }
        if let Some(ordered) = &daemon.ordered {
            return Err(ordered.to_string());
        }
        daemon.ordered = Some(job.clone());
        self.coverage.count("job", job_name(job));
        self.note(node, "job", || format!("ordered: {job}"));
        Ok(())
    }

    /// Begins the ordered task.
    pub(crate) fn start_job(&mut self, node: usize) {
        let Some(job) = self.nodes[node].daemon.ordered.take() else {
            return;
        };
        let server = self.look(node);
        let now = self.nodes[node].clock.read(self.now);
        let daemon = &self.nodes[node].daemon;
        let context = JobContext {
            settings: daemon.settings.clone(),
            cluster: daemon.view.clone(),
            memory: daemon.memory.clone(),
            node: self.facts(node),
            watchdog: self.watchdog_facts(node),
            server,
        };
        let mut shown = Shown::default();
        if let Some(view) = &context.cluster {
            shown.snapshot(view);
        }
        let daemon = &mut self.nodes[node].daemon;
        daemon.job_since = now;
        daemon.committed = false;
        let run = JobRun::begin(job, context, now);
        daemon.job = Some(Program {
            run,
            pending: None,
            shown,
            asked: Vec::new(),
        });
        self.step_job(node);
    }

    pub(crate) fn resume_job(&mut self, node: usize, outcome: Outcome, moment: Moment) {
        let Some(program) = self.nodes[node].daemon.job.as_mut() else {
            return;
        };
        program.run.resume(outcome, moment);
        self.step_job(node);
    }

    fn step_job(&mut self, node: usize) {
        let Some(program) = self.nodes[node].daemon.job.as_ref() else {
            return;
        };
        let step = program.run.step();
        self.record_job(node, &step);
        match step {
            JobStep::Do { say, command } => {
                self.say(node, &say);
                self.begin(node, Lane::Job, command);
            }
            JobStep::Done { say, report } => {
                self.say(node, &say);
                self.end_job(node, report);
            }
        }
    }

    fn end_job(&mut self, node: usize, report: JobReport) {
        self.note(node, "job", || {
            format!("{} ended: {:?}", report.job, report.end)
        });
        let daemon = &mut self.nodes[node].daemon;
        daemon.job = None;
        if report.job == Job::Shutdown {
            self.exit_daemon(node, true);
            return;
        }
        daemon.finished.push(report);
        self.wake(node);
    }

    /// Ends the running task: its subprocess is killed, a postmaster it just started, too.
    pub(crate) fn cancel_job(&mut self, node: usize) {
        if let Some(ordered) = self.nodes[node].daemon.ordered.take() {
            self.note(node, "job", || format!("{ordered} never began"));
            return;
        }
        let Some(program) = self.nodes[node].daemon.job.take() else {
            return;
        };
        let pending = program.pending.as_ref();
        self.abort(node, pending.map(|pending| &pending.command));
        let job = program.run.job().clone();
        self.note(node, "job", || format!("{job} cancelled"));
        self.nodes[node].daemon.finished.push(JobReport {
            job,
            end: JobEnd::Cancelled,
            effects: Vec::new(),
        });
    }

    /// What a killed subprocess leaves behind.
    fn abort(&mut self, node: usize, command: Option<&Command>) {
        match command {
            Some(Command::Start(_)) if self.nodes[node].server.process == Process::Starting => {
                self.stop_server(node, patroni_ha::command::StopMode::Immediate, false);
            }
            // pg_basebackup removes what it made when it is told to end.
            Some(Command::CloneFrom(_)) if !self.nodes[node].server.runs() => {
                self.remove_data(node);
            }
            _ => {}
        }
    }

    /// SIGTERM: everything else ends, then the node leaves in order.
    pub(crate) fn begin_shutdown(&mut self, node: usize) {
        self.cancel_job(node);
        self.nodes[node].daemon.finished.clear();
        self.nodes[node].daemon.ordered = Some(Job::Shutdown);
        self.coverage.count("job", "shutdown");
        self.start_job(node);
    }

    /// The daemon is gone. The service manager starts it again.
    pub(crate) fn exit_daemon(&mut self, node: usize, leave_server: bool) {
        let job = self.nodes[node].daemon.job.take();
        let pending = job.as_ref().and_then(|program| program.pending.as_ref());
        self.abort(node, pending.map(|pending| &pending.command));
        self.nodes[node].loop_hangs = false;
        let daemon = &mut self.nodes[node].daemon;
        daemon.alive = false;
        daemon.life += 1;
        daemon.cycle = None;
        daemon.ordered = None;
        daemon.leaving = false;
        if !leave_server {
            self.stop_server(node, patroni_ha::command::StopMode::Fast, false);
        }
        let after = self.chance.millis(2000, 10_000);
        self.schedule(after, Event::Boot { node });
    }

    /// The daemon starts, with nothing but what it finds.
    pub(crate) fn boot(&mut self, node: usize) {
        if self.nodes[node].daemon.alive || self.nodes[node].down {
            return;
        }
        let role = self.role_found(node);
        let (runs, accepts) = {
            let server = &self.nodes[node].server;
            (server.runs(), server.accepts())
        };
        let state = match (runs, accepts) {
            (true, true) => State::Running,
            (true, false) => State::Starting,
            (false, _) => State::Stopped,
        };
        let name = self.nodes_name(node);
        let mut daemon = self.new_daemon(&name, role, state);
        let here = &mut self.nodes[node];
        daemon.life = here.daemon.life + 1;
        daemon.config.clone_from(&here.daemon.config);
        daemon.settings = here.daemon.settings.clone();
        daemon.session.set_ttl(daemon.settings.ttl);
        daemon.supervised.since = here.clock.read(self.now);
        daemon.supervised.callback_ran = accepts;
        daemon.next_run = self.now;
        // An adopted primary has until the first look at the store to show a lease.
        let grace = daemon.settings.retry_timeout + Duration::from_secs(1);
        here.daemon = daemon;
        // One that is guarded still is stopped by the guardian of the daemon before.
        if here.guardian.is_none() {
            here.excused_until = self.now + grace + Duration::from_secs(2);
        }
        let deadline = here.clock.read(self.now) + grace;
        self.note(node, "daemon", || format!("starts as {role}, {state}"));
        self.guard_until(node, deadline);
        self.loop_within(node, Duration::from_millis(1));
    }

    /// How often each task was ordered, for tests of the net itself.
    pub(crate) fn jobs_running(&self) -> BTreeMap<usize, String> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter_map(|(index, node)| {
                let job = node.daemon.job.as_ref()?;
                Some((index, job.run.job().to_string()))
            })
            .collect()
    }
}

/// The name of a task without its contents.
pub(crate) fn job_name(job: &Job) -> &'static str {
    match job {
        Job::Bootstrap => "bootstrap",
        Job::BootstrapStandbyLeader => "bootstrap of a standby leader",
        Job::Clone { .. } => "clone",
        Job::PostBootstrap => "post_bootstrap",
        Job::CrashRecovery => "crash recovery in single-user mode",
        Job::Rewind { .. } => "rewind",
        Job::Reinitialize { diverged: true, .. } => "reinitialize, diverged",
        Job::Reinitialize {
            diverged: false, ..
        } => "reinitialize",
        Job::StartPrimary { .. } => "start of a primary",
        Job::StartReplica {
            after_demotion: true,
            ..
        } => "start after demotion",
        Job::StartReplica {
            after_demotion: false,
            ..
        } => "start after failure",
        Job::RestartFollow { .. } => "restart to follow",
        Job::Demote { reason, .. } => match reason {
            DemoteReason::Switchover => "switchover",
            DemoteReason::Failover => "manual failover",
            DemoteReason::DemoteCluster => "demotion of the cluster",
        },
        Job::Promote => "promote",
        Job::CopyLogicalSlots { .. } => "copy of logical slots",
        Job::Restart(_) => "restart",
        Job::Shutdown => "shutdown",
    }
}

/// The names of all tasks.
pub(crate) const JOBS: &[&str] = &[
    "bootstrap",
    "bootstrap of a standby leader",
    "clone",
    "post_bootstrap",
    "crash recovery in single-user mode",
    "rewind",
    "reinitialize, diverged",
    "reinitialize",
    "start of a primary",
    "start after demotion",
    "start after failure",
    "restart to follow",
    "switchover",
    "manual failover",
    "demotion of the cluster",
    "promote",
    "copy of logical slots",
    "restart",
    "shutdown",
];
