//! The deterministic simulator: the second body around the decision core.
//!
//! A run puts two to five members into a model world: each has a daemon that drives the same
//! [`patroni_ha`] programs as the real node, a model of PostgreSQL (write-ahead log as a tree of
//! branches, streaming, synchronous standbys, crashes, rewinds, copies), a drifting clock and
//! perhaps a watchdog; all share one model store. Clients write to every primary they find,
//! operators ask for changes at bad moments, and everything breaks in every way that a seed can
//! choose. Invariants watch ([`Invariant`]); the first one broken ends the run. Then the
//! faults end, and the cluster has to heal by itself.
//!
//! What it deliberately does not know: real time, threads inside of a run, sockets, and the
//! crate `node`. Whatever is decided is decided by `ha`; whatever this crate decides wrongly on
//! purpose has a name ([`Mutant`]) and proves that the invariants see it.
//!
//! What the model assumes: history files of all promotions are in an archive that every node can
//! read; a disk never loses what it flushed, and people destroy the data of a member only while
//! all others have them; clocks drift by at most half a percent; a copy or a rewind that fails can
//! be repeated; a watchdog counts on while its machine stands still.
//!
//! Read [`Options`], [`run`] and [`Report`] first, then the `invariants` and `daemon` folders.
//!
//! ```
//! use std::time::Duration;
//! use patroni_sim::{Options, run};
//!
//! let options = Options {
//!     time: Duration::from_mins(1),
//!     ..Options::default()
//! };
//! let report = run(1, &options);
//! assert_eq!(report.violation, None);
//! assert!(report.coverage.of("client: acknowledged") > 0);
//! assert_eq!(run(1, &options), report, "a seed replays exactly");
//! ```
mod chance;
mod clients;
mod clock;
mod daemon;
mod drills;
mod event;
mod exhaustive;
mod faults;
mod invariants;
mod journal;
mod mishaps;
mod mutants;
mod network;
mod node;
mod operators;
mod options;
mod oracle;
mod postgres;
mod queue;
mod remote;
mod report;
mod scenario;
mod shrink;
mod survey;
mod sweep;
mod trace;
mod unreached;
mod world;

pub use exhaustive::{Bounds, Broken, Question, Scene, Search, exhaust};
pub use invariants::Invariant;
pub use mutants::Story;
pub use options::{Faults, Mutant, Options};
pub use report::{Coverage, Report, Violation};
pub use scenario::Scenario;
pub use shrink::{Shrunk, shrink};
pub use sweep::{Summary, hunt, run, sweep, trace};
pub use unreached::unreached;

/// Whether faults of the rules can be put back in this build ([`Mutant::Rule`]).
pub const RULES_HAVE_MUTANTS: bool = cfg!(feature = "mutants");
