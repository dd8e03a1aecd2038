//! `GET /events` on real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use super::server::{SOON, ask, local, serve};
use patroni_core::{MemberName, Role};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A subscriber that reads HTTP/1.0, which has no chunks.
struct Subscriber {
    stream: BufReader<TcpStream>,
}

impl Subscriber {
    async fn connect(to: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream
            .write_all(b"GET /events HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Everything up to the next empty line; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        let mut block = String::new();
        let reading = async {
            loop {
                let mut line = String::new();
                if self.stream.read_line(&mut line).await.unwrap() == 0 {
                    return None;
                }
                if line.trim_end().is_empty() {
                    return Some(block);
                }
                block.push_str(&line);
            }
        };
        timeout(SOON, reading).await.unwrap()
    }

    /// Reads until an event has this part.
    async fn until(&mut self, part: &str) {
        while !self.block().await.unwrap().contains(part) {}
    }
}

#[tokio::test]
async fn changes_are_pushed_as_they_are_published() {
    let (server, member) = serve(local()).await;
    let mut subscriber = Subscriber::connect(server.local_addr()).await;
    let head = subscriber.block().await.unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(
        head.contains("Content-Type: text/event-stream\r\n"),
        "{head}"
    );
    let first = subscriber.block().await.unwrap();
    assert!(first.starts_with("id: 0\nevent: snapshot\n"), "{first}");
    assert!(first.contains(r#""leader": "node1""#), "{first}");
    member.publish(|snapshot| {
        snapshot.lock_until = None;
        snapshot.server_role = Role::Demoted;
    });
    let role = subscriber.block().await.unwrap();
    assert!(role.starts_with("id: 1\nevent: role\n"), "{role}");
    assert!(role.contains(r#""role": "demoted""#), "{role}");
    let leader = subscriber.block().await.unwrap();
    assert!(leader.starts_with("id: 2\nevent: leader\n"), "{leader}");
    assert!(leader.contains(r#""leader": null"#), "{leader}");
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_the_stream() {
    let (server, _member) = serve(local()).await;
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let mut seen = vec![0; 4096];
    let length = stream.read(&mut seen).await.unwrap();
    let seen = String::from_utf8_lossy(&seen[..length]);
    assert!(seen.contains("Transfer-Encoding: chunked\r\n"), "{seen}");
    timeout(SOON, server.shutdown(Duration::from_mins(1)))
        .await
        .unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
}

#[tokio::test]
async fn subscribers_are_bounded_and_leave_room_for_health_checks() {
    let mut settings = local();
    settings.max_connections = 8;
    let (server, _member) = serve(settings).await;
    let to = server.local_addr();
    let mut subscribers = Vec::new();
    for _ in 0..2 {
        let mut subscriber = Subscriber::connect(to).await;
        subscriber.until("event: snapshot").await;
        subscribers.push(subscriber);
    }
    assert_eq!(
        ask(to, "GET /events HTTP/1.0", None).await,
        (
            503,
            "there are 2 subscribers already, which is the most".to_owned()
        )
    );
    // More connections than there are places: none of the subscribers is ended for them.
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(TcpStream::connect(to).await.unwrap());
        assert_eq!(ask(to, "GET /primary HTTP/1.0", None).await.0, 200);
    }
    assert_eq!(ask(to, "GET /events HTTP/1.0", None).await.0, 503);
    // `HEAD` is a health check that matches nothing, as everywhere.
    assert_eq!(ask(to, "HEAD /events HTTP/1.0", None).await.0, 503);
}

/// A place was kept until the next heartbeat, up to 15 seconds.
#[tokio::test]
async fn a_subscriber_that_goes_leaves_its_place_at_once() {
    let mut settings = local();
    settings.max_connections = 4;
    let (server, _member) = serve(settings).await;
    let to = server.local_addr();
    for _ in 0..10 {
        let mut subscriber = Subscriber::connect(to).await;
        subscriber.until("event: snapshot").await;
        drop(subscriber);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut last = Subscriber::connect(to).await;
    last.until("event: snapshot").await;
}

#[tokio::test]
async fn a_subscriber_that_has_said_all_goes_on_listening() {
    let (server, member) = serve(local()).await;
    let mut subscriber = Subscriber::connect(server.local_addr()).await;
    subscriber.until("event: snapshot").await;
    subscriber.stream.get_mut().shutdown().await.unwrap();
    assert_eq!(subscriber.block().await.as_deref(), Some(": heartbeat\n"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    member.publish(|snapshot| snapshot.lock_until = None);
    subscriber.until("event: leader").await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_loses_its_connection() {
    let (server, member) = serve(local()).await;
    let to = server.local_addr();
    let mut slow = Subscriber::connect(to).await;
    slow.until("event: snapshot").await;
    let mut quick = Subscriber::connect(to).await;
    quick.until("event: snapshot").await;
    // More than the buffers of the system hold, one event at a time.
    for round in 0..250 {
        let name = format!("{round}-{}", "x".repeat(100_000));
        member.publish(|snapshot| {
            snapshot.lock_until = None;
            let view = snapshot.view.as_mut().unwrap();
            let cluster = std::sync::Arc::make_mut(&mut view.cluster);
            cluster.leader = Some(patroni_core::Leader {
                name: MemberName::new(name),
                revision: patroni_core::Revision::new(1),
                session: None,
            });
        });
        quick.until(&format!("\"{round}-x")).await;
    }
    let mut rest = Vec::new();
    let cut = timeout(SOON, slow.stream.read_to_end(&mut rest)).await;
    assert!(cut.is_ok(), "the connection goes on");
}
