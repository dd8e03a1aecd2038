//! What goes to the standard output, whoever reads it.

use std::process::{Command, Stdio};

/// As with `patroni --json-schema | head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_patroni"))
        .arg("--json-schema")
        .stdin(Stdio::null())
        .stdout(writer)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}
