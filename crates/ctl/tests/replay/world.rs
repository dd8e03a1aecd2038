//! Store, members, streams and clock in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Zoned;
use patroni_config::ControlSettings;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Scope,
    Status, SyncState, SystemId,
};
use patroni_ctl::{
    Answer, Clock, Console, Failure, Find, Input, Method, RaftGroup, Rest, RestError, Screen,
    Surroundings, World,
};
use patroni_dcs::codec::{Keys, Stored};
use patroni_dcs::{Store, StoreError, Timings};
use serde_json::{Map, Value};

use crate::fixture::{Run, Stage};
use crate::top::Paper;

type Answers = Vec<(String, String, String, u16, String)>;

/// What the run sees of the world. The configuration that a run writes stays for the next.
#[derive(Default)]
pub(crate) struct Fake {
    shared: Arc<Mutex<Shared>>,
    edited: BTreeMap<String, Map<String, Value>>,
    sleeps: Arc<Sleeps>,
}

#[derive(Default)]
struct Shared {
    clusters: BTreeMap<String, Cluster>,
    /// Taken over with the first request.
    after: BTreeMap<String, Cluster>,
    answers: Answers,
    unreachable: String,
    written: BTreeMap<String, Map<String, Value>>,
    /// What changes something: requests other than GET, and writes to the store.
    changes: Vec<String>,
    /// Requests that wait for their answer, and the most of them that ever did.
    waiting: usize,
    most_waiting: usize,
}

#[derive(Default)]
struct Sleeps {
    count: Mutex<Duration>,
    enough: tokio::sync::Notify,
}

impl Fake {
    pub(crate) fn prepare(&mut self, stage: &Stage, run: &Run) {
        let mut shared = self.shared.lock().unwrap();
        self.edited.append(&mut std::mem::take(&mut shared.written));
        let clusters = |states: &BTreeMap<String, usize>| -> BTreeMap<String, Cluster> {
            states
                .iter()
                .map(|(key, number)| {
                    let mut cluster = stage.states[*number].cluster();
                    if let (Some(config), Some(edited)) =
                        (&mut cluster.config, self.edited.get(key))
                    {
                        config.data = Arc::new(edited.clone());
                    }
                    (key.clone(), cluster)
                })
                .collect()
        };
        *shared = Shared {
            clusters: clusters(&run.world),
            after: clusters(&run.after),
            answers: run.rest.clone(),
            unreachable: run
                .unreachable
                .clone()
                .unwrap_or_else(|| "no answer was recorded".to_owned()),
            written: BTreeMap::new(),
            ..Shared::default()
        };
        drop(shared);
        self.sleeps = Arc::default();
    }

    /// Puts clusters in place by hand: the present one, and the one after the first request.
    pub(crate) fn set(&mut self, key: &str, now: Cluster, later: Cluster, answers: Answers) {
        let mut shared = self.shared.lock().unwrap();
        shared.clusters.insert(key.to_owned(), now);
        shared.after.insert(key.to_owned(), later);
        shared.answers = answers;
    }

    /// What was asked to change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.shared.lock().unwrap().changes.clone()
    }

    /// How many requests waited for their answers at once.
    pub(crate) fn most_waiting(&self) -> usize {
        self.shared.lock().unwrap().most_waiting
    }

    pub(crate) fn world(&self) -> Arc<dyn World> {
        Arc::new(FakeWorld(self.shared.clone()))
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(FakeClock(self.sleeps.clone()))
    }

    /// Ctrl-C after 2.6 seconds of waiting.
    pub(crate) fn interrupt(&self) -> impl Future<Output = ()> + use<> {
        let sleeps = self.sleeps.clone();
        async move { sleeps.enough.notified().await }
    }
}

/// Runs a command line without settings and input: exit status, output, errors.
pub(crate) fn run(fake: &Fake, words: &[&str]) -> (u8, String, String) {
    run_with(fake, words, "", Box::new(patroni_ctl::find))
}

/// Runs a command line on a world put in place by hand.
pub(crate) fn run_with(
    fake: &Fake,
    words: &[&str],
    input: &str,
    settings: Find,
) -> (u8, String, String) {
    let environment = patroni_ctl::Environment::new();
    let desk = Desk::new(Some(input), false);
    execute_on(fake, words, &desk, environment, settings)
}

/// Runs a command line on a terminal, without taking it over.
pub(crate) fn run_typed(
    fake: &Fake,
    words: &[&str],
    typed: &str,
    environment: patroni_ctl::Environment,
) -> (u8, String, String) {
    let desk = Desk::new(Some(typed), true);
    execute_on(fake, words, &desk, environment, Box::new(patroni_ctl::find))
}

