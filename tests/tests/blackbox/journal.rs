//! Journals: every decision of a real run under faults replays equal, and explains itself.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::journal::{files, replay};
use patroni_tests::{Cluster, Node, StoreKind, proc, wait};
use serde_json::Value;

on_each_store!(journals_replay_equal_and_explain_what_happened);

/// The member that must never lead.
const BARRED: usize = 2;

/// So many decisions of real nodes have to replay equal.
const RECORDS: usize = 200;

/// Three nodes that keep every cycle; the last one is tagged `nofailover`.
fn cluster(store: StoreKind) -> Result<Cluster> {
    let tags = |index: usize| match index {
        BARRED => "tags:\n  nofailover: true\n".to_owned(),
        _ => String::new(),
    };
    let mut cluster = Cluster::prepare_with(store, 3, "", tags)?;
    for node in &cluster.nodes {
        let mut text = std::fs::read_to_string(node.config_path())?;
        let dir = node.dir.display();
        text += "journal:\n  every_cycle: true\n";
        text += &["  dir: ", &dir.to_string(), "/journal\n"].concat();
        node.write_config(&text)?;
    }
    cluster.bootstrap()?;
    cluster.ctl_ok(&[
        "edit-config",
        "-s",
        "loop_wait=1",
        "-p",
        "archive_command=env PGPASSWORD=hush-hush true",
        "--force",
    ])?;
    Ok(cluster)
}

fn journals_replay_equal_and_explain_what_happened(store: StoreKind) -> Result<()> {
    let mut cluster = cluster(store)?;
    let old = cluster.leader()?;
    let new = 1 - old;
    let (old_name, new_name) = (
        cluster.nodes[old].name.clone(),
        cluster.nodes[new].name.clone(),
    );

    cluster.nodes[old].kill_all();
    ensure!(cluster.wait_other_leader(old, SOON)? == new);
    let text = explain(&cluster, &["--last-failover"])?;
    let told = format!("{old_name} was replaced by {new_name} at ");
    ensure!(text.starts_with(&told), "{text}");
    for part in [
        &format!("Why {old_name} does not lead any more:"),
        "It told nobody why: its lock ran out, or was given back",
        &format!("Nobody held the lock; {old_name} led last."),
        "node3: not allowed to promote (its tags say nofailover",
        "promoted self to leader by acquiring session lock",
    ] {
        ensure!(text.contains(part), "{part} is missing in\n{text}");
    }
    let text = explain(&cluster, &["--why-not", "node3"])?;
    ensure!(text.contains("node3 was refused, newest first:"), "{text}");
    ensure!(text.contains("its tags say nofailover: true"), "{text}");

    cluster.nodes[old].start()?;
    cluster.wait_healthy(SOON)?;
    let args = [
        "switchover",
        "--leader",
        &new_name,
        "--candidate",
        &old_name,
        "--force",
    ];
    cluster.ctl_ok(&args)?;
    ensure!(cluster.wait_healthy(SOON)? == old);
    let told: Value =
        serde_json::from_str(&explain(&cluster, &["--last-failover", "-f", "json"])?)?;
    let failover = &told["failover"];
    ensure!(failover["from"] == new_name.as_str(), "{failover}");
    ensure!(failover["to"] == old_name.as_str(), "{failover}");
    let request = failover["request"].as_str().context("no request")?;
    ensure!(request.starts_with("switchover away from"), "{request}");
    let reasons = failover["stepped_down"].as_array().context("no list")?;
    ensure!(!reasons.is_empty(), "the old leader tells why: {failover}");

    cluster.nodes[old].signal(Signal::SIGSTOP);
    wait::until("another leader", SOON, || cluster.nodes[new].is("primary"))?;
    cluster.nodes[old].signal(Signal::SIGCONT);
    cluster.wait_healthy(SOON)?;
    let text = explain(&cluster, &["--since", "10m", "node3"])?;
    ensure!(
        text.contains("a secondary, and following a leader"),
        "{text}"
    );

    a_restart_keeps_the_journal(&mut cluster, BARRED)?;
    wait::until("records of enough cycles", SOON, || {
        let kept = cluster.nodes.iter().map(lines).sum::<Result<usize>>()?;
        ensure!(kept > RECORDS, "{kept} lines");
        Ok(())
    })?;
    for node in &mut cluster.nodes {
        ensure!(node.terminate()? == 0);
    }
    let mut replayed = 0;
    for node in &cluster.nodes {
        for file in files(node)? {
            let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
            ensure!(mode == 0o600, "{}: {mode:o}", file.display());
            let text = std::fs::read_to_string(&file)?;
            for secret in ["supersecret", "rep pass", "raft-secret", "hush-hush"] {
                ensure!(!text.contains(secret), "{} tells {secret}", file.display());
            }
            ensure!(
                text.contains("PGPASSWORD=***"),
                "the masked document is there"
            );
            replayed += replay(&file)?;
        }
    }
    eprintln!("{replayed} records replay equal");
    ensure!(replayed >= RECORDS, "only {replayed} records");
    Ok(())
}

