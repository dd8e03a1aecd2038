//! The story that a cluster must be able to tell, played without a person.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, wait};

/// Plays every step; each prints one line with its time.
///
/// # Errors
/// A step did not hold; the text says which and what was seen.
pub(crate) fn play(cluster: &mut Cluster) -> Result<()> {
    let result = Story {
        start: Instant::now(),
    }
    .tell(cluster);
    if result.is_err() {
        say!("the story did NOT hold\n{}", cluster.log_tails());
    }
    result
}

struct Story {
    start: Instant,
}

impl Story {
    fn line(&self, text: &str) {
        say!("[{:6.1} s] {text}", self.start.elapsed().as_secs_f64());
    }

    fn tell(&self, cluster: &mut Cluster) -> Result<()> {
        for node in &mut cluster.nodes {
            node.start()?;
        }
        let leader = cluster.wait_leader(SOON)?;
        self.line(&format!(
            "bootstrap: {} is primary",
            cluster.nodes[leader].name
        ));
        cluster.wait_healthy(SOON)?;
        self.line(&format!(
            "{} replicas joined and stream",
            cluster.nodes.len() - 1
        ));

        cluster.nodes[leader].sql("create table written (n bigint)")?;
        let ports = cluster
            .nodes
            .iter()
            .map(|node| node.ports.postgres)
            .collect();
        let writer = Writer::start(ports);
        writer.wait_write(SOON)?;
        self.line("a writer inserts all the time");

        let leader = self.switch_over(cluster, &writer, leader)?;
        let leader = self.lose_leader(cluster, &writer, leader)?;

        cluster.ctl_ok(&["edit-config", "-s", "synchronous_mode=true", "--force"])?;
        cluster.wait_synchronous()?;
        self.line("synchronous mode is on, a standby confirms every commit");
        let before = writer.acknowledged().len();
        writer.wait_write(SOON)?;
        let leader = self.lose_leader(cluster, &writer, leader)?;
        let rows = writer.check_nothing_lost(cluster.nodes[leader].ports.postgres);
        // Rows of the asynchronous time may be lost with a leader that dies; those since may not.
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => self.judge_asynchronous_loss(cluster, &writer, leader, before, &error)?,
        };
        self.line(&format!("no acknowledged write is missing ({rows} rows)"));
        Ok(())
    }

    fn switch_over(&self, cluster: &Cluster, writer: &Writer, old: usize) -> Result<usize> {
        let since = Instant::now();
        let out = cluster.ctl_ok(&["switchover", "--force"])?;
        ensure!(
            out.contains("Successfully switched over to"),
            "patronictl switchover: {out}"
        );
        let leader = cluster.wait_healthy(SOON)?;
        ensure!(leader != old, "the leader did not change");
        writer.wait_write(SOON)?;
        let gap = writer.longest_gap_since(since);
        self.line(&format!(
            "switchover to {}, no write for {gap:.2?}",
            cluster.nodes[leader].name
        ));
        Ok(leader)
    }

    fn lose_leader(&self, cluster: &mut Cluster, writer: &Writer, old: usize) -> Result<usize> {
        let name = cluster.nodes[old].name.clone();
        let since = Instant::now();
        cluster.nodes[old].kill_all();
        self.line(&format!(
            "daemon and PostgreSQL of {name} are killed with SIGKILL"
        ));
        let leader = cluster.wait_other_leader(old, SOON)?;
        writer.wait_write(SOON)?;
        let gap = writer.longest_gap_since(since);
        self.line(&format!(
            "{} took over, no write for {gap:.2?}",
            cluster.nodes[leader].name
        ));
        let log = cluster.nodes[old].log().len();
        cluster.nodes[old].start()?;
        ensure!(
            cluster.wait_healthy(SOON)? == leader,
            "the leader changed when {name} came back"
        );
        let log = cluster.nodes[old].log().split_off(log);
        self.line(&format!(
            "{name} is back and streams: {}",
            how_it_rejoined(&log)
        ));
        Ok(leader)
    }

    /// In the asynchronous part of the story a dying leader may take its last moment with it.
    fn judge_asynchronous_loss(
        &self,
        cluster: &Cluster,
        writer: &Writer,
        leader: usize,
        before: usize,
        error: &anyhow::Error,
    ) -> Result<usize> {
        // Taken before the rows are read: the writer goes on.
        let acknowledged = writer.acknowledged();
        let rows = wait::until("the rows", Duration::from_secs(20), || {
            cluster.nodes[leader].sql("select n from written")
        })?;
        let rows: std::collections::HashSet<String> = rows.into_iter().collect();
        let lost: Vec<usize> = (0..acknowledged.len())
            .filter(|&index| !rows.contains(&acknowledged[index].number.to_string()))
            .collect();
        let broken: Vec<i64> = lost
            .iter()
            .filter(|&&index| index >= before)
            .map(|&index| acknowledged[index].number)
            .collect();
        ensure!(
            broken.is_empty(),
            "synchronous mode lost the acknowledged rows {broken:?}: {error:#}"
        );
        self.line(&format!(
            "{} rows of the asynchronous time died with their leader",
            lost.len()
        ));
        Ok(acknowledged.len() - before)
    }
}

fn how_it_rejoined(log: &str) -> &'static str {
    if log.contains("pg_rewind exit code=0") {
        "rewound by pg_rewind"
    } else if log.contains("replica has been created using") {
        "a new copy, because its data could not be rewound (see its log)"
    } else {
        "its data had not diverged, it only had to catch up"
    }
}
