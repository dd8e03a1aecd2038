//! The manifests of `docs/kubernetes` on a real API server: it takes each of them, and nodes with
//! their file, their environment and their service account are a cluster.
//!
//! Nobody starts Pods here, so the nodes are processes of this machine, each with an address of
//! its own; paths of the image are replaced by those of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::kubernetes::Kubernetes;
use patroni_tests::node::{Node, Ports, tail};
use patroni_tests::{StoreKind, postgresql, proc, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

patroni_tests::on_store!(Kubernetes in kubernetes: the_manifests_make_a_cluster);

fn the_manifests_make_a_cluster(_: StoreKind) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("patroni-test-").tempdir()?;
    proc::give_to_runner(dir.path())?;
    let server = Kubernetes::start(&dir.path().join("kubernetes"))?;
    for file in files()? {
        apply(&server, &std::fs::read_to_string(file)?)?;
    }
    let mut pods = Pods::make(&server, &dir)?;
    pods.nodes.iter_mut().try_for_each(Node::start)?;

    let first = pods.wait_led(None)?;
    pods.ctl(&["switchover", "--force"])?;
    let second = pods.wait_led(Some(&first))?;
    ensure!(first != second, "the same leader");
    let died = pods.kill(&second)?;
    pods.wait_leader_but(&second)?;
    pods.nodes[died].start()?;
    let third = pods.wait_led(Some(&second))?;
    ensure!(second != third, "the same leader");
    pods.lack_no_right()?;

    pods.nodes
        .iter_mut()
        .try_for_each(|node| node.terminate().map(|_| ()))?;
    pods.remove()?;
    let left = server.get("endpoints?labelSelector=cluster-name%3Ddemo")?;
    ensure!(left["items"] == json!([]), "{left}");
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes")
}

/// Every manifest, as the list of them names it.
fn files() -> Result<Vec<PathBuf>> {
    let list = std::fs::read_to_string(folder().join("kustomization.yaml"))?;
    let named = list.lines().filter_map(|line| line.strip_prefix("- "));
    let named: Vec<PathBuf> = named.map(|name| folder().join(name)).collect();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        let is_manifest = path.extension().is_some_and(|ext| ext == "yaml")
            && !path.ends_with("kustomization.yaml");
        ensure!(
            named.contains(&path) || !is_manifest,
            "the list does not name {}",
            path.display()
        );
    }
    Ok(named)
}

/// Takes over all objects of a file. Servers before 1.21 know the budget for disruptions by the
/// name of its beta.
fn apply(server: &Kubernetes, text: &str) -> Result<()> {
    for document in text.split("\n---\n") {
        let document = if server.serves("policy/v1")? {
            document.to_owned()
        } else {
            document.replace("policy/v1", "policy/v1beta1")
        };
        server.apply(&document)?;
    }
    Ok(())
}

/// What stands for the Pods of the set.
struct Pods<'a> {
    server: &'a Kubernetes,
    nodes: Vec<Node>,
}

impl<'a> Pods<'a> {
    fn make(server: &'a Kubernetes, dir: &TempDir) -> Result<Self> {
        let set = server.ask(
            "GET",
            "/apis/apps/v1/namespaces/default/statefulsets/demo",
            "application/json",
            "",
        )?;
        let config = server.get("configmaps/demo-patroni")?;
        let file = config["data"]["patroni.yml"].as_str();
        let file = file.context("no file")?;
        let count = set["spec"]["replicas"].as_u64().context("no replicas")?;
        let nodes = (0..count)
            .map(|number| pod(server, dir.path(), number, &set["spec"]["template"], file));
        Ok(Self {
            server,
            nodes: nodes.collect::<Result<_>>()?,
        })
    }

    fn command(&self) -> Command {
        let node = &self.nodes[0];
        let mut command = proc::command(proc::bin("patronictl"));
        let environment = node.environment.iter().map(|(name, value)| (name, value));
        command
            .arg("-c")
            .arg(node.config_path())
            .env("HOME", &node.dir)
            .envs(environment);
        command
    }

