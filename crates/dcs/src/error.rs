//! What can go wrong with a store: four kinds, because the loop treats them in four ways.

use std::error::Error;

/// A failed store operation.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct StoreError {
    /// What was tried (`update leader lock`).
    pub operation: &'static str,
    /// What became of it.
    pub kind: StoreErrorKind,
    /// The cause, when there is one.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The four kinds of failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreErrorKind {
    /// Nobody answered in time, or with an error that says nothing about our request. The
    /// request may or may not have been carried out.
    #[error("store unreachable ({0})")]
    Unreachable(String),
    /// The store answered: the condition does not hold, somebody else was first.
    #[error("somebody else was first")]
    LostRace,
    /// The store, or our own settings, say that we may not or cannot do this.
    #[error("refused ({0})")]
    Denied(String),
    /// The store answered something that makes no sense.
    #[error("nonsense answer ({0})")]
    Nonsense(String),
}

impl StoreError {
    /// A failure without a cause of its own.
    pub fn new(operation: &'static str, kind: StoreErrorKind) -> Self {
        Self {
            operation,
            kind,
            source: None,
        }
    }

    /// Nobody answered.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand in errors and literals alike, without a reference"
    )]
    pub fn unreachable(operation: &'static str, why: impl ToString) -> Self {
        Self::new(operation, StoreErrorKind::Unreachable(why.to_string()))
    }

    /// Somebody else was first.
    pub fn lost_race(operation: &'static str) -> Self {
        Self::new(operation, StoreErrorKind::LostRace)
    }

    /// The control tool and observers must not write what belongs to members.
    pub(crate) fn members_only(operation: &'static str) -> Self {
        let why = "only a member may do this".to_owned();
        Self::new(operation, StoreErrorKind::Denied(why))
    }

    /// Whether trying again cannot help: the store (or our own settings) says no.
    pub fn is_final(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Denied(_))
    }

    /// Whether the store answered that somebody else was first.
    pub fn is_lost_race(&self) -> bool {
        self.kind == StoreErrorKind::LostRace
    }
}
