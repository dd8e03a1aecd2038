//! A store in memory: for tests, for embedding, and as the world of the simulator.
//!
//! [`Model`] is the server, [`Session`] one client of it: both plain values without clock, task
//! or chance, so that whoever owns them decides what happens when. [`Server`] and
//! [`MemoryStore`] put the two behind the [`Store`](crate::Store) trait.

mod discipline;
mod model;
mod reading;
mod session;
mod store;

pub use discipline::Discipline;
pub use model::{Answer, Condition, Entry, Fault, LeaseId, Model, Request, Silence};
pub use session::Session;
pub use store::{MemoryStore, Server};
