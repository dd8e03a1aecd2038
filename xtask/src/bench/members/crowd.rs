//! All members in one process, and the server that they are on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use patroni_core::MemberName;
use patroni_tests::etcd::Etcd;
use patroni_tests::proc;
use patroni_tests::tap::Requests;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::process::{cpu_ticks, pss_kb};
use super::super::{median_ms, ms, per};
use super::Options;
use super::member::{Candidates, Member, Seen, TIMINGS, name};

/// How many connect at a time, spread over the time of one cycle. Each one that comes is an event for
/// all who are there.
const AT_A_TIME: usize = 20;

/// Everybody must have seen a change after so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Files of both processes: a connection each, and some more.
const SPARE_FILES: u64 = 500;

/// Measures.
///
/// # Errors
/// etcd does not come up, a member fails, or not everybody sees a leader.
pub(super) fn measure(options: &Options) -> Result<Map<String, Value>> {
    let (count, size) = (
        usize::try_from(options.members)?,
        usize::try_from(options.cluster_size)?,
    );
    ensure!(
        count.is_multiple_of(size),
        "{count} members do not fill clusters of {size}"
    );
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = u64::from(options.members) + SPARE_FILES;
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed.min(hard)), hard)?;
    let dir = tempfile::Builder::new()
        .prefix("patroni-bench-")
        .tempdir()?;
    proc::give_to_runner(dir.path())?;
    let etcd = Etcd::start(dir.path())?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut crowd = Crowd::gather(&etcd, count, size).await?;
        crowd.measure(options).await
    })
}

struct Crowd<'a> {
    etcd: &'a Etcd,
    /// Those of a cluster stand beside each other.
    members: Vec<Arc<Member>>,
    size: usize,
    /// They end with this.
    _lives: JoinSet<()>,
    /// Of each cluster.
    candidates: Vec<Arc<Mutex<Candidates>>>,
    news: UnboundedReceiver<Seen>,
    /// Who each member sees leading, and since when.
    seen: Vec<Option<(MemberName, Instant)>>,
    figures: Map<String, Value>,
}

/// What etcd did up to a moment.
struct Reading {
    at: Instant,
    requests: Requests,
    etcd_ticks: u64,
    own_ticks: u64,
}

impl<'a> Crowd<'a> {
    /// Brings so many members to life; the first one of each cluster leads.
    async fn gather(etcd: &'a Etcd, count: usize, size: usize) -> Result<Self> {
        let begun = Instant::now();
        let first = |cluster: usize| Candidates::Only(name(cluster * size));
        let candidates: Vec<Arc<Mutex<Candidates>>> = (0..count / size)
            .map(|cluster| Arc::new(Mutex::new(first(cluster))))
            .collect();
        let (tell, news) = unbounded_channel();
        let (mut members, mut lives) = (Vec::new(), JoinSet::new());
        let batches = u32::try_from(count.div_ceil(AT_A_TIME))?;
        while members.len() < count {
            let next = members.len()..count.min(members.len() + AT_A_TIME);
            let mut joining = JoinSet::new();
            for number in next {
                let cluster = number / size;
                let (candidates, tell) = (candidates[cluster].clone(), tell.clone());
                let port = etcd.port;
                joining.spawn(async move {
                    let scope = format!("demo{cluster}");
                    Member::connect(number, &scope, port, candidates, tell).await
                });
            }
            while let Some(connected) = joining.join_next().await {
                let member = Arc::new(connected?.context("connect a member")?);
                members.push(Arc::clone(&member));
                lives.spawn(async move { member.live().await });
            }
            sleep(TIMINGS.loop_wait / batches).await;
        }
        members.sort_by_key(|member| member.number);
        let mut crowd = Self {
            etcd,
            members,
            size,
            _lives: lives,
            candidates,
            news,
            seen: vec![None; count],
            figures: Map::new(),
        };
        crowd.all_see(&vec![None; count / size]).await?;
        crowd.put("members", json!(count));
        crowd.put("cluster_size", json!(size));
        crowd.put("all_there_ms", ms(begun.elapsed()));
        Ok(crowd)
    }

    async fn measure(&mut self, options: &Options) -> Result<Map<String, Value>> {
        // Whoever has just come has something to write in the first cycles.
        sleep(TIMINGS.loop_wait * 2).await;
        let before = self.reading()?;
        sleep(Duration::from_secs(options.idle_seconds)).await;
        self.spent(&before, "idle")?;
        self.put(
            "etcd_pss_kb",
            json!(pss_kb(self.etcd.process.pid().as_raw())?),
        );
        for (way, named) in [("handed_over", true), ("raced_for", false)] {
            let mut times = Vec::new();
            let (mut asked, mut ticks) = (0, 0);
            for _ in 0..options.rounds {
                // The cycles that the change woke are over, and those of before are due again.
                sleep(TIMINGS.loop_wait).await;
                let before = self.reading()?;
                times.push(self.change(named).await?);
                // Also what those do who saw it last.
                sleep(Duration::from_secs(2)).await;
                let after = self.reading()?;
                asked += total(&after.requests) - total(&before.requests);
                ticks += after.etcd_ticks - before.etcd_ticks;
            }
            let rounds = f64::from(options.rounds);
            let longest = times.iter().max().copied().unwrap_or_default();
            self.put(&format!("{way}_all_see_ms"), median_ms(&times));
            self.put(&format!("{way}_all_see_longest_ms"), ms(longest));
            self.put(&format!("{way}_requests"), per(asked, rounds));
            self.put(
                &format!("{way}_etcd_cpu_ms"),
                per(ticks * MS_PER_TICK, rounds),
            );
        }
        let failures = self
            .members
            .iter()
            .map(|member| member.failures.load(Ordering::Relaxed));
        self.put("cycles_without_answer", json!(failures.sum::<u64>()));
        Ok(std::mem::take(&mut self.figures))
    }

