//! The lines of a case. The node is always `a`, one of three members.
//!
//! | line | what happens |
//! |---|---|
//! | `lead`, `follow NAME`, `unlocked` | a story begins: `a` leads, follows, or nobody leads |
//! | `set {..}` | dynamic configuration |
//! | `tags {..}`, `node {..}`, `watchdog {..}`, `probe {..}` | facts about the node |
//! | `server primary\|replica\|empty`, `server stopped ROLE "STATE"`, `server {..}` | the local server, or a part of it |
//! | `store down WHY`, `store up`, `store {..}` | the store, or a part of what it holds |
//! | `leader NAME\|none`, `member NAME {..}\|gone`, `failover {..}`, `sync {..}`, `history [..]` | objects in it |
//! | `memory {..}` | what the core remembers |
//! | `failsafe-leader NAME` | a leader announced itself without the store |
//! | `running JOB SECONDS`, `finished END JOB EFFECTS` | the executor slot |
//! | `restart-scheduled {..}` | a restart waits for its time |
//! | `peer NAME {..}\|unreachable` | what a member answers |
//! | `answer COMMAND OUTCOME` | what becomes of a command, once |
//! | `slow COMMAND SECONDS` | a command takes so long, once |
//! | `after SECONDS` | time passes |
//! | `cycle`, `job JOB` | the core runs; what can be seen of it follows |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use patroni_core::server::ControlState;
use patroni_core::sync::SyncState;
use patroni_core::{Failover, FailoverRequest, History, Moment, Revision, Role};
use patroni_ha::command::Wait;
use patroni_ha::job::{JobReport, RunningJob};
use patroni_ha::memory::{Inherited, Lease};
use patroni_ha::observation::{FailsafeLeader, Observation, PeerStatus};
use patroni_ha::{
    Command, Cycle, Job, JobContext, JobRun, JobStep, Memory, Outcome, Rule, Step, Verdict,
};
use serde_json::{Value, json};

use crate::patch::patched;
use crate::support::{
    at, cluster, empty, fine, leader, member_with, name, observation, peer, primary, replica,
    settings, spoken, stopped, tags,
};

/// A case, played.
pub(crate) struct Played {
    /// The file as it should be.
    pub(crate) text: String,
    /// The rows of the decision tables that spoke.
    pub(crate) rules: BTreeSet<Rule>,
}

/// Plays the inputs of a case.
///
/// # Panics
/// A line cannot be understood, or an answer was not asked for.
pub(crate) fn play(case: &str, written: &str) -> Played {
    let mut world = World::new();
    let mut text = String::new();
    for (number, line) in (1..).zip(written.lines()) {
        if line.starts_with(' ') {
            continue; // what an earlier run has seen
        }
        text.push_str(line);
        text.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        world.place = format!("{case}.txt:{number}");
        for seen in world.happens(line).iter().flat_map(|seen| seen.lines()) {
            text.push_str("    ");
            text.push_str(seen);
            text.push('\n');
        }
    }
    Played {
        text,
        rules: world.rules,
    }
}

struct World {
    observation: Observation,
    memory: Memory,
    document: Value,
    peers: BTreeMap<String, Option<Value>>,
    answers: BTreeMap<String, VecDeque<Outcome>>,
    slow: BTreeMap<String, Duration>,
    rules: BTreeSet<Rule>,
    place: String,
}

impl World {
    fn new() -> Self {
        Self {
            observation: observation(replica(), cluster(None)),
            // A daemon that has been at work for a while.
            memory: Memory {
                inherited: Inherited::Nothing,
                ..Memory::default()
            },
            document: json!({}),
            peers: BTreeMap::new(),
            answers: BTreeMap::new(),
            slow: BTreeMap::new(),
            rules: BTreeSet::new(),
            place: String::new(),
        }
    }

    fn wrong(&self, what: &str) -> ! {
        panic!("{}: {what}", self.place)
    }

