//! The listening socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::settings::ServerSettings;
use crate::error::BindError;

/// Binds and listens. All addresses means both families where the system can do that, else
/// IPv4. Of a host name with several addresses one is bound, IPv6 first.
pub(super) async fn open(settings: &ServerSettings) -> Result<TcpListener, BindError> {
    let bound = match &settings.listen.host {
        None => all_addresses(settings),
        Some(host) => one_address(settings, host).await,
    };
    bound.map_err(|source| BindError::Listen {
        listen: settings.listen.to_string(),
        source,
    })
}

fn all_addresses(settings: &ServerSettings) -> io::Result<TcpListener> {
    let port = settings.listen.port;
    let dual = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match listen(dual, settings.backlog) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            listen((Ipv4Addr::UNSPECIFIED, port).into(), settings.backlog)
        }
        bound => bound,
    }
}

async fn one_address(settings: &ServerSettings, host: &str) -> io::Result<TcpListener> {
    let mut found: Vec<SocketAddr> = lookup_host((host, settings.listen.port)).await?.collect();
    found.sort_by_key(SocketAddr::is_ipv4);
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in found {
        match listen(address, settings.backlog) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() {
        let socket = TcpSocket::new_v6()?;
        if address.ip().is_unspecified() {
            SockRef::from(&socket).set_only_v6(false)?;
        }
        socket
    } else {
        TcpSocket::new_v4()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Notices clients that went away without a word: probes after 3 s of silence, every 2 s, three
/// times; unacknowledged data give up after 10 s. A failure here does no harm.
pub(super) fn tune(stream: &TcpStream) {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(3))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_keepalive(&probes)
        .and_then(|()| give_up_after(&socket, Duration::from_secs(10)))
        .and_then(|()| stream.set_nodelay(true));
    if let Err(error) = tuned {
        tracing::debug!("could not tune a REST connection: {error}");
    }
}

/// Ends a connection whose other side has confirmed nothing for so long.
#[cfg(target_os = "linux")]
fn give_up_after(socket: &SockRef<'_>, limit: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(limit))
}

/// Elsewhere the probes of an idle connection must do.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "Linux may refuse")]
fn give_up_after(_socket: &SockRef<'_>, _limit: Duration) -> io::Result<()> {
    Ok(())
}
