//! Something that answers as an Exhibitor does: with the servers of one ensemble.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use patroni_tests::proc::Proc;
use patroni_tests::{http, ports, wait};

/// The one path that clients ask.
const PATH: &str = "/exhibitor/v1/cluster/list";

/// How long a client may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Starts this program as an Exhibitor in front of a ZooKeeper server, and waits until it answers.
pub(super) fn start(dir: &Path, zookeeper: u16) -> Result<(Proc, u16)> {
    let port = ports::free();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["servers", "exhibitor"])
        .args([port.to_string(), zookeeper.to_string()]);
    let process = Proc::start("exhibitor", command, &dir.join("exhibitor.log"))?;
    wait::until("the stand-in of Exhibitor answers", LIMIT, || {
        http::request(port, "GET", PATH, None, LIMIT)?.json()
    })?;
    Ok((process, port))
}

/// Answers until it is ended.
///
/// # Errors
/// The port is taken.
pub(super) fn serve(port: u16, zookeeper: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).context("listen")?;
    for client in listener.incoming() {
        // A client that goes away is its own affair.
        if let Err(error) = client
            .map_err(Into::into)
            .and_then(|c| answer(c, zookeeper))
        {
            say!("{error:#}");
        }
    }
    Ok(())
}

fn answer(mut client: TcpStream, zookeeper: u16) -> Result<()> {
    client.set_read_timeout(Some(LIMIT))?;
    client.set_write_timeout(Some(LIMIT))?;
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let request = lines.next().context("no request")??;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let known = request.split(' ').nth(1) == Some(PATH);
    let (status, body) = if known {
        let list = serde_json::json!({"servers": ["127.0.0.1"], "port": zookeeper});
        ("200 OK", list.to_string())
    } else {
        ("404 Not Found", String::new())
    };
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    Ok(())
}
