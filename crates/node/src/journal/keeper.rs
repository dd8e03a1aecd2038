//! The thread that keeps the journal.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use jiff::Timestamp;
use patroni_core::Account;
use patroni_ha::journal::{Line, Record, Shape, account};
use tracing::{info, warn};

use super::files::Files;
use super::{Finished, Message, Shared, Wanted, restore};

/// Everything of the thread.
pub(super) struct Keeper {
    wanted: Wanted,
    shared: Arc<Shared>,
    files: Option<Files>,
    /// The file cannot be written; said once, until it can again.
    trouble: bool,
    /// Records that could not be written meanwhile.
    unwritten: u64,
    /// The number of the newest account.
    number: u64,
    last: Option<Last>,
}

/// The newest cycle, and what came after it and was like it.
struct Last {
    shape: Shape,
    alike: Option<Alike>,
}

/// Cycles that were like the one before: counted, the newest kept.
struct Alike {
    newest: Box<Finished>,
    times: u64,
    since: Timestamp,
}

impl Keeper {
    /// A keeper that has read what an earlier daemon has left.
    pub(super) fn new(wanted: Wanted, shared: Arc<Shared>) -> Self {
        let mut keeper = Self {
            wanted,
            shared,
            files: None,
            trouble: false,
            unwritten: 0,
            number: 0,
            last: None,
        };
        keeper.restore();
        keeper
    }

    /// Keeps what comes until everybody who could send has gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.handle(message);
        }
        self.settle();
    }

    pub(super) fn handle(&mut self, message: Message) {
        match message {
            Message::Finished(finished) => self.keep(finished),
            Message::Settings(wanted) => self.adopt(wanted),
            Message::Flush(done) => {
                self.settle();
                // Nobody waits any more when the answer cannot be sent.
                let _ = done.send(());
            }
        }
    }

    fn restore(&mut self) {
        let Some(place) = self.wanted.place.clone() else {
            return;
        };
        self.open();
        for account in restore::accounts(&place.path) {
            self.number = self.number.max(account.number);
            self.shared.shelf().push(account);
        }
    }

    fn adopt(&mut self, wanted: Wanted) {
        if wanted == self.wanted {
            return;
        }
        self.settle();
        match (&mut self.files, &wanted.place) {
            (Some(files), Some(place)) if files.place().path == place.path => {
                files.resize(place.clone());
            }
            (files, _) => *files = None,
        }
        self.wanted = wanted;
        self.trouble = false;
    }

    /// Counts what is like the cycle before, and writes everything else.
    fn keep(&mut self, finished: Box<Finished>) {
        let shape = match &*finished {
            Finished::Cycle {
                cycle,
                asked,
                say,
                verdict,
                ..
            } if !self.wanted.every_cycle => Some(Shape::of(cycle, asked, say, verdict)),
            Finished::Cycle { .. } | Finished::Broken { .. } => None,
            // A task runs beside the cycles: it says nothing about their likeness.
            Finished::Job { .. } => {
                self.settle();
                self.write_new(&(*finished).record());
                return;
            }
        };
        if let (Some(last), Some(shape)) = (&mut self.last, &shape)
            && last.shape == *shape
        {
            self.count(finished);
            return;
        }
        self.settle();
        self.last = shape.map(|shape| Last { shape, alike: None });
        self.write_new(&(*finished).record());
    }

    /// One more like the one before.
    fn count(&mut self, finished: Box<Finished>) {
        let now = Timestamp::now();
        let Some(last) = &mut self.last else { return };
        if let Some(alike) = &mut last.alike {
            alike.newest = finished;
            alike.times += 1;
            let times = alike.times;
            if let Some(account) = self.shared.shelf().last_mut()
                && account.times + 1 == times
            {
                account.times = times;
                account.until = now;
            }
            return;
        }
        // The first of them gets an account, which the others are counted on.
        let record = (*finished.clone()).record();
        let since = record.wall;
        self.number += 1;
        if let Some((account, _)) = told(&record, self.number) {
            self.shared.shelf().push(account);
        }
        last.alike = Some(Alike {
            newest: finished,
            times: 1,
            since,
        });
    }

    /// Writes the newest of those that were only counted.
    fn settle(&mut self) {
        let Some(alike) = self.last.as_mut().and_then(|last| last.alike.take()) else {
            return;
        };
        let record = (*alike.newest).record();
        let number = self.number;
        let Some((mut account, _)) = told(&record, number) else {
            return;
        };
        account.at = alike.since;
        account.times = alike.times;
        self.shared.shelf().put(account.clone());
        self.write(&account, &record);
        self.last = None;
    }

    fn write_new(&mut self, record: &Record) {
        self.number += 1;
        let Some((account, line)) = told(record, self.number) else {
            return;
        };
        self.shared.shelf().push(account);
        self.append(&line);
    }

    fn write(&mut self, account: &Account, record: &Record) {
        if let Ok(line) = Line::new(account, record) {
            self.append(&line);
        }
    }

    fn append(&mut self, line: &Line) {
        if self.wanted.place.is_none() {
            return;
        }
        if self.files.is_none() {
            self.open();
        }
        let Some(files) = &mut self.files else {
            self.unwritten += 1;
            return;
        };
        match files.append(&line.to_text()) {
            Ok(()) if self.trouble => {
                let path = files.place().path.display();
                info!(
                    "the journal {path} is written again, {} records are missing",
                    self.unwritten
                );
                self.trouble = false;
                self.unwritten = 0;
            }
            Ok(()) => {}
            Err(failure) => {
                // Opened anew for the next record: the folder may be another one by then.
                self.files = None;
                self.unwritten += 1;
                self.complain(&failure);
            }
        }
    }

    fn open(&mut self) {
        let Some(place) = self.wanted.place.clone() else {
            return;
        };
        match Files::open(place) {
            Ok((files, 0)) => self.files = Some(files),
            Ok((files, torn)) => {
                info!(
                    "cut {torn} bytes of an unfinished line at the end of the journal {}",
                    files.place().path.display()
                );
                self.files = Some(files);
            }
            Err(failure) => self.complain(&failure),
        }
    }

    /// Says once that the file cannot be written, until it can again.
    fn complain(&mut self, failure: &std::io::Error) {
        if !std::mem::replace(&mut self.trouble, true)
            && let Some(place) = &self.wanted.place
        {
            warn!(
                "failed to write the journal {}, it is kept in memory: {failure}",
                place.path.display()
            );
        }
    }
}

