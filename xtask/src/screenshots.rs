//! `cargo xtask screenshots`: pictures of the page and of `patronictl top`.
//!
//! They show a cluster with something to see: changes of leader, a standby that lags, restarts that
//! are pending.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use patroni_tests::browser::Window;
use patroni_tests::cluster::SOON;
use patroni_tests::{Browser, Cluster, StoreKind, Terminal, wait};

use crate::needs::{self, Need};

/// Options of `cargo xtask screenshots`.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder of the pictures.
    #[arg(long)]
    dir: PathBuf,
    /// Take the binaries from this folder instead of building them.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
}

/// The member that lags; it never leads.
const LAGGING: usize = 2;

/// So long the page watches before its picture is taken, in seconds.
const WATCHED: u64 = 60;

const WINDOWS: [(&str, Window); 4] = [
    ("ui-1440", window(1440, 900, false, false)),
    ("ui-1440-dark", window(1440, 900, false, true)),
    ("ui-820", window(820, 1180, false, false)),
    ("ui-390", window(390, 844, true, true)),
];

const fn window(width: u32, height: u32, phone: bool, dark: bool) -> Window {
    Window {
        width,
        height,
        phone,
        dark,
    }
}

/// Starts the cluster, lets something happen, takes the pictures.
///
/// # Errors
/// Something is missing or does not come to be.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::release_binaries(options.bin_dir.as_deref(), &[Need::Chromium])?;
    std::fs::create_dir_all(&options.dir)
        .with_context(|| format!("create {}", options.dir.display()))?;
    let mut cluster = Cluster::prepare_with(StoreKind::Raft, 3, "", |index| match index {
        LAGGING => "tags:\n  nofailover: true\n  noloadbalance: true\n".to_owned(),
        _ => String::new(),
    })?;
    cluster.bootstrap()?;
    let leader = make_history(&cluster)?;
    let mut browser = Browser::start("screenshots")?.context("no browser")?;
    browser.look_through(WINDOWS[0].1)?;
    let port = cluster.nodes[leader].ports.rest;
    browser.go(&format!("http://127.0.0.1:{port}/ui"))?;
    browser.wait_for(" leads", SOON)?;
    let terminal = cluster.ctl_on_terminal(&["top"], 132, 34)?;
    make_lag(&cluster, leader, &mut browser)?;
    for (name, window) in WINDOWS {
        browser.look_through(window)?;
        // The picture of a chart is drawn anew for its width.
        browser
            .value("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")?;
        take(&mut browser, &options.dir, name)?;
    }
    photograph_terminal(&mut browser, &terminal, &options.dir)?;
    let complaints = browser.complaints();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// Two changes of leader, synchronous mode, and restarts that are pending.
fn make_history(cluster: &Cluster) -> Result<usize> {
    for _ in 0..2 {
        let leader = cluster.wait_healthy(SOON)?;
        let (from, to) = (&cluster.nodes[leader].name, &cluster.nodes[1 - leader].name);
        cluster.ctl_ok(&["switchover", "--leader", from, "--candidate", to, "--force"])?;
    }
    let leader = cluster.wait_healthy(SOON)?;
    cluster.ctl_ok(&[
        "edit-config",
        "-s",
        "synchronous_mode=true",
        "-p",
        "max_connections=120",
        "--force",
    ])?;
    Ok(leader)
}

/// Lets one standby stop replaying while the leader writes, until the page has watched for long
/// enough.
fn make_lag(cluster: &Cluster, leader: usize, browser: &mut Browser) -> Result<()> {
    const WATCHED_FOR: &str =
        "Number(document.getElementById('lag-note').textContent.match(/\\d+/)?.[0] ?? 0)";
    cluster.nodes[leader].sql("create table written (n bigint, filler text)")?;
    let mut paused = None;
    wait::until("a page that has watched", 3 * SOON, || {
        let watched = browser.value(WATCHED_FOR)?.as_u64().unwrap_or(0);
        // Up for a while, then down, then up again.
        let pause = !(WATCHED / 2..WATCHED * 2 / 3).contains(&watched);
        if paused != Some(pause) {
            let word = if pause { "pause" } else { "resume" };
            cluster.nodes[LAGGING].sql(&format!("select pg_wal_replay_{word}()"))?;
            paused = Some(pause);
        }
        cluster.nodes[leader].sql(
            "insert into written select n, repeat('x', 500) from generate_series(1, 50) as n",
        )?;
        ensure!(watched >= WATCHED, "only {watched} s");
        Ok(())
    })
}

fn photograph_terminal(browser: &mut Browser, terminal: &Terminal, dir: &Path) -> Result<()> {
    terminal.wait_for("restart pending", Duration::from_secs(30))?;
    // The last line of a picture.
    terminal.wait_for("q quit", Duration::from_secs(30))?;
    let page = tempfile::Builder::new().suffix(".html").tempfile()?;
    std::fs::write(page.path(), terminal.page())?;
    browser.look_through(window(1180, 640, false, true))?;
    browser.go(&format!("file://{}", page.path().display()))?;
    browser.wait_for(" leads", SOON)?;
    take(browser, dir, "top")
}

fn take(browser: &mut Browser, dir: &Path, name: &str) -> Result<()> {
    let file = dir.join(format!("{name}.png"));
    browser.photograph(&file)?;
    say!("{}", file.display());
    Ok(())
}
