//! REST as data: documents, request bodies and the rules that turn facts into status codes.
//!
//! Everything here is a value or a pure function; time is a parameter. Source: the REST contract.

pub mod answer;
pub mod body;
pub mod cluster;
pub mod durations;
pub mod error_page;
pub mod events;
pub mod facts;
pub mod failover;
pub mod failsafe;
pub mod health;
pub mod histogram;
pub mod journal;
pub mod metrics;
pub mod mpp;
pub mod openapi;
pub mod peer;
pub mod probes;
pub mod query;
pub mod reinitialize;
pub mod restart;
pub mod route;
pub mod schedule;
pub mod snapshot;
mod spoken_time;
pub mod status;

pub use answer::{Answer, Content};
pub use body::BodyFault;
pub use durations::{Durations, StoreOperation};
pub use facts::{Row, SenderRow, ServerFacts, ServerRow};
pub use failover::{Action, FailoverBody, FailoverPoll};
pub use failsafe::FailsafeBody;
pub use journal::{JournalPage, JournalQuery};
pub use mpp::{MppEvent, MppEventKind};
pub use peer::PeerStatus;
pub use query::Query;
pub use reinitialize::ReinitRequest;
pub use restart::RestartRequest;
pub use schedule::{ScheduleFault, Scheduled};
pub use snapshot::{CachedView, LogQueue, Snapshot};
pub use status::Status;
