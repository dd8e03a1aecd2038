//! The checks, one theme per file. Each is a pure function; all are listed in [`ALL`].

mod candidates;
mod clock;
mod lock;
mod members;
mod replication;
mod requests;
mod settings;
mod slots;
mod sync;
mod versions;

use super::facts::Facts;
use super::finding::Finding;

type Check = fn(&Facts) -> Vec<Finding>;

/// In the order of the report.
pub(super) const ALL: &[Check] = &[
    lock::check,
    candidates::check,
    members::check,
    replication::check,
    sync::check,
    slots::check,
    requests::check,
    settings::check,
    versions::check,
    clock::check,
];