fn execute_on(
    fake: &Fake,
    words: &[&str],
    desk: &Desk,
    environment: patroni_ctl::Environment,
    settings: Find,
) -> (u8, String, String) {
    let surroundings = Surroundings {
        environment,
        settings,
        world: fake.world(),
        console: Box::new(desk.clone()),
        clock: fake.clock(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let code = runtime.block_on(patroni_ctl::run(&words, surroundings, fake.interrupt()));
    let (out, err) = desk.text();
    (code, out, err)
}

/// Runs a command line on a terminal of 80 columns: exit status, what was drawn, errors.
pub(crate) fn run_screen(
    fake: &Fake,
    words: &[&str],
    inputs: &[Input],
) -> (u8, Vec<String>, String) {
    let desk = Desk::new(None, true);
    let drawn = desk.take_screen(inputs);
    let surroundings = Surroundings {
        environment: [("LANG".to_owned(), "C.UTF-8".to_owned())].into(),
        settings: Box::new(patroni_ctl::find),
        world: fake.world(),
        console: Box::new(desk.clone()),
        clock: fake.clock(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let code = runtime.block_on(patroni_ctl::run(&words, surroundings, fake.interrupt()));
    let drawn = drawn.lock().unwrap().clone();
    (code, drawn, desk.text().1)
}

struct FakeWorld(Arc<Mutex<Shared>>);

#[async_trait]
impl World for FakeWorld {
    async fn store(
        &self,
        _settings: &ControlSettings,
        scope: &Scope,
        group: Option<u32>,
    ) -> Result<Arc<dyn Store>, Failure> {
        let key = match group {
            Some(group) => format!("{scope}/{group}"),
            None => scope.to_string(),
        };
        Ok(Arc::new(FakeStore {
            shared: self.0.clone(),
            key,
        }))
    }

    async fn groups(
        &self,
        _settings: &ControlSettings,
        scope: &Scope,
    ) -> Result<BTreeSet<u32>, Failure> {
        let shared = self.0.lock().unwrap();
        let prefix = format!("{scope}/");
        let groups = shared.clusters.keys();
        Ok(groups
            .filter_map(|key| key.strip_prefix(&prefix)?.parse().ok())
            .collect())
    }

    async fn raft(&self, _settings: &ControlSettings) -> Result<Arc<dyn RaftGroup>, Failure> {
        Err(Failure::refused("the store is memory"))
    }

    fn endpoint(&self, _settings: &ControlSettings) -> String {
        "memory".to_owned()
    }

    fn rest(&self, _settings: &ControlSettings) -> Result<Arc<dyn Rest>, Failure> {
        Ok(Arc::new(FakeRest(self.0.clone())))
    }
}

struct FakeRest(Arc<Mutex<Shared>>);

#[async_trait]
impl Rest for FakeRest {
    async fn request(
        &self,
        method: Method,
        url: &str,
        _body: Option<&Value>,
        _limit: Duration,
    ) -> Result<Answer, RestError> {
        {
            let mut shared = self.0.lock().unwrap();
            shared.waiting += 1;
            shared.most_waiting = shared.most_waiting.max(shared.waiting);
        }
        tokio::task::yield_now().await;
        let mut shared = self.0.lock().unwrap();
        shared.waiting -= 1;
        let after = std::mem::take(&mut shared.after);
        shared.clusters.extend(after);
        let (host, path) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .expect("an address of the fixtures");
        let member = host.split_once(".api").expect("a host of the fixtures").0;
        let verb = format!("{method:?}").to_uppercase();
        if method != Method::Get {
            shared.changes.push(format!("{verb} {path} {member}"));
        }
        let found = shared.answers.iter().position(|(who, how, what, ..)| {
            (who == member || who == "*") && *how == verb && what == path
        });
        match found {
            Some(index) => {
                let (.., status, body) = shared.answers.remove(index);
                Ok(Answer {
                    status,
                    body,
                    date: None,
                })
            }
            None => Err(RestError(shared.unreachable.clone())),
        }
    }
}

struct FakeStore {
    shared: Arc<Mutex<Shared>>,
    key: String,
}

fn note(text: &str) -> Stored {
    Stored {
        value: text.to_owned(),
        revision: Revision::new("1"),
        session: None,
    }
}

const MEMBERS_ONLY: &str = "the tool does not do what members do";

#[async_trait]
impl Store for FakeStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let shared = self.shared.lock().unwrap();
        Ok(shared.clusters.get(&self.key).cloned().unwrap_or_default())
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        let cluster = self.load().await?;
        let member = |member: Member| {
            let stored = note(&member.data.to_json());
            (format!("members/{}", member.name), stored)
        };
        let leader = cluster.leader.map(|leader| {
            let stored = Stored {
                value: leader.name.to_string(),
                revision: leader.revision,
                session: leader.session,
            };
            ("leader".to_owned(), stored)
        });
        let members = cluster.members.into_iter().map(member);
        let foreign = ("extra/note".to_owned(), note("not ours"));
        Ok(leader.into_iter().chain(members).chain([foreign]).collect())
    }

    async fn write_failover(
        &self,
        _request: &FailoverRequest,
        _judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let mut shared = self.shared.lock().unwrap();
        shared.changes.push("failover".to_owned());
        let after = std::mem::take(&mut shared.after);
        shared.clusters.extend(after);
        Ok(())
    }

    async fn write_config(
        &self,
        data: &Map<String, Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        assert_eq!(judged, Some(&Revision::new("1")));
        let mut shared = self.shared.lock().unwrap();
        shared.changes.push("config".to_owned());
        shared.written.insert(self.key.clone(), data.clone());
        Ok(())
    }

    async fn delete_cluster(&self) -> Result<(), StoreError> {
        self.shared.lock().unwrap().clusters.remove(&self.key);
        Ok(())
    }

    async fn acquire_leader(&self) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn update_leader(&self, _: &Leader) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn take_leader(&self) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn delete_leader(&self, _: Option<&Leader>) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn touch_member(&self, _: &MemberData, _: Option<&Member>) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn set_system_id(&self, _: &SystemId) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn write_sync(
        &self,
        _: &SyncState,
        _: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn delete_sync(&self, _: Option<&Revision>) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn write_status(&self, _: &Status) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn write_history(&self, _: &History) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn write_failsafe(&self, _: &BTreeMap<MemberName, String>) -> Result<(), StoreError> {
        unreachable!("{MEMBERS_ONLY}")
    }

    async fn watch(&self, _: Option<&Leader>, _: Duration) -> bool {
        unreachable!("{MEMBERS_ONLY}")
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn set_timings(&self, _: Timings) {}
}

/// The wall stands still, pauses pass at once and are counted.
struct FakeClock(Arc<Sleeps>);

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Zoned {
        "2026-11-21T09:10:11.123456+00:00[UTC]".parse().unwrap()
    }

    fn elapsed(&self) -> Duration {
        *self.0.count.lock().unwrap()
    }

    async fn sleep(&self, pause: Duration) {
        let spent = {
            let mut count = self.0.count.lock().unwrap();
            *count += pause;
            *count
        };
        if spent > Duration::from_millis(2600) {
            self.0.enough.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// Input that was piped in, and what was printed.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Streams>>);

#[derive(Default)]
struct Streams {
    input: VecDeque<String>,
    out: String,
    err: String,
    terminal: bool,
    screen: Option<Paper>,
}

impl Desk {
    pub(crate) fn new(input: Option<&str>, terminal: bool) -> Self {
        let input = input.unwrap_or_default();
        let lines = input.split_inclusive('\n').map(str::to_owned);
        Self(Arc::new(Mutex::new(Streams {
            input: lines.collect(),
            terminal,
            ..Streams::default()
        })))
    }

    /// Makes it a terminal with these inputs; gives what will be drawn on it.
    fn take_screen(&self, inputs: &[Input]) -> Arc<Mutex<Vec<String>>> {
        let drawn = Arc::default();
        self.0.lock().unwrap().screen = Some(Paper {
            keys: inputs.iter().copied().collect(),
            drawn: Arc::clone(&drawn),
        });
        drawn
    }

    pub(crate) fn text(&self) -> (String, String) {
        let streams = self.0.lock().unwrap();
        (streams.out.clone(), streams.err.clone())
    }
}

#[async_trait]
impl Console for Desk {
    fn out(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().out.push_str(text);
        Ok(())
    }

    fn err(&mut self, text: &str) {
        self.0.lock().unwrap().err.push_str(text);
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        let line = self.0.lock().unwrap().input.pop_front();
        Ok(line.map(|line| line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    async fn hidden_line(&mut self) -> io::Result<Option<String>> {
        self.line().await
    }

    async fn rest(&mut self) -> io::Result<String> {
        Ok(self.0.lock().unwrap().input.drain(..).collect())
    }

    fn is_terminal(&self) -> bool {
        self.0.lock().unwrap().terminal
    }

    fn screen(&mut self) -> io::Result<Box<dyn Screen>> {
        match self.0.lock().unwrap().screen.take() {
            Some(screen) => Ok(Box::new(screen)),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
