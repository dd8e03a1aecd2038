//! Random faults against a real cluster, with clients on every machine that check what they were
//! promised.
//!
//! Three nodes and three servers of a store, each on a machine of its own. Programs are killed and
//! stopped, machines freeze and lose their power, links are cut, the store goes away, and people
//! switch over, restart and reinitialise meanwhile. After the last fault the cluster must heal by
//! itself.

mod check;
mod fault;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use crate::journal;
use crate::machines::{COUNT, Machines};
use crate::maker::Maker;
use crate::store::StoreKind;
use crate::wait;
use crate::writer::{Pace, Writer};
use fault::Fault;

/// `ttl` of these clusters.
const TTL: Duration = Duration::from_secs(20);
/// How long after the last fault a cluster on a machine of its own may take to be healthy. Whoever
/// runs it judges: beside other work it takes longer.
pub const HEALED_WITHIN: Duration = Duration::from_secs(20 + 30);
/// So many faults at a time.
const AT_ONCE: usize = 2;
/// Two of three clients are refused all the time: each attempt costs the server a process.
const PACE: Pace = Pace {
    between: Duration::from_millis(5),
    retry: Duration::from_millis(100),
};

/// What commits wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any standby of a quorum.
    Quorum,
    /// The chosen synchronous standby.
    Synchronous,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Chooses the faults. The same number gives the same faults; what they meet differs.
    pub seed: u64,
    /// How long faults come.
    pub length: Duration,
    /// Of which there are three servers.
    pub store: StoreKind,
    /// What commits wait for.
    pub mode: Mode,
    /// Whether a primary may lead on without the store when all members agree.
    pub failsafe: bool,
    /// Where to leave what the nodes logged.
    pub logs: Option<PathBuf>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many faults there were.
    pub faults: usize,
    /// How many writes were acknowledged, on all machines together.
    pub acknowledged: usize,
    /// How many timelines took writes.
    pub timelines: usize,
    /// The longest time in which no write was acknowledged anywhere.
    pub longest_gap: Duration,
    /// When it began, after the first fault.
    pub gap_began: Duration,
    /// How long after the last fault everything was healthy again.
    pub healed: Duration,
    /// How many decisions of the nodes were played again, with the same result.
    pub replayed: usize,
}

/// Runs it. `say` gets one line for each event. `None` where network namespaces cannot be made.
///
/// # Errors
/// The cluster does not come up, or something was lost, or two members took writes at once, or it
/// did not heal, or a decision does not replay: the text says which, with the logs' ends.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Option<Report>> {
    let dynamic = dynamic(options);
    let Some(machines) = Machines::start_with(options.store, Maker::Ours, &dynamic, with_journal)?
    else {
        return Ok(None);
    };
    let mut run = Run::new(machines, options)?;
    let result = run.play(say);
    if let Some(folder) = &options.logs {
        run.leave_logs(&folder.join(options.seed.to_string()))?;
    }
    result.with_context(|| run.machines.tails()).map(Some)
}

/// Strict, so that every acknowledged write has waited for a standby.
fn dynamic(options: &Options) -> String {
    let mode = match options.mode {
        Mode::Quorum => "quorum",
        Mode::Synchronous => "true",
    };
    format!(
        "    ttl: {}\n    loop_wait: 2\n    retry_timeout: 3\n    synchronous_mode: {mode}\n    \
         synchronous_mode_strict: true\n    failsafe_mode: {}\n",
        TTL.as_secs(),
        options.failsafe
    )
}

/// The settings of who wants no person for a rewind that failed, and a journal of every cycle.
fn with_journal(dir: &Path, text: &str) -> String {
    let text = text.replace(
        "\npostgresql:\n",
        "\npostgresql:\n  remove_data_directory_on_rewind_failure: true\n",
    );
    let dir = dir.display();
    text + &format!("journal:\n  every_cycle: true\n  dir: {dir}/journal\n")
}

struct Run {
    machines: Machines,
    writers: Vec<Writer>,
    rng: Rng,
    length: Duration,
    begun: Instant,
    /// What is broken now, and until when.
    broken: Vec<(Instant, Fault)>,
    /// Programs that people have started.
    asked: Vec<crate::proc::Proc>,
    faults: usize,
}

impl Run {
    fn new(machines: Machines, options: &Options) -> Result<Self> {
        let leader = machines.leader()?;
        wait::until("the table", Duration::from_secs(20), || {
            machines.on(leader, |node| {
                node.sql("create table if not exists written (n bigint)")
            })
        })?;
        let writers =
            (0..COUNT).map(|index| machines.writer_after(index, first_number(index)?, PACE));
        let writers = writers.collect::<Result<_>>()?;
        Ok(Self {
            machines,
            writers,
            rng: Rng::with_seed(options.seed),
            length: options.length,
            begun: Instant::now(),
            broken: Vec::new(),
            asked: Vec::new(),
            faults: 0,
        })
    }