/// The account of a record and its line, both without secrets. `None` for a value that JSON
/// cannot hold, which no record has.
fn told(record: &Record, number: u64) -> Option<(Account, Line)> {
    let line = Line::new(&account(record, number), record).ok()?;
    Some((line.account.clone(), line))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::journal::files::Place;
    use patroni_api::wire::journal::JournalQuery;
    use patroni_core::server::{
        Answer, CheckpointTask, DataDir, LocalServer, Process, RewindAbility,
    };
    use patroni_core::{Cluster, Leader, MemberName, Moment, Revision, Role, State, Tags};
    use patroni_ha::journal::{Asked, replay};
    use patroni_ha::observation::{NodeFacts, ProbeFacts, WatchdogFacts};
    use patroni_ha::outcome::Written;
    use patroni_ha::{Command, Cycle, Memory, Observation, Outcome, Step};
    use std::path::Path;
    use std::time::Duration;

    fn observation(leader: Option<&str>) -> Observation {
        let server = LocalServer {
            state: State::Stopped,
            state_since: Moment::ZERO,
            role: Role::Replica,
            process: Process::Absent,
            data_dir: DataDir::Empty,
            system_id: None,
            major_version: Some(150_000),
            status: Answer::NotAsked,
            control: None,
            has_recovery_signal: false,
            has_backup_label: false,
            disk_is_full: false,
            half_rewound: false,
            rewind: RewindAbility::Possible,
            pending_restart: std::collections::BTreeMap::new(),
            postmaster_start_time: None,
            callback_ran: false,
            checkpoint: CheckpointTask::Idle,
        };
        let view = Cluster {
            initialize: Some("7000000000000000001".to_owned()),
            leader: leader.map(|name| Leader {
                name: MemberName::new(name),
                revision: Revision::new(7),
                session: None,
            }),
            ..Cluster::default()
        };
        Observation {
            now: Moment::new(Duration::from_secs(1000)),
            wall: "2026-01-01T00:00:00Z".parse().unwrap(),
            node: NodeFacts {
                name: MemberName::new("a"),
                api_url: "http://a:8008/patroni".to_owned(),
                tags: Tags::default(),
                may_bootstrap: false,
                can_clone_without_leader: false,
                keeps_data: false,
                wipe_on_rewind_failure: false,
                wipe_on_divergence: false,
                guarded: true,
                store_is_raft: false,
                citus_database: None,
                citus_group: None,
            },
            settings: patroni_config::Dynamic::default().into(),
            config_in_memory: serde_json::Map::new().into(),
            store: Ok(view.into()),
            server,
            executor: None,
            finished: Vec::new(),
            scheduled_restart: None,
            watchdog: WatchdogFacts::default(),
            failsafe_leader: None,
            probe: ProbeFacts::default(),
        }
    }

    /// A cycle that was begun and broken off at once.
    pub(in crate::journal) fn broken() -> Finished {
        Finished::Broken {
            cycle: Cycle::begin(observation(None), Memory::default()),
            asked: Vec::new(),
        }
    }

    /// A whole cycle of a node that waits for a leader; with this leader in view.
    fn cycle(leader: Option<&str>) -> Finished {
        let observation = observation(leader);
        let (now, view) = (observation.now, observation.store.clone());
        let mut cycle = Cycle::begin(observation, Memory::default());
        let mut asked = Vec::new();
        loop {
            let (step, rule) = cycle.step_by_rule();
            match step {
                Step::Do { say, command } => {
                    let outcome = match &command {
                        Command::TouchMember(_)
                        | Command::WriteConfig { .. }
                        | Command::ReleaseLeader { .. } => Outcome::Write(Written::Yes),
                        Command::LoadCluster => Outcome::Cluster(view.clone()),
                        _ => Outcome::Done,
                    };
                    asked.push(Asked { rule, say, command });
                    cycle.resume(outcome, now + Duration::from_millis(5));
                }
                Step::Done {
                    say,
                    verdict,
                    memory,
                } => {
                    return Finished::Cycle {
                        cycle,
                        asked,
                        say,
                        verdict,
                        memory,
                    };
                }
            }
        }
    }

    fn wanted(dir: &Path) -> Wanted {
        Wanted {
            place: Some(Place {
                path: dir.join("demo-a.journal"),
                max_size: 1 << 20,
                keep: 1,
            }),
            every_cycle: false,
        }
    }

    fn keep(keeper: &mut Keeper, finished: Finished) {
        keeper.handle(Message::Finished(Box::new(finished)));
    }

    fn lines(wanted: &Wanted) -> Vec<Line> {
        let text = std::fs::read_to_string(&wanted.place.as_ref().unwrap().path).unwrap();
        text.lines()
            .map(|line| Line::parse(line).unwrap())
            .collect()
    }

    fn on_shelf(shared: &Shared) -> Vec<(u64, u64)> {
        let all = JournalQuery {
            since: None,
            limit: 1000,
        };
        let page = shared.shelf().page(&all);
        page.iter().map(|told| (told.number, told.times)).collect()
    }

    #[test]
    fn alike_cycles_are_counted_and_the_last_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(dir.path());
        let shared = Arc::new(Shared::default());
        let mut keeper = Keeper::new(wanted.clone(), Arc::clone(&shared));
        for _ in 0..10 {
            keep(&mut keeper, cycle(None));
        }
        assert_eq!(on_shelf(&shared), [(1, 1), (2, 9)]);
        assert_eq!(lines(&wanted).len(), 1, "only the first is written");
        keep(&mut keeper, cycle(Some("a")));
        let written: Vec<_> = lines(&wanted)
            .iter()
            .map(|line| (line.account.number, line.account.times))
            .collect();
        assert_eq!(written, [(1, 1), (2, 9), (3, 1)]);
        for line in lines(&wanted) {
            assert_eq!(replay(&line.record().unwrap()), Ok(()));
        }
        // An earlier daemon's accounts are there again, and numbers go on.
        drop(keeper);
        let shared = Arc::new(Shared::default());
        let mut keeper = Keeper::new(wanted, Arc::clone(&shared));
        keep(&mut keeper, cycle(None));
        assert_eq!(on_shelf(&shared), [(1, 1), (2, 9), (3, 1), (4, 1)]);
    }

    #[test]
    fn every_cycle_is_written_when_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted {
            every_cycle: true,
            ..wanted(dir.path())
        };
        let mut keeper = Keeper::new(wanted.clone(), Arc::default());
        for _ in 0..4 {
            keep(&mut keeper, cycle(None));
        }
        assert_eq!(lines(&wanted).len(), 4);
    }

    #[test]
    fn a_flush_writes_what_was_only_counted() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(dir.path());
        let mut keeper = Keeper::new(wanted.clone(), Arc::default());
        for _ in 0..3 {
            keep(&mut keeper, cycle(None));
        }
        let (sender, done) = std::sync::mpsc::sync_channel(1);
        keeper.handle(Message::Flush(sender));
        done.recv().unwrap();
        let written: Vec<u64> = lines(&wanted)
            .iter()
            .map(|line| line.account.times)
            .collect();
        assert_eq!(written, [1, 2]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_leaves_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let shared = Arc::new(Shared::default());
        let mut keeper = Keeper::new(wanted(&blocked), Arc::clone(&shared));
        keep(&mut keeper, broken());
        keep(&mut keeper, broken());
        assert_eq!(on_shelf(&shared), [(1, 1), (2, 1)]);
        assert_eq!((keeper.trouble, keeper.unwritten), (true, 2));
        // The folder is mended: the next record is written.
        std::fs::remove_file(&blocked).unwrap();
        keep(&mut keeper, broken());
        assert_eq!((keeper.trouble, keeper.unwritten), (false, 0));
        assert_eq!(lines(&wanted(&blocked)).len(), 1);
    }
}
