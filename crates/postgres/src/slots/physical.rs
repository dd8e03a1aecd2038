//! Physical slots: created, advanced and dropped by a plan (supervision contract, sections 13.1
//! to 13.3).

use std::collections::BTreeSet;
use std::time::Duration;

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::{Lsn, SlotName};
use tokio::time::timeout;
use tokio_postgres::Client;

use super::SlotMatcher;
use crate::causes::Causes;

/// A physical slot that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotWish {
    /// Its name.
    pub name: SlotName,
    /// Whether a consumer is expected to hold it here; `None` for slots that are only kept, of
    /// members that are away.
    pub expected_active: Option<bool>,
    /// How far it may move while nobody uses it.
    pub advance_to: Option<Lsn>,
}

/// What must be known besides the plan.
#[derive(Clone, Copy, Debug)]
pub struct SlotsContext<'a> {
    /// Version of the server (15.3 is 150003).
    pub version: u32,
    /// There is a leader, and it is another node or this node runs as primary: a slot that pins
    /// old rows is then surely a leftover.
    pub xmin_is_leftover: bool,
    /// Unknown slots are dropped (not in pause).
    pub drop_unknown: bool,
    /// Slots of others.
    pub ignore: &'a [SlotMatcher],
    /// Known slots that are not physical and not judged here.
    pub keep: &'a BTreeSet<SlotName>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotReport {
    /// Slots that were created.
    pub created: Vec<SlotName>,
    /// Slots that were dropped.
    pub dropped: Vec<SlotName>,
    /// Slots that were moved, and how far we asked for.
    pub advanced: Vec<(SlotName, Lsn)>,
    /// The server's slots should be read again before the next plan: something was created, or
    /// went another way than planned.
    pub reload_needed: bool,
}

/// A statement about slots has failed; the rest of the plan waits for the next cycle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The server refused, or the connection is lost.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// No answer in time.
    #[error("no answer within {} s", LIMIT.as_secs())]
    Slow,
}

/// A bit more than the statement timeout of our own connections: behind it the server is stuck.
const LIMIT: Duration = Duration::from_secs(10);

/// Makes the server have the wanted slots. `existing` are its slots without temporary and
/// failover ones. Everything is logged in the words of the contract; an error ends the plan,
/// sets [`SlotReport::reload_needed`] and is logged, too.
///
/// Cancel safe: every statement is complete in itself.
pub async fn apply(
    client: &Client,
    plan: &[SlotWish],
    existing: &[SlotRow],
    context: SlotsContext<'_>,
) -> SlotReport {
    let mut work = Work {
        client,
        context,
        slots: existing.to_vec(),
        report: SlotReport::default(),
    };
    if let Err(error) = work.carry_out(plan).await {
        tracing::error!(
            "Exception when changing replication slots: {}",
            Causes(&error)
        );
        work.report.reload_needed = true;
    }
    work.report
}

/// Whether the plan asks for nothing, so that no connection is worth its while.
pub fn is_settled(plan: &[SlotWish], existing: &[SlotRow], context: SlotsContext<'_>) -> bool {
    let find = |name: &SlotName| existing.iter().find(|slot| slot.name == *name);
    let unwanted = |slot: &SlotRow| {
        let wanted = plan.iter().any(|wish| wish.name == slot.name);
        let lost = slot.wal_status.as_deref() == Some("lost");
        let foreign = context.keep.contains(&slot.name)
            || context.ignore.iter().any(|matcher| matcher.matches(slot));
        if wanted {
            lost || slot.kind != SlotKind::Physical
        } else {
            context.drop_unknown && !foreign
        }
    };
    let settled = |wish: &SlotWish| {
        find(&wish.name).is_some_and(|slot| match (wish.expected_active, slot.restart_lsn) {
            (Some(true), _) => true,
            (Some(false), _) if slot.has_xmin => !context.xmin_is_leftover,
            (Some(false) | None, None) => slot.has_xmin,
            (Some(false) | None, Some(at)) => {
                slot.has_xmin || wish.advance_to.is_none_or(|target| target <= at)
            }
        })
    };
    !existing.iter().any(unwanted) && plan.iter().all(settled)
}

struct Work<'a> {
    client: &'a Client,
    context: SlotsContext<'a>,
    slots: Vec<SlotRow>,
    report: SlotReport,
}

