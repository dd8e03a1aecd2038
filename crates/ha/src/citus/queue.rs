//! Which group is worked on when, and what of it happens inside a transaction that stays open.
//!
//! A worker leader that steps down tells so (`before_demote`): its row is renamed in a transaction
//! that is left open, so that writes to its shards wait for its successor instead of failing.
//! The successor's events end it. When they do not come in time the next task rolls it back.

use std::collections::BTreeMap;
use std::time::Duration;

use patroni_core::Moment;
use serde::{Deserialize, Serialize};

use super::rows::{COORDINATOR, Event, Group, Row, Task};
use super::steps::{Known, Registered, Step, plan};

/// One thing to do with the table of nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Read the table; [`Queue::read`] takes the rows.
    Read,
    /// Roll the open transaction back; then [`Queue::rolled_back`]. The task is what opened it.
    RollBack(Task),
    /// Take steps; then [`Queue::done`] or [`Queue::failed`].
    Run(Run),
}

/// Steps of one task, and the transaction around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose rows.
    pub group: Group,
    /// In order.
    pub steps: Vec<Step>,
    /// For how long backends that hold the locks are left alone.
    pub cooldown: Duration,
    /// Begin a transaction first.
    pub begin: bool,
    /// Commit at the end; else an open transaction stays open.
    pub commit: bool,
}

/// The number of a task in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(u64);

/// What became of a task that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It waits for its turn. Who announced it may wait as long as [`Queue::has`] it.
    Queued(Ticket),
    /// There is nothing to do, or something newer is known.
    Dropped,
}

/// The tasks of all groups and the table as last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// `None`: it has to be read (again).
    table: Option<BTreeMap<Group, Registered>>,
    queued: Vec<(Ticket, Task)>,
    running: Option<Running>,
    open: Option<Open>,
    released: bool,
    last: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Running {
    ticket: Ticket,
    task: Task,
    after: Registered,
    run: Run,
}

#[derive(Clone, Debug, PartialEq)]
struct Open {
    task: Task,
    deadline: Moment,
}

impl Queue {
    /// The periodic look has begun: this node is a primary with the lock. Events count from now on.
    pub fn release(&mut self) {
        self.released = true;
    }

    /// The table may say something else by now: after a promotion, a pause, a failure.
    pub fn reload(&mut self) {
        self.table = None;
    }

    /// The primary role is given up: everything is forgotten, and the end of PostgreSQL rolls
    /// an open transaction back.
    pub fn clear(&mut self) {
        self.queued.clear();
        self.table = None;
        self.open = None;
        self.running = None;
    }

    /// Whether this task is still to be done.
    pub fn has(&self, ticket: Ticket) -> bool {
        let runs = self.running.as_ref().is_some_and(|r| r.ticket == ticket);
        runs || self.queued.iter().any(|(queued, _)| *queued == ticket)
    }

    /// Takes a task, if it is one.
    pub fn add(&mut self, task: Task, now: Moment) -> Added {
        let told = task.is_told();
        if told && (!self.released || task.group == COORDINATOR) {
            return Added::Dropped;
        }
        let ours = self
            .open
            .as_ref()
            .filter(|open| open.task.group == task.group);
        // The member key may still show what was before the event.
        if !told && ours.is_some_and(|open| open.task.is_told() && now < open.deadline) {
            return Added::Dropped;
        }
        let running = self.running.as_ref().map(|running| &running.task);
        let running = running.filter(|running| running.group == task.group);
        if !told && running.is_some_and(Task::is_told) {
            return Added::Dropped;
        }
        let has_open = ours.is_some();
        let place = self.queued.iter().position(|(_, q)| q.group == task.group);
        match place {
            Some(at) => {
                let newer = self.queued.get(at).is_some_and(|(_, queued)| {
                    (told || !queued.is_told()) && !queued.wishes_the_same(&task)
                });
                if !newer {
                    return Added::Dropped;
                }
                self.queued.remove(at);
            }
            None if has_open || !self.is_settled(&task) => {}
            None => return Added::Dropped,
        }
        self.last += 1;
        let ticket = Ticket(self.last);
        let at = place.unwrap_or(self.queued.len());
        self.queued.insert(at, (ticket, task));
        Added::Queued(ticket)
    }

