//! The one slot for long tasks.
//!
//! A task is a [`JobRun`] of the core, carried out by the same [`Body`] as the cycles, beside
//! them. It is told to stop, never dropped half way; its report waits for the next cycle.

use std::sync::{Arc, Mutex, PoisonError};

use patroni_core::Moment;
use patroni_ha::command::Command;
use patroni_ha::job::{Job, JobEnd, JobReport, RunningJob};
use patroni_ha::journal::Asked;
use patroni_ha::{JobContext, JobRun, JobStep, Rule};
use patroni_postgres::Cancel;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

use crate::act::Body;
use crate::journal::Finished;
use crate::say;
use crate::wake::{Wake, Wakes};

/// The slot and what lies ready from it. Owned by the loop; [`ExecutorView`] is for readers.
#[derive(Debug)]
pub(crate) struct Executor {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
    wakes: Arc<Wakes>,
}

#[derive(Debug)]
struct Shared {
    slot: watch::Sender<Option<Slot>>,
    reports: Mutex<Vec<JobReport>>,
    ended: watch::Sender<Option<(u64, JobEnd)>>,
}

#[derive(Clone, Debug)]
struct Slot {
    number: u64,
    running: RunningJob,
    cancel: Cancel,
}

impl Executor {
    /// An empty slot.
    pub(crate) fn new(wakes: Arc<Wakes>) -> Self {
        let shared = Shared {
            slot: watch::Sender::new(None),
            reports: Mutex::default(),
            ended: watch::Sender::new(None),
        };
        Self {
            tasks: JoinSet::new(),
            shared: Arc::new(shared),
            wakes,
        }
    }

    /// What runs now.
    pub(crate) fn running(&self) -> Option<RunningJob> {
        self.shared
            .slot
            .borrow()
            .as_ref()
            .map(|slot| slot.running.clone())
    }

    /// Puts a task into the slot and returns its number.
    ///
    /// # Errors
    /// The slot is occupied by the named task.
    pub(crate) fn schedule(
        &mut self,
        body: &Arc<Body>,
        job: Job,
        context: JobContext,
        now: Moment,
    ) -> Result<u64, String> {
        if let Some(running) = self.running() {
            return Err(running.job.to_string());
        }
        while self.tasks.try_join_next().is_some() {} // the ended ones are only forgotten
        let number = self.shared.ended.borrow().map_or(0, |(number, _)| number) + 1;
        let cancel = Cancel::default();
        let running = RunningJob {
            job: job.clone(),
            since: now,
            committed: false,
        };
        self.shared.slot.send_replace(Some(Slot {
            number,
            running,
            cancel: cancel.clone(),
        }));
        let run = JobRun::begin(job, context, now);
        let task = carry_on(Arc::clone(body), Arc::clone(&self.shared), run, cancel);
        let (shared, wakes) = (Arc::clone(&self.shared), Arc::clone(&self.wakes));
        self.tasks.spawn(async move {
            let report = Box::pin(task).await;
            let end = report.end;
            shared
                .reports
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(report);
            shared.slot.send_replace(None);
            shared.ended.send_replace(Some((number, end)));
            wakes.wake(Wake::JobEnded);
        });
        Ok(number)
    }

    /// Reports of tasks that ended since the last call, oldest first. A task that panicked is
    /// reported as failed.
    pub(crate) fn take_reports(&mut self) -> Vec<JobReport> {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(failure) = ended {
                self.note_crash(&failure.to_string());
            }
        }
        std::mem::take(
            &mut self
                .shared
                .reports
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn note_crash(&self, failure: &str) {
        let Some(slot) = self.shared.slot.send_replace(None) else {
            return;
        };
        let job = slot.running.job;
        error!("Exception during execution of long running task {job}: {failure}");
        let report = JobReport {
            job,
            end: JobEnd::Failure,
            effects: Vec::new(),
        };
        self.shared
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report);
        self.shared
            .ended
            .send_replace(Some((slot.number, JobEnd::Failure)));
    }

    /// Ends the running task and waits until it has ended.
    pub(crate) async fn cancel(&mut self) {
        let Some(slot) = self.shared.slot.borrow().clone() else {
            return;
        };
        slot.cancel.cancel();
        while self.running().is_some() {
            match self.tasks.join_next().await {
                Some(Err(failure)) => self.note_crash(&failure.to_string()),
                Some(Ok(())) => {}
                None => break,
            }
        }
    }

    /// Where others can wait for the end of a task.
    pub(crate) fn ends(&self) -> JobEnds {
        JobEnds {
            ended: self.shared.ended.subscribe(),
        }
    }
}

/// Lets a request wait for the end of the task it caused.
#[derive(Clone, Debug)]
pub(crate) struct JobEnds {
    ended: watch::Receiver<Option<(u64, JobEnd)>>,
}

impl JobEnds {
    /// Waits for the end of the task with this number. `None` when the daemon ends first, or
    /// when a later task ended before anybody looked.
    pub(crate) async fn wait_for(&mut self, number: u64) -> Option<JobEnd> {
        let at_or_after =
            |ended: &Option<(u64, JobEnd)>| ended.is_some_and(|(latest, _)| latest >= number);
        let ended = self.ended.wait_for(at_or_after).await.ok()?;
        ended
            .filter(|(latest, _)| *latest == number)
            .map(|(_, end)| end)
    }
}

async fn carry_on(
    body: Arc<Body>,
    shared: Arc<Shared>,
    mut run: JobRun,
    cancel: Cancel,
) -> JobReport {
    let wall = jiff::Timestamp::now();
    let mut asked = Vec::new();
    loop {
        match run.step() {
            JobStep::Do {
                say: sentences,
                command,
            } => {
                say::all(&sentences);
                if matches!(command, Command::Promote | Command::ReleaseLeader { .. }) {
                    shared.slot.send_modify(|slot| {
                        if let Some(slot) = slot {
                            slot.running.committed = true;
                        }
                    });
                }
                asked.push(Asked {
                    rule: Rule::J,
                    say: sentences,
                    command: command.clone(),
                });
                let outcome = body.carry_out(command, &cancel).await;
                run.resume(outcome, body.clock.now());
            }
            JobStep::Done {
                say: sentences,
                report,
            } => {
                say::all(&sentences);
                body.journal.take(Finished::Job {
                    wall,
                    run,
                    asked,
                    say: sentences,
                    report: report.clone(),
                });
                return report;
            }
        }
    }
}
