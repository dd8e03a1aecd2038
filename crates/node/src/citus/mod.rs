//! The part of a node in a Citus cluster: what its group tells the others, and what the leader of
//! the coordinator's group writes into the table of nodes.
//!
//! What is written is decided by [`patroni_ha::citus`]. Source: the Citus contract, sections 4 to 8.

mod coordinator;
mod desk;
mod groups;
pub(crate) mod worker;

use std::sync::Arc;

use patroni_api::client::Client;
use patroni_config::Settings;
use patroni_ha::citus::COORDINATOR;
use tokio::sync::watch;

pub(crate) use coordinator::{Coordinator, keep};
pub(crate) use groups::identity;
pub(crate) use worker::{Worker, event_of};

use groups::Groups;

/// Which part a node has. It is settled when the daemon starts.
pub(crate) enum Part {
    /// It belongs to no Citus cluster.
    None,
    /// It belongs to the group of the coordinator.
    Coordinator(Arc<Coordinator>),
    /// It belongs to a group of workers.
    Worker(Arc<Worker>),
}

impl Part {
    /// The part that the settings name. Nothing is connected yet.
    pub(crate) fn of(settings: watch::Receiver<Arc<Settings>>, rest: &Client) -> Self {
        let section = settings.borrow().citus.clone();
        let Some(citus) = section else {
            return Self::None;
        };
        let groups = Groups::new(settings);
        if citus.group == COORDINATOR {
            Self::Coordinator(Arc::new(Coordinator::new(groups)))
        } else {
            Self::Worker(Arc::new(Worker::new(citus.group, groups, rest.clone())))
        }
    }

    /// The coordinator's side, if this node has it.
    pub(crate) fn coordinator(&self) -> Option<&Arc<Coordinator>> {
        match self {
            Self::Coordinator(coordinator) => Some(coordinator),
            Self::None | Self::Worker(_) => None,
        }
    }

    /// The workers' side, if this node has it.
    pub(crate) fn worker(&self) -> Option<&Arc<Worker>> {
        match self {
            Self::Worker(worker) => Some(worker),
            Self::None | Self::Coordinator(_) => None,
        }
    }

    /// The table of nodes may say something else by now: after a promotion, a pause, a copy.
    pub(crate) fn reload_table(&self) {
        if let Some(coordinator) = self.coordinator() {
            coordinator.reload_table();
        }
    }

    /// The settings have changed.
    pub(crate) fn reconfigure(&self) {
        match self {
            Self::None => {}
            Self::Coordinator(coordinator) => coordinator.groups().reconfigure(),
            Self::Worker(worker) => worker.groups().reconfigure(),
        }
    }
}
