//! The section `journal`: decisions that explain themselves. The reference has none and ignores
//! the section.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::section::Section;

/// What a node keeps of its decisions, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// `enabled`: keep a journal at all.
    pub enabled: bool,
    /// `dir` of the files, by default `log.dir`; `None` keeps accounts in memory only, where a
    /// restart of the daemon forgets them.
    pub dir: Option<PathBuf>,
    /// `max_size` of one file in bytes, at least 64 kB.
    pub max_size: u64,
    /// `keep`: how many older files stay beside the one that is written.
    pub keep: usize,
    /// `every_cycle`: keep every cycle whole, also those that are like the one before. For hunting
    /// a fault; each costs some kilobytes of disk.
    pub every_cycle: bool,
}

/// A file that holds fewer than a few records is none.
const LEAST_SIZE: u64 = 64 << 10;

impl Journal {
    pub(crate) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = &root.section("journal")?;
        let own = section.path("dir")?;
        let of_log = root.section("log")?.path("dir")?;
        let size: u64 = section.bytes("max_size")?.unwrap_or(8 << 20);
        Ok(Self {
            enabled: section.flag("enabled", true),
            dir: own.or(of_log),
            max_size: size.max(LEAST_SIZE),
            keep: section.number("keep")?.unwrap_or(4),
            every_cycle: section.flag("every_cycle", false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origins;
    use serde_json::{Value, json};

    fn read(settings: &Value) -> Result<Journal, ConfigError> {
        let settings = settings.as_object().unwrap();
        Journal::read(&Section::root(settings, &Origins::default()))
    }

    #[test]
    fn the_folder_of_the_log_is_the_default_and_sizes_have_units() {
        let plain = read(&json!({})).unwrap();
        assert_eq!((plain.enabled, &plain.dir), (true, &None));
        assert_eq!((plain.max_size, plain.keep), (8 << 20, 4));
        let beside_log = read(&json!({"log": {"dir": "/log"}})).unwrap();
        assert_eq!(beside_log.dir, Some("/log".into()));
        let own = read(&json!({
            "log": {"dir": "/log"},
            "journal": {"dir": "/j", "max_size": "1MB", "keep": 0, "every_cycle": "on", "enabled": false},
        }));
        let expected = Journal {
            enabled: false,
            dir: Some("/j".into()),
            max_size: 1 << 20,
            keep: 0,
            every_cycle: true,
        };
        assert_eq!(own.unwrap(), expected);
        assert_eq!(
            read(&json!({"journal": {"max_size": 1}})).unwrap().max_size,
            LEAST_SIZE
        );
        for bad in [
            json!({"max_size": "many"}),
            json!({"keep": -1}),
            json!({"dir": []}),
        ] {
            assert!(read(&json!({"journal": bad})).is_err(), "{bad}");
        }
    }
}
