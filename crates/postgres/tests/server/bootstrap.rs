//! New clusters and copies.

use std::fs;
use std::time::Duration;

use patroni_postgres::bootstrap::{
    CloneError, CloneRequest, CloneSource, Method, ScriptConnection, clone_replica, is_interrupted,
    post_init, write_initial_hba,
};
use patroni_postgres::replication::ReplicationClient;
use patroni_postgres::{Cancel, bootstrap};
use patroni_tests::postgresql;
use serde_json::json;

use crate::support::{LIMIT, Plain, Server, Session, server_test};

server_test! {
async fn roles_are_made_as_configured_and_no_password_is_logged() {
    let mut server = Server::new();
    let note = server.home().join("note");
    let section = server.settings.bootstrap.as_mut().unwrap();
    section.insert("pg_hba".to_owned(), json!(["host replication all 127.0.0.1/32 scram-sha-256"]));
    section.insert(
        "post_init".to_owned(),
        json!(format!("sh -c 'echo \"$0|$PGPASSFILE|$PGOPTIONS\" > {}'", note.display())),
    );
    bootstrap::run_initdb(&server.settings, &server.binaries, &Cancel::new()).await.unwrap();
    assert!(write_initial_hba(&server.settings).unwrap());
    server.configure("log_statement = all\nlog_min_duration_statement = 0\nlog_duration = on");
    server.start();
    let script = ScriptConnection {
        conninfo: "dbname=postgres".to_owned(),
        pgpass: Some("/my/pgpass".into()),
    };
    let client = server.connect().await;
    // The second time all roles exist.
    for _ in 0..2 {
        post_init(&client, &server.settings, &script, &Cancel::new()).await.unwrap();
    }
    assert_eq!(
        fs::read_to_string(note).unwrap(),
        "dbname=postgres|/my/pgpass|-c synchronous_commit=local -c statement_timeout=0\n"
    );
    let roles = client.text(
        "SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolreplication, rolcanlogin, \
         rolcreaterole, rolcreatedb, rolbypassrls), E'\\n' ORDER BY oid) \
         FROM pg_roles WHERE rolname !~ '^pg_'",
    ).await;
    assert_eq!(roles, "postgres t t t t t t\nre\"pl'i\\kå f t t f f f\nrw f f t f f f");
    let grants = client.text(
        "SELECT count(*)::text FROM pg_proc WHERE proname IN \
         ('pg_ls_dir', 'pg_stat_file', 'pg_read_binary_file') \
         AND has_function_privilege('rw', oid, 'EXECUTE')",
    ).await;
    assert_eq!(grants, "4");
    assert_eq!(client.text("SHOW log_statement").await, "all");
    for user in [&server.settings.superuser, &server.settings.replication] {
        Session::open(&server.target(user)).await.expect("the password works");
    }
    let identity = ReplicationClient::connect(&server.target(&server.settings.replication), LIMIT)
        .await
        .unwrap()
        .identify_system()
        .await
        .unwrap();
    assert_eq!(identity.timeline.number(), 1);
    assert_eq!(identity.system_id.as_str(), server.control("Database system identifier"));
    let log = server.log();
    assert!(log.contains("GRANT EXECUTE"), "statements are logged");
    assert!(!log.contains("rw-pass") && !log.contains("w%örd") && !log.contains("PASSWORD"));
}
}

server_test! {
async fn a_refused_role_says_why_without_the_password() {
    let mut server = Server::running("").await;
    server.settings.replication.username = Some("pg_reserved".to_owned());
    let client = server.connect().await;
    let script = ScriptConnection::default();
    let error = post_init(&client, &server.settings, &script, &Cancel::new()).await.unwrap_err();
    let texts = format!("{error} {error:?}");
    assert!(texts.contains("reserved") && !texts.contains("w%örd"), "{texts}");
    assert!(!server.log().contains("w%örd"));
    assert_eq!(client.text("SHOW log_error_verbosity").await, "default");
}
}

server_test! {
async fn a_failed_script_ends_the_bootstrap() {
    let mut server = Server::running("").await;
    let section = server.settings.bootstrap.as_mut().unwrap();
    section.insert("post_bootstrap".to_owned(), json!("sh -c 'exit 7'"));
    let client = server.connect().await;
    let script = ScriptConnection::default();
    let made = post_init(&client, &server.settings, &script, &Cancel::new()).await;
    assert_eq!(
        made.unwrap_err().to_string(),
        "run the post_init script: it exited with code 7"
    );
    assert_eq!(client.text("SELECT count(*)::text FROM pg_roles WHERE rolname = 'rw'").await, "0");
}
}

server_test! {
async fn a_copy_is_made_with_a_password_that_needs_care() {
    let mut primary = Server::new();
    let section = primary.settings.bootstrap.as_mut().unwrap();
    section.insert("pg_hba".to_owned(), json!(["host replication all 127.0.0.1/32 scram-sha-256"]));
    bootstrap::run_initdb(&primary.settings, &primary.binaries, &Cancel::new()).await.unwrap();
    write_initial_hba(&primary.settings).unwrap();
    primary.configure("");
    primary.start();
    let client = primary.connect().await;
    post_init(&client, &primary.settings, &ScriptConnection::default(), &Cancel::new()).await.unwrap();

    let mut copy = Server::new();
    copy.settings.basebackup = json!([{"checkpoint": "fast"}, {"max-rate": "20M"}, {"format": "t"}]);
    fs::create_dir(copy.data_dir()).unwrap();
    fs::write(copy.data_dir().join("rubbish"), "").unwrap();
    let source = CloneSource {
        name: "a".to_owned(),
        conninfo: primary.conninfo(&primary.settings.replication),
        pgpass: Some(copy.pgpass_for(&primary, &primary.settings.replication)),
        size: Some(5),
    };
    let request = CloneRequest {
        settings: &copy.settings,
        binaries: &copy.binaries,
        version: postgresql::version(),
        source: Some(&source),
        methods: &[],
        directory: Plain::of(&copy),
    };
    let seen = std::sync::Mutex::new(Vec::new());
    let note = |progress| seen.lock().unwrap().push(progress);
    let made = clone_replica(&request, &Cancel::new(), note).await;
    assert_eq!(made.unwrap(), Method::Basebackup);
    assert!(!is_interrupted(copy.data_dir()));
    assert!(!copy.data_dir().join("rubbish").exists());
    assert_eq!(
        copy.control("Database system identifier"),
        primary.control("Database system identifier")
    );
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().any(|progress| progress.bytes > 0 && progress.total == Some(5)));
}
}

server_test! {
async fn a_cancelled_copy_leaves_nothing() {
    let primary = Server::running("").await; // no replication role: every attempt fails
    let copy = Server::new();
    let source = CloneSource {
        conninfo: primary.conninfo(&primary.settings.replication),
        ..CloneSource::default()
    };
    let request = CloneRequest {
        settings: &copy.settings,
        binaries: &copy.binaries,
        version: postgresql::version(),
        source: Some(&source),
        methods: &["basebackup".to_owned()],
        directory: Plain::of(&copy),
    };
    let cancel = Cancel::new();
    let copying = clone_replica(&request, &cancel, |_| {});
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(1)).await; // somewhere in the first attempts
        cancel.cancel();
    };
    let (made, ()) = tokio::join!(copying, stopping);
    assert!(matches!(made, Err(CloneError::Cancelled)));
    assert!(!copy.data_dir().exists() && !is_interrupted(copy.data_dir()));
}
}
