//! A real ZooKeeper server of a test's own.

mod session;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use session::Session;

use crate::place::Place;
use crate::proc::{self, Proc};
use crate::{ports, wait};

/// Where Debian puts the server, with a manifest that names what it needs.
const SERVER: &str = "/usr/share/java/zookeeper.jar";

/// What the manifest forgets, and TLS needs.
const NETTY: &str = "/usr/share/java/netty-codec.jar";

/// One server.
#[derive(Debug)]
pub struct ZooKeeper {
    /// Where clients connect.
    pub port: u16,
    /// The process.
    pub process: Proc,
}

/// What a server gets beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Lines of its configuration.
    pub settings: Vec<String>,
    /// Arguments for Java.
    pub properties: Vec<String>,
    /// Do not listen in plain text, but with the settings on this port.
    pub secure_port: Option<u16>,
}

impl ZooKeeper {
    /// Whether there is a program to start.
    pub fn is_installed() -> bool {
        Path::new(SERVER).exists()
    }

    /// Starts an ensemble of one and waits until it serves.
    ///
    /// # Errors
    /// ZooKeeper is not installed or does not come up.
    pub fn start(dir: &Path) -> Result<Self> {
        let server = Self::launch(&dir.join("zookeeper"), 1, ports::free(), &Extras::default())?;
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts an ensemble, which may not serve yet.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub fn ensemble(dir: &Path, places: &[Place]) -> Result<Vec<Self>> {
        let all = (1..).zip(places);
        let settings = all.clone().map(|(id, place)| {
            let Place {
                host,
                peer,
                meeting,
                ..
            } = place;
            format!("server.{id}={host}:{peer}:{meeting}")
        });
        let extras = Extras {
            settings: settings.collect(),
            ..Extras::default()
        };
        all.map(|(id, place)| {
            let home = dir.join(format!("zookeeper{id}"));
            Self::launch_at(&home, id, place, &extras)
        })
        .collect()
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn wait_ready(&self) -> Result<()> {
        wait::until("ZooKeeper serves", Duration::from_mins(1), || self.serves())
    }

    /// Starts a server with this number, which may not serve yet.
    ///
    /// # Errors
    /// Java cannot be started, or its files cannot be written.
    pub fn launch(dir: &Path, id: usize, port: u16, extras: &Extras) -> Result<Self> {
        let place = Place {
            port,
            ..Place::on_loopback()
        };
        Self::launch_at(dir, id, &place, extras)
    }

    fn launch_at(dir: &Path, id: usize, place: &Place, extras: &Extras) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        proc::give_to_runner(dir)?;
        std::fs::write(dir.join("myid"), id.to_string())?;
        let mut settings = vec![
            format!("dataDir={}", dir.display()),
            "tickTime=200".to_owned(),
            "initLimit=50".to_owned(),
            "syncLimit=10".to_owned(),
            "maxSessionTimeout=60000".to_owned(),
            "admin.enableServer=false".to_owned(),
            "standaloneEnabled=true".to_owned(),
            "4lw.commands.whitelist=ruok,srvr".to_owned(),
        ];
        if extras.secure_port.is_none() {
            settings.push(format!("clientPort={}", place.port));
            settings.push(format!("clientPortAddress={}", place.listens_on()));
        }
        settings.extend(extras.settings.iter().cloned());
        let file = dir.join("zoo.cfg");
        std::fs::write(&file, settings.join("\n"))?;
        let mut command = proc::command_in(place.namespace.as_deref(), "java");
        command
            .args(["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg("-Dzookeeper.jmx.log4j.disable=true")
            .args(&extras.properties)
            .args(["-cp", &format!("{SERVER}:{NETTY}")])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&file);
        Ok(Self {
            port: extras.secure_port.unwrap_or(place.port),
            process: Proc::start("zookeeper", command, &dir.join("log"))?,
        })
    }

    /// Whether it leads its ensemble.
    ///
    /// # Errors
    /// It does not answer.
    pub fn leads(&self) -> Result<bool> {
        Ok(self.describe()?.contains("Mode: leader"))
    }

    /// Writes something of no meaning.
    ///
    /// # Errors
    /// The server does not take it.
    pub fn open_and_close_session(&self) -> Result<()> {
        Session::open(self.port)?.close()
    }

    /// Closes the session that an ephemeral node belongs to, in the name of its client.
    ///
    /// # Errors
    /// There is no such node, or the server refuses.
    pub fn end_session_of(&self, path: &str) -> Result<()> {
        let mut mine = Session::open(self.port)?;
        let owner = mine.owner_of(path)?;
        mine.close()?;
        // Its client may take it back before it is closed.
        let limit = Duration::from_secs(20);
        wait::until("the session is gone", limit, || {
            if let Ok(stolen) = Session::steal(self.port, owner) {
                stolen.close()?;
                bail!("it lives");
            }
            Ok(())
        })
    }

    /// The word of the server that it takes requests: it says its mode.
    fn serves(&self) -> Result<()> {
        let answer = self.describe()?;
        ensure!(answer.contains("Mode: "), "{answer}");
        Ok(())
    }

    fn describe(&self) -> Result<String> {
        let limit = Duration::from_secs(2);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut connection = TcpStream::connect_timeout(&address, limit)?;
        connection.set_read_timeout(Some(limit))?;
        connection.write_all(b"srvr")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