impl Work<'_> {
    async fn carry_out(&mut self, plan: &[SlotWish]) -> Result<(), SlotError> {
        self.drop_unwanted(plan).await?;
        for wish in plan {
            self.judge(wish).await?;
        }
        Ok(())
    }

    async fn drop_unwanted(&mut self, plan: &[SlotWish]) -> Result<(), SlotError> {
        for slot in self.slots.clone() {
            let name = &slot.name;
            let is_wanted = plan.iter().any(|wish| wish.name == *name);
            let is_lost = slot.wal_status.as_deref() == Some("lost");
            match &slot.kind {
                SlotKind::Logical { plugin, database } if is_wanted => tracing::info!(
                    "Trying to drop replication slot '{name}' because value is changing from \
                     {{'type': 'logical', 'plugin': '{plugin}', 'database': '{database}'}} to \
                     {{'type': 'physical'}}"
                ),
                SlotKind::Physical if is_wanted && is_lost => {
                    tracing::info!("Trying to drop replication slot '{name}' with wal_status=lost");
                }
                SlotKind::Physical | SlotKind::Logical { .. } if is_wanted => continue,
                SlotKind::Physical | SlotKind::Logical { .. } => {
                    let ignored = self.context.ignore.iter();
                    let is_ignored = ignored.clone().any(|matcher| matcher.matches(&slot));
                    let is_kept = self.context.keep.contains(name);
                    if !self.context.drop_unknown || is_ignored || is_kept {
                        continue;
                    }
                    tracing::info!("Trying to drop unknown replication slot '{name}'");
                }
            }
            self.drop_slot(name).await?;
        }
        Ok(())
    }

    async fn judge(&mut self, wish: &SlotWish) -> Result<(), SlotError> {
        let name = &wish.name;
        let Some(slot) = self.slots.iter().find(|slot| slot.name == *name).cloned() else {
            return self.create(name).await;
        };
        if self.context.version < 110_000 || !matches!(slot.kind, SlotKind::Physical) {
            return Ok(());
        }
        match (wish.expected_active, slot.has_xmin, slot.restart_lsn) {
            (Some(false), true, _) if self.context.xmin_is_leftover => {
                let xmin = self.xmin(name).await?;
                tracing::warn!(
                    "Dropping physical replication slot {name} because of its xmin value {xmin}"
                );
                self.drop_slot(name).await?;
                if self.slots.iter().any(|slot| slot.name == *name) {
                    return Ok(()); // still there, because it is in use
                }
                self.create(name).await
            }
            (Some(false) | None, false, None) => {
                tracing::warn!(
                    "Dropping physical replication slot {name} because it has no restart_lsn. \
                     This slot was probably not created by Patroni, but by an external agent."
                );
                self.drop_slot(name).await
            }
            (Some(false) | None, false, Some(position)) => match wish.advance_to {
                Some(target) if target > position => self.advance(name, target).await,
                Some(_) | None => Ok(()),
            },
            (Some(true), _, _) | (Some(false) | None, true, _) => Ok(()),
        }
    }

    /// The oldest transaction that a slot pins, for the log.
    async fn xmin(&self, name: &SlotName) -> Result<String, SlotError> {
        const XMIN: &str = "SELECT xmin::pg_catalog.text FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = $1::pg_catalog.text::pg_catalog.name";
        let row = within(self.client.query_opt(XMIN, &[&name.as_str()])).await?;
        let xmin: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        Ok(xmin.unwrap_or_default())
    }

    /// Drops a slot that nobody uses; one statement looks and drops, so that the slot cannot
    /// become active in between.
    async fn drop_slot(&mut self, name: &SlotName) -> Result<(), SlotError> {
        const DROP: &str = "WITH slot AS (\
             SELECT slot_name, active FROM pg_catalog.pg_replication_slots \
             WHERE slot_name = $1::pg_catalog.text::pg_catalog.name), \
             dropped AS (SELECT pg_catalog.pg_drop_replication_slot(slot_name), true AS done \
             FROM slot WHERE NOT active) \
             SELECT slot.active, COALESCE(dropped.done, false) \
             FROM slot LEFT JOIN dropped ON true";
        let row = within(self.client.query_opt(DROP, &[&name.as_str()])).await?;
        let (active, dropped) = match row {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (false, false),
        };
        if dropped {
            tracing::info!("Dropped replication slot '{name}'");
            self.slots.retain(|slot| slot.name != *name);
            self.report.dropped.push(name.clone());
            return Ok(());
        }
        if active {
            tracing::warn!("Unable to drop replication slot '{name}', slot is active");
        } else {
            tracing::error!("Failed to drop replication slot '{name}'");
        }
        self.report.reload_needed = true;
        Ok(())
    }

    /// Creates a slot that keeps WAL from now on.
    async fn create(&mut self, name: &SlotName) -> Result<(), SlotError> {
        let arguments = if self.context.version >= 90_600 {
            "$1::pg_catalog.text::pg_catalog.name, true"
        } else {
            "$1::pg_catalog.text::pg_catalog.name"
        };
        let statement = format!(
            "SELECT pg_catalog.pg_create_physical_replication_slot({arguments}) \
             WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots \
             WHERE slot_type = 'physical' AND slot_name = $1::pg_catalog.text::pg_catalog.name)"
        );
        self.report.reload_needed = true;
        match within(self.client.execute(&statement, &[&name.as_str()])).await {
            Ok(1) => self.report.created.push(name.clone()),
            Ok(_) => {} // somebody else was faster
            Err(error) => {
                tracing::error!(
                    "Failed to create physical replication slot '{name}': {}",
                    Causes(&error)
                );
            }
        }
        Ok(())
    }

    async fn advance(&mut self, name: &SlotName, target: Lsn) -> Result<(), SlotError> {
        const ADVANCE: &str = "SELECT pg_catalog.pg_replication_slot_advance(\
             $1::pg_catalog.text::pg_catalog.name, $2::pg_catalog.text::pg_catalog.pg_lsn)";
        let arguments: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&name.as_str(), &target.to_string()];
        match within(self.client.execute(ADVANCE, &arguments)).await {
            Ok(_) => self.report.advanced.push((name.clone(), target)),
            Err(error) => {
                tracing::error!(
                    "Error while advancing replication slot {name} to position '{target}': {}",
                    Causes(&error)
                );
                self.report.reload_needed = true;
            }
        }
        Ok(())
    }
}

async fn within<T>(
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SlotError> {
    match timeout(LIMIT, call).await {
        Ok(answer) => answer.map_err(SlotError::Postgres),
        Err(_elapsed) => Err(SlotError::Slow),
    }
}
