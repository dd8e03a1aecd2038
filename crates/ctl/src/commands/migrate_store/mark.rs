//! What `migrate-store` writes into `config` of both stores: the move that is under way, so that a
//! rerun goes on where the one before ended, and so that members tell which store they read.

use std::collections::BTreeMap;

use patroni_core::{Cluster, MemberName, SystemId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::exit::Failure;

/// The key in `config`. Members of any version leave it alone, and show it as `GET /config`.
const KEY: &str = "store_migration";

/// The identity of no PostgreSQL. A store whose `initialize` has it belongs to nobody: in a pause
/// a primary does not take the lock there, and without one a daemon ends.
pub(super) const NOBODY: &str = "0000000000";

/// Which end of a move a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// The cluster leaves this store.
    Leaving(Leaving),
    /// The cluster comes to this store.
    Arriving(Arriving),
}

/// What is remembered in the store that is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leaving {
    /// Where the cluster goes to, for people.
    pub(super) to: String,
    /// Whose cluster it is; `initialize` says that no more once the store is closed.
    pub(super) system_id: SystemId,
    /// Whether the pause ends with the move: false when the cluster was paused before.
    pub(super) resume: bool,
    /// Nobody can lead here any more.
    pub(super) closed: bool,
}

/// What is remembered in the store that the cluster comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arriving {
    /// Where the cluster comes from, for people.
    pub(super) from: String,
    /// Whose cluster it is.
    pub(super) system_id: SystemId,
    /// Whether the pause ends with the move.
    pub(super) resume: bool,
    /// The old store is closed, and not needed any more.
    pub(super) closed: bool,
    /// Who led when the move began.
    pub(super) leader: MemberName,
    /// Who has to come, with the addresses of their REST API.
    pub(super) members: BTreeMap<MemberName, String>,
}

impl Mark {
    /// The move that a store takes part in.
    ///
    /// # Errors
    /// There is something under the key that this tool did not write.
    pub(super) fn of(cluster: &Cluster) -> Result<Option<Self>, Failure> {
        match cluster.config.as_ref().map(|config| &config.data) {
            Some(data) => Self::read(data),
            None => Ok(None),
        }
    }

    /// The same from a document that a member showed.
    pub(super) fn read(config: &Map<String, Value>) -> Result<Option<Self>, Failure> {
        let Some(value) = config.get(KEY) else {
            return Ok(None);
        };
        serde_json::from_value(value.clone())
            .map(Some)
            .map_err(|error| Failure::refused(format!("The key {KEY} in config: {error}")))
    }

    /// The configuration of a cluster that moves: paused, and with the mark.
    pub(super) fn put(self, config: &Map<String, Value>) -> Map<String, Value> {
        let mut config = config.clone();
        config.insert("pause".to_owned(), true.into());
        let value = serde_json::to_value(self).expect("texts, flags and a map of texts");
        config.insert(KEY.to_owned(), value);
        config
    }
}

/// The configuration of a cluster that does not move any more.
pub(super) fn removed(config: &Map<String, Value>, resume: bool) -> Map<String, Value> {
    let mut config = config.clone();
    config.remove(KEY);
    if resume {
        config.remove("pause");
    }
    config
}

/// Refuses what would wake one half of a cluster while it is in two stores.
pub(in crate::commands) fn refuse_while_moving(cluster: &Cluster) -> Result<(), Failure> {
    let text = match Mark::of(cluster)? {
        None => return Ok(()),
        Some(Mark::Leaving(mark)) if mark.closed => {
            format!("This cluster has left this store for {}", mark.to)
        }
        Some(Mark::Leaving(mark)) => format!(
            "This cluster is moving from this store to {}: patronictl migrate-store goes on with that, or takes it back with --cancel",
            mark.to
        ),
        Some(Mark::Arriving(mark)) => format!(
            "This cluster is moving to this store from {}: patronictl migrate-store goes on with that",
            mark.from
        ),
    };
    Err(Failure::refused(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_mark_is_read_as_it_was_put_and_leaves_no_trace() {
        let before = map(&json!({"ttl": 30, "loop_wait": 5}));
        let mark = Mark::Leaving(Leaving {
            to: "consul (http://h:8500)".to_owned(),
            system_id: SystemId::parse("7000000000000000001").unwrap(),
            resume: true,
            closed: false,
        });
        let during = mark.clone().put(&before);
        assert_eq!(during["pause"], json!(true));
        assert_eq!(Mark::read(&during).unwrap(), Some(mark));
        assert_eq!(removed(&during, true), before);
        assert_eq!(removed(&during, false)["pause"], json!(true));
        assert_eq!(Mark::read(&before).unwrap(), None);
    }

    #[test]
    fn what_others_wrote_there_is_refused() {
        let error = Mark::read(&map(&json!({"store_migration": 1}))).unwrap_err();
        assert!(error.to_string().contains("store_migration"), "{error}");
    }

    #[test]
    fn nobody_has_a_valid_identity() {
        assert!(SystemId::parse(NOBODY).is_some());
    }
}
