//! The drop-in promise, seen from outside: nodes of this project and of the reference in one
//! cluster, with the same files, driven by the tools of both.
//!
//! The tests run when `PATRONI_REFERENCE_BIN` names a folder with the reference's `patroni` and
//! `patronictl`, for example the `bin` of a Python environment in which
//! `pip install "patroni[etcd,etcd3,consul,zookeeper,kubernetes]==4.1.5" "psycopg[binary]"` was run. Otherwise each says in one
//! line that it is skipped.

/// Makes one test for each store that both makers know.
macro_rules! on_each_store {
    ($($name:ident),+ $(,)?) => {
        patroni_tests::on_store!(Etcd3 in etcd3: $($name),+);
        patroni_tests::on_store!(Etcd2 in etcd2: $($name),+);
        patroni_tests::on_store!(Consul in consul: $($name),+);
        patroni_tests::on_store!(ZooKeeper in zookeeper: $($name),+);
        patroni_tests::on_store!(Kubernetes in kubernetes: $($name),+);
    };
}

mod actions;
mod agree;
mod migrate;
mod shape;
mod steps;
mod sync;
mod transcript;
mod weak_points;
