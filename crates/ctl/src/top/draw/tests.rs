//! Pictures of clusters, held against files: what is shown is read by a person.

use patroni_core::{
    ConfigDoc, Failover, FailoverRequest, History, Leader, Lsn, Member, MemberData, Revision, Scope,
};
use serde_json::{Value, json};

use super::super::board::Step;
use super::*;
use crate::screen::{Input, Key};
use crate::view::View;

fn member(name: &str, data: &Value) -> Member {
    Member {
        name: MemberName::new(name),
        session: None,
        data: MemberData::parse(&data.to_string()),
    }
}

fn standby(name: &str, host: &str, replayed: u64, more: &Value) -> Member {
    let mut data = json!({
        "conn_url": format!("postgres://{host}:5432/postgres"), "state": "running", "role": "replica",
        "api_url": format!("http://{host}:8008/patroni"), "timeline": 5, "version": "4.1.5",
        "replication_state": "streaming", "xlog_location": replayed, "replay_lsn": replayed,
        "receive_lsn": 0x900_0000
    });
    for (key, value) in more.as_object().unwrap() {
        data[key] = value.clone();
    }
    member(name, &data)
}

/// A leader, a synchronous standby, one below it that lags, and one that is being copied.
fn cluster(lag: u64) -> Cluster {
    let mut cluster = Cluster {
        leader: Some(Leader {
            name: MemberName::new("node2"),
            revision: Revision::new(1),
            session: None,
        }),
        history: History::parse(
            r#"[[1, 25623960, "no recovery target specified"],
                [3, 67108864, "no recovery target specified", "2026-01-31T13:00:00+00:00", "node1"],
                [4, 83886160, "before 2026-02-01", "2026-02-01T13:00:00+00:00", "node2"]]"#,
        ),
        ..Cluster::default()
    };
    cluster.status.optime = Lsn::new(0x900_0000);
    cluster.sync.leader = Some(MemberName::new("node2"));
    cluster.sync.standbys = [MemberName::new("node1")].into();
    let settings = json!({"synchronous_mode": true, "pause": false});
    cluster.config = Some(ConfigDoc {
        revision: Revision::new(1),
        modify_revision: Some(Revision::new(1)),
        data: settings.as_object().unwrap().clone().into(),
    });
    cluster.members = vec![
        standby(
            "node1",
            "10.0.0.1",
            0x900_0000,
            &json!({"tags": {"clonefrom": true}}),
        ),
        member(
            "node2",
            &json!({"conn_url": "postgres://10.0.0.2:5432/postgres", "state": "running",
                "role": "primary", "api_url": "http://10.0.0.2:8008/patroni", "timeline": 5,
                "version": "4.1.5", "xlog_location": 0x900_0000, "pending_restart": true,
                "pending_restart_reason": {"max_connections": {"old_value": "100", "new_value": "200"}},
                "scheduled_restart": {"schedule": "2026-03-01T02:00:00+00:00"}}),
        ),
        standby(
            "node3",
            "10.0.0.3",
            0x900_0000 - lag,
            &json!({"tags": {"replicatefrom": "node1", "nofailover": true}}),
        ),
        member(
            "new\u{1b}[2J",
            &json!({"state": "creating replica", "role": "uninitialized"}),
        ),
    ];
    cluster
}

fn board(clusters: Vec<Cluster>) -> Board {
    let mut board = Board::new(Scope::new("demo"), Duration::from_secs(2));
    for (round, cluster) in (0..).zip(clusters) {
        let view = View::of_one(Scope::new("demo"), None, cluster);
        board.saw(view, Duration::from_secs(2 * round));
    }
    board
}

fn rising() -> Board {
    board((0..15).map(|round| cluster(round << 18)).collect())
}

fn picture(board: &Board, size: (u16, u16), unicode: bool) -> String {
    let moment = Moment {
        size,
        clock: "2026-02-02 10:11:12".to_owned(),
        now: Duration::from_secs(29),
        paint: Paint {
            colours: true,
            unicode,
        },
    };
    let frame = draw(board, &moment);
    assert_eq!(frame.lines.len(), usize::from(size.1));
    let widest = frame.lines.iter().map(Line::width).max().unwrap_or(0);
    assert!(widest <= usize::from(size.0), "{widest} columns");
    frame.plain()
}

