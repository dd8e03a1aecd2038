//! What must be on the machine, found or installed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use nix::unistd::Uid;

use patroni_tests::{postgresql, proc, proxy};

use crate::cargo::{build_release, run};
use crate::other_debian::Release;

/// Something that the project needs from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// PostgreSQL's server programs, version 15 or newer.
    PostgreSql,
    /// The protocol compiler, for the client of etcd.
    Protoc,
    /// The etcd server, for tests.
    Etcd,
    /// The ZooKeeper server and its Java, for tests.
    ZooKeeper,
    /// The proxy and the pooler of the examples, for tests.
    Proxies,
    /// The load generator of the bench.
    Load,
    /// A browser that runs without a window, for pictures of the page.
    Chromium,
    /// `setpriv`, when root has to become the user `postgres`.
    Setpriv,
    /// A C compiler and linker.
    Compiler,
    /// The program that tells another where its libraries are.
    Patchelf,
}

/// Where Debian puts the server.
const ZOOKEEPER: &str = "/usr/share/java/zookeeper.jar";

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::PostgreSql => postgresql::bin_dir().is_some(),
            Self::Protoc => protoc_works(),
            Self::Etcd => on_path("etcd"),
            Self::ZooKeeper => Path::new(ZOOKEEPER).exists() && on_path("java"),
            Self::Proxies => ["haproxy", "pgbouncer"]
                .into_iter()
                .all(proxy::is_installed),
            Self::Load => on_path("wrk"),
            Self::Chromium => on_path("chromium"),
            Self::Setpriv => !Uid::effective().is_root() || on_path("setpriv"),
            Self::Compiler => on_path("cc"),
            Self::Patchelf => on_path("patchelf"),
        }
    }

    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::PostgreSql => &["postgresql"],
            // The compiler alone has none of the files that come with it elsewhere.
            Self::Protoc => &["protobuf-compiler", "libprotobuf-dev"],
            Self::Etcd => &["etcd-server"],
            Self::ZooKeeper => &["zookeeper", "default-jre-headless"],
            Self::Proxies => &["haproxy", "pgbouncer"],
            Self::Load => &["wrk"],
            Self::Chromium => &["chromium", "fonts-dejavu-core"],
            Self::Setpriv => &["util-linux"],
            Self::Compiler => &["gcc", "libc6-dev"],
            Self::Patchelf => &["patchelf"],
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::PostgreSql => {
                "PostgreSQL 15 or newer (initdb, postgres, pg_basebackup, pg_rewind)"
            }
            Self::Protoc => {
                "protoc, the Protocol Buffers compiler, with the files under google/protobuf"
            }
            Self::Etcd => "the etcd server",
            Self::ZooKeeper => "the ZooKeeper server, and Java to run it",
            Self::Proxies => "HAProxy and PgBouncer",
            Self::Load => "the load generator wrk",
            Self::Chromium => "the browser chromium",
            Self::Setpriv => "setpriv",
            Self::Compiler => "a C compiler named cc",
            Self::Patchelf => "patchelf",
        }
    }
}

/// Whether a need is met.
pub(crate) fn is_met(need: Need) -> bool {
    need.is_met()
}

/// That it is not, and how to get it.
pub(crate) fn advice(need: Need) -> String {
    format!(
        "{} is not installed; on Debian: apt-get install {}",
        need.what(),
        need.packages().join(" ")
    )
}

/// What a cluster on release binaries needs, and what else is asked for; the clusters of the harness use
/// those binaries from then on, built here unless `built` has them.
///
/// # Errors
/// Something is missing or does not build.
pub(crate) fn release_binaries(built: Option<&Path>, more: &[Need]) -> Result<()> {
    let base = [
        Need::Compiler,
        Need::Protoc,
        Need::PostgreSql,
        Need::Setpriv,
    ];
    ensure(&[&base, more].concat())?;
    proc::use_binaries_of(&build_release(built)?)
}

/// Checks the needs, and installs what is missing when this is Debian and we are root.
///
/// # Errors
/// Something is missing and cannot be installed here; the text says what to do.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs
        .iter()
        .copied()
        .filter(|need| !need.is_met())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        say!("missing: {}", need.what());
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages())
        .copied()
        .collect();
    if !(Uid::effective().is_root() && on_path("apt-get")) {
        bail!(
            "please install it first; on Debian: sudo apt-get install {}",
            packages.join(" ")
        );
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().args(["update", "-q"]))?;
    run(apt()
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .args(&packages))?;
    match missing.iter().find(|need| !need.is_met()) {
        Some(need) => bail!(
            "installed {}, but still not found: {}",
            need.packages().join(" "),
            need.what()
        ),
        None => Ok(()),
    }
}

/// Says that the tests on Kubernetes will be skipped, when they will be. No distribution has an
/// API server to install, so whoever wants them names one.
pub(crate) fn tell_of_kubernetes() {
    if std::env::var_os("PATRONI_TEST_KUBERNETES").is_none() {
        say!(
            "skipping the tests on Kubernetes: PATRONI_TEST_KUBERNETES names no program that \
             starts an API server (see docs/src/kubernetes.md)"
        );
    }
}

/// Looks for servers that some tests use and that not every system can have. What is missing and
/// cannot be installed makes those tests skip, each with a line that says so.
pub(crate) fn want_servers() {
    if on_path("consul") {
        return;
    }
    say!("missing: the Consul server");
    // Debian left it out after its release 11.
    let installed = Release::open("bullseye").and_then(|release| release.install("consul"));
    if let Err(error) = installed {
        say!("its tests will be skipped; could not install it: {error:#}");
    }
}

/// Whether protoc is there and finds the files that every schema may import.
fn protoc_works() -> bool {
    let program = std::env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    let mut command = Command::new(program);
    command.args([
        "--descriptor_set_out=/dev/null",
        "google/protobuf/descriptor.proto",
    ]);
    command.stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
