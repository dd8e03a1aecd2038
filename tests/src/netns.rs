//! Machines of a test in network namespaces, whose links can be cut as a switch that fails cuts
//! them: packets vanish without a word.
//!
//! Only root can make them. A test asks [`Network::new`] and ends early when there is none.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;

use crate::kernel;

/// A link address that no machine has.
const NOBODY: &str = "02:00:00:00:ff:ff";

/// How many networks this process has made.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// Machines on one switch.
#[derive(Debug)]
pub struct Network {
    name: String,
    hosts: usize,
}

impl Network {
    /// A switch with so many machines; `None`, with a line that says so, for who may not make
    /// one.
    ///
    /// # Errors
    /// The system refuses although we are root.
    pub fn new(hosts: usize) -> Result<Option<Self>> {
        if !Uid::effective().is_root() {
            eprintln!("SKIPPED: network namespaces need root");
            return Ok(None);
        }
        if Command::new("ip").arg("-V").output().is_err() {
            eprintln!("SKIPPED: network namespaces need the program ip (iproute2)");
            return Ok(None);
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let network = Self {
            name: format!("pt{}x{number}", std::process::id()),
            hosts,
        };
        network.make()?;
        Ok(Some(network))
    }

    fn make(&self) -> Result<()> {
        let hub = self.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "switch", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "switch", "up"])?;
        for host in 0..self.hosts {
            let (space, port) = (self.space(host), format!("port{host}"));
            ip(&["netns", "add", &space])?;
            ip(&[
                "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns",
                &space,
            ])?;
            ip(&["-n", &hub, "link", "set", &port, "master", "switch", "up"])?;
            let address = format!("{}/24", self.address(host));
            ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(())
    }

    fn hub(&self) -> String {
        format!("{}hub", self.name)
    }

    /// The namespace of a machine.
    pub fn space(&self, host: usize) -> String {
        format!("{}h{host}", self.name)
    }

    /// The address of a machine. Every network has the same: they do not see each other.
    pub fn address(&self, host: usize) -> String {
        format!("10.83.7.{}", host + 1)
    }

    /// Cuts the link between two machines, in both directions and without an error to anybody.
    ///
    /// # Errors
    /// The system refuses.
    pub fn cut(&self, one: usize, other: usize) -> Result<()> {
        for (from, to) in [(one, other), (other, one)] {
            let (space, address) = (self.space(from), self.address(to));
            ip(&[
                "-n",
                &space,
                "neigh",
                "replace",
                &address,
                "lladdr",
                NOBODY,
                "dev",
                "eth0",
                "nud",
                "permanent",
            ])?;
        }
        Ok(())
    }

    /// Mends what [`Network::cut`] has cut.
    ///
    /// # Errors
    /// The link was not cut.
    pub fn mend(&self, one: usize, other: usize) -> Result<()> {
        for (from, to) in [(one, other), (other, one)] {
            let (space, address) = (self.space(from), self.address(to));
            ip(&["-n", &space, "neigh", "del", &address, "dev", "eth0"])?;
        }
        Ok(())
    }

    /// Does something as a program on that machine would: its sockets, and those of threads
    /// that it starts, are in the machine's network.
    ///
    /// # Errors
    /// Those of `work`, or the namespace is gone.
    ///
    /// # Panics
    /// When `work` does.
    pub fn inside<T: Send>(
        &self,
        host: usize,
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let path = format!("/run/netns/{}", self.space(host));
        let space = File::open(&path).with_context(|| format!("open {path}"))?;
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                kernel::enter_network(&space).context("enter the namespace")?;
                work()
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 0..self.hosts {
            let _ = ip(&["netns", "del", &self.space(host)]);
        }
        let _ = ip(&["netns", "del", &self.hub()]);
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("run ip")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
