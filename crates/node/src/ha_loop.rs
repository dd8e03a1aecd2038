//! The loop: observe, let the core decide, act, publish, wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_core::server::LocalServer;
use patroni_core::{Cluster, Moment, Role};
use patroni_ha::command::Command;
use patroni_ha::intent::{self, Refuse, ReinitializeBody};
use patroni_ha::job::Job;
use patroni_ha::journal::Asked;
use patroni_ha::lease::Again;
use patroni_ha::memory::{Lease, Memory};
use patroni_ha::observation::ScheduledRestart;
use patroni_ha::outcome::Outcome;
use patroni_ha::verdict::Verdict;
use patroni_ha::{Cycle, JobContext, Step};
use patroni_postgres::Cancel;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::act::{Body, LOOK};
use crate::configuration::Configuration;
use crate::executor::{Executor, JobEnds};
use crate::journal::Finished;
use crate::observe::{self, OfTheLoop};
use crate::reload::{self, Reloader};
use crate::request::Request;
use crate::say;
use crate::wake::Wake;

/// How many requests may wait for the loop.
const WAITING_REQUESTS: usize = 16;

/// The loop and everything that only it may touch.
pub(crate) struct HaLoop {
    pub(crate) body: Arc<Body>,
    pub(crate) executor: Executor,
    pub(crate) configuration: Configuration,
    pub(crate) reloader: Reloader,
    pub(crate) memory: Memory,
    requests: mpsc::Receiver<Request>,
    /// Ordered in the running cycle; begun when that has ended, with what it remembers then.
    ordered: Option<Job>,
    scheduled_restart: Option<ScheduledRestart>,
    /// Raised when the daemon shall end: it cuts waits short and ends the running cycle.
    stopping: Cancel,
    next_run: Instant,
    /// The store holds another configuration than the parts of the node work with.
    configuration_is_new: bool,
    /// The view and the server that the last cycle began with.
    last: Option<(Option<Arc<Cluster>>, LocalServer)>,
}

/// Why the loop ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody asked for it.
    Asked,
    /// The core found that the daemon must not go on.
    Fatal {
        /// Exit status.
        code: u8,
        /// PostgreSQL stays as it is.
        leave_postgres: bool,
    },
}

impl HaLoop {
    pub(crate) fn new(
        body: Arc<Body>,
        configuration: Configuration,
        reloader: Reloader,
        stopping: Cancel,
    ) -> (Self, mpsc::Sender<Request>, JobEnds) {
        let (sender, requests) = mpsc::channel(WAITING_REQUESTS);
        let executor = Executor::new(Arc::clone(&body.wakes));
        let ends = executor.ends();
        let new = Self {
            body,
            executor,
            configuration,
            reloader,
            memory: Memory::default(),
            requests,
            ordered: None,
            scheduled_restart: None,
            stopping,
            next_run: Instant::now(),
            configuration_is_new: false,
            last: None,
        };
        (new, sender, ends)
    }

    /// Runs cycles until the end.
    pub(crate) async fn run(&mut self) -> End {
        loop {
            self.serve_requests().await;
            if self.stopping.is_cancelled() {
                return End::Asked;
            }
            let begun = Instant::now();
            let again = match Box::pin(self.cycle()).await {
                Some(verdict) => {
                    self.body.durations.cycle.record(begun.elapsed());
                    let text = verdict.to_string();
                    if let Some(exit) = &verdict.exit {
                        if text != exit.message {
                            info!("{text}");
                        }
                        error!(critical = true, "{}", exit.message);
                        let code = u8::try_from(exit.code).unwrap_or(1);
                        return End::Fatal {
                            code,
                            leave_postgres: exit.leave_server,
                        };
                    }
                    info!("{text}");
                    verdict.again
                }
                None => return End::Asked,
            };
            self.body.facts().store_until = again.and_then(|again| again.store_until);
            self.after_cycle().await;
            self.wait(again).await;
        }
    }