/// Numbers go on, and what was told before is still told.
fn a_restart_keeps_the_journal(cluster: &mut Cluster, index: usize) -> Result<()> {
    let newest = page(&cluster.nodes[index], "")?["newest"].as_u64();
    let newest = newest.context("no record")?;
    ensure!(cluster.nodes[index].terminate()? == 0);
    cluster.nodes[index].start()?;
    cluster.wait_healthy(SOON)?;
    let before = page(
        &cluster.nodes[index],
        &format!("?since={}&limit=1", newest - 1),
    )?;
    ensure!(before["records"][0]["number"] == newest, "{before}");
    ensure!(page(&cluster.nodes[index], "")?["newest"].as_u64() > Some(newest));
    for bad in ["?since=yesterday", "?limit=0"] {
        let answer = cluster.nodes[index].rest("GET", &format!("/journal{bad}"), None)?;
        ensure!(answer.status == 400, "{answer:?}");
    }
    Ok(())
}

fn page(node: &Node, query: &str) -> Result<Value> {
    node.rest("GET", &format!("/journal{query}"), None)?.json()
}

/// What the living members tell; asked with the configuration of the one that never leads.
fn explain(cluster: &Cluster, args: &[&str]) -> Result<String> {
    let mut words = vec!["explain"];
    words.extend(args);
    let output = cluster.ctl_on(BARRED, &words)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {text}{errors}");
    Ok(text)
}

/// The records of a node, a line each.
fn lines(node: &Node) -> Result<usize> {
    let count = |file: PathBuf| Ok(std::fs::read_to_string(file)?.lines().count());
    files(node)?.into_iter().map(count).sum()
}

#[test]
fn the_disk_is_bounded_and_a_changed_record_is_reported() -> Result<()> {
    let mut cluster = Cluster::prepare(StoreKind::Etcd3, 1)?;
    let node = &cluster.nodes[0];
    let dir = node.dir.join("journal");
    let mut text = std::fs::read_to_string(node.config_path())?;
    text += "journal:\n  every_cycle: true\n  max_size: 64kB\n  keep: 1\n";
    text += &["  dir: ", &dir.display().to_string(), "\n"].concat();
    node.write_config(&text)?;
    cluster.bootstrap()?;
    cluster.ctl_ok(&["edit-config", "-s", "loop_wait=1", "--force"])?;
    let (file, older) = (
        dir.join("demo-node1.journal"),
        dir.join("demo-node1.journal.1"),
    );
    let mut seen = Vec::new();
    wait::until("three files after one another", SOON, || {
        let first = std::fs::read_to_string(&older)?;
        let first = first.lines().next().unwrap_or_default().to_owned();
        if !seen.contains(&first) {
            seen.push(first);
        }
        ensure!(seen.len() >= 2, "{} so far", seen.len());
        Ok(())
    })?;
    ensure!(files(&cluster.nodes[0])?.len() == 2);
    for path in [&file, &older] {
        let size = std::fs::metadata(path)?.len();
        ensure!(size <= 64 << 10, "{}: {size}", path.display());
    }
    // The same record with another leader in view.
    let text = std::fs::read_to_string(&older)?;
    let count = text.lines().count();
    let changed = text.replacen(
        "\"leader\":{\"name\":\"node1\"",
        "\"leader\":{\"name\":\"nodeX\"",
        1,
    );
    ensure!(changed != text, "no leader in\n{text}");
    let place = cluster.dir().join("changed.journal");
    std::fs::write(&place, &changed)?;
    let mut command = proc::command(proc::bin("patroni"));
    let output = command.arg("--replay").arg(&place).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(
        errors.contains("does not replay: step 1: recorded "),
        "{errors}"
    );
    ensure!(
        errors.contains("L2 (the lock is ours and was extended)"),
        "{errors}"
    );
    std::fs::write(&place, format!("{text}{{}}\n"))?;
    let mut command = proc::command(proc::bin("patroni"));
    let output = command.arg("--replay").arg(&place).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let line = format!("changed.journal:{}: failed to read it as a line", count + 1);
    ensure!(errors.contains(&line), "{errors}");
    Ok(())
}
