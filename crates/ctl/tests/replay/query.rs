//! `query` before it reaches a server.

use patroni_core::Cluster;

use crate::world::{Fake, run_with};

/// Runs the tool on a cluster without members.
fn run(words: &[&str], input: &str) -> (u8, String, String) {
    let mut fake = Fake::default();
    fake.set("west", Cluster::default(), Cluster::default(), Vec::new());
    run_with(&fake, words, input, Box::new(patroni_ctl::find))
}

#[test]
fn the_question_for_the_password_does_not_mix_with_the_rows() {
    let words = ["query", "west", "--password", "-c", "select 1"];
    let (code, out, err) = run(&words, "secret\n");
    assert_eq!((code, err.as_str()), (0, "Password: "));
    assert!(out.ends_with("\tNo connection is available\n"), "{out}");
    assert!(!out.contains("Password"), "{out}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_in_the_command_line() {
    for words in [
        &["query", "west", "-f", "/nonexistent"][..],
        &["query", "west", "-f", "/nonexistent", "-c", "select 1"],
    ] {
        let (code, out, err) = run(words, "");
        assert_eq!((code, out.as_str()), (2, ""));
        let last =
            "Error: Invalid value for '--file' / '-f': '/nonexistent': No such file or directory\n";
        assert!(err.ends_with(last), "{err}");
    }
}
