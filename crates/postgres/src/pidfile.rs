//! `postmaster.pid`: what a postmaster writes about itself.

use std::io;
use std::path::Path;

/// The lines of a `postmaster.pid` that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    /// Process id; negative for a single-user server.
    pub(crate) pid: i32,
    /// When it started, in seconds of the epoch, as written.
    pub(crate) start_time: String,
    /// What it does, from version 10 on: `starting`, `ready`, `standby` or `stopping`. Nothing
    /// until it has its port.
    pub(crate) status: String,
}

impl PidFile {
    /// Reads the file of a data directory. Missing, or without a numeric pid: nothing runs.
    ///
    /// # Errors
    /// The file exists but cannot be read.
    pub(crate) fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read_to_string(data_dir.join("postmaster.pid")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let start_time = lines.nth(1).unwrap_or_default().trim().to_owned();
        let status = lines.nth(4).unwrap_or_default().trim().to_owned();
        Some(Self {
            pid,
            start_time,
            status,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pid_and_start_time() {
        let text = "4711\n/data\n1795231664\n5432\n/tmp\nlocalhost\n  1 2\n";
        assert_eq!(
            PidFile::parse(text),
            Some(PidFile {
                pid: 4711,
                start_time: "1795231664".to_owned(),
                status: String::new(),
            })
        );
        let ready = format!("{text}ready   \n");
        let status = PidFile::parse(&ready).map(|file| file.status);
        assert_eq!(status.as_deref(), Some("ready"));
        assert_eq!(PidFile::parse("-12\n").map(|file| file.pid), Some(-12));
        assert_eq!(PidFile::parse("x\n/data\n"), None);
        assert_eq!(PidFile::parse(""), None);
    }
}
