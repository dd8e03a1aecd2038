//! A Citus cluster: a coordinator that keeps the table of nodes, and a group of workers that tells
//! it what happens.
//!
//! Citus itself is in no package. A stand-in beside this file has the tables and functions that the
//! daemon calls by name; it is put into the extension folder of the server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, Node, StoreKind, postgresql, proc, sql, wait};
use tempfile::TempDir;

patroni_tests::on_store!(Etcd3 in etcd3: a_coordinator_follows_the_primaries_of_a_worker_group);

/// The stand-in: its extension is installed, its library and a gate for promotions are here.
struct StandIn {
    dir: TempDir,
}

impl StandIn {
    fn install() -> Result<Self> {
        let bin = postgresql::bin_dir().context("PostgreSQL is not installed")?;
        let extensions = share_dir(&bin)?.join("extension");
        for (name, text) in [
            (
                "citus.control",
                include_str!("citus_stand_in/citus.control"),
            ),
            ("citus--0.sql", include_str!("citus_stand_in/citus--0.sql")),
        ] {
            // Another run may read it now.
            let beside = extensions.join(format!("{name}.{}", std::process::id()));
            std::fs::write(&beside, text)
                .and_then(|()| std::fs::rename(&beside, extensions.join(name)))
                .with_context(|| format!("put the stand-in into {}", extensions.display()))?;
        }
        let dir = tempfile::Builder::new()
            .prefix("patroni-citus-")
            .tempdir()?;
        proc::give_to_runner(dir.path())?;
        // A library that does nothing when it is loaded, so that `citus` can be preloaded.
        let library = bin.join("../lib/dict_snowball.so");
        std::fs::copy(&library, dir.path().join("citus.so"))
            .with_context(|| format!("copy {}", library.display()))?;
        proc::give_to_runner(&dir.path().join("citus.so"))?;
        Ok(Self { dir })
    }

    /// Further lines of a node's file: the rest of its parameters, its hook and its group.
    fn lines(&self, group: u32) -> String {
        let dir = self.dir.path().display();
        let gate = self.gate().display().to_string();
        format!(
            "    dynamic_library_path: '{dir}:$libdir'\n  \
             pre_promote: bash -c 'for i in {{1..600}}; do test -e {gate} && exit 0; sleep 0.1; done; exit 1'\n\
             citus:\n  group: {group}\n  database: citus\n"
        )
    }

    /// Promotions wait until this file is there.
    fn gate(&self) -> PathBuf {
        self.dir.path().join("gate")
    }

    fn open_gate(&self) -> Result<()> {
        Ok(std::fs::write(self.gate(), "")?)
    }
}

/// The folder of the server's files that are no programs.
fn share_dir(bin: &Path) -> Result<PathBuf> {
    let output = proc::command(bin.join("initdb"))
        .args(["--show", "-D", "/nowhere"])
        .output()
        .context("run initdb")?;
    let shown = [output.stdout, output.stderr].concat();
    let shown = String::from_utf8_lossy(&shown);
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix("share_path="));
    Ok(PathBuf::from(line.with_context(|| shown.to_string())?))
}

fn ask(node: &Node, statement: &str) -> Result<Vec<String>> {
    let patience = Duration::from_secs(5);
    sql::query_in("citus", node.ports.postgres, statement, patience)
}

/// Waits until the coordinator's table says exactly this about each node.
fn wait_table(coordinator: &Node, expected: &[(u32, &Node, &str)]) -> Result<()> {
    let row = |(group, node, role): &(u32, &Node, &str)| {
        format!("{group} 127.0.0.1:{} {role}", node.ports.postgres)
    };
    let mut expected: Vec<String> = expected.iter().map(row).collect();
    expected.sort();
    wait::until("the table of nodes", SOON, || {
        let mut rows = ask(
            coordinator,
            "select format('%s %s:%s %s', groupid, nodename, nodeport, noderole) from pg_dist_node",
        )?;
        rows.sort();
        ensure!(rows == expected, "{rows:?} instead of {expected:?}");
        Ok(())
    })
}

/// The number of the row with this node.
fn row_of(coordinator: &Node, node: &Node) -> Result<String> {
    let port = node.ports.postgres;
    let statement = format!("select nodeid from pg_dist_node where nodeport = {port}");
    ask(coordinator, &statement)?
        .pop()
        .with_context(|| format!("no row of {}", node.name))
}

/// The writer of the table waits in an open transaction.
fn transaction_is_open(coordinator: &Node) -> Result<()> {
    let open = ask(
        coordinator,
        "select pid from pg_stat_activity where application_name = 'Patroni citus' \
         and state = 'idle in transaction'",
    )?;
    ensure!(open.len() == 1, "sessions in a transaction: {open:?}");
    Ok(())
}

fn wait_role(node: &Node, role: &str) -> Result<()> {
    wait::until(&format!("{} is {role}", node.name), SOON, || node.is(role))
}

/// Starts a coordinator and a worker group of two.
fn start(cluster: &mut Cluster) -> Result<()> {
    cluster.nodes[0].start()?;
    cluster.nodes[1].start()?;
    wait_role(&cluster.nodes[0], "primary")?;
    wait_role(&cluster.nodes[1], "primary")?;
    cluster.nodes[2].start()?;
    wait_role(&cluster.nodes[2], "replica")
}

