//! Watchdog devices that reset a machine whose node lost control.
//!
//! A primary arms the device before its promotion and feeds it right after each renewal of the
//! leader lock. When the node hangs, the device fires before the lock can pass to somebody else.
//! The crate knows neither the lock nor PostgreSQL: when to arm, to feed and to disarm is told.
//!
//! A [`Watchdog`] that is dropped while armed is *not* disarmed: a process that ends without
//! saying so is just what the device is there for. Call [`Watchdog::disable`].
//!
//! Read [`Watchdog`] and [`WatchdogSettings`] first.
//!
//! ```
//! use patroni_watchdog::{Mode, Timing, Watchdog, WatchdogSettings};
//!
//! let timing = Timing { ttl: 30, loop_wait: 10 };
//! let off = WatchdogSettings { mode: Mode::Off, ..WatchdogSettings::default() };
//! let mut watchdog = Watchdog::new(off, timing);
//! assert!(watchdog.activate().may_promote());
//! assert!(!watchdog.is_armed());
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

mod device;
mod error;
pub mod guardian;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod no_device;
mod settings;
mod testing;
mod timing;
mod watchdog;

pub use error::DeviceError;
pub use guardian::Guardian;
pub use settings::{Driver, Mode, WatchdogSettings};
pub use timing::Timing;
pub use watchdog::{Activation, Watchdog};
