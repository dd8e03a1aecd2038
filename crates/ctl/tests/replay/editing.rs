//! `edit-config` in an editor, on a terminal.

use std::os::unix::fs::PermissionsExt as _;

use crate::dry_run::cluster;
use crate::world::{Fake, run_typed};

/// Exit status, output, errors and changes of `edit-config` with an editor that is told `-nw`
/// before the file.
fn edit(script: &str, typed: &str) -> (u8, String, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let editor = folder.path().join("editor");
    let script = format!("#!/bin/sh\n[ \"$1\" = -nw ] || exit 9\n{script}\n");
    std::fs::write(&editor, script).unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let environment = [("EDITOR".to_owned(), format!("{} -nw", editor.display()))].into();
    let mut fake = Fake::default();
    fake.set("west", cluster(), cluster(), Vec::new());
    let words = ["edit-config", "west", "-q"];
    let (code, out, err) = run_typed(&fake, &words, typed, environment);
    (code, out, err, fake.changes())
}

/// A slip: the first time the text is torn, the second time it is there as it was left.
const SLIP: &str = "grep -q torn \"$2\" && echo 'ttl: 25' > \"$2\" || echo '[ torn' > \"$2\"";

#[test]
fn an_editor_may_have_arguments() {
    let (code, _, err, changes) = edit("echo 'ttl: 25' > \"$2\"", "y\n");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(changes, ["config"]);
}

#[test]
fn a_slip_costs_no_work() {
    let (code, out, err, changes) = edit(SLIP, "y\ny\n");
    assert_eq!(code, 0, "{err}");
    assert!(
        err.starts_with("Error: Invalid YAML in the edited configuration"),
        "{err}"
    );
    assert!(
        out.starts_with("Edit it again? [y/N]: Apply these changes?"),
        "{out}"
    );
    assert_eq!(changes, ["config"]);
}

#[test]
fn who_gives_up_changes_nothing() {
    for typed in ["n\n", ""] {
        let (code, _, err, changes) = edit(SLIP, typed);
        assert_eq!(code, 1);
        assert!(err.ends_with("Aborted!\n"), "{err}");
        assert_eq!(changes, [""; 0]);
    }
}
