//! `top` in memory: what it draws round by round, and when it refuses.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use patroni_core::{Cluster, Member, MemberData, MemberName};
use patroni_ctl::{Input, Key, Screen};

use crate::world::{Fake, run, run_screen};

/// A screen with keys that were pressed beforehand, one each time it was drawn.
pub(crate) struct Paper {
    pub(crate) keys: VecDeque<Input>,
    pub(crate) drawn: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Screen for Paper {
    fn size(&self) -> (u16, u16) {
        (80, 24)
    }

    fn draw(&mut self, text: &str) -> io::Result<()> {
        self.drawn.lock().unwrap().push(text.to_owned());
        Ok(())
    }

    async fn input(&mut self) -> Input {
        match self.keys.pop_front() {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

fn world() -> Fake {
    let mut cluster = Cluster::default();
    cluster.members.push(Member {
        name: MemberName::new("node1"),
        session: None,
        data: MemberData::parse(r#"{"state": "running", "role": "primary"}"#),
    });
    let mut fake = Fake::default();
    fake.set("demo", cluster.clone(), cluster, Vec::new());
    fake
}

#[test]
fn a_key_or_a_signal_ends_it_with_its_status() {
    for (input, status) in [
        (Input::Key(Key::Char('q')), 0),
        (Input::Key(Key::Interrupt), 0),
        (Input::End(143), 143),
    ] {
        let (code, drawn, err) = run_screen(&world(), &["top", "demo"], &[input]);
        assert_eq!((code, err.as_str()), (status, ""), "{input:?}");
        assert!(drawn[0].contains("reading the store"), "{drawn:?}");
        assert!(drawn.last().unwrap().contains("nobody leads; members: 1"));
    }
}

#[test]
fn it_reads_again_until_it_is_interrupted() {
    let fake = world();
    let (code, drawn, err) = run_screen(&fake, &["top", "-w", "1", "demo"], &[]);
    assert_eq!((code, err.as_str()), (1, "\nAborted!\n"));
    assert!(drawn.len() > 3, "{}", drawn.len());
    assert!(drawn.iter().all(|text| text.contains("every 1 s")));
    assert!(fake.changes().is_empty());
}

#[test]
fn without_a_terminal_it_refuses_and_names_the_way_out() {
    let (code, out, err) = run(&world(), &["top", "demo"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("Usage: patronictl top "), "{err}");
    assert!(err.contains("'patronictl list'"), "{err}");
}

#[test]
fn a_period_must_make_sense() {
    for period in ["0", "0.1", "-1", "nan", "1e9"] {
        let option = format!("--watch={period}");
        let (code, _, err) = run_screen(&world(), &["top", &option, "demo"], &[]);
        assert_eq!(code, 2, "{period}");
        assert!(err.contains("is not between 0.5 and 3600"), "{err}");
    }
}