    fn play(&mut self, say: &mut dyn FnMut(&str)) -> Result<Report> {
        self.break_things(say)?;
        let healed = self.heal(say)?;
        let leader = self.machines.wait_healthy()?;
        for writer in &self.writers {
            let port = self.machines.nodes[leader].ports.postgres;
            let network = &self.machines.network;
            network.inside(leader, || writer.check_nothing_lost(port))?;
        }
        let acks: Vec<_> = self.writers.iter().map(Writer::acknowledged).collect();
        let timelines = check::one_primary_at_a_time(&acks)?;
        self.writers.clear();
        let gap = check::longest_gap(&acks);
        let (longest_gap, began) = gap.context("two writes at least")?;
        Ok(Report {
            faults: self.faults,
            acknowledged: acks.iter().map(Vec::len).sum(),
            timelines,
            longest_gap,
            gap_began: began.saturating_duration_since(self.begun),
            healed,
            replayed: self.replay()?,
        })
    }

    fn break_things(&mut self, say: &mut dyn FnMut(&str)) -> Result<()> {
        let mut next = Instant::now();
        while self.begun.elapsed() < self.length {
            self.mend(Instant::now(), say)?;
            if Instant::now() >= next && self.broken.len() < AT_ONCE {
                self.break_one(say)?;
                next = Instant::now() + self.between(1000, 12_000);
            }
            self.daemons_run()?;
            wait::pause(Duration::from_millis(100));
        }
        Ok(())
    }

    fn break_one(&mut self, say: &mut dyn FnMut(&str)) -> Result<()> {
        let leader = self.machines.leader().ok();
        let fault = Fault::choose(&mut self.rng, leader);
        if self.broken.iter().any(|(_, other)| fault.collides(other)) {
            return Ok(());
        }
        let (mut length, mut told) = (Duration::ZERO, fault.to_string());
        if fault.lasts() {
            let long = self.rng.u8(..100) < 30;
            let (from, to) = if long { (6000, 35_000) } else { (500, 6000) };
            length = self.between(from, to);
            told = format!("{fault} for {:.1} s", length.as_secs_f64());
        }
        say(&self.line(&told));
        let asked = fault.begin(&mut self.machines)?;
        self.asked.extend(asked);
        self.broken.push((Instant::now() + length, fault));
        self.faults += 1;
        Ok(())
    }

    fn between(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.u64(from..=to))
    }

    /// Mends what is due.
    fn mend(&mut self, now: Instant, say: &mut dyn FnMut(&str)) -> Result<()> {
        let (due, left) = self.broken.drain(..).partition(|(until, _)| *until <= now);
        self.broken = left;
        let due: Vec<(Instant, Fault)> = due;
        for (_, fault) in due {
            fault.end(&mut self.machines)?;
            if fault.lasts() {
                say(&self.line(&format!("mended: {fault}")));
            }
        }
        Ok(())
    }

    /// No daemon ends by itself, whatever happens around it.
    fn daemons_run(&mut self) -> Result<()> {
        for index in 0..COUNT {
            if self
                .broken
                .iter()
                .any(|(_, fault)| fault.ends_daemon(index))
            {
                continue;
            }
            let node = &mut self.machines.nodes[index];
            if let Some(code) = node.daemon().exit_code()? {
                anyhow::bail!("the daemon of {} ended by itself with {code}", node.name);
            }
        }
        Ok(())
    }

    /// Mends everything and waits; gives the time that it took.
    fn heal(&mut self, say: &mut dyn FnMut(&str)) -> Result<Duration> {
        let last = self.broken.iter().map(|(until, _)| *until).max();
        self.mend(last.unwrap_or_else(Instant::now), say)?;
        let mended = Instant::now();
        let leader = self.machines.wait_healthy()?;
        self.writers[leader].wait_write(HEALED_WITHIN)?;
        let took = mended.elapsed();
        let name = &self.machines.nodes[leader].name;
        say(&self.line(&format!(
            "healthy {:.1} s after the last fault, {name} leads",
            took.as_secs_f64()
        )));
        self.daemons_run()?;
        Ok(took)
    }

    /// Ends the daemons in order and plays their journals again.
    fn replay(&mut self) -> Result<usize> {
        self.asked.clear();
        let mut replayed = 0;
        for node in &mut self.machines.nodes {
            let code = node.terminate()?;
            ensure!(code == 0, "the daemon of {} ended with {code}", node.name);
            for file in journal::files(node)? {
                replayed += journal::replay(&file)?;
            }
        }
        Ok(replayed)
    }

    fn leave_logs(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for node in &self.machines.nodes {
            for (from, to) in [("patroni.log", "log"), ("patronictl.log", "ctl")] {
                let name = format!("{}.{to}", node.name);
                // There is none where nobody asked.
                let text = std::fs::read(node.dir.join(from)).unwrap_or_default();
                std::fs::write(folder.join(name), text)?;
            }
        }
        Ok(())
    }

    fn line(&self, text: &str) -> String {
        format!("[{:6.1} s] {text}", self.begun.elapsed().as_secs_f64())
    }
}

/// Clients write numbers of their own.
fn first_number(index: usize) -> Result<i64> {
    Ok(i64::try_from(index)? * 1_000_000_000)
}
