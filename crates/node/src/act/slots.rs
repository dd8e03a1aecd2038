//! Commands about replication slots, here and on the leader.

use std::collections::BTreeMap;

use patroni_core::{Causes, SlotName};
use patroni_ha::command::{self, CallbackEvent, Command, LeaderAddress, SlotChange};
use patroni_ha::outcome::{
    FetchFailure, FetchedSlot, LeaderSlots, Outcome, PhysicalSlot, SlotChanged,
};
use patroni_postgres::QueryError;
use patroni_postgres::slots::{CopyError, Dropped, SlotAdvance, SlotFile};
use tracing::error;

use super::Body;

impl Body {
    pub(super) async fn carry_out_on_slots(&self, command: Command) -> Outcome {
        use Command as C;
        let server = &self.supervisor;
        match command {
            C::ChangeSlot(change) => Outcome::SlotChanged(self.change_slot(change).await),
            C::AdvanceLogicalSlots(advances) => {
                self.move_slots(advances);
                Outcome::SlotsGivenUp(server.slots_given_up())
            }
            C::EnforceFeedback(on) => Outcome::Success(self.enforce_feedback(on).await),
            C::ReadFeedback => {
                let found = server.feedback().await;
                Outcome::Feedback(found.map_err(|reason| Causes(&reason).to_string()))
            }
            C::ReadWalStart => {
                let found = server.wal_start().await;
                Outcome::WalStart(found.map_err(|reason| Causes(&reason).to_string()))
            }
            C::InspectSlots {
                leader,
                physical,
                logical,
            } => Outcome::LeaderSlots(self.inspect_slots(&leader, &physical, &logical).await),
            C::FetchSlots { leader, names } => {
                Outcome::SlotsFetched(self.fetch_slots(&leader, &names).await)
            }
            C::InstallSlots(files) => {
                let file = |file: command::SlotFile| SlotFile {
                    name: file.name,
                    state: file.state,
                };
                let files = files.into_iter().map(file).collect();
                Outcome::Success(server.install_slots(files).await)
            }
            other => unreachable!("not a command about slots: {other:?}"),
        }
    }

    async fn change_slot(&self, change: SlotChange) -> SlotChanged {
        let server = &self.supervisor;
        let done = |created: bool| {
            if created {
                SlotChanged::Done
            } else {
                SlotChanged::Nothing
            }
        };
        let changed = match change {
            SlotChange::Drop(slot) => server.drop_slot(&slot).await.map(|dropped| match dropped {
                Dropped::Yes => SlotChanged::Done,
                Dropped::InUse => SlotChanged::InUse,
                Dropped::Absent => SlotChanged::Nothing,
            }),
            SlotChange::CreatePhysical(slot) => server.create_physical_slot(&slot).await.map(done),
            SlotChange::AdvancePhysical { slot, to } => {
                let moved = server.advance_slot(&slot, to).await;
                moved.map(|()| SlotChanged::Done)
            }
            SlotChange::CreateLogical(slot) => server
                .create_logical_slot(&slot.name, &slot.database, &slot.plugin)
                .await
                .map(done),
        };
        changed.unwrap_or_else(|reason| match reason {
            QueryError::Sql { .. } | QueryError::Cancelled => {
                SlotChanged::Refused(Causes(&reason).to_string())
            }
            other => SlotChanged::Lost(Causes(&other).to_string()),
        })
    }

    /// Hands the positions to the worker, and starts one when none is at work.
    fn move_slots(&self, advances: Vec<command::SlotAdvance>) {
        let advance = |advance: command::SlotAdvance| SlotAdvance {
            slot: advance.slot,
            database: advance.database,
            from: advance.from,
            to: advance.to,
        };
        let advances = advances.into_iter().map(advance).collect();
        if self.supervisor.want_slots_moved(advances) {
            let server = self.supervisor.clone();
            self.background
                .spawn(async move { server.move_slots().await });
        }
    }

    async fn enforce_feedback(&self, on: bool) -> bool {
        match self.supervisor.force_feedback(on).await {
            Ok(reloaded) => {
                if reloaded {
                    let role = self.supervisor.role();
                    self.callbacks.run(CallbackEvent::Reload, role);
                }
                true
            }
            Err(reason) => {
                error!("failed to set hot_standby_feedback: {reason}");
                false
            }
        }
    }

    async fn inspect_slots(
        &self,
        leader: &LeaderAddress,
        physical: &SlotName,
        logical: &[SlotName],
    ) -> Result<LeaderSlots, String> {
        let found = self
            .supervisor
            .look_at_slots(&leader.conn_url, physical, logical)
            .await
            .map_err(|reason| Causes(&reason).to_string())?;
        let mine = found.iter().find(|slot| !slot.logical);
        let kept: BTreeMap<_, _> = found
            .iter()
            .filter(|slot| slot.logical)
            .filter_map(|slot| Some((slot.name.clone(), slot.catalog_xmin?)))
            .collect();
        Ok(LeaderSlots {
            physical: match mine.map(|slot| slot.catalog_xmin) {
                None => PhysicalSlot::Absent,
                Some(None) => PhysicalSlot::HoldsNothing,
                Some(Some(catalog_xmin)) => PhysicalSlot::Holds(catalog_xmin),
            },
            logical: kept,
        })
    }

    async fn fetch_slots(
        &self,
        leader: &LeaderAddress,
        names: &[SlotName],
    ) -> Result<Vec<FetchedSlot>, FetchFailure> {
        let fetched = self.supervisor.fetch_slots(&leader.conn_url, names).await;
        let copies = fetched.map_err(|reason| match &reason {
            CopyError::Connect(_) => FetchFailure::Connect(Causes(&reason).to_string()),
            _ => FetchFailure::Query(Causes(&reason).to_string()),
        })?;
        let slot = |copy: patroni_postgres::slots::SlotCopy| FetchedSlot {
            name: copy.name,
            kind: copy.kind,
            confirmed: copy.confirmed,
            restart: copy.restart,
            state: copy.state,
        };
        Ok(copies.into_iter().map(slot).collect())
    }
}