    /// The table says already what the task wishes, for good.
    fn is_settled(&self, task: &Task) -> bool {
        let known = self.table.as_ref().map(|table| table.get(&task.group));
        task.event == Event::AfterPromote
            && known.flatten().is_some_and(|known| known.says(&task.rows))
    }

    /// What to do next. Nothing while something is under way.
    pub fn next(&mut self, now: Moment) -> Option<Act> {
        if self.running.is_some() || self.queued.is_empty() {
            return None;
        }
        if let Some(open) = &self.open
            && (now >= open.deadline || self.table.is_none())
        {
            return Some(Act::RollBack(open.task.clone()));
        }
        if self.table.is_none() {
            return Some(Act::Read);
        }
        while let Some(at) = self.turn() {
            let (ticket, task) = self.queued.remove(at);
            if self.open.is_none() && self.is_settled(&task) {
                continue;
            }
            if let Some(run) = self.begin(ticket, task, now) {
                return Some(Act::Run(run));
            }
        }
        None
    }

    /// Whose turn it is: the group of the open transaction, the coordinator's, the oldest.
    fn turn(&self) -> Option<usize> {
        match &self.open {
            Some(open) => self
                .queued
                .iter()
                .position(|(_, task)| task.group == open.task.group),
            None => self
                .queued
                .iter()
                .position(|(_, task)| task.group == COORDINATOR)
                .or_else(|| (!self.queued.is_empty()).then_some(0)),
        }
    }

    fn begin(&mut self, ticket: Ticket, task: Task, now: Moment) -> Option<Run> {
        let known = self.table.as_ref().and_then(|table| table.get(&task.group));
        let plan = plan(&known.cloned().unwrap_or_default(), &task.rows);
        let (is_open, last) = (self.open.is_some(), task.event == Event::AfterPromote);
        let mut after = plan.after;
        after.failover &= !last;
        let run = Run {
            group: task.group,
            begin: !is_open && (!last || plan.steps.len() > 1),
            commit: last && (is_open || plan.steps.len() > 1),
            steps: plan.steps,
            cooldown: task.cooldown,
        };
        if run.steps.is_empty() && !run.begin && !run.commit {
            self.keep(&task, after, now);
            return None;
        }
        self.running = Some(Running {
            ticket,
            task,
            after,
            run: run.clone(),
        });
        Some(run)
    }

    /// The rows of the table: group, id and what each says.
    pub fn read(&mut self, rows: impl IntoIterator<Item = (Group, i64, Row)>) {
        let mut table: BTreeMap<Group, Registered> = BTreeMap::new();
        for (group, id, row) in rows {
            let known = Known { id: Some(id), row };
            table.entry(group).or_default().rows.push(known);
        }
        self.table = Some(table);
    }

    /// The transaction is rolled back; what the table says has to be read.
    pub fn rolled_back(&mut self) {
        self.open = None;
        self.table = None;
    }

    /// All steps are done. `ids` are those of the rows that were added, in order.
    pub fn done(&mut self, ids: &[i64], now: Moment) {
        let Some(running) = self.running.take() else {
            return;
        };
        let Running {
            task,
            mut after,
            run,
            ..
        } = running;
        let added = after.rows.iter_mut().filter(|known| known.id.is_none());
        for (known, id) in added.zip(ids) {
            known.id = Some(*id);
        }
        if run.commit {
            self.open = None;
        }
        self.keep(&task, after, now);
    }

    fn keep(&mut self, task: &Task, after: Registered, now: Moment) {
        if let Some(table) = &mut self.table {
            table.insert(task.group, after);
        }
        if task.event != Event::AfterPromote {
            let deadline = now + task.timeout.unwrap_or_default();
            let task = task.clone();
            self.open = Some(Open { task, deadline });
        }
    }

    /// A statement failed, and the connection with its transaction is gone. The periodic look
    /// brings back what is still to be done.
    pub fn failed(&mut self) {
        self.running = None;
        self.open = None;
        self.table = None;
    }
}

impl Task {
    /// A worker told it; else it was seen by the periodic look.
    const fn is_told(&self) -> bool {
        self.timeout.is_some()
    }