    /// One cycle; `None` when it was broken off because the daemon ends.
    async fn cycle(&mut self) -> Option<Verdict> {
        let of_the_loop = OfTheLoop {
            executor: self.executor.running(),
            finished: self.executor.take_reports(),
            scheduled_restart: self.scheduled_restart.clone(),
            config_in_memory: self.configuration.dynamic().clone(),
        };
        let mut observation = observe::observe(&self.body, of_the_loop).await;
        if let Ok(view) = &observation.store
            && self.configuration.judge_store(view.config.as_ref())
        {
            // This cycle already decides by the new rules; the parts of the node take them over
            // after it. So the store hears of a mode that ends before PostgreSQL does.
            self.configuration_is_new = true;
            let dynamic = self.configuration.settings().dynamic.clone();
            observation.server = observe::look(&self.body, &dynamic, Some(view)).await;
            observation.settings = dynamic;
            observation.config_in_memory = self.configuration.dynamic().clone();
        }
        self.last = Some((observation.store.clone().ok(), observation.server.clone()));
        let mut cycle = Cycle::begin(observation, self.memory.clone());
        let mut asked = Vec::new();
        loop {
            let (step, rule) = cycle.step_by_rule();
            match step {
                Step::Do {
                    say: sentences,
                    command,
                } => {
                    say::all(&sentences);
                    asked.push(Asked {
                        rule,
                        say: sentences,
                        command: command.clone(),
                    });
                    if self.stopping.is_cancelled() {
                        self.body.journal.take(Finished::Broken { cycle, asked });
                        return None;
                    }
                    let outcome = self.carry_out(command).await;
                    cycle.resume(outcome, self.body.clock.now());
                }
                Step::Done {
                    say: sentences,
                    verdict,
                    memory,
                } => {
                    say::all(&sentences);
                    self.memory = memory.clone();
                    self.begin_ordered();
                    self.body.journal.take(Finished::Cycle {
                        cycle,
                        asked,
                        say: sentences,
                        verdict: verdict.clone(),
                        memory,
                    });
                    return Some(verdict);
                }
            }
        }
    }

    async fn carry_out(&mut self, command: Command) -> Outcome {
        match command {
            Command::Schedule(job) => Outcome::Scheduled(self.order(job)),
            Command::CancelJob => {
                self.ordered = None;
                self.executor.cancel().await;
                Outcome::Done
            }
            Command::DropScheduledRestart => {
                self.scheduled_restart = None;
                self.body.facts().scheduled_restart = None;
                Outcome::Done
            }
            other => {
                let outcome = self.body.carry_out(other, &self.stopping).await;
                if let (Outcome::Cluster(Ok(cluster)), Some((view, _))) = (&outcome, &mut self.last)
                {
                    *view = Some(cluster.clone());
                }
                outcome
            }
        }
    }

    /// Takes an order, unless the slot is occupied.
    fn order(&mut self, job: Job) -> Result<(), String> {
        let running = self.executor.running().map(|running| running.job);
        if let Some(other) = running.as_ref().or(self.ordered.as_ref()) {
            return Err(other.to_string());
        }
        self.ordered = Some(job);
        Ok(())
    }

    fn begin_ordered(&mut self) {
        if let Some(job) = self.ordered.take()
            && let Err(other) = self.schedule(job)
        {
            error!("the executor slot was taken by {other} behind the loop's back");
        }
    }

    fn schedule(&mut self, job: Job) -> Result<u64, String> {
        let context = self.job_context();
        let moves_the_server = job != Job::Promote;
        let number = self
            .executor
            .schedule(&self.body, job, context, self.body.clock.now())?;
        if moves_the_server {
            self.body.facts().positions_are_stable = false;
        }
        Ok(number)
    }

    pub(crate) fn job_context(&self) -> JobContext {
        let (cluster, server) = match &self.last {
            Some((cluster, server)) => (cluster.clone(), server.clone()),
            None => (None, self.body.facts().server.clone()),
        };
        JobContext {
            node: observe::node_facts(&self.body),
            settings: self.configuration.settings().dynamic.clone(),
            cluster,
            server,
            watchdog: observe::watchdog_facts(&self.body),
            memory: self.memory.clone(),
        }
    }

    /// Publishes what the cycle came to, and takes over a changed configuration.
    async fn after_cycle(&mut self) {
        let doc = self
            .last
            .as_ref()
            .and_then(|(cluster, _)| cluster.as_ref()?.config.clone());
        let is_new = self.configuration.judge_store(doc.as_ref());
        if std::mem::take(&mut self.configuration_is_new) || is_new {
            self.reloader
                .apply(&self.body, &self.configuration, false)
                .await;
        }
        if self.body.supervisor.role() != Role::Uninitialized {
            self.configuration.write_cache();
        }
        let now = self.body.clock.now();
        let lease_end = match self.memory.lease {
            Lease::Until(end) => Some(end),
            Lease::None | Lease::Lapsed(_) => None,
        };
        match lease_end {
            _ if self.body.settings().dynamic.pause => self.body.lease.ended(),
            Some(end) if now < end => self.body.lease.lasts_until(end),
            // A primary that is still on its way down is watched over until the end.
            Some(_) | None if self.leads() => {}
            Some(_) | None => self.body.lease.ended(),
        }
        self.body.tell_guardian();
        let lock_until = lease_end.map(|end| instant_of(end, now));
        let consent_until = self.memory.failsafe_until.map(|end| instant_of(end, now));
        let server = self.body.facts().server_now(&self.body.supervisor);
        let settings = self.body.settings();
        let watchdog_failed = !self.body.watchdog().is_usable();
        let (leaving_sync, diverged) = (self.memory.leaving_sync, self.memory.has_diverged());
        self.body.publish(|snapshot| {
            snapshot.set_dynamic(&settings.dynamic);
            snapshot.tags = settings.tags.published();
            snapshot.lock_until = lock_until;
            snapshot.consent_until = consent_until;
            snapshot.leaving_sync = leaving_sync;
            snapshot.diverged = diverged;
            snapshot.system_id = server.system_id;
            snapshot.pending_restart = server.pending_restart;
            snapshot.watchdog_failed = watchdog_failed;
        });
        self.show_scheduled_restart();
    }

