//! Random faults for a short time; `cargo xtask chaos` has more of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::StoreKind;
use patroni_tests::chaos::{self, Mode, Options};

fn a_minute(seed: u64, mode: Mode, failsafe: bool) -> Result<()> {
    let options = Options {
        seed,
        length: Duration::from_mins(1),
        store: StoreKind::Etcd3,
        mode,
        failsafe,
        logs: None,
    };
    let Some(report) = chaos::run(&options, &mut |line| eprintln!("{line}"))? else {
        return Ok(());
    };
    eprintln!("{report:?}");
    ensure!(report.faults > 0, "nothing broke");
    ensure!(report.acknowledged > 0, "nothing was written");
    ensure!(report.replayed > 0, "nothing was replayed");
    Ok(())
}

#[test]
fn quorum_mode_keeps_its_promise_through_random_faults() -> Result<()> {
    a_minute(1, Mode::Quorum, false)
}

#[test]
fn synchronous_mode_keeps_its_promise_through_random_faults() -> Result<()> {
    a_minute(2, Mode::Synchronous, true)
}
