//! Replication commands over a library that does not know the replication protocol.
//!
//! `tokio-postgres` refuses the start-up parameter `replication`, so a thin layer under it adds
//! the parameter to the first packet on its way out. After that `IDENTIFY_SYSTEM` and
//! `TIMELINE_HISTORY` work like simple queries. The parameter is `true` and not `database`:
//! only then do the `replication` lines of `pg_hba.conf` apply. Streaming WAL is not possible.

mod startup;

use std::time::Duration;

use patroni_core::{Lsn, SystemId, Timeline};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::startup::{Replicating, ReplicatingTls, Wire};
use crate::connection::Driver;
use patroni_core::Causes;

/// A server to connect to, with everything that the settings say about it.
#[derive(Clone)]
pub struct Target {
    /// Hosts, ports, user, password, `sslmode`.
    pub config: tokio_postgres::Config,
    /// How to do TLS; `None` connects without.
    pub tls: Option<MakeRustlsConnect>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("config", &self.config) // hides the password
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// A question to a server that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The server, or the way to it, refused.
    #[error(transparent)]
    Postgres(tokio_postgres::Error),
    /// The way to the server is closed.
    #[error("connect to {host}")]
    Network {
        /// Host or socket directory.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be prepared for this host.
    #[error("prepare TLS for {host}: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Slow(Duration),
    /// The target names no host.
    #[error("connect: no host is given")]
    NoHost,
    /// The answer has another form than the protocol says.
    #[error("understand the answer to {command}")]
    Nonsense {
        /// The command.
        command: String,
    },
}

/// A connection whose other half is driven by a task that ends with it.
pub(crate) struct Session {
    pub(crate) client: Client,
    _driver: Driver,
}

impl Session {
    /// An SQL connection. Several hosts are tried in order, with the target's
    /// `target_session_attrs`.
    pub(crate) async fn open(target: &Target, limit: Duration) -> Result<Self, ConnectionError> {
        within(limit, async {
            let config = &target.config;
            match &target.tls {
                Some(tls) => config.connect(tls.clone()).await.map(Self::driving),
                None => config.connect(NoTls).await.map(Self::driving),
            }
            .map_err(ConnectionError::Postgres)
        })
        .await
    }

    fn driving<S, T>((client, connection): (Client, tokio_postgres::Connection<S, T>)) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
    {
        let driver = Driver::new(async {
            if let Err(error) = connection.await {
                tracing::debug!("connection ended: {}", Causes(&error));
            }
        });
        Self {
            client,
            _driver: driver,
        }
    }
}

/// What `IDENTIFY_SYSTEM` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub system_id: SystemId,
    /// The current timeline.
    pub timeline: Timeline,
    /// The flushed position of a primary, the replayed one of a standby.
    pub position: Lsn,
}

/// One switch in the history of a timeline.
pub type Switch = (Timeline, Lsn, String);

/// A physical replication connection that only asks questions. Every call is bounded by the
/// limit given at the beginning.
pub struct ReplicationClient {
    session: Session,
    limit: Duration,
}

impl ReplicationClient {
    /// Connects. Of several hosts the first primary is taken, the order being the target's.
    ///
    /// # Errors
    /// No host could be used; the reason of the last one.
    pub async fn connect(target: &Target, limit: Duration) -> Result<Self, ConnectionError> {
        let hosts = target.config.get_hosts();
        let mut last = ConnectionError::NoHost;
        for (index, host) in hosts.iter().enumerate() {
            let ports = target.config.get_ports();
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            let opened = within(limit, open(target, host, port)).await;
            let client = match opened {
                Ok(session) => Self { session, limit },
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            if hosts.len() == 1 {
                return Ok(client);
            }
            match client.is_read_only().await {
                Ok(false) => return Ok(client),
                Ok(true) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// `IDENTIFY_SYSTEM`.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub async fn identify_system(&self) -> Result<Identity, ConnectionError> {
        let row = self.row("IDENTIFY_SYSTEM").await?;
        let identity = || {
            Some(Identity {
                system_id: SystemId::parse(row.get("systemid")?)?,
                timeline: Timeline::new(row.get("timeline")?.parse().ok()?)?,
                position: row.get("xlogpos")?.parse().ok()?,
            })
        };
        identity().ok_or_else(|| nonsense("IDENTIFY_SYSTEM"))
    }

    /// `TIMELINE_HISTORY`: the switches that led to a timeline, oldest first. The first timeline
    /// has no history and is not asked for.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub async fn timeline_history(
        &self,
        timeline: Timeline,
    ) -> Result<Vec<Switch>, ConnectionError> {
        if timeline == Timeline::FIRST {
            return Ok(Vec::new());
        }
        let command = format!("TIMELINE_HISTORY {timeline}");
        let row = self.row(&command).await?;
        let content = row.try_get("content").map_err(ConnectionError::Postgres)?;
        content.map(parse_history).ok_or_else(|| nonsense(&command))
    }

    async fn is_read_only(&self) -> Result<bool, ConnectionError> {
        let row = self.row("SHOW transaction_read_only").await?;
        Ok(row.get(0) == Some("on"))
    }

    async fn row(&self, command: &str) -> Result<SimpleQueryRow, ConnectionError> {
        let answer = within(self.limit, async {
            let messages = self.session.client.simple_query(command).await;
            messages.map_err(ConnectionError::Postgres)
        });
        let found = answer.await?.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None, // descriptions and ends; the library may add kinds
        });
        found.ok_or_else(|| nonsense(command))
    }
}

