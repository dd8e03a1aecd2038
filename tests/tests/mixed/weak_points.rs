//! Where the reference was measured weak, both makers in the same run: three nodes, `ttl` 20,
//! `loop_wait` 2, `retry_timeout` 3 on machines of their own and 5 elsewhere. Each test prints its
//! figure for a cluster of each, and holds ours to what is promised. The reference may do well.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use patroni_tests::cluster::SOON;
use patroni_tests::machines::Machines;
use patroni_tests::maker::reference_is_there;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Maker, StoreKind, proc, wait};

/// Of nothing that takes longer the end is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// The lease, and with it the longest time for which a primary may be left alone.
const TTL: Duration = Duration::from_secs(20);

/// What a cluster did.
struct Seen {
    /// For people.
    figure: String,
    /// Whether that is what this project promises.
    as_promised: bool,
}

impl Seen {
    /// Where a fault cannot be made, nothing is seen of it.
    fn nothing() -> Self {
        Self {
            figure: "no network namespaces here".to_owned(),
            as_promised: true,
        }
    }
}

fn beside_the_reference(what: &str, measure: impl Fn(Maker) -> Result<Seen>) -> Result<()> {
    if !reference_is_there(what) {
        return Ok(());
    }
    let theirs = measure(Maker::Reference).context("the reference")?.figure;
    let Seen {
        figure: ours,
        as_promised,
    } = measure(Maker::Ours).context("ours")?;
    // Past the capture of the test runner: the figures are what the test is for.
    let mut terminal = std::io::stderr();
    writeln!(
        terminal,
        "{what}\n  the reference: {theirs}\n  ours: {ours}"
    )?;
    ensure!(as_promised, "{what}: {ours}");
    Ok(())
}

fn seconds(length: Duration) -> String {
    format!("{:.1} s", length.as_secs_f64())
}

/// The length of something that may not come to an end.
fn or_never(length: Option<Duration>) -> String {
    length.map_or_else(|| format!("not within {}", seconds(PATIENCE)), seconds)
}

fn start(maker: Maker, dynamic: &str, extra: &str) -> Result<Cluster> {
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 3, dynamic, |_| extra.to_owned())?;
    for node in &mut cluster.nodes {
        node.maker = maker;
    }
    cluster.bootstrap()?;
    Ok(cluster)
}

fn machines(maker: Maker) -> Result<Option<Machines>> {
    let dynamic = "    ttl: 20\n    loop_wait: 2\n    retry_timeout: 3\n";
    Machines::start_with(StoreKind::Etcd3, maker, dynamic, |_, text| text.to_owned())
}

#[test]
fn an_isolated_primary() -> Result<()> {
    beside_the_reference("primary cut off from everything", |maker| {
        let Some(machines) = machines(maker)? else {
            return Ok(Seen::nothing());
        };
        let old = machines.leader()?;
        machines.on(old, |node| node.sql("create table written (n bigint)"))?;
        let writer = machines.writer_on(old)?;
        writer.wait_write(SOON)?;
        let postmaster = machines.nodes[old].postmaster()?;
        machines.isolate(old, true)?;
        let cut = Instant::now();
        let stopped = wait::until("the old server has ended", PATIENCE, || {
            let now = machines.nodes[old].postmaster().ok();
            ensure!(now != Some(postmaster), "it runs");
            Ok(cut.elapsed())
        });
        let stopped = stopped.ok();
        let last = writer.acknowledged().last().context("no write")?.at - cut;
        Ok(Seen {
            figure: format!(
                "last write acknowledged after {}, server ended after {}",
                seconds(last),
                or_never(stopped)
            ),
            as_promised: last < TTL && stopped.is_some_and(|after| after < TTL),
        })
    })
}