    fn wishes_the_same(&self, other: &Self) -> bool {
        self.event == other.event
            && self.rows.len() == other.rows.len()
            && self.rows.iter().all(|row| other.rows.contains(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::citus::rows::{Address, COOLDOWN, NodeRole};

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    fn row(host: &str, role: NodeRole) -> Row {
        let host = host.to_owned();
        let address = Address { host, port: 5432 };
        Row { address, role }
    }

    fn task(group: Group, event: Event, hosts: &[&str], told: bool) -> Task {
        let lead = match event {
            Event::BeforeDemote => NodeRole::Demoted,
            Event::BeforePromote | Event::AfterPromote => NodeRole::Primary,
        };
        let role = |at| if at == 0 { lead } else { NodeRole::Secondary };
        let rows = hosts.iter().enumerate().map(|(i, host)| row(host, role(i)));
        Task {
            group,
            event,
            rows: rows.collect(),
            timeout: told.then(|| Duration::from_secs(30)),
            cooldown: COOLDOWN,
        }
    }

    fn seen(group: Group, hosts: &[&str]) -> Task {
        task(group, Event::AfterPromote, hosts, false)
    }

    fn told(group: Group, event: Event, hosts: &[&str]) -> Task {
        task(group, event, hosts, true)
    }

    /// A coordinator that knows its own row and worker group 1: `a` leads, `b` follows.
    fn settled() -> Queue {
        let mut queue = Queue::default();
        queue.release();
        queue.read([
            (0, 1, row("k", NodeRole::Primary)),
            (1, 2, row("a", NodeRole::Primary)),
            (1, 3, row("b", NodeRole::Secondary)),
        ]);
        queue
    }

    /// The next run in few words.
    fn run(queue: &mut Queue, now: Moment) -> String {
        let run = match queue.next(now) {
            Some(Act::Run(run)) => run,
            Some(Act::Read) => return "read".to_owned(),
            Some(Act::RollBack(_)) => return "roll back".to_owned(),
            None => return "nothing".to_owned(),
        };
        let step = |step: &Step| match step {
            Step::Update { id, row } => format!("{id}={}", row.host()),
            Step::Add(row) => format!("+{}", row.host()),
            Step::Remove(row) => format!("-{}", row.host()),
        };
        let mut words: Vec<String> = run.steps.iter().map(step).collect();
        if run.begin {
            words.insert(0, "begin".to_owned());
        }
        if run.commit {
            words.push("commit".to_owned());
        }
        let added = run.steps.iter().filter(|s| matches!(s, Step::Add(_)));
        let ids: Vec<i64> = (100..).take(added.count()).collect();
        queue.done(&ids, now);
        words.join(" ")
    }

    #[test]
    fn a_switchover_of_a_worker_is_one_transaction() {
        let mut queue = settled();
        let added = queue.add(told(1, Event::BeforeDemote, &["a", "b"]), at(1));
        let Added::Queued(ticket) = added else {
            panic!("dropped");
        };
        assert!(queue.has(ticket));
        assert_eq!(run(&mut queue, at(1)), "begin 2=a-demoted");
        assert!(!queue.has(ticket));
        // The old leader's key still says primary.
        assert_eq!(queue.add(seen(1, &["a", "b"]), at(5)), Added::Dropped);
        queue.add(told(1, Event::BeforePromote, &["b", "a"]), at(6));
        assert_eq!(run(&mut queue, at(6)), "3=a 2=b");
        queue.add(told(1, Event::AfterPromote, &["b", "a"]), at(7));
        assert_eq!(run(&mut queue, at(7)), "commit");
        assert_eq!(queue.add(seen(1, &["b", "a"]), at(8)), Added::Dropped);
        assert_eq!(run(&mut queue, at(8)), "nothing");
    }

    #[test]
    fn a_worker_that_dies_after_its_word_gets_its_row_back() {
        let mut queue = settled();
        queue.add(told(1, Event::BeforeDemote, &["a", "b"]), at(1));
        run(&mut queue, at(1));
        assert_eq!(run(&mut queue, at(60)), "nothing", "nobody asks");
        queue.add(seen(1, &["b"]), at(60));
        assert_eq!(run(&mut queue, at(60)), "roll back");
        queue.rolled_back();
        assert_eq!(run(&mut queue, at(60)), "read");
        let rows = settled().table.unwrap().remove(&1).unwrap().rows;
        queue.read(
            rows.into_iter()
                .map(|known| (1, known.id.unwrap(), known.row)),
        );
        assert_eq!(run(&mut queue, at(60)), "begin 2=a-demoted 3=a 2=b commit");
        queue.add(seen(1, &["b"]), at(70));
        assert_eq!(run(&mut queue, at(70)), "-a");
    }

    #[test]
    fn other_groups_wait_for_an_open_transaction() {
        let mut queue = settled();
        queue.add(told(1, Event::BeforeDemote, &["a", "b"]), at(1));
        run(&mut queue, at(1));
        queue.add(seen(2, &["x", "y"]), at(2));
        assert_eq!(run(&mut queue, at(2)), "nothing");
        queue.add(told(1, Event::AfterPromote, &["a", "b"]), at(3));
        assert_eq!(run(&mut queue, at(3)), "2=a commit");
        assert_eq!(run(&mut queue, at(3)), "begin +x +y commit");
        assert_eq!(queue.add(seen(2, &["x", "y"]), at(4)), Added::Dropped);
    }

    #[test]
    fn the_coordinator_comes_first() {
        let mut queue = Queue::default();
        queue.release();
        queue.add(seen(2, &["x"]), at(1));
        queue.add(seen(0, &["k"]), at(1));
        assert_eq!(run(&mut queue, at(1)), "read");
        queue.read([]);
        assert_eq!(run(&mut queue, at(1)), "+k");
        assert_eq!(run(&mut queue, at(1)), "+x");
        assert_eq!(run(&mut queue, at(1)), "nothing");
    }

    #[test]
    fn what_a_worker_told_is_not_replaced_by_a_look() {
        let mut queue = settled();
        let word = told(1, Event::BeforeDemote, &["a", "b"]);
        queue.add(word.clone(), at(1));
        assert_eq!(queue.add(seen(1, &["a", "c"]), at(1)), Added::Dropped);
        assert_eq!(queue.add(word, at(1)), Added::Dropped);
        let newer = queue.add(told(1, Event::BeforePromote, &["b", "a"]), at(1));
        assert!(matches!(newer, Added::Queued(_)));
        assert_eq!(run(&mut queue, at(1)), "begin 2=a-demoted 3=a 2=b");
    }

    #[test]
    fn what_a_worker_told_is_not_ended_by_a_look_meanwhile() {
        let mut queue = settled();
        queue.add(told(1, Event::BeforeDemote, &["a", "b"]), at(1));
        assert!(matches!(queue.next(at(1)), Some(Act::Run(_))));
        assert_eq!(queue.add(seen(1, &["a"]), at(1)), Added::Dropped);
        assert!(matches!(
            queue.add(seen(2, &["x"]), at(1)),
            Added::Queued(_)
        ));
        queue.done(&[], at(1));
        assert_eq!(run(&mut queue, at(1)), "nothing");
    }

    #[test]
    fn events_count_only_for_workers_of_a_released_queue() {
        let mut queue = Queue::default();
        let word = told(1, Event::BeforePromote, &["a"]);
        assert_eq!(queue.add(word.clone(), at(1)), Added::Dropped);
        queue.release();
        let own = Task { group: 0, ..word };
        assert_eq!(queue.add(own, at(1)), Added::Dropped);
    }

    #[test]
    fn a_failure_forgets_the_transaction_and_reads_again() {
        let mut queue = settled();
        queue.add(told(1, Event::BeforeDemote, &["a", "b"]), at(1));
        assert!(matches!(queue.next(at(1)), Some(Act::Run(_))));
        queue.failed();
        assert_eq!(run(&mut queue, at(2)), "nothing");
        queue.add(seen(1, &["a", "b"]), at(2));
        assert_eq!(run(&mut queue, at(2)), "read");
    }

    #[test]
    fn a_coordinator_that_steps_down_forgets_everything() {
        let mut queue = settled();
        queue.add(told(1, Event::BeforeDemote, &["a", "b"]), at(1));
        run(&mut queue, at(1));
        queue.add(seen(2, &["x"]), at(2));
        queue.clear();
        assert_eq!(run(&mut queue, at(99)), "nothing");
    }
}
