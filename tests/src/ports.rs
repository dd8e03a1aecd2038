//! Ports that nobody else uses.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that was free a moment ago and that this process never gives out twice. The range lies
/// below the ephemeral ports, so that no outgoing connection takes it meanwhile; where it begins
/// depends on the process, so that two runs of the suite rarely meet.
///
/// # Panics
/// When every port of the range is taken.
pub fn free() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    let origin = u16::try_from(std::process::id() % 97).expect("below 97") * 200;
    for _ in 0..COUNT {
        let port = FIRST + (origin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// A free port whose next one is free, too.
///
/// # Panics
/// When every port of the range is taken.
pub fn two_in_a_row() -> u16 {
    let mut before = free();
    loop {
        let next = free();
        if next == before + 1 {
            return before;
        }
        before = next;
    }
}