#[test]
fn a_primary_without_its_daemon() -> Result<()> {
    /// So long the old primary could write beside the new one.
    const WATCHED: Duration = Duration::from_secs(10);
    beside_the_reference("daemon of the primary killed", |maker| {
        let mut cluster = start(maker, "", "")?;
        let old = cluster.leader()?;
        cluster.nodes[old].sql("create table written (n bigint)")?;
        let writer = Writer::start(vec![cluster.nodes[old].ports.postgres]);
        writer.wait_write(SOON)?;
        let killed = Instant::now();
        cluster.nodes[old].kill_daemon();
        wait::until("another primary", PATIENCE, || {
            let mut others = (0..3).filter(|&index| index != old);
            let new = others.find(|&index| cluster.nodes[index].is("primary").is_ok());
            new.context("nobody yet")
        })?;
        let taken_over = Instant::now();
        wait::pause(WATCHED);
        let last = writer.acknowledged().last().context("no write")?.at;
        let beside = last.saturating_duration_since(taken_over);
        Ok(Seen {
            figure: format!(
                "another primary after {}; in the {} after that the old one acknowledged writes for {}",
                seconds(taken_over - killed),
                seconds(WATCHED),
                seconds(beside)
            ),
            as_promised: beside.is_zero(),
        })
    })
}

#[test]
fn a_postmaster_that_hangs() -> Result<()> {
    beside_the_reference("postmaster stopped by SIGSTOP", |maker| {
        let probe = match maker {
            Maker::Ours => "  probe:\n    mode: failover\n    after: 6\n",
            Maker::Reference => "",
        };
        let cluster = start(maker, "", probe)?;
        let old = cluster.leader()?;
        let postmaster = cluster.nodes[old].postmaster()?;
        proc::signal(postmaster, Signal::SIGSTOP)?;
        let begun = Instant::now();
        let led = cluster.wait_other_leader(old, PATIENCE);
        let led = led.ok().map(|_| begun.elapsed());
        // It may have been replaced by now.
        let _ = proc::signal(postmaster, Signal::SIGCONT);
        Ok(Seen {
            figure: format!("another leader: {}", or_never(led)),
            as_promised: led.is_some(),
        })
    })
}

#[test]
fn a_leader_that_is_cut_off_for_a_while() -> Result<()> {
    beside_the_reference("leader cut from all stores for 5, 7 and 8 s", |maker| {
        let Some(machines) = machines(maker)? else {
            return Ok(Seen::nothing());
        };
        let leader = machines.leader()?;
        let timeline = machines.timeline(leader)?;
        machines.on(leader, |node| node.sql("create table written (n bigint)"))?;
        let writer = machines.writer_on(leader)?;
        writer.wait_write(SOON)?;
        let (begun, from) = (Instant::now(), machines.nodes[leader].log().len());
        for length in [5, 7, 8] {
            machines.cut_from_stores(leader)?;
            wait::pause(Duration::from_secs(length)); // the fault itself has a length
            machines.mend_to_stores(leader)?;
            let ends: Vec<usize> = machines.nodes.iter().map(|node| node.log().len()).collect();
            wait::until("a leader that has renewed its lock", SOON, || {
                let mut logs = machines.nodes.iter().zip(&ends);
                let led =
                    logs.any(|(node, end)| node.log()[*end..].contains("leader with the lock"));
                ensure!(led, "{}", machines.tails());
                Ok(())
            })?;
            machines.wait_healthy()?;
        }
        let now = machines.wait_healthy()?;
        let log = machines.nodes[leader].log();
        let is_demotion =
            |line: &&str| line.contains("emoted self") || line.contains("emoting self");
        let demotions: Vec<&str> = log[from..].lines().filter(is_demotion).collect();
        let timelines = machines.timeline(now)? - timeline;
        Ok(Seen {
            figure: format!(
                "new timelines: {timelines}, longest time without a write on it: {}, demotions: \
                 {demotions:#?}",
                seconds(writer.longest_gap_since(begun))
            ),
            as_promised: timelines == 0 && demotions.is_empty(),
        })
    })
}

