//! The conditional writes, exactly as every member of a cluster must make them.
//!
//! Source: store contract, section 10. The branches that read back what was in the way change
//! nothing in the store; they spare a second request and tell a lost reply from a lost race.

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

/// Puts a key if it does not exist; else reads it.
pub(super) fn create(key: &str, value: &str, lease: Option<i64>) -> Txn {
    Txn::new()
        .when([Compare::create_revision(key, CompareOp::Equal, 0)])
        .and_then([put(key, value, lease)])
        .or_else([TxnOp::get(key, None)])
}

/// Puts the lock if it is ours by name, or does not exist; else reads it.
pub(super) fn renew(key: &str, me: &str, lease: i64) -> Txn {
    Txn::new()
        .when([Compare::value(key, CompareOp::Equal, me)])
        .and_then([put(key, me, Some(lease))])
        .or_else([TxnOp::txn(create(key, me, Some(lease)))])
}

/// Puts a key if nobody wrote it since `revision`; else reads it.
pub(super) fn replace(key: &str, value: &str, revision: i64) -> Txn {
    Txn::new()
        .when([Compare::mod_revision(key, CompareOp::Equal, revision)])
        .and_then([put(key, value, None)])
        .or_else([TxnOp::get(key, None)])
}

/// Removes a key if nobody wrote it since `revision`; else reads it.
pub(super) fn remove(key: &str, revision: i64) -> Txn {
    Txn::new()
        .when([Compare::mod_revision(key, CompareOp::Equal, revision)])
        .and_then([TxnOp::delete(key, None)])
        .or_else([TxnOp::get(key, None)])
}

/// Removes the lock if it is ours by name; else reads it.
pub(super) fn release(key: &str, me: &str) -> Txn {
    Txn::new()
        .when([Compare::value(key, CompareOp::Equal, me)])
        .and_then([TxnOp::delete(key, None)])
        .or_else([TxnOp::get(key, None)])
}

fn put(key: &str, value: &str, lease: Option<i64>) -> TxnOp {
    TxnOp::put(key, value, lease.map(|id| PutOptions::new().with_lease(id)))
}
