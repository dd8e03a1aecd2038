//! The one writer of the table of nodes: tasks come in at any time, and are done one after the
//! other.

use std::pin::pin;

use patroni_core::Moment;
use patroni_ha::citus::{Act, Added, Event, Group, Queue, Row, Run, Step, Task, Ticket};
use patroni_postgres::Clock;
use patroni_postgres::citus::{NodeTable, NodeTableError};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Mail {
    /// What the periodic look found.
    Seen(Vec<Task>),
    /// What a worker announced. The reply is dropped when nobody has to wait any more.
    Told {
        /// What is to be done.
        task: Task,
        /// Who waits.
        waiter: oneshot::Sender<()>,
    },
    /// The table may say something else by now.
    Reload,
    /// This node gives the primary role up.
    Clear,
}

/// Whether work that is under way still has a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    GiveUp,
}

/// What is to be done, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    queue: Queue,
    waiting: Vec<(Ticket, oneshot::Sender<()>)>,
}

/// What became of an act.
enum Done {
    Read(Vec<(Group, i64, Row)>),
    RolledBack,
    /// The ids of the rows that were added.
    Ran(Vec<i64>),
}

impl Desk {
    /// Does what comes in, for as long as anything can.
    pub(super) async fn serve(
        mut self,
        mut inbox: mpsc::Receiver<Mail>,
        mut table: NodeTable,
        clock: Clock,
    ) {
        // After a failure the next mail is waited for: the periodic look brings one each cycle.
        let mut failed = false;
        loop {
            let act = (!failed).then(|| self.queue.next(clock.now())).flatten();
            failed = false;
            let Some(act) = act else {
                self.release();
                let Some(mail) = inbox.recv().await else {
                    return;
                };
                if self.take(mail, clock.now()) == Then::GiveUp {
                    table.close();
                }
                continue;
            };
            match self.attend(act, &mut inbox, &mut table, clock).await {
                Some(Ok(done)) => self.settle(done, clock.now()),
                Some(Err(failure)) => {
                    error!("{failure}");
                    error!("Exception when working with pg_dist_node: {failure}");
                    self.queue.failed();
                    table.close();
                    failed = true;
                }
                None => table.close(),
            }
            self.release();
        }
    }

    /// Carries an act out and takes mail meanwhile; `None` when that took its purpose away.
    async fn attend(
        &mut self,
        act: Act,
        inbox: &mut mpsc::Receiver<Mail>,
        table: &mut NodeTable,
        clock: Clock,
    ) -> Option<Result<Done, NodeTableError>> {
        let mut work = pin!(carry_out(table, act));
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                Some(mail) = inbox.recv() => {
                    if self.take(mail, clock.now()) == Then::GiveUp {
                        return None;
                    }
                    self.release();
                }
            }
        }
    }

    fn take(&mut self, mail: Mail, now: Moment) -> Then {
        match mail {
            Mail::Seen(tasks) => {
                self.queue.release();
                for task in tasks {
                    self.queue.add(task, now);
                }
            }
            Mail::Told { task, waiter } => {
                let waits = task.event == Event::BeforeDemote;
                if let Added::Queued(ticket) = self.queue.add(task, now)
                    && waits
                {
                    self.waiting.push((ticket, waiter));
                }
            }
            Mail::Reload => self.queue.reload(),
            Mail::Clear => {
                self.queue.clear();
                return Then::GiveUp;
            }
        }
        Then::GoOn
    }

    fn settle(&mut self, done: Done, now: Moment) {
        match done {
            Done::Read(rows) => self.queue.read(rows),
            Done::RolledBack => self.queue.rolled_back(),
            Done::Ran(ids) => self.queue.done(&ids, now),
        }
    }

    /// Lets those go whose task is done, replaced or given up.
    fn release(&mut self) {
        let queue = &self.queue;
        self.waiting.retain(|(ticket, _)| queue.has(*ticket));
    }
}

