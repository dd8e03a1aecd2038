//! Waiting for a state, with a bound and a story when it does not come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks `look` until it gives a value. The error of the last look tells what was seen instead.
///
/// # Errors
/// The state did not come within `at_most`.
pub fn until<T>(what: &str, at_most: Duration, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(error) if start.elapsed() > at_most => {
                bail!("{what}: not seen within {at_most:?}; last look: {error:#}")
            }
            Err(_) => pause(Duration::from_millis(50)),
        }
    }
}

/// A short pause between two looks at a state.
pub fn pause(length: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one pause between two looks, outside of any async code"
    )]
    std::thread::sleep(length);
}
