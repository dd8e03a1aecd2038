//! Something that is no etcd, or one in trouble, answers at the address of a node.

use patroni_dcs::{Store, StoreErrorKind};

use crate::parrot::Parrot;
use crate::shared::show_logs;
use crate::support::open_on;

/// What is found by something that answers every request, also that for the members, alike.
async fn load(status: &str, headers: &str, body: &str) -> Result<bool, StoreErrorKind> {
    let parrot = Parrot::new(status, headers, body).await;
    let store = open_on([parrot.url.as_str()], None).await;
    let store = store.map_err(|error| error.kind)?;
    let loaded = store.load().await;
    loaded
        .map(|cluster| cluster.leader.is_some())
        .map_err(|error| error.kind)
}

fn is_unreachable(result: &Result<bool, StoreErrorKind>) -> bool {
    matches!(result, Err(StoreErrorKind::Unreachable(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_answer_is_an_empty_store() {
    show_logs();
    let absent = r#"{"errorCode":100,"message":"Key not found","cause":"/service","index":3}"#;
    let internal = r#"{"errorCode":300,"message":"Raft Internal Error","cause":"x","index":3}"#;
    for (status, headers, body) in [
        ("200 OK", "", "<html>welcome</html>"),
        ("200 OK", "", "{}"),
        ("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
        (
            "401 Unauthorized",
            "",
            "{\"message\":\"Insufficient credentials\"}",
        ),
        ("404 Not Found", "", "404 page not found"),
        ("404 Not Found", "", absent),
        ("500 Internal Server Error", "", internal),
    ] {
        let loaded = load(status, headers, body).await;
        assert!(is_unreachable(&loaded), "{status} {body}: {loaded:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_old_api_is_told_from_others() {
    show_logs();
    let newer = load("404 Not Found", "", "404 page not found").await;
    let Err(StoreErrorKind::Unreachable(why)) = newer else {
        panic!("{newer:?}");
    };
    assert!(why.contains("--enable-v2"), "{why}");
}