    /// One line; gives what can be seen.
    fn happens(&mut self, line: &str) -> Vec<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "cycle" => return self.cycle(),
            "job" => return self.job(rest),
            "lead" => self.begin(Some("a")),
            "follow" => self.begin(Some(rest)),
            "unlocked" => self.begin(None),
            "set" => {
                self.document = patched(&self.document, &self.json(rest));
                self.observation.settings = settings(self.document.clone());
            }
            "tags" => self.observation.node.tags = tags(self.json(rest)),
            "node" => self.observation.node = patched(&self.observation.node, &self.json(rest)),
            "watchdog" => {
                self.observation.watchdog = patched(&self.observation.watchdog, &self.json(rest));
            }
            "probe" => self.observation.probe = patched(&self.observation.probe, &self.json(rest)),
            "memory" => self.memory = patched(&self.memory, &self.json(rest)),
            "server" => self.server(rest),
            "store" | "leader" | "member" | "failover" | "sync" | "history" => {
                self.store(word, rest);
            }
            "failsafe-leader" => self.failsafe_leader(rest),
            "running" | "finished" => self.executor(word, rest),
            "restart-scheduled" => {
                let whole = self.json(rest);
                self.observation.scheduled_restart =
                    Some(serde_json::from_value(whole).expect("a scheduled restart"));
            }
            "peer" => self.peer(rest),
            "answer" => self.answer(rest),
            "slow" => self.slow(rest),
            "after" => self.pass(rest),
            other => self.wrong(&format!("what is {other:?}?")),
        }
        Vec::new()
    }

    fn json(&self, text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| self.wrong(&error.to_string()))
    }

    /// A story begins; nothing is left of one before it.
    fn begin(&mut self, owner: Option<&str>) {
        *self = Self {
            place: std::mem::take(&mut self.place),
            rules: std::mem::take(&mut self.rules),
            ..Self::new()
        };
        let leads = owner == Some("a");
        self.observation.server = if leads { primary() } else { replica() };
        self.observation.store = Ok(Arc::new(cluster(owner)));
        self.memory.seen_identity = true;
        if leads {
            self.memory.lease = Lease::Until(self.observation.now + Duration::from_secs(25));
        }
    }

    fn server(&mut self, rest: &str) {
        let (word, more) = rest.split_once(' ').unwrap_or((rest, ""));
        self.observation.server = match word {
            "primary" => primary(),
            "replica" => replica(),
            "empty" => empty(),
            "stopped" => {
                let (role, state) = more.split_once(' ').unwrap_or((more, ""));
                let role: Role = serde_json::from_value(json!(role)).expect("a role");
                stopped(role, ControlState::parse(state.trim_matches('"')))
            }
            _ => patched(&self.observation.server, &self.json(rest)),
        };
    }

    fn store(&mut self, word: &str, rest: &str) {
        let mut view = self
            .observation
            .store
            .as_deref()
            .cloned()
            .unwrap_or_default();
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "store" if first == "down" => {
                self.observation.store = Err(more.to_owned());
                return;
            }
            "store" if first == "up" => {
                let owner = self
                    .memory
                    .old_view
                    .as_ref()
                    .and_then(|old| old.leader.as_ref());
                view = cluster(owner.map(|leader| leader.name.as_str()));
            }
            "leader" => view.leader = (rest != "none").then(|| leader(rest)),
            "member" => {
                view.members.retain(|member| member.name.as_str() != first);
                if more != "gone" {
                    view.members.push(member_with(first, self.json(more)));
                    view.members.sort_by(|a, b| a.name.cmp(&b.name));
                }
            }
            "failover" => {
                let request = FailoverRequest::parse(rest);
                let revision = Revision::new(9);
                view.failover = Some(Failover { revision, request });
            }
            "sync" => view.sync = SyncState::parse(rest, Some(Revision::new(5))),
            "history" => view.history = History::parse(rest),
            _ => view = patched(&view, &self.json(rest)),
        }
        self.observation.store = Ok(Arc::new(view));
    }

    fn failsafe_leader(&mut self, who: &str) {
        self.observation.failsafe_leader = Some(FailsafeLeader {
            name: name(who),
            conn_url: format!("postgres://{who}:5432/postgres"),
            api_url: format!("http://{who}:8008/patroni"),
            slots: BTreeMap::new(),
        });
    }

    fn executor(&mut self, word: &str, rest: &str) {
        let words: Vec<Value> = serde_json::Deserializer::from_str(rest)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| self.wrong(&error.to_string()));
        let job = |value: &Value| -> Job {
            serde_json::from_value(value.clone())
                .unwrap_or_else(|error| self.wrong(&error.to_string()))
        };
        match (word, words.as_slice()) {
            ("running", [which, seconds]) => {
                let ago = seconds.as_u64().unwrap_or_else(|| self.wrong("seconds"));
                let since = at(self
                    .observation
                    .now
                    .since(at(0))
                    .as_secs()
                    .saturating_sub(ago));
                self.observation.executor = Some(RunningJob {
                    job: job(which),
                    since,
                    committed: false,
                });
            }
            ("finished", [end, which, effects]) => {
                self.observation.executor = None;
                let report = json!({"job": which, "end": end, "effects": effects});
                let report: JobReport = serde_json::from_value(report)
                    .unwrap_or_else(|error| self.wrong(&error.to_string()));
                self.observation.finished.push(report);
            }
            _ => self.wrong("running JOB SECONDS, or finished END JOB EFFECTS"),
        }
    }

    fn peer(&mut self, rest: &str) {
        let (who, what) = rest.split_once(' ').unwrap_or((rest, "{}"));
        let told = (what != "unreachable").then(|| self.json(what));
        self.peers.insert(who.to_owned(), told);
    }

    fn answer(&mut self, rest: &str) {
        let (command, outcome) = rest.split_once(' ').unwrap_or((rest, "null"));
        let outcome = serde_json::from_value(self.json(outcome))
            .unwrap_or_else(|error| self.wrong(&error.to_string()));
        let waiting = self.answers.entry(command.to_owned()).or_default();
        waiting.push_back(outcome);
    }

    fn seconds(&self, text: &str) -> u64 {
        text.parse().unwrap_or_else(|_| self.wrong("seconds"))
    }

    fn slow(&mut self, rest: &str) {
        let (command, time) = rest.split_once(' ').unwrap_or((rest, ""));
        let time = Duration::from_secs(self.seconds(time));
        self.slow.insert(command.to_owned(), time);
    }

    fn pass(&mut self, rest: &str) {
        let seconds = self.seconds(rest);
        self.observation.now = self.observation.now + Duration::from_secs(seconds);
        self.observation.wall += Duration::from_secs(seconds);
    }

    /// What a cycle or a job took.
    fn passed_until(&mut self, now: Moment) {
        self.observation.wall += now.since(self.observation.now);
        self.observation.now = now;
    }

    fn cycle(&mut self) -> Vec<String> {
        let mut cycle = Cycle::begin(self.observation.clone(), self.memory.clone());
        let mut seen = Vec::new();
        let mut now = self.observation.now;
        let (verdict, memory) = loop {
            let (step, rule) = cycle.step_by_rule();
            self.rules.insert(rule);
            match step {
                Step::Do { say, command } => {
                    seen.extend(say.iter().map(spoken));
                    seen.push(asked(rule, &command));
                    now = now + self.takes(&command);
                    let outcome = self.outcome(&command, now);
                    cycle.resume(outcome, now);
                }
                Step::Done {
                    say,
                    verdict,
                    memory,
                } => {
                    seen.extend(say.iter().map(spoken));
                    break (verdict, memory);
                }
            }
        };
        self.memory = memory;
        self.passed_until(now);
        self.observation.finished.clear();
        self.nothing_left();
        seen.extend(decided(&verdict));
        seen
    }

    fn job(&mut self, rest: &str) -> Vec<String> {
        let job = serde_json::from_value(self.json(rest))
            .unwrap_or_else(|error| self.wrong(&error.to_string()));
        let context = JobContext {
            node: self.observation.node.clone(),
            settings: self.observation.settings.clone(),
            cluster: self.observation.store.clone().ok(),
            server: self.observation.server.clone(),
            watchdog: self.observation.watchdog,
            memory: self.memory.clone(),
        };
        let mut now = self.observation.now;
        let mut run = JobRun::begin(job, context, now);
        let mut seen = Vec::new();
        let report = loop {
            match run.step() {
                JobStep::Do { say, command } => {
                    seen.extend(say.iter().map(spoken));
                    seen.push(asked(Rule::J, &command));
                    now = now + self.takes(&command);
                    let outcome = self.outcome(&command, now);
                    run.resume(outcome, now);
                }
                JobStep::Done { say, report } => {
                    seen.extend(say.iter().map(spoken));
                    break report;
                }
            }
        };
        self.passed_until(now);
        self.nothing_left();
        let effects = serde_json::to_string(&report.effects).expect("effects are plain data");
        seen.push(format!("= {}: {:?} {effects}", report.job, report.end));
        self.observation.finished.push(report);
        seen
    }

    /// What was written for this command, else what a working world would say.
    fn outcome(&mut self, command: &Command, now: Moment) -> Outcome {
        let (name, _) = parts(command);
        if let Some(outcome) = self.answers.get_mut(&name).and_then(VecDeque::pop_front) {
            return outcome;
        }
        if let Command::AskPeers(peers) = command {
            let answers = peers.iter().map(|asked| {
                let mut answer = peer(&asked.name, 100);
                match self.peers.get(asked.name.as_str()) {
                    Some(Some(change)) => {
                        let told: PeerStatus = answer.reply.expect("a status");
                        answer.reply = Ok(patched(&told, change));
                    }
                    Some(None) => answer.reply = Err("timed out".to_owned()),
                    None => {}
                }
                answer
            });
            return Outcome::Peers(answers.collect());
        }
        if let Command::Wait(Wait::StoreChange { .. }) = command {
            return Outcome::Waited(false); // nobody else does anything
        }
        let view = self.observation.store.clone().unwrap_or_default();
        fine(command, &self.observation.server, &view, now)
    }

    /// How long a command takes.
    fn takes(&mut self, command: &Command) -> Duration {
        if let Some(time) = self.slow.remove(&parts(command).0) {
            return time;
        }
        match command {
            Command::Wait(Wait::For(time) | Wait::StoreChange { at_most: time }) => *time,
            _ => Duration::from_millis(10),
        }
    }

    fn nothing_left(&mut self) {
        for (command, left) in std::mem::take(&mut self.answers) {
            if !left.is_empty() {
                self.wrong(&format!("nobody asked for {command}"));
            }
        }
    }
}

/// The name of a command, and the rest of it.
fn parts(command: &Command) -> (String, String) {
    match serde_json::to_value(command).expect("commands are plain data") {
        Value::Object(map) => {
            let (name, rest) = map.into_iter().next().expect("one variant");
            (name, format!(" {rest}"))
        }
        Value::String(name) => (name, String::new()),
        other => (other.to_string(), String::new()),
    }
}

fn asked(rule: Rule, command: &Command) -> String {
    let (name, rest) = parts(command);
    format!("> {:3} {name}{rest}", rule.id())
}

fn decided(verdict: &Verdict) -> Vec<String> {
    let refused = verdict.refused.iter();
    let mut lines: Vec<String> = refused
        .map(|refusal| format!("! {}: {}", refusal.name, refusal.reason))
        .collect();
    lines.push(format!("= {:3} {verdict}", verdict.rule.id()));
    if let Some(exit) = &verdict.exit {
        let server = if exit.leave_server {
            ", PostgreSQL stays"
        } else {
            ""
        };
        lines.push(format!("exit {}: {}{server}", exit.code, exit.message));
    }
    lines
}