    fn ctl(&self, args: &[&str]) -> Result<String> {
        let output = self.command().args(args).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{args:?}: {said}{error}");
        Ok(said)
    }

    /// The machine of a member dies. Gives its node.
    fn kill(&mut self, name: &str) -> Result<usize> {
        let at = self.nodes.iter().position(|node| node.name == name);
        let at = at.context("no such node")?;
        self.nodes[at].kill_all();
        Ok(at)
    }

    /// Waits until another member than `old` leads, whatever becomes of the rest.
    fn wait_leader_but(&self, old: &str) -> Result<()> {
        wait::until("another leader", SOON, || {
            let endpoints = self.server.get("endpoints/demo")?;
            let leader = &endpoints["metadata"]["annotations"]["leader"];
            ensure!(leader.is_string() && leader != old, "{leader} leads");
            Ok(())
        })
    }

    /// The rights of the manifests were enough for all that was done.
    fn lack_no_right(&self) -> Result<()> {
        for node in &self.nodes {
            let log = node.log();
            let refused = log
                .lines()
                .find(|line| line.contains("orbidden") || line.contains("Permission denied"));
            ensure!(refused.is_none(), "{}: {refused:?}", node.name);
        }
        Ok(())
    }

    /// Waits until another member than `old` leads and the others stream, and until Kubernetes
    /// says so. Gives the leader's name.
    fn wait_led(&self, old: Option<&str>) -> Result<String> {
        wait::until("a leader with its replicas", SOON, || {
            let list: Vec<Value> = serde_json::from_str(&self.ctl(&["list", "-f", "json"])?)?;
            let of = |role: &str, state: &str| -> Vec<&str> {
                let fits = |one: &&Value| one["Role"] == role && one["State"] == state;
                let found = list.iter().filter(fits);
                found.filter_map(|one| one["Member"].as_str()).collect()
            };
            let (leaders, replicas) = (of("Leader", "running"), of("Replica", "streaming"));
            let led = leaders.len() == 1 && replicas.len() + 1 == self.nodes.len();
            ensure!(led, "{list:?}\n{}", self.logs());
            let leader = leaders[0];
            ensure!(Some(leader) != old, "still {leader}");
            self.is_published(leader, &replicas)?;
            Ok(leader.to_owned())
        })
    }

    /// The Service for writes leads to the leader, and that for reads finds the replicas.
    fn is_published(&self, leader: &str, replicas: &[&str]) -> Result<()> {
        let endpoints = self.server.get("endpoints/demo")?;
        let subset = &endpoints["subsets"][0];
        let pod = self.server.get(&format!("pods/{leader}"))?;
        let address = &pod["metadata"]["annotations"]["address"];
        ensure!(
            subset["addresses"][0]["ip"] == *address && subset["ports"][0]["port"] == 5432,
            "{subset}"
        );
        let service = self.server.get("services/demo-replicas")?;
        let selector = service["spec"]["selector"].as_object();
        let selector = selector.context("no selector")?;
        let selector = selector.iter().map(|(label, value)| {
            let value = value.as_str().unwrap_or_default();
            format!("{label}%3D{value}")
        });
        let selector = selector.collect::<Vec<_>>().join("%2C");
        let found = self.server.get(&format!("pods?labelSelector={selector}"))?;
        let found = found["items"].as_array().context("no list")?;
        let mut found: Vec<&str> = found
            .iter()
            .filter_map(|pod| pod["metadata"]["name"].as_str())
            .collect();
        found.sort_unstable();
        let mut expected = replicas.to_vec();
        expected.sort_unstable();
        ensure!(found == expected, "{found:?}, not {expected:?}");
        Ok(())
    }

