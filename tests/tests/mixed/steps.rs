//! A cluster moves from one implementation to the other and back, node by node, while it is written
//! to; with each mix of nodes it does all that a cluster does.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::maker::reference_is_there;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Maker, StoreKind, wait};

use crate::agree::{Golden, same_outputs};
use crate::migrate::{change_daemon, pause, step, write};

on_each_store!(every_mix_of_nodes_does_everything);

/// Kept by everybody for a reader who goes away, and read on after each change of the leader.
const DYNAMIC: &str = "    failsafe_mode: true\n    synchronous_mode: quorum\n    slots:\n      \
    kept:\n        type: physical\n      log:\n        type: logical\n        database: postgres\n        \
    plugin: test_decoding\n";

/// Longer than `ttl`.
const AWAY: Duration = Duration::from_secs(23);

fn every_mix_of_nodes_does_everything(store: StoreKind) -> Result<()> {
    if !reference_is_there("every_mix_of_nodes_does_everything") {
        return Ok(());
    }
    let mut way = Way::begin(store)?;
    for to in [Maker::Ours, Maker::Reference] {
        for _ in 0..3 {
            way.change_one(to)?;
            way.switch_over()?;
            if way.is_mixed() {
                way.lose_the_store()?;
            }
            way.pause_and_resume()?;
        }
        same_outputs(&way.cluster)?;
        // Over with a quorum, back with both standbys.
        let both = ["synchronous_mode=true", "synchronous_node_count=2"];
        let args = ["edit-config", "-s", both[0], "-s", both[1], "--force"];
        let out = way.cluster.ctl_by(to, 0, &args)?;
        ensure!(out.status.success(), "{out:?}");
        way.mode = Mode::BothStandbys;
    }
    way.end()
}

/// What commits wait for.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Quorum,
    BothStandbys,
}

impl Mode {
    /// What a standby says yes to, that they may wait for.
    fn path(self) -> &'static str {
        match self {
            Self::Quorum => "/quorum",
            Self::BothStandbys => "/sync",
        }
    }
}

/// What is under way.
struct Way {
    cluster: Cluster,
    golden: Golden,
    writer: Writer,
    mode: Mode,
    /// What the reader of the logical slot has got.
    read: BTreeSet<i64>,
    /// How far it has confirmed that.
    read_to: String,
    /// The lines of each node's log that tell of a fault of the test's.
    excused: Vec<Vec<std::ops::Range<usize>>>,
}

impl Way {
    fn begin(store: StoreKind) -> Result<Self> {
        let mut cluster = Cluster::prepare_with(store, 3, DYNAMIC, |_| String::new())?;
        for node in &mut cluster.nodes {
            let text = std::fs::read_to_string(node.config_path())?;
            let parameter = "        max_connections: 30\n";
            node.write_config(&text.replace(
                parameter,
                &format!("{parameter}        wal_level: logical\n"),
            ))?;
            node.maker = Maker::Reference;
        }
        cluster.bootstrap()?;
        let writer = write(&cluster)?;
        let mut way = Self {
            cluster,
            golden: Golden::default(),
            writer,
            mode: Mode::Quorum,
            read: BTreeSet::new(),
            read_to: String::new(),
            excused: vec![Vec::new(); 3],
        };
        way.read_slot()?;
        way.wait_ready()?;
        way.golden.check(&way.cluster)?;
        // Until now nobody was there to be blamed.
        let lengths = way.log_lengths();
        for (ranges, to) in way.excused.iter_mut().zip(lengths) {
            ranges.push(0..to);
        }
        Ok(way)
    }

    fn ours(&self) -> usize {
        let nodes = self.cluster.nodes.iter();
        nodes.filter(|node| node.maker == Maker::Ours).count()
    }

    fn is_mixed(&self) -> bool {
        !self.ours().is_multiple_of(3)
    }

    /// Both standbys may be promoted, and have the slots as far as they were read.
    fn wait_ready(&self) -> Result<()> {
        wait::until("two standbys with all slots", SOON, || {
            let leader = self.cluster.leader()?;
            for node in &self.cluster.nodes {
                let there = node.sql(&format!(
                    "select slot_name from pg_replication_slots where slot_name = 'kept' or \
                     slot_name = 'log' and confirmed_flush_lsn >= '{}' order by 1",
                    self.read_to
                ))?;
                ensure!(there == ["kept", "log"], "{}: {there:?}", node.name);
            }
            let names = self.cluster.nodes[leader].sql(
                "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')",
            )?;
            ensure!(names == ["2"], "{names:?} are synchronous");
            let key: serde_json::Value = serde_json::from_str(&self.cluster.key("sync")?)?;
            let standbys = key["sync_standby"].as_str().unwrap_or_default();
            ensure!(standbys.split(',').count() == 2, "{key}");
            // A node knows it from its next cycle on.
            for standby in (0..3).filter(|&index| index != leader) {
                let node = &self.cluster.nodes[standby];
                ensure!(node.health(self.mode.path())? == 200, "{}", node.name);
            }
            Ok(())
        })
        .with_context(|| self.cluster.log_tails())
    }

    /// Another standby gets the daemon of this maker; the last one was the leader before.
    fn change_one(&mut self, to: Maker) -> Result<()> {
        let leader = self.cluster.leader()?;
        let to_change = |index: &usize| self.cluster.nodes[*index].maker != to;
        let standby = (0..3).filter(|&index| index != leader).find(to_change);
        let index = if let Some(index) = standby {
            index
        } else {
            self.switch_to(to, to.other())?;
            leader
        };
        let begun = Instant::now();
        change_daemon(&mut self.cluster, index, to)?;
        self.settle("a standby's daemon changes", begun)
    }

