//! The drop-in promise, seen from outside: nodes of this project and of the reference in one
//! cluster, with the same files, driven by the tools of both.
//!
//! The tests run when `PATRONI_REFERENCE_BIN` names a folder with the reference's `patroni` and
//! `patronictl`, for example the `bin` of a Python environment in which
//! `pip install "patroni[etcd3]==4.1.5" "psycopg[binary]"` was run. Otherwise each says in one
//! line that it is skipped.

mod actions;
mod agree;
mod migrate;
mod shape;
mod sync;
mod transcript;
