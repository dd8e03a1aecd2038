//! Commands that write to the store.

use std::collections::BTreeMap;
use std::time::Instant;

use patroni_core::{Leader, MemberName, Revision, Status, SyncState};
use patroni_dcs::{StoreError, StoreErrorKind};
use patroni_ha::command::MemberNotes;
use patroni_ha::outcome::{LockOutcome, Outcome, Written};
use tracing::{debug, warn};

use super::Body;
use crate::publish;

impl Body {
    /// Reads the store; the snapshot also becomes the view that REST answers from.
    pub(super) async fn load_cluster(&self) -> Outcome {
        Outcome::Cluster(self.load_view().await)
    }

    /// Takes or extends the lock by `request`. The lease counts from before it was sent, and lasts
    /// as long as the store makes it: a new `ttl` may be known here before the store has it.
    async fn lock(&self, request: impl Future<Output = Result<(), StoreError>>) -> LockOutcome {
        let (sent_at, ttl) = (self.clock.now(), self.store.ttl());
        match self.within_patience(request).await {
            Ok(()) => {
                let until = sent_at + ttl.min(self.store.ttl());
                self.lease.held_until(until);
                self.tell_guardian();
                LockOutcome::Held { until }
            }
            Err(error) if error.is_lost_race() => {
                self.lease.lost();
                LockOutcome::Refused
            }
            Err(error) => LockOutcome::Unreachable(explain(&error)),
        }
    }

    /// Waits for the store as long as the last verdict allows. A renewal that is dropped may
    /// still be carried out; then the lock lasts longer than this node counts on.
    pub(crate) async fn within_patience<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(until) = self.facts().store_until else {
            return request.await;
        };
        let left = until.since(self.clock.now());
        match tokio::time::timeout(left, request).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::unreachable(
                "reach the store",
                "no answer before the lease has to be given up",
            )),
        }
    }

    pub(super) async fn acquire_leader(&self) -> Outcome {
        self.take_lock(self.store.acquire_leader()).await
    }

    pub(super) async fn take_leader(&self) -> Outcome {
        self.take_lock(self.store.take_leader()).await
    }

    async fn take_lock(&self, request: impl Future<Output = Result<(), StoreError>>) -> Outcome {
        let _turn = self.lock_turn.take().await;
        let lock = self.lock(request).await;
        if matches!(lock, LockOutcome::Held { .. }) {
            let role = self.supervisor.role();
            self.phases.lock_taken(role, Instant::now());
        }
        Outcome::Lock(lock)
    }

    /// Extends the lock; what is published with it is written only after that succeeded, and a
    /// failure to publish does not touch the lock.
    pub(super) async fn update_leader(
        &self,
        judged: &Leader,
        status: Option<&Status>,
        failsafe: Option<&BTreeMap<MemberName, String>>,
    ) -> Outcome {
        let turn = self.lock_turn.take().await;
        if turn.released_since_observed() {
            return Outcome::Lock(LockOutcome::Refused);
        }
        let lock = self.lock(self.store.update_leader(judged)).await;
        drop(turn);
        if matches!(lock, LockOutcome::Held { .. }) {
            if let Some(status) = status {
                written("write status", self.store.write_status(status).await);
            }
            if let Some(members) = failsafe {
                written(
                    "write failsafe members",
                    self.store.write_failsafe(members).await,
                );
            }
        }
        Outcome::Lock(lock)
    }

    pub(super) async fn release_leader(
        &self,
        judged: Option<&Leader>,
        status: Option<&Status>,
    ) -> Outcome {
        let mut turn = self.lock_turn.take().await;
        turn.note_release();
        if let Some(status) = status {
            written("write status", self.store.write_status(status).await);
        }
        self.phases.lock_released();
        self.lease.ended();
        self.rest_guardian();
        let result = self.store.delete_leader(judged).await;
        Outcome::Write(written("delete leader key", result))
    }

    pub(super) async fn touch_member(&self, notes: MemberNotes) -> Outcome {
        let (data, state, role) = {
            let facts = self.facts();
            let server = facts.server_now(&self.supervisor);
            let data = publish::member_data(
                &facts.addresses,
                &facts.tags,
                &server,
                facts.positions_are_stable,
                facts.scheduled_restart.as_ref(),
                facts.silent_since.is_none(),
                &notes,
            );
            (data, server.state, server.role)
        };
        let view = self.view();
        let judged = view.as_ref().and_then(|view| view.member(&self.name));
        let result = self.store.touch_member(&data, judged).await;
        let written = written("touch member", result);
        if written == Written::Yes {
            self.note_published(state, role);
        }
        Outcome::Write(written)
    }

    pub(super) async fn write_sync(&self, state: &SyncState, judged: Option<&Revision>) -> Outcome {
        Outcome::SyncWritten(match self.store.write_sync(state, judged).await {
            Ok(revision) => Ok(revision),
            Err(error) => Err(written("write sync state", Err(error))),
        })
    }
}

/// What a soft write came to; a failure is logged here, because the core goes on without it.
pub(super) fn written(what: &str, result: Result<(), StoreError>) -> Written {
    match result {
        Ok(()) => Written::Yes,
        Err(error) if error.is_lost_race() => {
            debug!("{what}: somebody else was first");
            Written::LostRace
        }
        Err(error) => {
            let why = explain(&error);
            warn!("failed to {what}: {why}");
            Written::Failed(why)
        }
    }
}

/// The error with its causes, in one line.
pub(crate) fn explain(error: &StoreError) -> String {
    let mut text = match &error.kind {
        StoreErrorKind::Unreachable(why) => why.clone(),
        kind @ (StoreErrorKind::LostRace
        | StoreErrorKind::Denied(_)
        | StoreErrorKind::Nonsense(_)) => kind.to_string(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