    /// Who has asked for a restart, or cancelled it, sees so from the answer on.
    fn show_scheduled_restart(&self) {
        let restart = self.scheduled_restart.as_ref();
        let published = restart.map(|restart| restart.published.clone());
        self.body
            .publish(|snapshot| snapshot.scheduled_restart = published);
    }

    /// Whether the server is a primary as far as its supervisor knows.
    fn leads(&self) -> bool {
        matches!(self.body.supervisor.role(), Role::Primary | Role::Promoted)
    }

    /// Waits until the next planned run, or until something happens.
    async fn wait(&mut self, again: Option<Again>) {
        let loop_wait = self.body.timings().loop_wait;
        let now = Instant::now();
        self.next_run = match again {
            Some(again) => now + again.after,
            None => self.next_run + loop_wait,
        };
        if self.next_run <= now {
            warn!("Loop time exceeded, rescheduling immediately.");
            self.next_run = now;
        }
        let next_run = self.next_run;
        self.body
            .publish(|snapshot| snapshot.next_run = Some(next_run));
        let left = self.next_run - now;
        let view = self.body.view();
        let watches = observe::follows_somebody(view.as_deref(), &self.body)
            && self.executor.running().is_none();
        let leader = view.as_ref().and_then(|view| view.leader.clone());
        let body = Arc::clone(&self.body);
        let store_changed = async {
            if watches {
                body.store.watch(leader.as_ref(), left).await
            } else {
                body.store.watch(None, left).await
            }
        };
        let woken = tokio::select! {
            changed = store_changed => {
                if changed {
                    debug!("woken by the store");
                }
                changed
            }
            () = tokio::time::sleep(left + Duration::from_millis(500)) => false,
            reasons = self.body.wakes.next() => {
                self.note(&reasons).await;
                true
            }
            () = body.supervisor.postmaster_exited() => {
                debug!("woken by the end of PostgreSQL");
                true
            }
        };
        if woken {
            self.next_run = Instant::now();
        }
    }

    async fn note(&mut self, reasons: &[Wake]) {
        debug!("woken by {reasons:?}");
        if reasons.contains(&Wake::Reload) {
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        reload::announce();
        self.configuration.reload_local();
        self.reloader
            .apply(&self.body, &self.configuration, true)
            .await;
        reload::done();
    }

    async fn serve_requests(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            if request.is_abandoned() {
                continue;
            }
            match request {
                Request::Restart { conditions, reply } => {
                    let _ = reply.send(self.schedule(Job::Restart(conditions)));
                }
                Request::Reinitialize {
                    force,
                    from_leader,
                    reply,
                } => {
                    let _ = reply.send(self.reinitialize(force, from_leader).await);
                }
                Request::ScheduleRestart { restart, reply } => {
                    let free = self.scheduled_restart.is_none();
                    if free {
                        self.scheduled_restart = Some(restart);
                        self.show_scheduled_restart();
                    }
                    let _ = reply.send(free);
                }
                Request::CancelRestart { reply } => {
                    let was_there = self.scheduled_restart.take().is_some();
                    self.show_scheduled_restart();
                    let _ = reply.send(was_there);
                }
            }
        }
    }

    async fn reinitialize(&mut self, force: bool, from_leader: bool) -> Result<u64, Refuse> {
        let view = match self.body.load_view().await {
            Ok(cluster) => cluster,
            Err(why) => return Err(Refuse::new(503, why)),
        };
        let busy = self
            .executor
            .running()
            .map(|running| running.job.to_string());
        let body = ReinitializeBody { force, from_leader };
        let job = intent::judge_reinitialize(body, &self.body.name, &view, busy.as_deref())?;
        if force {
            if let Some(job) = busy {
                warn!("Cancelling long running task {job}");
            }
            self.executor.cancel().await;
        }
        let server = self
            .body
            .supervisor
            .observe(patroni_postgres::Ask::default(), LOOK)
            .await;
        self.last = Some((Some(view), server));
        self.schedule(job)
            .map_err(|action| Refuse::new(503, format!("{action} already in progress")))
    }
}

/// The instant of a moment, by the distance from now.
fn instant_of(moment: Moment, now: Moment) -> Instant {
    let instant = Instant::now();
    if moment >= now {
        instant + moment.since(now)
    } else {
        instant.checked_sub(now.since(moment)).unwrap_or(instant)
    }
}
