//! The control file, `global/pg_control`.
//!
//! Waits for a promotion or a shutdown read the file itself, which costs microseconds; everything
//! else, and every version whose layout is not known here, goes through `pg_controldata`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use patroni_core::server::{ControlData, ControlState};
use patroni_core::{Lsn, SystemId, Timeline};

/// The output of `pg_controldata`: items in the words of the tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlItems {
    items: BTreeMap<String, String>,
}

impl ControlItems {
    /// Reads the tool's output: lines split at the first `:`, the word `Current ` removed once.
    pub fn parse(output: &str) -> Self {
        let items = output
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, item)| (name.replacen("Current ", "", 1), item.trim().to_owned()))
            .collect();
        Self { items }
    }

    /// One item.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.items.get(name).map(String::as_str)
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All items, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items
            .iter()
            .map(|(name, item)| (name.as_str(), item.as_str()))
    }

    /// The cluster's identity.
    pub fn system_id(&self) -> Option<SystemId> {
        SystemId::parse(self.get("Database system identifier")?)
    }

    /// The cluster state.
    pub fn state(&self) -> Option<ControlState> {
        self.get("Database cluster state").map(ControlState::parse)
    }

    /// The facts that decisions need, `None` without a state.
    pub fn control_data(&self) -> Option<ControlData> {
        let lsn = |name: &str| self.get(name)?.parse::<Lsn>().ok();
        let timeline = |name: &str| Timeline::new(self.get(name)?.parse().ok()?);
        Some(ControlData {
            state: self.state()?,
            checkpoint: lsn("Latest checkpoint location"),
            checkpoint_timeline: timeline("Latest checkpoint's TimeLineID"),
            min_recovery: lsn("Minimum recovery ending location"),
            min_recovery_timeline: timeline("Min recovery ending loc's timeline"),
            lines: self
                .iter()
                .map(|(name, item)| format!("{name}: {item}"))
                .collect(),
        })
    }
}

/// The fixed beginning of the control file: the same order since 9.3, with a version in front
/// that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlHead {
    pub(crate) system_id: Option<SystemId>,
    pub(crate) state: ControlState,
    /// Location of the latest checkpoint record, where the layout is known.
    pub(crate) checkpoint: Option<Lsn>,
}

impl ControlHead {
    /// Reads the file of a data directory; `None` when it is missing, torn or of an unknown
    /// layout.
    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        let mut head = [0_u8; LENGTH];
        File::open(data_dir.join("global/pg_control"))
            .and_then(|mut file| file.read_exact(&mut head))
            .ok()?;
        Self::parse(&head)
    }

    fn parse(head: &[u8; LENGTH]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_ne_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let version = word(8)?;
        if !KNOWN.contains(&version) {
            return None;
        }
        let state = match word(16)? {
            0 => ControlState::Other("starting up".to_owned()),
            1 => ControlState::ShutDown,
            2 => ControlState::ShutDownInRecovery,
            3 => ControlState::ShuttingDown,
            4 => ControlState::InCrashRecovery,
            5 => ControlState::InArchiveRecovery,
            6 => ControlState::InProduction,
            _ => return None,
        };
        Some(Self {
            system_id: SystemId::parse(&long(0)?.to_string()),
            state,
            checkpoint: Some(Lsn::new(long(32)?)),
        })
    }
}

/// identifier 0, version 8, catalogue 12, state 16, time 24, checkpoint 32 .. 40.
const LENGTH: usize = 40;

/// `pg_control_version` of the releases whose beginning has the layout above: 11 and 12 (1100,
/// 1201), 13 to 16 (1300), 17 (1700), 18 (1800). Before 11 a previous checkpoint followed and
/// those versions are read with the tool.
const KNOWN: [u32; 5] = [1100, 1201, 1300, 1700, 1800];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_s_output_is_understood() {
        let items = ControlItems::parse(
            "pg_control version number:            1300\n\
             Database system identifier:           7710461235647681908\n\
             Database cluster state:               shut down\n\
             Latest checkpoint location:           0/3000148\n\
             Latest checkpoint's TimeLineID:       2\n\
             Minimum recovery ending location:     0/0\n\
             Min recovery ending loc's timeline:   0\n\
             Current wal_log_hints setting:        on\n",
        );
        assert_eq!(items.get("wal_log_hints setting"), Some("on"));
        assert_eq!(items.system_id().unwrap().as_str(), "7710461235647681908");
        let data = items.control_data().unwrap();
        assert_eq!(data.state, ControlState::ShutDown);
        assert_eq!(data.checkpoint, Some(Lsn::new(0x300_0148)));
        assert_eq!(data.checkpoint_timeline, Timeline::new(2));
        assert_eq!(data.min_recovery, Some(Lsn::ZERO));
        assert_eq!(data.min_recovery_timeline, None);
        assert_eq!(ControlItems::parse("").control_data(), None);
    }

    #[test]
    fn the_file_s_beginning_is_understood() {
        let mut head = [0_u8; LENGTH];
        head[..8].copy_from_slice(&7_710_461_235_647_681_908_u64.to_ne_bytes());
        head[16..20].copy_from_slice(&6_u32.to_ne_bytes());
        head[32..40].copy_from_slice(&0x300_0148_u64.to_ne_bytes());
        for version in KNOWN {
            head[8..12].copy_from_slice(&version.to_ne_bytes());
            let read = ControlHead::parse(&head).unwrap();
            assert_eq!(read.state, ControlState::InProduction);
            assert_eq!(read.checkpoint, Some(Lsn::new(0x300_0148)));
        }
        head[8..12].copy_from_slice(&942_u32.to_ne_bytes());
        assert_eq!(ControlHead::parse(&head), None);
    }
}
