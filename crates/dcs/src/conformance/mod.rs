//! What every store must do, as one suite that anybody's backend can run.
//!
//! Give [`run`] a [`Factory`] that opens stores, and it tries each promise of [`Store`] on a
//! base path of its own. The in-memory model, the real servers in this crate's tests, and
//! backends written elsewhere are held to the same suite.
//!
//! [`Store`]: crate::Store

mod bench;
mod lock;
mod objects;
mod watch;

use std::time::Duration;

use async_trait::async_trait;

pub use bench::Bench;

use crate::error::StoreError;
use crate::store::{Identity, Store, Timings};

/// Opens stores for the suite.
#[async_trait]
pub trait Factory: Send + Sync {
    /// Connects to the one server under test. Stores with the same base path see one cluster.
    async fn open(
        &self,
        identity: Identity,
        timings: Timings,
    ) -> Result<Box<dyn Store>, StoreError>;

    /// The timings to test with; keep the ttl as short as the server allows, the suite waits
    /// for locks to expire.
    fn timings(&self) -> Timings;

    /// How much later than the ttl a lock may expire at worst.
    fn slack(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// In which the store is unlike most others.
    fn nature(&self) -> Nature {
        Nature::default()
    }
}

/// Where stores really differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// What members are.
    pub members: Members,
    /// Three names that are as unusual as the store allows.
    pub names: [&'static str; 3],
    /// How many bytes one value may have.
    pub largest_value: usize,
}

/// What members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// They come with their first write and expire with their lease.
    Written,
    /// They are there before they write and stay when they do not any more: Pods of Kubernetes.
    Given,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            members: Members::Written,
            names: ["käse", "数据 库", "A.b-c_1"],
            largest_value: 300_000,
        }
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {reason}")]
pub struct Broken {
    /// The name of the check.
    pub check: &'static str,
    /// What was seen.
    pub reason: String,
}

macro_rules! suite {
    ($($room:ident :: $name:ident),* $(,)?) => {
        /// The names of all checks, in their order.
        pub const CHECKS: &[&str] = &[$(stringify!($name)),*];

        /// Runs all checks, one after the other, and lists those that failed.
        ///
        /// # Errors
        /// The broken promises, at least one.
        pub async fn run(factory: &dyn Factory) -> Result<(), Vec<Broken>> {
            let mut broken = Vec::new();
            $(
                let check = stringify!($name);
                let bench = Bench::new(factory, check);
                if let Err(reason) = $room::$name(&bench).await {
                    broken.push(Broken { check, reason });
                }
            )*
            if broken.is_empty() {
                Ok(())
            } else {
                Err(broken)
            }
        }
    };
}

suite! {
    lock::one_racer_wins,
    lock::a_held_lock_is_not_taken,
    lock::the_lock_is_kept_and_carries_a_session,
    lock::a_changed_ttl_keeps_the_lock,
    lock::a_removed_lock_is_put_back_by_its_owner,
    lock::a_lock_of_another_is_a_lost_race,
    lock::only_the_owner_releases_the_lock,
    lock::an_abandoned_lock_and_member_expire,
    lock::bootstrap_takes_the_lock_in_any_case,
    lock::keeping_the_lock_keeps_the_member,
    objects::an_empty_cluster_loads,
    objects::members_are_written_and_rewritten,
    objects::one_racer_begins_to_initialize,
    objects::conditional_writes_notice_other_writers,
    objects::objects_are_shown_as_they_are_stored,
    objects::groups_are_found_and_apart,
    objects::sync_is_compared_and_removed,
    objects::status_is_written_when_it_changed,
    objects::history_and_failsafe_are_kept,
    objects::big_values_survive,
    objects::names_may_have_any_letters,
    objects::clusters_do_not_mix,
    objects::the_control_tool_removes_everything,
    watch::a_released_lock_wakes_others,
    watch::a_changed_configuration_wakes,
    watch::a_kept_lock_does_not_wake,
    watch::a_change_between_two_waits_is_not_lost,
    watch::a_quiet_store_lets_the_wait_end,
}

/// What [`run`] found, a line for each check, as `cargo xtask test stores` reads them:
/// `conformance STORE CHECK kept` or `broken`.
pub fn lines(store: &str, result: &Result<(), Vec<Broken>>) -> String {
    let broken = |check: &str| {
        let broken = result.as_ref().err().into_iter().flatten();
        broken.into_iter().any(|broken| broken.check == check)
    };
    let line = |check: &&str| {
        let word = if broken(check) { "broken" } else { "kept" };
        format!("conformance {store} {check} {word}\n")
    };
    CHECKS.iter().map(line).collect()
}
