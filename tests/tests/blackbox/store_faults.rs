//! What becomes of a cluster when its store fails, on each store that is a server of its own: one
//! client writes in synchronous mode all the time, and nothing that was acknowledged is lost.
//!
//! Each test tells how long it took from the end of the fault to a whole cluster, in a line that
//! `cargo xtask test stores` makes a table of.

mod access;
mod cuts;
mod data;
mod lock;
mod server;
mod story;
mod three_servers;
