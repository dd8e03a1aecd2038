//! The lock of a leader that is alive and well vanishes.

use std::time::Instant;

use anyhow::Result;
use patroni_tests::StoreKind;

use super::story::Story;

on_each_server!(a_leader_whose_lock_is_taken_away_takes_it_again);

fn a_leader_whose_lock_is_taken_away_takes_it_again(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.server()?.take_lock_away()?;
    story.end_unnoticed(fault, "lock of the leader taken away")
}
