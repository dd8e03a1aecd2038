//! Nodes of both makers in the same role look the same, and both tools tell the same story.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, Maker, Node, wait};
use serde_json::Value;

use crate::shape;

/// Every health check of the contract, and some paths that only look like one.
const HEALTH_PATHS: [&str; 36] = [
    "/",
    "/primary",
    "/master",
    "/read-write",
    "/leader",
    "/standby-leader",
    "/standby_leader",
    "/replica",
    "/replica?lag=10MB",
    "/replica?lag=-1",
    "/replica?replication_state=streaming",
    "/read-only",
    "/synchronous",
    "/sync",
    "/quorum",
    "/asynchronous",
    "/async",
    "/read-only-sync",
    "/read-only-synchronous",
    "/read-only-quorum",
    "/health",
    "/liveness",
    "/readiness",
    "/readiness?lag=1GB&mode=write",
    "/patroni",
    "/cluster",
    "/config",
    "/history",
    "/metrics",
    "/failsafe",
    "/restart",
    "/switchover",
    "/nonsense",
    "/foo/primary",
    "/sync/",
    "/replica?tag_clonefrom=true",
];

/// Outputs of `patronictl` that must not depend on who wrote it.
const OUTPUTS: [&[&str]; 14] = [
    &["list"],
    &["list", "-e"],
    &["list", "-f", "json"],
    &["list", "-f", "yaml"],
    &["list", "-f", "tsv"],
    &["topology"],
    &["history"],
    &["history", "-f", "json"],
    &["history", "-f", "yaml"],
    &["history", "-f", "tsv"],
    &["show-config"],
    &["dsn"],
    &["dsn", "-r", "replica"],
    &["list", "nosuchcluster"],
];

/// How the reference's nodes looked, by document and role; the nodes of ours are held against it.
#[derive(Debug, Default)]
pub(crate) struct Golden {
    shapes: BTreeMap<(&'static str, String), String>,
}

impl Golden {
    /// Holds every node against the golden shapes, after the reference's nodes added theirs, and
    /// compares the documents and outputs that must be equal on both.
    ///
    /// # Errors
    /// There is a difference; both sides are in the text.
    pub(crate) fn check(&mut self, cluster: &Cluster) -> Result<()> {
        cluster.wait_healthy(SOON)?;
        let roles = wait::until("every node is listed, and who leads", SOON, || {
            let roles = roles(cluster)?;
            ensure!(roles.len() == cluster.nodes.len(), "{roles:?}");
            ensure!(roles.values().any(|role| role == "leader"), "{roles:?}");
            Ok(roles)
        })?;
        for maker in Maker::BOTH {
            for node in cluster.nodes.iter().filter(|node| node.maker == maker) {
                let role = roles.get(&node.name).context("a node is not listed")?;
                self.hold(cluster, node, role)?;
            }
        }
        let documents = ["/config", "/history", "/cluster"];
        documents
            .iter()
            .try_for_each(|path| same_document(cluster, path))?;
        same_output(cluster, &["topology"])
    }

    /// Adds or compares what a node shows. A cycle may have to pass before it does.
    fn hold(&mut self, cluster: &Cluster, node: &Node, role: &str) -> Result<()> {
        let what = format!("{} ({:?}) looks like a {role}", node.name, node.maker);
        wait::until(&what, Duration::from_secs(15), || {
            let mut differences = String::new();
            for (document, shape) in looks(cluster, node)? {
                let key = (document, role.to_owned());
                match (self.shapes.get(&key), node.maker) {
                    (Some(golden), _) if *golden != shape => {
                        write!(
                            differences,
                            "\n{document}\n the reference: {golden}\n here: {shape}"
                        )?;
                    }
                    (None, Maker::Reference) => {
                        self.shapes.insert(key, shape);
                    }
                    // The same, or the reference was never seen in this role.
                    (Some(_), _) | (None, Maker::Ours) => {}
                }
            }
            ensure!(differences.is_empty(), "{differences}");
            Ok(())
        })
    }
}

/// The role of each member as `/cluster` tells it.
fn roles(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let document = cluster.nodes[0].rest("GET", "/cluster", None)?.json()?;
    let members = document["members"].as_array().context("no members")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(members
        .iter()
        .map(|member| (text(&member["name"]), text(&member["role"])))
        .collect())
}

/// Everything that a node shows, without the values.
fn looks(cluster: &Cluster, node: &Node) -> Result<Vec<(&'static str, String)>> {
    let codes = HEALTH_PATHS
        .iter()
        .map(|path| Ok(format!("{path} {}", node.health(path)?)))
        .collect::<Result<Vec<_>>>()?;
    let member = cluster.key(&format!("members/{}", node.name))?;
    let status = cluster.key("status")?;
    let status = shape::of_status_key(&serde_json::from_str(&status)?);
    let metrics = node.rest("GET", "/metrics", None)?.body;
    let mut looks = vec![
        ("/patroni", shape::of_status(&node.status()?)),
        ("/metrics", shape::of_metrics(&metrics)),
        (
            "member key",
            shape::of_json(&serde_json::from_str(&member)?),
        ),
        ("health checks", codes.join(", ")),
        ("sentence of the cycle", sentence(node)?),
    ];
    if node.is("primary").is_ok() {
        // Written by the leader alone.
        looks.push(("status key", status));
    }
    Ok(looks)
}

/// The last line of the log that tells what a cycle found.
fn sentence(node: &Node) -> Result<String> {
    let log = node.log();
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("no action. "))
        .context("no quiet cycle yet")?;
    Ok(shape::mask_names(&shape::mask_digits(line)))
}

/// A document that every node gives alike, but for positions that move between two questions.
fn same_document(cluster: &Cluster, path: &str) -> Result<()> {
    wait::until(path, Duration::from_secs(15), || {
        let documents = cluster
            .nodes
            .iter()
            .map(|node| {
                let body = node.rest("GET", path, None)?.body;
                Ok((format!("{:?}", node.maker), shape::mask_digits(&body)))
            })
            .collect::<Result<Vec<_>>>()?;
        for (maker, body) in &documents[1..] {
            let (first, golden) = &documents[0];
            ensure!(body == golden, "{first}: {golden}\n{maker}: {body}");
        }
        Ok(())
    })
}

/// Every output of the tools that only looks.
pub(crate) fn same_outputs(cluster: &Cluster) -> Result<()> {
    OUTPUTS
        .iter()
        .try_for_each(|args| same_output(cluster, args))
}

/// An output and an exit code that both tools give alike.
pub(crate) fn same_output(cluster: &Cluster, args: &[&str]) -> Result<()> {
    wait::until(&format!("{args:?}"), Duration::from_secs(20), || {
        let [golden, ours] = Maker::BOTH.map(|maker| -> Result<_> {
            let output = cluster.ctl_by(maker, 0, args)?;
            let text = shape::mask_digits(&String::from_utf8_lossy(&output.stdout));
            Ok((output.status.code(), text))
        });
        let (golden, ours) = (golden?, ours?);
        ensure!(
            golden == ours,
            "the reference: {:?}\n{}\nours: {:?}\n{}",
            golden.0,
            golden.1,
            ours.0,
            ours.1
        );
        Ok(())
    })
}
