//! Facts about the tree that a program can check: the arrows between crates, and manifests.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo::root;

/// The allowed arrows: who may know whom. Everyone may know `core`; development dependencies are
/// free. An arrow that is not here is the most expensive line of a change.
const ARROWS: &[(&str, &[&str])] = &[
    ("patroni-core", &[]),
    ("patroni-config", &[]),
    ("patroni-tls", &[]),
    ("patroni-ha", &["patroni-config"]),
    ("patroni-dcs", &["patroni-config", "patroni-tls"]),
    ("patroni-postgres", &["patroni-config", "patroni-tls"]),
    ("patroni-watchdog", &["patroni-config"]),
    ("patroni-api", &["patroni-config", "patroni-tls"]),
    ("patroni-telemetry", &["patroni-config"]),
    (
        "patroni-node",
        &[
            "patroni-ha",
            "patroni-dcs",
            "patroni-postgres",
            "patroni-watchdog",
            "patroni-api",
            "patroni-telemetry",
            "patroni-config",
        ],
    ),
    (
        "patroni-ctl",
        &[
            "patroni-config",
            "patroni-dcs",
            "patroni-api",
            "patroni-ha",
            "patroni-tls",
        ],
    ),
    (
        "patroni-companions",
        &["patroni-postgres", "patroni-telemetry"],
    ),
    (
        "patroni-sim",
        &["patroni-ha", "patroni-dcs", "patroni-config"],
    ),
    (
        "patroni",
        &["patroni-node", "patroni-config", "patroni-telemetry"],
    ),
    ("patronictl", &["patroni-ctl"]),
    (
        "patroni_raft_controller",
        &["patroni-dcs", "patroni-config", "patroni-telemetry"],
    ),
    ("patroni_aws", &["patroni-companions"]),
    ("patroni_barman", &["patroni-companions"]),
    ("patroni_wale_restore", &["patroni-companions"]),
    ("patroni-tests", &[]),
    (
        "xtask",
        &[
            "patroni-companions",
            "patroni-ctl",
            "patroni-dcs",
            "patroni-sim",
            "patroni-tests",
        ],
    ),
];

/// Crates that must not even reach these packages, by any way.
const UNREACHABLE: &[(&str, &[&str])] = &[
    ("patroni-core", &["tokio", "rand", "getrandom"]),
    (
        "patroni-ha",
        &[
            "tokio",
            "patroni-dcs",
            "patroni-postgres",
            "rand",
            "getrandom",
        ],
    ),
    // A binary runs wherever libc is: no library of the system for TLS.
    ("patroni", SYSTEM_TLS),
    ("patronictl", SYSTEM_TLS),
    ("patroni_raft_controller", SYSTEM_TLS),
    ("patroni_aws", SYSTEM_TLS),
    ("patroni_barman", SYSTEM_TLS),
    ("patroni_wale_restore", SYSTEM_TLS),
];

const SYSTEM_TLS: &[&str] = &["openssl-sys", "native-tls"];

/// Checks everything and names every fault.
///
/// # Errors
/// There are faults.
pub(crate) fn run() -> Result<()> {
    let mut faults = check_arrows()?;
    for (package, forbidden) in UNREACHABLE {
        faults.extend(check_reach(package, forbidden)?);
    }
    faults.extend(check_lints_are_shared()?);
    if faults.is_empty() {
        say!("tidy: {} crates, no fault", ARROWS.len());
        return Ok(());
    }
    bail!("{} faults\n{}", faults.len(), faults.join("\n"));
}

fn check_arrows() -> Result<Vec<String>> {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let metadata = cargo_output(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without name")?;
        let Some(known) = allowed.get(name) else {
            faults.push(format!("{name}: not in the table of arrows"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let inside = dependency["path"].is_string();
            if inside
                && dependency["kind"].is_null()
                && to != "patroni-core"
                && !known.contains(&to)
            {
                faults.push(format!("{name} -> {to}: this arrow is not allowed"));
            }
        }
    }
    Ok(faults)
}

fn check_reach(package: &str, forbidden: &[&str]) -> Result<Vec<String>> {
    let tree = cargo_output(&[
        "tree",
        "--offline",
        "-p",
        package,
        "-e",
        "normal",
        "--prefix",
        "none",
    ])?;
    let reached: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let faults = forbidden.iter().filter(|name| reached.contains(name));
    Ok(faults
        .map(|name| format!("{package}: reaches {name}"))
        .collect())
}

fn check_lints_are_shared() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut manifests = vec![
        root().join("tests/Cargo.toml"),
        root().join("xtask/Cargo.toml"),
    ];
    for folder in ["crates", "bins"] {
        for entry in std::fs::read_dir(root().join(folder))? {
            manifests.push(entry?.path().join("Cargo.toml"));
        }
    }
    for manifest in manifests {
        let text = std::fs::read_to_string(&manifest)?;
        if !text.contains("[lints]\nworkspace = true") {
            faults.push(format!(
                "{}: does not take the workspace's lints",
                manifest.display()
            ));
        }
        let own_version = text.split_once("dependencies]").is_some_and(|(_, tail)| {
            tail.lines().any(|line| {
                let bare = line
                    .split_once(" = ")
                    .is_some_and(|(_, rest)| rest.starts_with('"'));
                bare || line.contains("version = \"")
            })
        });
        if own_version {
            faults.push(format!(
                "{}: names a version of its own for a dependency",
                manifest.display()
            ));
        }
    }
    Ok(faults)
}

fn cargo_output(args: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()?;
    if !output.status.success() {
        bail!(
            "cargo {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
