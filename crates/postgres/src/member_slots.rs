//! The replication slots of this server, by a plan.

use std::collections::BTreeSet;
use std::time::Duration;

use patroni_core::SlotName;
use patroni_core::server::SlotKind;
use tracing::error;

use crate::connection::{Endpoint, Session};
use crate::slots::{self, SlotWish, SlotsContext};
use crate::supervisor::Supervisor;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

impl Supervisor {
    /// Makes physical slots as wished, on a connection of its own, and only when something
    /// differs. What failed is logged and comes up again with the next plan.
    pub async fn sync_slots(
        &self,
        wishes: &[SlotWish],
        drop_unknown: bool,
        ignored: &BTreeSet<SlotName>,
        xmin_is_leftover: bool,
    ) {
        let Some(existing) = self.cached_status().and_then(|cached| cached.status.slots) else {
            return;
        };
        let physical = |slot: &&patroni_core::server::SlotRow| slot.kind == SlotKind::Physical;
        let keep: BTreeSet<SlotName> = existing
            .iter()
            .filter(|slot| !physical(slot))
            .map(|slot| slot.name.clone())
            .chain(ignored.iter().cloned())
            .collect();
        let version = self.full_version().await.unwrap_or_default();
        let context = SlotsContext {
            version,
            xmin_is_leftover,
            drop_unknown,
            ignore: &[],
            keep: &keep,
        };
        if slots::is_settled(wishes, &existing, context) {
            return;
        }
        let endpoint = Endpoint::local(&self.settings(), "Patroni");
        match Session::connect(&endpoint, CONNECT).await {
            Ok(session) => {
                slots::apply(session.client(), wishes, &existing, context).await;
            }
            Err(reason) => error!("Exception when changing replication slots: {reason}"),
        }
    }
}
