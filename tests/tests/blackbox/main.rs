//! The suite that every store must pass: what an operator sees of a three-node cluster.
//!
//! One file per behaviour; each test is run on etcd and on the embedded store by
//! [`on_each_store`]. What depends on the store itself is run on every one.

/// Makes one test for each of the stores on which everything is tested.
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        patroni_tests::on_store!(Etcd3 in etcd3: $($name),+);
        patroni_tests::on_store!(Raft in raft: $($name),+);
    };
}

/// Makes one test for each store that is a server apart from the nodes.
macro_rules! on_each_server {
    ($($name:ident),+ $(,)?) => {
        patroni_tests::on_store!(Etcd3 in etcd3_server: $($name),+);
        patroni_tests::on_store!(Etcd2 in etcd2: $($name),+);
        patroni_tests::on_store!(Consul in consul: $($name),+);
        patroni_tests::on_store!(ZooKeeper in zookeeper: $($name),+);
        patroni_tests::on_store!(Kubernetes in kubernetes: $($name),+);
    };
}

mod bootstrap;
mod chaos;
mod citus;
mod configuration;
mod divergence;
mod every_store;
mod failover;
mod faults;
mod guardian;
mod journal;
mod looking;
mod manifests;
mod migrate_store;
mod pause;
mod postgresql_faults;
mod probe;
mod proxies;
mod recorded;
mod restart;
mod slots;
mod standby_cluster;
mod start_errors;
mod store_faults;
mod stronger;
mod switchover;
mod synchronous;
mod witness;
