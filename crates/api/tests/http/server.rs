//! The server on real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::fake::FakeMember;
use patroni_api::BindError;
use patroni_api::client::{Client, ClientSettings, FailsafeAnswer};
use patroni_api::server::{Credentials, Listen, Server, ServerSettings};
use patroni_api::wire::FailsafeBody;
use patroni_core::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn local() -> ServerSettings {
    ServerSettings::new(Listen::parse("127.0.0.1:0").unwrap())
}

pub(crate) async fn serve(settings: ServerSettings) -> (Server, Arc<FakeMember>) {
    let member = FakeMember::leader();
    let server = Server::start(settings, member.clone()).await.unwrap();
    (server, member)
}

/// Sends bytes, and reads until the server closes.
pub(crate) async fn talk(to: SocketAddr, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(SOON, exchange).await.unwrap()
}

/// Status code and body of an HTTP/1.0 request.
pub(crate) async fn ask(to: SocketAddr, head: &str, body: Option<&str>) -> (u16, String) {
    let mut request = format!("{head}\r\n");
    if let Some(body) = body {
        request = format!("{request}Content-Length: {}\r\n", body.len());
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or_default());
    let answer = talk(to, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

#[tokio::test]
async fn routes_follow_the_first_segment() {
    let (server, member) = serve(local()).await;
    let to = server.local_addr();
    for (line, code) in [
        ("GET / HTTP/1.0", 200),
        ("GET //patroni HTTP/1.0", 200),
        ("GET /patroni/x/y HTTP/1.0", 200),
        ("GET /patroni;x=1 HTTP/1.0", 200),
        ("GET http://h/patroni?x HTTP/1.0", 200),
        ("GET /%70atroni HTTP/1.0", 503),
        ("GET /foo/primary?x=1 HTTP/1.0", 200),
        ("GET /restart HTTP/1.0", 503),
        ("GET /metrics/ HTTP/1.0", 200),
        ("GET /cluster HTTP/1.0", 200),
        ("GET /history HTTP/1.0", 200),
        ("GET /journal?limit=7 HTTP/1.0", 200),
        ("GET /journal?limit=x HTTP/1.0", 400),
        ("GET /config/ttl HTTP/1.0", 502),
        ("GET /failsafe HTTP/1.0", 200),
        ("GET /openapi.json HTTP/1.0", 200),
        ("GET /liveness HTTP/1.0", 200),
        ("GET /readiness HTTP/1.0", 200),
        ("GET /ui HTTP/1.0", 200),
        ("HEAD /ui HTTP/1.0", 503),
        ("HEAD /primary HTTP/1.0", 200),
        ("HEAD /patroni HTTP/1.0", 503),
        ("OPTIONS /primary HTTP/1.0", 200),
        ("OPTIONS * HTTP/1.0", 503),
        ("POST /patroni HTTP/1.0", 501),
        ("DELETE /failover HTTP/1.0", 501),
        ("FOO /primary HTTP/1.0", 501),
        ("POST /reload HTTP/1.0", 202),
        ("POST /sigterm HTTP/1.0", 202),
        ("DELETE /restart HTTP/1.0", 404),
        ("DELETE /switchover HTTP/1.0", 409),
        ("PATCH /config HTTP/1.0", 411),
        ("POST /failsafe HTTP/1.0", 502),
    ] {
        assert_eq!(ask(to, line, None).await.0, code, "{line}");
    }
    assert_eq!(member.reloads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_refusal_of_the_http_layer_says_so_in_its_head() {
    let (server, _member) = serve(local()).await;
    for (line, reason) in [
        ("POST /patroni", "501 Unsupported method ('POST')"),
        ("PATCH /config", "411 Length Required"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = talk(server.local_addr(), &request).await;
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {reason}\r\n")),
            "{head}"
        );
        assert!(head.contains("\r\nConnection: close"), "{head}");
    }
}

#[tokio::test]
async fn headers_come_in_the_order_of_the_contract() {
    let (server, _member) = serve(local()).await;
    let answer = talk(server.local_addr(), "GET /patroni HTTP/1.0\r\n\r\n").await;
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = head
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    assert_eq!(names, ["Server", "Date", "Content-Type", "Content-Length"]);
    let date = head.lines().find_map(|line| line.strip_prefix("Date: "));
    assert!(
        jiff::fmt::rfc2822::parse(date.unwrap()).is_ok() && date.unwrap().ends_with(" GMT"),
        "{date:?}"
    );
}

#[tokio::test]
async fn a_line_of_a_header_has_a_longest_length() {
    let (server, _member) = serve(local()).await;
    for (length, code) in [(65_000, 200), (65_536, 431)] {
        let line = format!("GET /primary HTTP/1.0\r\nX: {}", "a".repeat(length));
        let (answered, body) = ask(server.local_addr(), &line, None).await;
        assert_eq!(answered, code);
        let says_why = body.contains("<p>Message: Line too long.</p>");
        assert_eq!(says_why, code == 431, "{body}");
    }
}

#[tokio::test]
async fn bodies_are_read_as_the_contract_says() {
    let (server, member) = serve(local()).await;
    let to = server.local_addr();
    for (line, body, code, text) in [
        ("PATCH /config", r#"{"ttl": 20}"#, 200, r#"{"ttl": 20}"#),
        ("PATCH /config", "[]", 400, ""),
        ("PATCH /config", "{}", 400, ""),
        (
            "POST /restart",
            "",
            503,
            "restart conditions are not satisfied",
        ),
        ("POST /restart", "[]", 400, ""),
        (
            "POST /restart",
            r#"{"role": "x"}"#,
            400,
            "PostgreSQL role should be either primary, standby_leader, or replica",
        ),
        (
            "POST /reinitialize",
            "{}",
            503,
            "I am the leader, can not reinitialize",
        ),
        (
            "POST /switchover",
            r#"{"leader": "node1"}"#,
            412,
            "switchover is not possible: no good candidates have been found",
        ),
        (
            "POST /failover",
            r#"{"leader": "node1"}"#,
            400,
            "Failover could be performed only to a specific candidate",
        ),
        ("POST /citus", r#"{"type": "other"}"#, 200, "OK"),
        (
            "POST /mpp",
            r#"{"type": "before_demote", "group": 1, "leader": "w"}"#,
            200,
            "OK",
        ),
        (
            "POST /citus",
            r#"{"type": "before_demote", "group": 2, "leader": "w"}"#,
            503,
            "away",
        ),
        ("POST /failsafe", r#"{"name": "x"}"#, 502, ""),
    ] {
        let (got, body) = ask(to, &format!("{line} HTTP/1.0"), Some(body)).await;
        assert_eq!(got, code, "{line}");
        if !text.is_empty() {
            assert_eq!(body, text, "{line}");
        }
    }
    member.publish(|snapshot| snapshot.failsafe_mode = true);
    let announcement = "POST /failsafe HTTP/1.0\r\nContent-Length: 13\r\n\r\n{\"name\": \"x\"}";
    let answer = talk(to, announcement).await;
    assert!(
        answer.contains("Lsn: 42\r\n") && answer.ends_with("\r\n\r\nAccepted"),
        "{answer}"
    );
    let big = format!(r#"{{"x": "{}"}}"#, "y".repeat(2 << 20));
    assert_eq!(ask(to, "PATCH /config HTTP/1.0", Some(&big)).await.0, 413);
}

#[tokio::test]
async fn old_and_new_clients_get_their_own_protocol() {
    let (server, _member) = serve(local()).await;
    let to = server.local_addr();
    let old = talk(to, "GET /primary HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 OK\r\n"), "{old}");
    assert!(old.contains("Content-Type: application/json\r\n"), "{old}");
    assert!(old.contains("\r\n\r\n{\"state\": \"running\", "), "{old}");
    let two = "GET /primary HTTP/1.1\r\nHost: h\r\n\r\n\
               HEAD /primary HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = talk(to, two).await;
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK\r\n").count(),
        2,
        "{answers}"
    );
    assert_eq!(answers.matches("{\"state\"").count(), 1, "{answers}");
}

#[tokio::test]
async fn guarded_requests_need_the_password() {
    let mut settings = local();
    settings.credentials = Some(Credentials {
        username: "u".to_owned(),
        password: Secret::new("p:q"),
    });
    settings.http_headers = vec![("X-Extra".to_owned(), "yes".to_owned())];
    let (server, _member) = serve(settings).await;
    let to = server.local_addr();
    assert_eq!(ask(to, "GET /cluster HTTP/1.0", None).await.0, 200);
    let refused = talk(to, "POST /reload HTTP/1.0\r\n\r\n").await;
    assert!(refused.contains("Basic realm=\"Patroni\""), "{refused}");
    assert!(refused.contains("X-Extra: yes"), "{refused}");
    assert!(refused.ends_with("no auth header received"), "{refused}");
    for (header, code) in [
        ("Basic dTpwOnE=", 202),
        ("basic dTpwOnE=", 401),
        ("Basic dTpw", 401),
        ("Bearer x", 401),
        ("", 401),
    ] {
        let head = format!("POST /reload HTTP/1.0\r\nAuthorization: {header}");
        assert_eq!(ask(to, &head, None).await.0, code, "{header}");
    }
}

#[tokio::test]
async fn the_allowlist_and_members_are_let_in() {
    let mut settings = local();
    settings.allowlist = vec!["10.0.0.0/8".to_owned(), "bad/99".to_owned()];
    let (mut server, member) = serve(settings.clone()).await;
    let to = server.local_addr();
    assert_eq!(
        ask(to, "POST /reload HTTP/1.0", None).await,
        (403, "Access is denied".to_owned())
    );
    settings.allowlist_include_members = true;
    server.reload(settings.clone()).await.unwrap();
    assert_eq!(ask(to, "POST /reload HTTP/1.0", None).await.0, 202);
    // Members are not looked up for failsafe, and without a view nobody is one.
    member.publish(|snapshot| snapshot.failsafe_mode = true);
    assert_eq!(
        ask(to, "POST /failsafe HTTP/1.0", Some(r#"{"name": "x"}"#))
            .await
            .0,
        403
    );
    member.publish(|snapshot| snapshot.view = None);
    assert_eq!(ask(to, "POST /reload HTTP/1.0", None).await.0, 403);
}

#[tokio::test]
async fn a_dual_stack_socket_sees_ipv4_addresses() {
    let mut settings = ServerSettings::new(Listen::parse("*:0").unwrap());
    settings.allowlist = vec!["127.0.0.1".to_owned()];
    let (server, _member) = serve(settings).await;
    let to = SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()));
    assert_eq!(ask(to, "POST /reload HTTP/1.0", None).await.0, 202);
}

#[tokio::test]
async fn slow_clients_make_room_for_health_checks() {
    let mut settings = local();
    settings.max_connections = 3;
    let (server, _member) = serve(settings).await;
    let to = server.local_addr();
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(b"GET / HT").await.unwrap();
        slow.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(ask(to, "GET /primary HTTP/1.0", None).await.0, 200);
    }
}

#[tokio::test]
async fn a_new_address_is_bound_before_the_old_one_goes() {
    let (mut server, _member) = serve(local()).await;
    let old = server.local_addr();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = local();
    settings.listen.port = taken.local_addr().unwrap().port();
    let error = server.reload(settings.clone()).await.unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "Couldn't start a service on '127.0.0.1:{}', please check your `restapi.listen` configuration",
            settings.listen.port
        )
    );
    assert_eq!(ask(old, "GET / HTTP/1.0", None).await.0, 200);
    drop(taken);
    server.reload(settings).await.unwrap();
    let new = server.local_addr();
    assert_ne!(old, new);
    assert_eq!(ask(new, "GET / HTTP/1.0", None).await.0, 200);
    server.shutdown(SOON).await;
    assert!(TcpStream::connect(new).await.is_err());
}

#[tokio::test]
async fn the_host_changes_and_the_port_stays() {
    let (mut server, _member) = serve(local()).await;
    let port = server.local_addr().port();
    let at = |host: &str| {
        let mut settings = local();
        settings.listen.host = Some(host.to_owned());
        settings.listen.port = port;
        settings
    };
    let here = SocketAddr::from(([127, 0, 0, 1], port));
    for host in ["0.0.0.0", "127.0.0.1", "0.0.0.0"] {
        server.reload(at(host)).await.unwrap();
        assert_eq!(ask(here, "GET / HTTP/1.0", None).await.0, 200, "{host}");
    }
    assert_eq!(server.local_addr().port(), port);
}

#[tokio::test]
async fn the_old_address_is_taken_back_when_the_new_one_cannot_be_had() {
    let (mut server, _member) = serve(local()).await;
    let old = server.local_addr();
    // Somebody else has the port on another address, so all addresses cannot be had.
    let other = SocketAddr::from(([127, 0, 0, 2], old.port()));
    let _other = tokio::net::TcpListener::bind(other).await.unwrap();
    let mut settings = local();
    settings.listen = Listen::parse(&format!("0.0.0.0:{}", old.port())).unwrap();
    let error = server.reload(settings).await.unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }));
    assert_eq!(server.local_addr(), old);
    assert_eq!(ask(old, "GET / HTTP/1.0", None).await.0, 200);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_shutdown() {
    let (server, _member) = serve(local()).await;
    let mut idle = TcpStream::connect(server.local_addr()).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    assert!(idle.read_u8().await.is_ok());
    timeout(SOON, server.shutdown(Duration::from_mins(1)))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_the_store_there_is_a_503_and_no_silence() {
    let (server, member) = serve(local()).await;
    member.publish(|snapshot| snapshot.view = None);
    for line in [
        "GET /cluster HTTP/1.0",
        "GET /config HTTP/1.0",
        "POST /restart HTTP/1.0",
    ] {
        assert_eq!(ask(server.local_addr(), line, None).await.0, 503, "{line}");
    }
    assert_eq!(
        ask(server.local_addr(), "GET /primary HTTP/1.0", None)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_client_takes_a_rotated_password_with_a_reload() {
    let with = |password: &str| {
        let mut settings = local();
        settings.credentials = Some(Credentials {
            username: "u".to_owned(),
            password: Secret::new(password),
        });
        settings
    };
    let client_with = |password: &str| ClientSettings {
        credentials: Some(("u".to_owned(), Secret::new(password))),
        ..ClientSettings::default()
    };
    let (mut server, member) = serve(with("old")).await;
    member.publish(|snapshot| snapshot.failsafe_mode = true);
    let client = Client::new(&client_with("old")).unwrap();
    let shared = client.clone();
    let url = format!("http://{}/failsafe", server.local_addr());
    let body = r#"{"name": "b", "conn_url": "c", "api_url": "a"}"#;
    let body = FailsafeBody::parse(&serde_json::from_str(body).unwrap()).unwrap();
    server.reload(with("new")).await.unwrap();
    assert_eq!(
        client.failsafe(&url, &body, SOON).await.unwrap(),
        FailsafeAnswer::Refused {
            code: 401,
            text: "not authenticated".to_owned()
        }
    );
    client.reload(&client_with("new")).unwrap();
    let answer = shared.failsafe(&url, &body, SOON).await.unwrap();
    assert!(
        matches!(answer, FailsafeAnswer::Accepted { .. }),
        "{answer:?}"
    );
}
