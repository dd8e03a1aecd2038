//! People who look at a cluster: `patronictl top` on a terminal, the page in a browser.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::{Browser, Cluster, StoreKind, Terminal};

patroni_tests::on_store!(Raft in raft: who_looks_sees_a_switchover);

/// A live view shows a change of the store within a round and some.
const ROUND: Duration = Duration::from_secs(30);

const TOP: [&str; 3] = ["top", "-w", "1"];

fn who_looks_sees_a_switchover(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare_with(store, 3, "", |index| match index {
        2 => "tags:\n  nofailover: true\n".to_owned(),
        _ => String::new(),
    })?;
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    let new = 1 - old;
    let (old_name, new_name) = (
        cluster.nodes[old].name.clone(),
        cluster.nodes[new].name.clone(),
    );

    let mut terminal = cluster.ctl_on_terminal(&TOP, 120, 32)?;
    terminal.wait_for(&format!("{old_name} leads"), SOON)?;
    terminal.wait_for("2 of 2 replicas streaming", SOON)?;
    terminal.wait_for("nofailover", SOON)?;
    ensure!(terminal.is_taken() && !terminal.is_usual()?);
    let mut browser = Browser::start("looking::raft, the part with the page")?;
    if let Some(browser) = &mut browser {
        browser.go(&format!(
            "http://127.0.0.1:{}/ui",
            cluster.nodes[2].ports.rest
        ))?;
        browser.wait_for(&format!("{old_name} leads"), SOON)?;
        browser.wait_for("2 of 2 replicas streaming", SOON)?;
        browser.wait_for("seen from node3", SOON)?;
    }

    let args = [
        "switchover",
        "--leader",
        &old_name,
        "--candidate",
        &new_name,
        "--force",
    ];
    cluster.ctl_ok(&args)?;
    terminal.wait_for(&format!("{new_name} leads"), ROUND)?;
    if let Some(browser) = &mut browser {
        browser.wait_for(&format!("{new_name} leads"), ROUND)?;
        browser.wait_for(&format!("{new_name} took over on timeline 2"), SOON)?;
        let complaints = browser.complaints();
        ensure!(complaints.is_empty(), "{complaints:?}");
    }
    cluster.wait_healthy(SOON)?;

    gives_the_terminal_back(&cluster, &mut terminal)
}

/// By key and by signal; and there must be one.
fn gives_the_terminal_back(cluster: &Cluster, terminal: &mut Terminal) -> Result<()> {
    terminal.type_keys("\x1b[B?")?;
    terminal.wait_for("the member below", ROUND)?;
    terminal.type_keys("q")?;
    ensure!(terminal.wait_exit(ROUND)? == Some(0));
    ensure!(!terminal.is_taken() && terminal.is_usual()?);

    let mut terminal = cluster.ctl_on_terminal(&TOP, 80, 24)?;
    terminal.wait_for(" leads", SOON)?;
    terminal.signal(Signal::SIGTERM)?;
    ensure!(terminal.wait_exit(ROUND)? == Some(143));
    ensure!(!terminal.is_taken() && terminal.is_usual()?);

    let piped = cluster.ctl(&["top"])?;
    ensure!(piped.status.code() == Some(2) && piped.stdout.is_empty());
    Ok(())
}
