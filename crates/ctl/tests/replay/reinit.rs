//! `reinit` of a member that is being copied already.

use crate::dry_run::cluster;
use crate::world::{Fake, run_with};

/// The question came once only, so the second refusal was the end.
#[test]
fn the_question_comes_back_as_long_as_a_copy_is_in_progress() {
    let says = |status: u16, text: &str| {
        let [who, how, what] = ["b", "POST", "reinitialize"].map(str::to_owned);
        (who, how, what, status, text.to_owned())
    };
    let busy = || says(503, "reinitialize already in progress");
    let mut fake = Fake::default();
    let answers = vec![busy(), busy(), says(200, "")];
    fake.set("west", cluster(), cluster(), answers);
    let words = ["reinit", "west", "b"];
    let settings = Box::new(patroni_ctl::find);
    let (code, out, err) = run_with(&fake, &words, "y\ny\ny\n", settings);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.matches("cancel it and reinitialize anyway?").count(), 2);
    assert!(
        out.ends_with("Success: reinitialize for member b\n"),
        "{out}"
    );
}