fn a_coordinator_follows_the_primaries_of_a_worker_group(store: StoreKind) -> Result<()> {
    let stand_in = StandIn::install()?;
    let lines = |index: usize| stand_in.lines(u32::from(index > 0));
    let mut cluster = Cluster::prepare_with(store, 3, "", lines)?;
    start(&mut cluster)?;
    let [coordinator, first, second] = &cluster.nodes[..] else {
        unreachable!("three nodes were prepared")
    };
    prepared(coordinator)?;
    prepared(first)?;
    wait_table(
        coordinator,
        &[
            (0, coordinator, "primary"),
            (1, first, "primary"),
            (1, second, "secondary"),
        ],
    )?;
    switch_over(&stand_in, coordinator, first, second)?;
    discard_what_is_not_so(coordinator, first, second)?;
    hear_a_leader_that_stays(coordinator, first, second)?;
    // A standby that is gone is no longer read from.
    cluster.nodes[1].terminate()?;
    let [coordinator, _, second] = &cluster.nodes[..] else {
        unreachable!("three nodes were prepared")
    };
    wait_table(
        coordinator,
        &[(0, coordinator, "primary"), (1, second, "primary")],
    )
}

/// What every group needs: settings of the server, and that the nodes may log in.
fn prepared(leader: &Node) -> Result<()> {
    for (setting, expected) in [
        ("shared_preload_libraries", "citus"),
        ("wal_level", "logical"),
        ("max_prepared_transactions", "60"),
        ("citus.local_hostname", "localhost"),
    ] {
        let shown = ask(leader, &format!("show {setting}"))?;
        ensure!(
            shown == [expected],
            "{setting} of {}: {shown:?}",
            leader.name
        );
    }
    let logins = "select format('%s %s %s', nodeid, rolename, authinfo) from pg_dist_authinfo";
    let logins = ask(leader, logins)?;
    ensure!(logins == ["0 postgres password=supersecret"], "{logins:?}");
    Ok(())
}

/// The old leader's word opens a transaction, in which the row waits for the new one.
fn switch_over(stand_in: &StandIn, coordinator: &Node, first: &Node, second: &Node) -> Result<()> {
    let row = row_of(coordinator, first)?;
    let spare = row_of(coordinator, second)?;
    let body = format!(
        r#"{{"leader": "{}", "candidate": "{}"}}"#,
        first.name, second.name
    );
    std::thread::scope(|scope| -> Result<()> {
        let asked = scope.spawn(|| first.rest("POST", "/switchover", Some(&body)));
        // The promotion waits at the gate, and the transaction for the promotion.
        wait::until("an open transaction", SOON, || {
            transaction_is_open(coordinator)
        })?;
        ensure!(
            row_of(coordinator, first)? == row,
            "others see no change yet"
        );
        stand_in.open_gate()?;
        let answer = asked.join().expect("it does not panic")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })?;
    wait_table(
        coordinator,
        &[
            (0, coordinator, "primary"),
            (1, second, "primary"),
            (1, first, "secondary"),
        ],
    )?;
    ensure!(
        row_of(coordinator, second)? == row,
        "the primary keeps its row"
    );
    let (old, new) = (first.ports.postgres, second.ports.postgres);
    let calls = ask(
        coordinator,
        "select call from citus.calls where call like 'update%' and transaction = \
         (select transaction from citus.calls where call like '%demoted%' order by number limit 1) \
         order by number",
    )?;
    let expected = [
        format!("update {row} 127.0.0.1-demoted:{old}"),
        format!("update {spare} 127.0.0.1:{old}"),
        format!("update {row} 127.0.0.1:{new}"),
    ];
    ensure!(calls == expected, "{calls:?} instead of {expected:?}");
    for node in [first, second] {
        let log = node.log();
        ensure!(
            !log.contains("Request to Citus coordinator leader"),
            "{log}"
        );
    }
    Ok(())
}

fn event(kind: &str, leader: &Node, timeout: u32) -> String {
    format!(
        r#"{{"type": "{kind}", "group": 1, "leader": "{}", "timeout": {timeout}, "cooldown": 1}}"#,
        leader.name
    )
}

fn discard_what_is_not_so(coordinator: &Node, standby: &Node, leader: &Node) -> Result<()> {
    let from = coordinator.log().len();
    for path in ["/citus", "/mpp"] {
        let body = event("before_demote", standby, 5);
        let answer = coordinator.rest("POST", path, Some(&body))?;
        ensure!(
            (answer.status, answer.body.as_str()) == (200, "OK"),
            "{answer:?}"
        );
    }
    let said = format!(
        "Discarding event {{'type': 'before_demote', 'group': 1, 'leader': '{}'",
        standby.name
    );
    coordinator.wait_log(from, &said, Duration::from_secs(5))?;
    let body = event("before_demote", leader, 5);
    let answer = standby.rest("POST", "/citus", Some(&body))?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(
        transaction_is_open(coordinator).is_err(),
        "nothing has happened"
    );
    Ok(())
}

/// The answer comes when the row is changed. What does not follow in time is taken back.
fn hear_a_leader_that_stays(coordinator: &Node, standby: &Node, leader: &Node) -> Result<()> {
    let from = coordinator.log().len();
    let body = event("before_demote", leader, 8);
    let answer = coordinator.rest("POST", "/citus", Some(&body))?;
    ensure!(
        (answer.status, answer.body.as_str()) == (200, "OK"),
        "{answer:?}"
    );
    transaction_is_open(coordinator)?;
    let said = "Rolling back transaction. Last known status: before_demote of group 1";
    coordinator.wait_log(from, said, SOON)?;
    wait::until("no open transaction", SOON, || {
        ensure!(transaction_is_open(coordinator).is_err(), "still open");
        Ok(())
    })?;
    wait_table(
        coordinator,
        &[
            (0, coordinator, "primary"),
            (1, leader, "primary"),
            (1, standby, "secondary"),
        ],
    )
}