    /// From each maker's node to the other's, asked for by the tool of the other.
    fn switch_over(&mut self) -> Result<()> {
        let leader = self.cluster.leader()?;
        let first = self.cluster.nodes[leader].maker.other();
        for to in [first, first.other()] {
            if self.cluster.nodes.iter().any(|node| node.maker == to) {
                self.switch_to(to, to)?;
            }
        }
        Ok(())
    }

    /// To a node of this maker, asked for by the tool of that one.
    fn switch_to(&mut self, to: Maker, by: Maker) -> Result<()> {
        let old = self.cluster.leader()?;
        let is_candidate = |index: &usize| self.cluster.nodes[*index].maker == to;
        let mut standbys = (0..3).filter(|&index| index != old);
        let new = standbys.find(is_candidate);
        let Some(new) = new else {
            return Ok(()); // the only node of this maker leads
        };
        let candidate = self.cluster.nodes[new].name.clone();
        let begun = Instant::now();
        let args = ["switchover", "--candidate", &candidate, "--force"];
        let out = self.cluster.ctl_by(by, old, &args)?;
        let text = String::from_utf8_lossy(&out.stdout);
        let expected = format!("Successfully switched over to \"{candidate}\"");
        ensure!(
            text.contains(&expected),
            "{text}{}",
            self.cluster.log_tails()
        );
        self.settle(&format!("switchover to {to:?}"), begun)
    }

    /// Everybody consents, so the leader stays.
    fn lose_the_store(&mut self) -> Result<()> {
        let leader = self.cluster.leader()?;
        let before = self.log_lengths();
        let store = self.cluster.store.as_ref().context("no server")?;
        let begun = Instant::now();
        store.signal(Signal::SIGSTOP)?;
        wait::pause(AWAY); // the fault itself has a length
        store.signal(Signal::SIGCONT)?;
        wait::until("the consent is over", SOON, || {
            for node in &self.cluster.nodes {
                let status = node.status()?;
                ensure!(status["failsafe_mode_is_active"].is_null(), "{status}");
            }
            Ok(())
        })?;
        let maker = self.cluster.nodes[leader].maker;
        self.settle(&format!("no store for 23 s, {maker:?} leads"), begun)?;
        ensure!(self.cluster.leader()? == leader, "another leader");
        let lengths = before.into_iter().zip(self.log_lengths());
        for (ranges, (from, to)) in self.excused.iter_mut().zip(lengths) {
            ranges.push(from..to);
        }
        Ok(())
    }

    fn log_lengths(&self) -> Vec<usize> {
        self.cluster
            .nodes
            .iter()
            .map(|node| node.log().len())
            .collect()
    }

    fn pause_and_resume(&mut self) -> Result<()> {
        let begun = Instant::now();
        let maker = self.cluster.nodes[0].maker;
        pause(&self.cluster, "pause", maker)?;
        pause(&self.cluster, "resume", maker.other())?;
        self.settle("pause and resume", begun)
    }

    /// After a step: healthy, alike, writable, complete, for the reader of the slot as well.
    fn settle(&mut self, what: &str, begun: Instant) -> Result<()> {
        self.wait_ready()?;
        step(&mut self.golden, &self.cluster, &self.writer)?;
        self.read_slot()?;
        self.wait_ready()?;
        let gap = self.writer.longest_gap_since(begun).as_secs_f64();
        let _ = writeln!(
            std::io::stderr(),
            "mixed-step {:?} {} of 3 ours, {:?}, {what}: {gap:.1} s",
            self.cluster.kind(),
            self.ours(),
            self.mode
        );
        Ok(())
    }

    fn read_slot(&mut self) -> Result<()> {
        let leader = self.cluster.leader()?;
        let sql = "select substring(data from '[0-9]+$') from pg_logical_slot_get_changes('log', null, \
                   null) where data like 'table public.written: INSERT%'";
        for number in self.cluster.nodes[leader].sql(sql)? {
            self.read.insert(number.parse()?);
        }
        let sql = "select confirmed_flush_lsn from pg_replication_slots where slot_name = 'log'";
        let read_to = self.cluster.nodes[leader].sql(sql)?;
        self.read_to = read_to.into_iter().next().context("no slot")?;
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        let acknowledged = self.writer.acknowledged();
        self.read_slot()?;
        let missed = acknowledged
            .iter()
            .filter(|ack| !self.read.contains(&ack.number));
        ensure!(missed.count() == 0, "the reader of the slot missed rows");
        let errors: Vec<String> = (0..3).flat_map(|index| self.errors_of(index)).collect();
        ensure!(
            errors.is_empty(),
            "errors without a fault:\n{}",
            errors.join("\n")
        );
        Ok(())
    }

    /// What a node's daemons took for an error, though nothing was broken. That a server takes no
    /// connections is none, where servers stop and start.
    fn errors_of(&self, index: usize) -> Vec<String> {
        let node = &self.cluster.nodes[index];
        let log = node.log();
        let mut at = 0;
        let mut found = Vec::new();
        for line in log.split_inclusive('\n') {
            let excused = self.excused[index].iter().any(|range| range.contains(&at));
            let by_a_daemon = line.contains(" ERROR: ") && !line.contains(" UTC [");
            let of_a_start = line.to_lowercase().contains("connection");
            if by_a_daemon && !of_a_start && !excused {
                found.push(format!("{}: {}", node.name, line.trim_end()));
            }
            at += line.len();
        }
        found
    }
}