    /// Removes the stopped cluster, as an operator confirms it.
    fn remove(&self) -> Result<()> {
        use std::io::Write as _;
        use std::process::Stdio;
        let mut child = self
            .command()
            .args(["remove", "demo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut answers = child.stdin.take().context("no input")?;
        // The third question comes only while somebody leads.
        answers.write_all(b"demo\nYes I am aware\n\n")?;
        drop(answers);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(())
    }

    fn logs(&self) -> String {
        let nodes = self.nodes.iter();
        let tails = nodes.map(|node| format!("--- {}\n{}\n", node.name, tail(&node.log(), 12)));
        tails.collect()
    }
}

/// The Pod of this number in the eyes of the server, and the process that is it here.
fn pod(server: &Kubernetes, dir: &Path, number: u64, template: &Value, file: &str) -> Result<Node> {
    let name = format!("demo-{number}");
    // An address of its own, so that the ports can be those of the manifests; and one that the
    // server takes for a Pod's, which loopback is not.
    let id = std::process::id();
    let address = format!("127.{}.{}.{}", 1 + id / 250 % 250, 1 + id % 250, number + 1);
    let published = format!("192.0.2.{}", number + 1);
    let mut spec = template["spec"].clone();
    let volumes = spec["volumes"].as_array_mut().context("no volumes")?;
    let claim = format!("pgdata-{name}");
    volumes.push(json!({"name": "pgdata", "persistentVolumeClaim": {"claimName": claim}}));
    let body = json!({
        "metadata": {"name": name, "labels": template["metadata"]["labels"],
            "annotations": {"address": published}},
        "spec": spec,
    });
    server.ask(
        "POST",
        "/api/v1/namespaces/default/pods",
        "application/json",
        &body.to_string(),
    )?;
    let folder = dir.join(&name);
    let bin_dir = postgresql::bin_dir().context("PostgreSQL is not installed")?;
    let text = file
        .replace("0.0.0.0", &address)
        .replace(
            "/var/lib/postgresql/data/pgdata",
            &folder.join("data").display().to_string(),
        )
        .replace("/usr/lib/postgresql/17/bin", &bin_dir.display().to_string())
        .replace("/run/patroni", &folder.display().to_string());
    ensure!(
        !text.contains("/run/") && !text.contains("/var/"),
        "a path of the image is left: {text}"
    );
    let ports = Ports {
        postgres: 5432,
        rest: 8008,
        raft: 0,
    };
    let mut node = Node::create(folder, &name, ports, &text)?;
    let kubeconfig = node.dir.join(".kube/config");
    server.write_kubeconfig_of("demo", &kubeconfig)?;
    let variables = &template["spec"]["containers"][0]["env"];
    node.environment = environment(server, variables, &name, [&address, &published])?;
    Ok(node)
}

/// The variables of a container, as the kubelet would set them.
fn environment(
    server: &Kubernetes,
    variables: &Value,
    name: &str,
    [address, published]: [&str; 2],
) -> Result<Vec<(String, String)>> {
    let mut environment: Vec<(String, String)> = Vec::new();
    for variable in variables.as_array().context("no variables")? {
        let variable_name = variable["name"].as_str().context("no name")?;
        let from = &variable["valueFrom"];
        let field = from["fieldRef"]["fieldPath"].as_str();
        let value = match (variable["value"].as_str(), field) {
            (Some(value), _) => environment
                .iter()
                .fold(value.to_owned(), |value, (name, known)| {
                    value.replace(&format!("$({name})"), known)
                }),
            (None, Some("metadata.name")) => name.to_owned(),
            (None, Some("metadata.namespace")) => "default".to_owned(),
            (None, Some("status.podIP")) if variable_name == "PATRONI_KUBERNETES_POD_IP" => {
                published.to_owned()
            }
            (None, Some("status.podIP")) => address.to_owned(),
            (None, _) => secret(server, &from["secretKeyRef"])?,
        };
        environment.push((variable_name.to_owned(), value));
    }
    Ok(environment)
}

fn secret(server: &Kubernetes, reference: &Value) -> Result<String> {
    use base64::Engine as _;
    let part = |name: &str| reference[name].as_str().context("no secret");
    let secret = server.get(&format!("secrets/{}", part("name")?))?;
    let value = secret["data"][part("key")?].as_str();
    let value = base64::engine::general_purpose::STANDARD.decode(value.context("no such key")?)?;
    Ok(String::from_utf8(value)?)
}
