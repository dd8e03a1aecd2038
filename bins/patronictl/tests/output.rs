//! What goes to the standard output, whoever reads it.

use std::process::{Command, Stdio};

/// As with `patronictl list | head -1`; the exit status is that of the reference.
#[test]
fn a_reader_that_has_seen_enough_is_not_complained_about() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_patronictl"))
        .args(["-d", "etcd3://127.0.0.1:1", "version"])
        .stdin(Stdio::null())
        .stdout(writer)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.is_empty(), "{said}");
}
