//! The end of a daemon, in order: stop deciding, finish or cancel work in flight, settle
//! PostgreSQL, give back the lock, close.

use std::time::Duration;

use patroni_ha::job::{Job, JobEnd};
use patroni_ha::journal::Asked;
use patroni_ha::{JobRun, JobStep, Rule};
use patroni_postgres::Cancel;
use tracing::{error, warn};

use crate::ha_loop::{End, HaLoop};
use crate::journal::Finished;
use crate::say;

/// How long requests in progress may hold up the end.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long the last records of the journal may. PostgreSQL is settled by then.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// Ends everything and gives the exit status.
pub(crate) async fn run(mut ha_loop: HaLoop, end: &End) -> u8 {
    if let Some(rest) = ha_loop.reloader.rest.take() {
        rest.shutdown(LAST_REQUESTS).await;
    }
    if let Some(running) = ha_loop.executor.running() {
        warn!("Cancelling long running task {}", running.job);
    }
    ha_loop.executor.cancel().await;
    let leave_postgres = matches!(
        end,
        End::Fatal {
            leave_postgres: true,
            ..
        }
    );
    if !leave_postgres && leave(&ha_loop).await != JobEnd::Success {
        error!("the daemon ends without having stopped PostgreSQL");
    }
    ha_loop.body.journal.flush(LAST_RECORDS);
    ha_loop.body.store.close().await;
    end.code()
}

/// The core's own program for the end, carried out with nothing beside it.
async fn leave(ha_loop: &HaLoop) -> JobEnd {
    let body = &ha_loop.body;
    // Nothing may cut this work short: the request to end has been heard already.
    let cancel = Cancel::default();
    let wall = jiff::Timestamp::now();
    let mut asked = Vec::new();
    let mut run = JobRun::begin(Job::Shutdown, ha_loop.job_context(), body.clock.now());
    loop {
        match run.step() {
            JobStep::Do {
                say: sentences,
                command,
            } => {
                say::all(&sentences);
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
                let end = report.end;
                body.journal.take(Finished::Job {
                    wall,
                    run,
                    asked,
                    say: sentences,
                    report,
                });
                return end;
            }
        }
    }
}
