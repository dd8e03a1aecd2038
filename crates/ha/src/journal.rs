//! Decisions that explain themselves: what a program began with, what it asked for and why, what
//! became of it, and how it ended, as one value that can be kept, replayed and told.
//!
//! Read [`Record`] first; [`replay()`] runs one through the core again and names the first
//! difference, [`account()`] tells it in plain sentences, [`Line`] is its form on disk.

mod account;
mod line;
mod record;
mod replay;
mod secrets;
mod shape;
mod turn;
mod wording;

pub use account::account;
pub use line::{Line, LineError, VERSION};
pub use record::{Asked, End, Record, Run};
pub use replay::{Answer, Difference, replay};
pub use shape::Shape;
