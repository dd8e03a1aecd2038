//! `GET /ui`: its headers, its switch, and what people see of it in a real browser.

use std::sync::Arc;

use super::fake::FakeMember;
use super::server::{ask, local, serve, talk};
use jiff::Timestamp;
use patroni_core::account::{Account, Kind, Refused, Turn};
use patroni_core::{
    Cluster, History, Leader, Lsn, Member, MemberData, MemberName, Revision, SyncState,
};
use patroni_tests::Browser;
use patroni_tests::browser::Window;
use patroni_tests::cluster::SOON as SEEN;
use serde_json::json;

/// A name that would do harm as markup.
const HOSTILE: &str = "<img src=x onerror=document.title='harmed'>";

#[tokio::test]
async fn the_page_has_a_strict_policy_and_a_switch() {
    let (mut server, _member) = serve(local()).await;
    let answer = talk(server.local_addr(), "GET /ui/ HTTP/1.0\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    for part in [
        "HTTP/1.0 200 OK\r\n",
        "\r\nContent-Type: text/html; charset=utf-8\r\n",
        "\r\nContent-Security-Policy: default-src 'none'; script-src 'sha256-",
        "connect-src 'self'; ",
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n",
        "\r\nX-Content-Type-Options: nosniff\r\n",
    ] {
        assert!(head.contains(part), "{part} is missing in\n{head}");
    }
    assert!(body.starts_with("<!DOCTYPE html>"));

    let mut off = local();
    off.ui = false;
    server.reload(off).await.unwrap();
    let (code, body) = ask(server.local_addr(), "GET /ui HTTP/1.0", None).await;
    assert_eq!(code, 503);
    assert!(body.starts_with('{'), "a health check: {body}");
}

fn member(name: &str, data: &serde_json::Value) -> Member {
    Member {
        name: MemberName::new(name),
        session: None,
        data: MemberData::parse(&data.to_string()),
    }
}

/// Three members: the leader, one that streams far behind, and one that is being copied.
fn cluster() -> Cluster {
    let mut cluster = Cluster {
        leader: Some(Leader {
            name: MemberName::new("node1"),
            revision: Revision::new(1),
            session: None,
        }),
        history: History::parse(
            r#"[[1, 25623960, "no recovery target specified", "2026-01-31T13:00:00+00:00", "node2"],
                [2, 67108864, "before <b>the flood</b>", "2026-02-01T13:00:00+00:00", "node1"]]"#,
        ),
        ..Cluster::default()
    };
    cluster.status.optime = Lsn::new(0x600_0000);
    cluster.sync = SyncState {
        revision: Some(Revision::new(1)),
        leader: Some(MemberName::new("node1")),
        quorum: 0,
        standbys: [MemberName::new("node2")].into(),
    };
    cluster.members = vec![
        member(
            HOSTILE,
            &json!({"api_url": "javascript:alert(1)", "state": "creating replica", "role": "replica"}),
        ),
        member(
            "node1",
            &json!({"api_url": "http://127.0.0.1:8008/patroni", "state": "running", "role": "primary",
                "conn_url": "postgres://10.0.0.1:5432/postgres", "timeline": 3, "pending_restart": true,
                "pending_restart_reason": {"max_connections": {"old_value": "100", "new_value": "200"}}}),
        ),
        member(
            "node2",
            &json!({"api_url": "http://127.0.0.1:8009/patroni", "state": "running", "role": "replica",
                "conn_url": "postgres://10.0.0.2:5432/postgres", "timeline": 3, "replication_state": "streaming",
                "xlog_location": 0x100_0000, "replay_lsn": 0x100_0000, "receive_lsn": 0x500_0000,
                "tags": {"nofailover": true}}),
        ),
    ];
    cluster
}

fn account() -> Account {
    let at: Timestamp = "2026-02-01T13:00:00Z".parse().unwrap();
    Account {
        number: 7,
        member: MemberName::new("node1"),
        at,
        until: at,
        times: 1,
        kind: Kind::Cycle,
        turn: Turn::TookOver,
        rule: "P4".to_owned(),
        about: "the lock is ours and PostgreSQL has to be promoted".to_owned(),
        leader: None,
        former: Some(MemberName::new("node2")),
        revision: None,
        request: None,
        verdict: "promoted self to leader by acquiring session lock".to_owned(),
        why: vec!["Nobody held the lock; node2 led last.".to_owned()],
        refused: vec![Refused {
            name: MemberName::new(HOSTILE),
            reason: "NotAllowed".to_owned(),
            evidence: "its tags say nofailover".to_owned(),
        }],
        acts: Vec::new(),
        said: Vec::new(),
    }
}

fn show(member: &FakeMember, cluster: Option<Cluster>) {
    member.publish(|snapshot| {
        let seen = snapshot.view.take();
        snapshot.view = cluster
            .zip(seen.or_else(|| FakeMember::leader().snapshot.borrow().view.clone()))
            .map(|(cluster, mut view)| {
                view.cluster = Arc::new(cluster);
                view
            });
    });
}

const DESK: Window = Window {
    width: 1440,
    height: 900,
    phone: false,
    dark: false,
};
const TABLET: Window = Window {
    width: 820,
    height: 1180,
    phone: false,
    dark: true,
};
const TELEPHONE: Window = Window {
    width: 390,
    height: 844,
    phone: true,
    dark: false,
};