    /// The leader of each cluster lets go, and another one takes the lock. Gives the time from before
    /// the first of these until all see their next leader.
    async fn change(&mut self, named: bool) -> Result<Duration> {
        let (mut old, mut releases) = (Vec::new(), JoinSet::new());
        let begun = Instant::now();
        for (cluster, candidates) in self.candidates.iter().enumerate() {
            let first = cluster * self.size;
            let members = &self.members[first..first + self.size];
            let leader = self.seen[first].clone().context("no leader")?.0;
            let index = members.iter().position(|member| member.name == leader);
            let index = index.context("an unknown leader")?;
            let next = &members[(index + 1) % members.len()];
            *candidates.lock().unwrap_or_else(PoisonError::into_inner) = if named {
                Candidates::Only(next.name.clone())
            } else {
                Candidates::AllBut(leader.clone())
            };
            old.push(Some(leader));
            let leader = Arc::clone(&members[index]);
            releases.spawn(async move { leader.release().await });
        }
        while let Some(released) = releases.join_next().await {
            released?.context("release a lock")?;
        }
        Ok(self.all_see(&old).await? - begun)
    }

    /// Waits until all see one leader of their cluster that is another one than before, and tells
    /// when the last of them did.
    async fn all_see(&mut self, before: &[Option<MemberName>]) -> Result<Instant> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let news = timeout_at(deadline, self.news.recv()).await;
            let Seen { member, leader, at } = news
                .context("not everybody sees another leader")?
                .context("nobody lives")?;
            self.seen[member] = leader.map(|leader| (leader, at));
            let clusters = self.seen.chunks(self.size).zip(before);
            let last: Option<Vec<Instant>> = clusters
                .map(|(seen, before)| seen_by_all(seen, before.as_ref()))
                .collect();
            if let Some(last) = last.and_then(|last| last.into_iter().max()) {
                return Ok(last);
            }
        }
    }

    fn reading(&self) -> Result<Reading> {
        Ok(Reading {
            at: Instant::now(),
            requests: self.etcd.requests()?,
            etcd_ticks: cpu_ticks(self.etcd.process.pid().as_raw())?,
            own_ticks: cpu_ticks(nix::unistd::getpid().as_raw())?,
        })
    }

    /// Notes what was asked, and what it cost, since a reading.
    fn spent(&mut self, before: &Reading, what: &str) -> Result<()> {
        let after = self.reading()?;
        let seconds = (after.at - before.at).as_secs_f64();
        let asked = total(&after.requests) - total(&before.requests);
        self.put(&format!("{what}_requests_per_second"), per(asked, seconds));
        for (kind, count) in &after.requests {
            let grown = count - before.requests.get(kind).unwrap_or(&0);
            if grown > 0 {
                let name = format!("{what}_{}_per_second", kind.to_lowercase());
                self.put(&name, per(grown, seconds));
            }
        }
        let percent = |ticks: u64| per(ticks * MS_PER_TICK, seconds * 10.0);
        let etcd = percent(after.etcd_ticks - before.etcd_ticks);
        let own = percent(after.own_ticks - before.own_ticks);
        self.put(&format!("{what}_etcd_cpu_percent"), etcd);
        self.put(&format!("{what}_members_cpu_percent"), own);
        Ok(())
    }

    fn put(&mut self, name: &str, value: Value) {
        say!("  {name}: {value}");
        self.figures.insert(name.to_owned(), value);
    }
}

/// The kernel counts in hundredths of a second, whatever its own clock is (`USER_HZ`).
const MS_PER_TICK: u64 = 10;

fn total(requests: &Requests) -> u64 {
    requests.values().sum()
}

/// Since when all members of a cluster see one leader other than that before.
fn seen_by_all(
    seen: &[Option<(MemberName, Instant)>],
    before: Option<&MemberName>,
) -> Option<Instant> {
    let (leader, _) = seen.first()?.as_ref()?;
    let is_new = Some(leader) != before;
    let times = seen.iter().map(|seen| {
        let (name, at) = seen.as_ref()?;
        (is_new && name == leader).then_some(*at)
    });
    times.collect::<Option<Vec<_>>>()?.into_iter().max()
}