/// `PATRONI_BLESS=1` writes the file anew.
#[track_caller]
fn golden(name: &str, seen: &str) {
    let file = format!("{}/src/top/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PATRONI_BLESS").is_some() {
        std::fs::write(&file, seen).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(seen == wanted, "{name} looks different now:\n{seen}");
}

#[test]
fn a_cluster_is_shown_on_terminals_of_all_sizes() {
    let board = rising();
    golden("wide", &picture(&board, (132, 30), true));
    golden("usual", &picture(&board, (80, 24), true));
    golden("ascii", &picture(&board, (100, 24), false));
    golden("small", &picture(&board, (44, 12), true));
    // Nobody can read these, but they must not end the view.
    for size in [(0, 0), (1, 1), (5, 2), (400, 3)] {
        picture(&board, size, true);
    }
}

#[test]
fn what_is_wrong_is_told() {
    let mut cluster = cluster(0);
    cluster.leader = None;
    let mut settings = cluster.config.as_ref().unwrap().data.as_ref().clone();
    settings.insert("pause".to_owned(), true.into());
    cluster.config.as_mut().unwrap().data = settings.into();
    cluster.sync.standbys.clear();
    let request = FailoverRequest {
        leader: Some(MemberName::new("node2")),
        candidate: None,
        scheduled_at: Some(ScheduledAt::parse("2026-03-01T02:00:00+00:00")),
    };
    cluster.failover = Some(Failover {
        revision: Revision::new(1),
        request,
    });
    let mut board = board(vec![cluster]);
    board.failed("Can not access the etcd3 store (10.0.0.9:2379): no answer".to_owned());
    golden("trouble", &picture(&board, (100, 24), true));
}

#[test]
fn a_beginning_says_what_it_waits_for() {
    let mut board = board(Vec::new());
    golden("beginning", &picture(&board, (80, 6), true));
    board.failed("Can not access the etcd3 store".to_owned());
    golden("never", &picture(&board, (80, 6), true));
}

#[test]
fn keys_choose_sort_and_help() {
    let mut board = rising();
    let press = |board: &mut Board, letter| board.take(Input::Key(Key::Char(letter)));
    press(&mut board, 'j');
    press(&mut board, 'j');
    board.take(Input::Key(Key::Down));
    assert_eq!(board.rows()[board.place()].name, "node3");
    // The chosen member stays chosen when the order changes.
    press(&mut board, 's');
    press(&mut board, 's');
    assert_eq!(board.rows()[0].name, "node3");
    assert_eq!(board.place(), 0);
    golden("sorted", &picture(&board, (100, 24), true));
    press(&mut board, '?');
    golden("help", &picture(&board, (80, 24), true));
    assert_eq!(press(&mut board, 'r'), Step::Read);
    assert_eq!(press(&mut board, 'q'), Step::End(0));
    assert_eq!(board.take(Input::End(143)), Step::End(143));
}

#[test]
fn of_many_members_the_chosen_one_is_always_seen() {
    let mut many = cluster(0);
    for number in 10..60 {
        let host = format!("10.0.1.{number}");
        many.members.push(standby(
            &format!("node{number}"),
            &host,
            0x900_0000,
            &json!({}),
        ));
    }
    let mut board = board(vec![many]);
    for key in [Key::End, Key::Home, Key::Down] {
        board.take(Input::Key(key));
        let name = harmless(&board.rows()[board.place()].name);
        let seen = picture(&board, (80, 20), true);
        let row = seen.lines().find(|line| line.starts_with("> ")).unwrap();
        assert!(row.contains(&name), "{name}\n{seen}");
    }
}

#[test]
fn sizes_are_short() {
    use super::super::table::size;
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (10 << 20, "10 MiB"),
        ((3 << 30) + (1 << 29), "3.5 GiB"),
        (u64::MAX, "15 EiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}