async fn carry_out(table: &mut NodeTable, act: Act) -> Result<Done, NodeTableError> {
    match act {
        Act::Read => {
            let rows = table.read().await?.into_iter().map(|row| {
                let says = Row::from_table(&row.host, row.port, &row.role);
                (row.group, row.id, says)
            });
            Ok(Done::Read(rows.collect()))
        }
        Act::RollBack(task) => {
            warn!("Rolling back transaction. Last known status: {task}");
            table.roll_back().await?;
            Ok(Done::RolledBack)
        }
        Act::Run(run) => take_steps(table, run).await.map(Done::Ran),
    }
}

async fn take_steps(table: &mut NodeTable, run: Run) -> Result<Vec<i64>, NodeTableError> {
    let mut ids = Vec::new();
    if run.begin {
        table.begin().await?;
    }
    for step in run.steps {
        match step {
            Step::Update { id, row } => {
                let (host, port) = (row.host(), row.address.port);
                table.update(id, &host, port, run.cooldown).await?;
            }
            Step::Add(row) => {
                let (host, role) = (row.host(), row.role.as_str());
                let id = table.add(&host, row.address.port, run.group, role).await?;
                ids.push(id);
            }
            Step::Remove(row) => table.remove(&row.host(), row.address.port).await?,
        }
    }
    if run.commit {
        table.commit().await?;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use patroni_ha::citus::{Address, NodeRole};

    use super::*;

    fn told(event: Event, hosts: &[&str]) -> (Mail, oneshot::Receiver<()>) {
        let row = |host: &&str| Row {
            address: Address {
                host: (*host).to_owned(),
                port: 5432,
            },
            role: NodeRole::Secondary,
        };
        let task = Task {
            group: 1,
            event,
            rows: hosts.iter().map(row).collect(),
            timeout: Some(Duration::from_secs(30)),
            cooldown: Duration::from_secs(10),
        };
        let (waiter, released) = oneshot::channel();
        (Mail::Told { task, waiter }, released)
    }

    fn is_released(waiter: &mut oneshot::Receiver<()>) -> bool {
        waiter.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    fn desk() -> Desk {
        let mut desk = Desk::default();
        desk.take(Mail::Seen(Vec::new()), Moment::ZERO);
        desk
    }

    #[test]
    fn only_a_leader_that_goes_waits() {
        let mut desk = desk();
        let (mail, mut waiter) = told(Event::BeforePromote, &["a"]);
        desk.take(mail, Moment::ZERO);
        assert!(is_released(&mut waiter));
        let (mail, mut waiter) = told(Event::BeforeDemote, &["a"]);
        desk.take(mail, Moment::ZERO);
        desk.release();
        assert!(!is_released(&mut waiter));
        desk.queue.failed();
        desk.release();
        assert!(!is_released(&mut waiter), "it is still to be done");
    }

    #[test]
    fn a_newer_event_lets_the_older_one_go() {
        let mut desk = desk();
        let (mail, mut waiter) = told(Event::BeforeDemote, &["a"]);
        desk.take(mail, Moment::ZERO);
        let (mail, _) = told(Event::AfterPromote, &["a"]);
        desk.take(mail, Moment::ZERO);
        desk.release();
        assert!(is_released(&mut waiter));
    }

    #[test]
    fn a_coordinator_that_steps_down_lets_everybody_go() {
        let mut desk = desk();
        let (mail, mut waiter) = told(Event::BeforeDemote, &["a"]);
        desk.take(mail, Moment::ZERO);
        assert_eq!(desk.take(Mail::Clear, Moment::ZERO), Then::GiveUp);
        desk.release();
        assert!(is_released(&mut waiter));
    }

    #[test]
    fn what_is_told_before_the_first_look_is_dropped() {
        let mut desk = Desk::default();
        let (mail, mut waiter) = told(Event::BeforeDemote, &["a"]);
        desk.take(mail, Moment::ZERO);
        assert!(is_released(&mut waiter));
    }
}
