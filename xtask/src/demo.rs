//! `cargo xtask demo`: a cluster on this machine, to look at and to play with.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use patroni_tests::{Cluster, StoreKind, proc};
use tempfile::TempDir;

use crate::needs::{self, Need};
use crate::story;

/// Options of `cargo xtask demo`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// Where the cluster keeps its state.
    #[arg(long, value_enum, default_value = "raft")]
    dcs: Dcs,
    /// The folder of the nodes; a new temporary one by default.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Keep the folder at the end.
    #[arg(long)]
    keep: bool,
    /// Take the binaries from this folder instead of building them.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Play the whole story without a person, and exit with 0 only when all of it held.
    #[arg(long)]
    story: bool,
}

/// The stores of a demo.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Dcs {
    /// Embedded in the nodes.
    Raft,
    /// A real etcd server beside them.
    Etcd3,
}

impl From<Dcs> for StoreKind {
    fn from(dcs: Dcs) -> Self {
        match dcs {
            Dcs::Raft => Self::Raft,
            Dcs::Etcd3 => Self::Etcd3,
        }
    }
}

/// Builds, starts, shows.
///
/// # Errors
/// Something is missing or does not start, or the story did not hold.
pub(crate) fn run(options: &Options) -> Result<()> {
    let store: &[Need] = match options.dcs {
        Dcs::Etcd3 => &[Need::Etcd],
        Dcs::Raft => &[],
    };
    needs::release_binaries(options.bin_dir.as_deref(), store)?;
    let home = Home::choose(options)?;
    let mut cluster = Cluster::prepare_in(
        options.dcs.into(),
        usize::from(options.nodes),
        home.path(),
        "",
    )?;
    say!(
        "node configurations: {}/node*/patroni.yml",
        home.path().display()
    );
    let end = if options.story {
        story::play(&mut cluster)
    } else {
        show(&mut cluster)
    };
    say!("ending everything");
    drop(cluster);
    if let Home::Kept(path) = &home {
        say!("kept: {}", path.display());
    }
    end
}

/// Where the nodes live.
enum Home {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Home {
    fn choose(options: &Options) -> Result<Self> {
        if let Some(dir) = &options.dir {
            std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
            let empty = std::fs::read_dir(dir)?.next().is_none();
            anyhow::ensure!(empty, "{} is not empty; name a new folder", dir.display());
            if options.keep {
                return Ok(Self::Kept(dir.canonicalize()?));
            }
            return Ok(Self::Temporary(
                tempfile::Builder::new()
                    .prefix("cluster-")
                    .tempdir_in(dir)?,
            ));
        }
        let dir = tempfile::Builder::new().prefix("patroni-demo-").tempdir()?;
        Ok(if options.keep {
            Self::Kept(dir.keep())
        } else {
            Self::Temporary(dir)
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}

fn show(cluster: &mut Cluster) -> Result<()> {
    let mut interrupted = Interrupt::new()?;
    let start = Instant::now();
    for node in &mut cluster.nodes {
        node.start()?;
        say!(
            "[{:5.1} s] started the daemon of {}",
            start.elapsed().as_secs_f64(),
            node.name
        );
    }
    let mut seen = Vec::new();
    while cluster.wait_healthy(Duration::ZERO).is_err() {
        let states: Vec<String> = cluster.nodes.iter().map(state_of).collect();
        if states != seen {
            say!(
                "[{:5.1} s] {}",
                start.elapsed().as_secs_f64(),
                states.join(", ")
            );
            seen = states;
        }
        if interrupted.within(Duration::from_millis(200)) {
            return Ok(());
        }
    }
    say!(
        "[{:5.1} s] one primary, the others stream from it",
        start.elapsed().as_secs_f64()
    );
    let refresh = std::io::stdout().is_terminal();
    print_once(cluster, refresh)?;
    while !interrupted.within(Duration::from_secs(2)) {
        if refresh {
            print_once(cluster, true)?;
        }
    }
    Ok(())
}

fn state_of(node: &patroni_tests::Node) -> String {
    let document = node.status().unwrap_or_default();
    let text = |key: &str| {
        document[key]
            .as_str()
            .unwrap_or("not answering yet")
            .to_owned()
    };
    format!("{}: {}", node.name, text("state"))
}

fn print_once(cluster: &Cluster, clear: bool) -> Result<()> {
    let mut page = String::new();
    let topology = cluster.ctl(&["topology"])?;
    page.push_str(&String::from_utf8_lossy(&topology.stdout));
    page.push_str(&String::from_utf8_lossy(&topology.stderr));
    page.push_str("\nconnect:\n");
    let ports: Vec<u16> = cluster
        .nodes
        .iter()
        .map(|node| node.ports.postgres)
        .collect();
    for node in &cluster.nodes {
        writeln!(
            page,
            "  {}: psql 'host=127.0.0.1 port={} user=postgres password=supersecret'   REST http://127.0.0.1:{}/",
            node.name, node.ports.postgres, node.ports.rest
        )?;
    }
    let list = |text: &str| vec![text; ports.len()].join(",");
    let all = ports
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(",");
    writeln!(
        page,
        "  primary: psql 'host={} port={all} user=postgres password=supersecret target_session_attrs=read-write'",
        list("127.0.0.1")
    )?;
    let ctl = proc::bin("patronictl");
    let file = cluster.nodes[0].config_path();
    page.push_str("\ntry:\n");
    for command in [
        "switchover",
        "edit-config -s synchronous_mode=true",
        "pause",
        "resume",
        "history",
    ] {
        writeln!(page, "  {} -c {} {command}", ctl.display(), file.display())?;
    }
    page.push_str("\nCtrl-C ends everything.\n");
    let mut out = std::io::stdout();
    if clear {
        write!(out, "\x1b[2J\x1b[H")?;
    }
    write!(out, "{page}")?;
    Ok(out.flush()?)
}

/// Ctrl-C, noticed between two looks. The daemons are in the same process group and get it, too.
struct Interrupt {
    runtime: tokio::runtime::Runtime,
    signal: tokio::signal::unix::Signal,
}

impl Interrupt {
    fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // From now on the default action, which would end us before the nodes, is off.
        let kind = tokio::signal::unix::SignalKind::interrupt();
        let signal = runtime.block_on(async { tokio::signal::unix::signal(kind) })?;
        Ok(Self { runtime, signal })
    }

    fn within(&mut self, time: Duration) -> bool {
        let signal = &mut self.signal;
        self.runtime.block_on(async {
            tokio::select! {
                _ = signal.recv() => true,
                () = tokio::time::sleep(time) => false,
            }
        })
    }
}