/// Reads a history file: a timeline, the position where it ended, and a reason, separated by
/// tabs; comments and empty lines between. A line that cannot be read is logged and left out.
pub fn parse_history(text: &str) -> Vec<Switch> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let switch = parse_switch(line);
            if switch.is_none() {
                tracing::error!("Exception when parsing timeline history line \"{line}\"");
            }
            switch
        })
        .collect()
}

fn parse_switch(line: &str) -> Option<Switch> {
    let (timeline, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (position, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Some((
        Timeline::new(timeline.parse().ok()?)?,
        position.parse().ok()?,
        reason.trim().to_owned(),
    ))
}

async fn open(target: &Target, host: &Host, port: u16) -> Result<Session, ConnectionError> {
    let (name, wire) = match host {
        Host::Tcp(name) => {
            let connected = TcpStream::connect((name.as_str(), port)).await;
            (name.clone(), connected.map(Wire::Tcp))
        }
        Host::Unix(dir) => {
            let connected = UnixStream::connect(dir.join(format!(".s.PGSQL.{port}"))).await;
            (dir.display().to_string(), connected.map(Wire::Unix))
        }
    };
    let wire = wire.map_err(|source| ConnectionError::Network {
        host: name.clone(),
        source,
    })?;
    let is_local = matches!(wire, Wire::Unix(_));
    let stream = Replicating::new(wire);
    match target.tls.clone().filter(|_| !is_local) {
        Some(mut tls) => {
            let tls = MakeTlsConnect::<Replicating<Wire>>::make_tls_connect(&mut tls, &name)
                .map_err(|error| ConnectionError::Tls {
                    host: name,
                    reason: error.to_string(),
                })?;
            let opened = target.config.connect_raw(stream, ReplicatingTls(tls)).await;
            opened.map(Session::driving)
        }
        None if is_local => {
            let mut config = target.config.clone();
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            config
                .connect_raw(stream, NoTls)
                .await
                .map(Session::driving)
        }
        None => {
            let opened = target.config.connect_raw(stream, NoTls).await;
            opened.map(Session::driving)
        }
    }
    .map_err(ConnectionError::Postgres)
}

/// Bounds a call.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, ConnectionError> {
    timeout_at(Instant::now() + limit, call)
        .await
        .unwrap_or(Err(ConnectionError::Slow(limit)))
}

fn nonsense(command: &str) -> ConnectionError {
    ConnectionError::Nonsense {
        command: command.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_read_and_bad_lines_left_out() {
        let text = "1\t0/40001F0\tno recovery target specified\n\n# note\nx\ty\n\
                    2\t0/D000000\tbefore 2026-01-01 00:00:00+00\n3\t1/0\n";
        let switch = |timeline, position: &str, reason: &str| {
            (
                Timeline::new(timeline).unwrap(),
                position.parse().unwrap(),
                reason.to_owned(),
            )
        };
        assert_eq!(
            parse_history(text),
            [
                switch(1, "0/40001F0", "no recovery target specified"),
                switch(2, "0/D000000", "before 2026-01-01 00:00:00+00"),
                switch(3, "1/0", ""),
            ]
        );
    }
}
