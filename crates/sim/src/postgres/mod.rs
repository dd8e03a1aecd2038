//! A model of PostgreSQL: as much of it as decisions about leadership can notice.

pub(crate) mod commits;
pub(crate) mod control;
pub(crate) mod life;
pub(crate) mod repair;
pub(crate) mod server;
mod silence;
pub(crate) mod slots;
pub(crate) mod stream;
pub(crate) mod wal;
