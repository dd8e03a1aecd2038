//! The lock of a leader that is alive and well vanishes.

use anyhow::Result;
use patroni_tests::StoreKind;

use super::story::Story;

on_each_server!(a_lock_that_is_taken_away_has_one_owner_again);

/// With its session the leader's own key is gone, too, so that a synchronous standby cannot ask it
/// whether it lives: who is first gets the lock.
fn a_lock_that_is_taken_away_has_one_owner_again(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    story.server()?.take_lock_away()?;
    story.end("lock of the leader taken away")?;
    Ok(())
}
