//! The log: formats, files, levels, and what is left out.
//!
//! A [`tracing`] subscriber that writes what operators of the reference know: the plain form
//! `2026-11-21 03:34:03,851 INFO: text` or JSON, to standard error or to rotated files, through a
//! bounded queue so that a slow disk never holds up a decision. Everything can be changed live.
//!
//! The crate decides nothing about what is logged; messages are plain `tracing::info!("text")`.
//! Two fields have a meaning: `error` is the cause of a failure and follows the message, and
//! `critical = true` lifts an error to CRITICAL. Other fields appear in JSON only.
//!
//! Read [`LogSettings`] and [`Handle`] first.
//!
//! ```
//! use patroni_telemetry::{LogSettings, Telemetry};
//!
//! let telemetry = Telemetry::build(&LogSettings::default())?;
//! tracing::dispatcher::with_default(&telemetry.dispatch, || tracing::info!("hello"));
//! telemetry.handle.flush(std::time::Duration::from_secs(1));
//! # Ok::<(), patroni_telemetry::LogError>(())
//! ```
#![deny(clippy::wildcard_enum_match_arm)]

mod error;
mod file;
mod format;
mod handle;
mod heartbeat;
mod layer;
mod names;
mod queue;
mod record;
mod section;
mod settings;
mod sink;
mod template;

pub use error::LogError;
pub use format::{Format, JsonField};
pub use handle::{Handle, QueueState, Telemetry};
pub use settings::{FileSettings, Level, LogSettings, TracebackLevel};
pub use template::Template;
