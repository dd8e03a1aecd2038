//! Dynamic configuration: edited once, in effect everywhere, restarts only where they are due.

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    an_edited_parameter_waits_for_its_restart,
    a_reloaded_file_takes_effect
);

fn an_edited_parameter_waits_for_its_restart(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    let out = cluster.ctl_ok(&[
        "edit-config",
        "-p",
        "max_connections=40",
        "-p",
        "work_mem=5MB",
        "--force",
    ])?;
    ensure!(out.contains("Configuration changed"), "{out}");
    ensure!(
        cluster
            .ctl_ok(&["show-config"])?
            .contains("max_connections: 40")
    );
    wait::until("a pending restart on every member", SOON, || {
        let members = cluster.list()?;
        ensure!(
            members
                .iter()
                .all(|member| member["Pending restart"] == "*"),
            "{members:?}"
        );
        let reason = &members[0]["Pending restart reason"];
        ensure!(
            reason
                .as_str()
                .is_some_and(|text| text.contains("max_connections: 30->40")),
            "{members:?}"
        );
        Ok(())
    })?;
    for node in &cluster.nodes {
        ensure!(
            node.sql("show work_mem")? == ["5MB"],
            "a reloadable parameter is in effect at once"
        );
        ensure!(node.sql("show max_connections")? == ["30"]);
    }
    let leader = cluster.leader()?;
    for index in [leader, 1 - leader] {
        let name = cluster.nodes[index].name.clone();
        // The raised value reaches the standby with the WAL and pauses its replay. Its daemon may
        // be restarting it for that, and refuses another restart until then.
        wait::until("a restart on request", SOON, || {
            let out = cluster.ctl_ok(&["restart", "demo", &name, "--force"])?;
            let restarted = out.contains(&format!("Success: restart on member {name}"));
            ensure!(restarted, "{out}");
            Ok(())
        })?;
    }
    cluster.wait_healthy(SOON)?;
    wait::until("nothing pending", SOON, || {
        let members = cluster.list()?;
        ensure!(
            members
                .iter()
                .all(|member| member.get("Pending restart").is_none()),
            "{members:?}"
        );
        Ok(())
    })?;
    for node in &cluster.nodes {
        ensure!(node.sql("show max_connections")? == ["40"]);
    }
    Ok(())
}

fn a_reloaded_file_takes_effect(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 1)?;
    let node = &cluster.nodes[0];
    let text = std::fs::read_to_string(node.config_path())?;
    let at = text.find("    shared_buffers").context("no parameters")?;
    let from = node.log().len();
    node.write_config(&format!(
        "{}    work_mem: 7MB\n    deadlock_timeout: 0\n    no_such_parameter: 1\n{}",
        &text[..at],
        &text[at..]
    ))?;
    let out = cluster.ctl_ok(&["reload", "demo", "--force"])?;
    ensure!(
        out.contains("Reload request received for member node1"),
        "{out}"
    );
    wait::until("the new value", SOON, || {
        let value = node.sql("show work_mem")?;
        ensure!(value == ["7MB"], "{value:?}");
        Ok(())
    })?;
    let log = node.log();
    for warning in [
        "Value=0 of parameter=deadlock_timeout is too low, increasing to 1",
        "Removing unexpected parameter=no_such_parameter",
    ] {
        let times = log[from..].matches(warning).count();
        ensure!(times == 1, "{warning}: {times} times");
    }
    // A broken file is refused and changes nothing.
    let from = node.log().len();
    node.write_config("scope: [broken\n")?;
    cluster.nodes[0].rest("POST", "/reload", None)?;
    node.wait_log(from, "Exception when reloading local configuration", SOON)?;
    ensure!(node.sql("show work_mem")? == ["7MB"]);
    cluster.leader()?;
    Ok(())
}
