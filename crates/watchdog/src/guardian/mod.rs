//! The guardian: a watchdog of software, for nodes without a device and for daemons that die.
//!
//! A small process of its own that outlives the daemon. It is told over a pipe until when the
//! leader lock lasts and what to do when that time comes without a word; each renewal moves the
//! time on, and giving the lock back sends it home. When the daemon hangs, stands still or is
//! dead, the time comes, and the guardian acts.
//!
//! Like the devices it knows neither the lock nor PostgreSQL: the time is a point on the clock
//! since boot, and what is to be done is a line of text that [`watch`] hands to a function of
//! the caller. [`Guardian`] is the daemon's side, [`watch`] the other process.
//!
//! A daemon that starts while an old guardian still counts puts its own on duty with the first
//! renewal. Who is on duty stands in a file; an old guardian whose daemon is gone looks there
//! before it acts, and goes home when it finds another one's name, or none.

mod duty;
mod keeper;
mod order;
mod watch;

pub use keeper::Guardian;
pub use watch::{ARGUMENT, Post, watch};

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The clock that a lease is counted on: it goes on while the machine is suspended.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
/// Of the other systems macOS does the same with the usual one.
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

fn since_boot() -> Duration {
    clock_gettime(CLOCK)
        .map(Duration::from)
        .expect("the system has a clock that counts from boot")
}
