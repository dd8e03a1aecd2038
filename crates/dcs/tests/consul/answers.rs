//! Something that is no Consul, or one in trouble, answers at the agent's address.

use patroni_core::{Leader, MemberName, Revision};
use patroni_dcs::consul::Options;
use patroni_dcs::{Store, StoreError, StoreErrorKind};

use crate::parrot::Parrot;
use crate::shared::show_logs;
use crate::support::open;

impl Parrot {
    async fn load(&self) -> Result<(), StoreErrorKind> {
        let store = open(Options::new(self.url.as_str()), None).await.unwrap();
        let loaded = store.load().await;
        loaded.map(|_| ()).map_err(|error| error.kind)
    }
}

fn is_nonsense(result: &Result<(), StoreErrorKind>) -> bool {
    matches!(result, Err(StoreErrorKind::Nonsense(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_answer_is_an_error_of_its_kind() {
    show_logs();
    let pair = |value: &str| {
        format!(r#"[{{"Key":"service/demo/leader","Value":"{value}","ModifyIndex":1}}]"#)
    };
    for body in [
        "<html>welcome</html>",
        "",
        "{}",
        "[{}]",
        "[1]",
        &pair("not base64")[..],
    ] {
        let parrot = Parrot::new("200 OK", "", body).await;
        let loaded = parrot.load().await;
        assert!(is_nonsense(&loaded), "{body}: {loaded:?}");
    }
    // The 404 of a stranger is no empty store.
    let stranger = Parrot::new("404 Not Found", "", "no such page").await;
    assert!(is_nonsense(&stranger.load().await));
    let empty = Parrot::new("404 Not Found", "X-Consul-Index: 1\r\n", "").await;
    assert_eq!(empty.load().await, Ok(()));
    let good = Parrot::new("200 OK", "", &pair("YQ==")).await;
    assert_eq!(good.load().await, Ok(()));

    let denied = Parrot::new("403 Forbidden", "", "Permission denied").await;
    let expected = StoreErrorKind::Denied("HTTP 403: Permission denied".to_owned());
    assert_eq!(denied.load().await, Err(expected));
    let elsewhere = Parrot::new("302 Found", "Location: http://127.0.0.1:1/\r\n", "").await;
    assert!(matches!(
        elsewhere.load().await,
        Err(StoreErrorKind::Unreachable(_))
    ));
    let leaderless = Parrot::new("500 Internal Server Error", "", "No cluster leader").await;
    let expected = "HTTP 500: No cluster leader".to_owned();
    assert_eq!(
        leaderless.load().await,
        Err(StoreErrorKind::Unreachable(expected))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_tool_holds_no_lock() {
    show_logs();
    let parrot = Parrot::new("200 OK", "", "true").await;
    let store = open(Options::new(parrot.url.as_str()), None).await.unwrap();
    let lock = Leader {
        name: MemberName::new("a"),
        revision: Revision::new(1),
        session: None,
    };
    let denied = |result: Result<(), StoreError>| {
        matches!(result.unwrap_err().kind, StoreErrorKind::Denied(_))
    };
    assert!(denied(store.acquire_leader().await));
    assert!(denied(store.update_leader(&lock).await));
}