/// Waits until the synchronous standby is another one than before, and gives its index.
fn synchronous_standby(cluster: &Cluster, before: Option<usize>) -> Result<usize> {
    wait::until("a synchronous standby", PATIENCE, || {
        let members = cluster.list()?;
        let named = members
            .iter()
            .find(|member| member["Role"] == "Sync Standby");
        let named = named.context("none yet")?["Member"].clone();
        let index = cluster.nodes.iter().position(|node| named == *node.name);
        index
            .filter(|_| index != before)
            .context("the same as before")
    })
}

#[test]
fn the_chosen_synchronous_standby_is_lost() -> Result<()> {
    beside_the_reference("chosen synchronous standby lost", |maker| {
        let mut cluster = start(maker, "    synchronous_mode: true\n", "")?;
        let leader = cluster.leader()?;
        let chosen = synchronous_standby(&cluster, None)?;
        cluster.nodes[leader].sql("create table written (n bigint)")?;
        let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
        let writer = Writer::start(ports.collect());
        writer.wait_write(SOON)?;

        let receiver = cluster.nodes[chosen].sql("select pid from pg_stat_wal_receiver")?;
        let receiver = Pid::from_raw(receiver.first().context("a WAL receiver")?.parse()?);
        let since = Instant::now();
        proc::signal(receiver, Signal::SIGSTOP)?;
        let other = synchronous_standby(&cluster, Some(chosen));
        let silent = other.and_then(|_| writer.wait_write(SOON));
        let silent = silent.ok().map(|()| writer.longest_gap_since(since));
        proc::signal(receiver, Signal::SIGCONT)?;
        cluster.wait_healthy(SOON)?;

        let chosen = synchronous_standby(&cluster, None)?;
        writer.wait_write(SOON)?;
        let since = Instant::now();
        cluster.nodes[chosen].kill_all();
        synchronous_standby(&cluster, Some(chosen))?;
        writer.wait_write(SOON)?;
        let dead = writer.longest_gap_since(since);
        // A cycle, the second of silence, and as much again twice for a busy machine.
        let most = Duration::from_secs(9);
        Ok(Seen {
            figure: format!(
                "commits waited {} for one that falls silent, {} for one that dies",
                or_never(silent),
                seconds(dead)
            ),
            as_promised: dead < most && silent.is_some_and(|gap| gap < most),
        })
    })
}

#[test]
fn a_fork_of_the_same_timeline_number() -> Result<()> {
    beside_the_reference("standby promoted by hand, then the cluster, too", |maker| {
        let mut cluster = start(maker, "", "")?;
        let old = cluster.leader()?;
        let (lost, candidate) = ((old + 1) % 3, (old + 2) % 3);
        cluster.nodes[old].sql("create table t (n int); insert into t values (1)")?;
        cluster.promote_by_hand(lost)?;
        cluster.nodes[lost].pg_ctl(&["-m", "fast", "stop"])?;
        let name = cluster.nodes[candidate].name.clone();
        wait::until("a switchover", SOON, || {
            cluster.ctl_ok(&["switchover", "--candidate", &name, "--force"])
        })?;
        let new = cluster.wait_healthy_nodes(&[old, candidate], SOON)?;
        wait::until("a write on the cluster", SOON, || {
            cluster.nodes[new].sql("insert into t values (2)")
        })?;
        let begun = Instant::now();
        cluster.nodes[lost].start()?;
        let back = wait::until("the cluster's rows", PATIENCE, || {
            let rows = cluster.nodes[lost].sql("select n from t order by n")?;
            ensure!(rows == ["1", "2"], "{} rows", rows.len());
            Ok(begun.elapsed())
        });
        let back = back.ok();
        Ok(Seen {
            figure: format!("has the cluster's rows: {}", or_never(back)),
            as_promised: back.is_some(),
        })
    })
}