#[tokio::test(flavor = "multi_thread")]
async fn people_see_the_cluster_and_how_true_it_is() {
    let (server, member) = serve(local()).await;
    show(&member, Some(cluster()));
    member.journal.store(Arc::new(vec![account()]));
    let url = format!("http://{}/ui", server.local_addr());
    let looked = tokio::task::spawn_blocking(move || {
        let test = "ui::people_see_the_cluster_and_how_true_it_is";
        let Some(mut browser) = Browser::start(test).unwrap() else {
            return;
        };
        browser.look_through(DESK).unwrap();
        browser.go(&url).unwrap();
        sees_everything(&mut browser);
        for window in [DESK, TABLET, TELEPHONE] {
            browser.look_through(window).unwrap();
            fits_and_can_be_read(&mut browser, window);
        }
        can_be_used_by_keyboard(&mut browser);
        follows_what_changes(&mut browser, &member);
        browser.go(&url).unwrap();
        says_it_beside_the_border(&mut browser);
        assert!(
            browser.complaints().is_empty(),
            "{:?}",
            browser.complaints()
        );
    });
    looked.await.unwrap();
}

fn sees_everything(browser: &mut Browser) {
    for part in [
        "node1 leads",
        "1 of 2 replicas streaming",
        "seen from node1",
        "Live",
        HOSTILE,
        "creating replica",
        "80 MiB",
        "received 16 MiB",
        "restart pending",
        "max_connections: 100 → 200",
        "nofailover",
        "node1 took over on timeline 3",
        "at 0/4000000: before <b>the flood</b>",
        "promoted self to leader by acquiring session lock",
        "took over",
        "15.18",
    ] {
        browser.wait_for(part, SEEN).unwrap();
    }
    // The table is as deep as the replication, and only addresses of the web are links.
    let rows = browser
        .value("[...document.querySelectorAll('tbody tr')].map((row) => row.querySelector('.name').textContent)")
        .unwrap();
    assert_eq!(rows, json!(["node1", HOSTILE, "node2"]));
    let links = browser
        .value("[...document.querySelectorAll('tbody a')].map((link) => link.href)")
        .unwrap();
    assert_eq!(links, json!(["http://127.0.0.1:8009/ui"]));
    assert_eq!(browser.value("document.images.length").unwrap(), 0);
    let title = browser.value("document.title").unwrap();
    assert_eq!(title, "(!) demo: node1 leads");
}

/// The ratio of WCAG 2.1 between each text and what is painted behind it, and the widest part.
const LOOK: &str = r"(() => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((part) => part / 255).map((part) => part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const element = text.parentElement, style = getComputedStyle(element);
    if (!text.data.trim() || !element.checkVisibility() || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName)) continue;
    const pair = [light(element.ownerSVGElement ? style.fill : style.color), light(behind(element))];
    const ratio = (Math.max(...pair) + .05) / (Math.min(...pair) + .05);
    if (ratio < 4.5) faint.push(`${text.data}: ${ratio.toFixed(2)}`);
  }
  return { faint, width: document.documentElement.scrollWidth };
})()";

fn fits_and_can_be_read(browser: &mut Browser, window: Window) {
    let seen = browser.value(LOOK).unwrap();
    assert_eq!(seen["faint"], json!([]), "{window:?}");
    assert_eq!(seen["width"], window.width, "{window:?} has to scroll");
}

/// Tab goes to what can be done; Enter opens a decision with its reasons.
fn can_be_used_by_keyboard(browser: &mut Browser) {
    let mut met = Vec::new();
    for _ in 0..20 {
        browser.press("Tab").unwrap();
        let focused = browser
            .value("document.activeElement.id || document.activeElement.textContent")
            .unwrap();
        let focused = focused.as_str().unwrap().to_owned();
        if focused == "decision-7-title" {
            browser.press("Enter").unwrap();
            browser
                .wait_for("Nobody held the lock; node2 led last.", SEEN)
                .unwrap();
            assert_eq!(met[0], "Skip to the members");
            assert!(met.contains(&"changes-only".to_owned()), "{met:?}");
            return;
        }
        met.push(focused);
    }
    panic!("the decision cannot be reached: {met:?}");
}

/// What changes is shown at once, the open decision stays open, and what is not known is said.
fn follows_what_changes(browser: &mut Browser, member: &FakeMember) {
    let mut other = cluster();
    other.leader = None;
    show(member, Some(other));
    member.publish(|snapshot| snapshot.paused = true);
    browser.wait_for("Nobody leads", SEEN).unwrap();
    let open = browser
        .value("document.getElementById('decision-7').open")
        .unwrap();
    assert_eq!(open, true);

    show(member, None);
    browser.wait_for("Stale", SEEN).unwrap();
    browser
        .wait_for("the cluster's store is not reachable", SEEN)
        .unwrap();
    browser.wait_for("node2", SEEN).unwrap();
}

/// A sentence in place of the members stood on the border of its panel.
fn says_it_beside_the_border(browser: &mut Browser) {
    browser
        .wait_for("The members are not known.", SEEN)
        .unwrap();
    let gap = browser
        .value(
            r"(() => {
  const said = document.querySelector('#members-body p'), text = document.createRange();
  text.selectNodeContents(said);
  return text.getBoundingClientRect().left - said.closest('.panel').getBoundingClientRect().left;
})()",
        )
        .unwrap();
    assert!(gap.as_f64().unwrap() > 10.0, "{gap}");
}
