//! The suite that every store must pass: what an operator sees of a three-node cluster.
//!
//! One file per behaviour; each test is run on each store by [`on_each_store`].

/// Makes one test per store from a function that takes the store.
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        mod etcd3 {
            $(#[test] fn $name() -> anyhow::Result<()> { super::$name(patroni_tests::StoreKind::Etcd3) })+
        }
        mod raft {
            $(#[test] fn $name() -> anyhow::Result<()> { super::$name(patroni_tests::StoreKind::Raft) })+
        }
    };
}

mod bootstrap;
mod configuration;
mod divergence;
mod failover;
mod faults;
mod guardian;
mod journal;
mod pause;
mod probe;
mod restart;
mod slots;
mod standby_cluster;
mod start_errors;
mod stronger;
mod switchover;
mod synchronous;
mod witness;
