//! What `pg_waldump` tells about the end of a stopped server's WAL.

use std::path::Path;
use std::time::Duration;

use patroni_core::{Lsn, Timeline};

use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::{Command, CommandError, CommandOutcome};
use patroni_core::Causes;

/// Reading a record or two from local files takes no longer, even on a busy disk.
const LIMIT: Duration = Duration::from_secs(30);

/// Where a server that was shut down cleanly has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownPoint {
    /// The shutdown checkpoint.
    pub checkpoint: Lsn,
    /// The same, or, when the record before it only switches to a new WAL file, that record: a
    /// standby that has received it lacks nothing.
    pub previous: Lsn,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    manager: String,
    lsn: Lsn,
    previous: Lsn,
    description: String,
}

/// Finds the shutdown point of a data directory whose control file says `shut down` and names
/// this checkpoint. What `pg_waldump` cannot tell leaves the checkpoint alone.
pub async fn shutdown_point(
    binaries: &Binaries,
    data_dir: &Path,
    timeline: Timeline,
    checkpoint: Lsn,
) -> ShutdownPoint {
    let previous = match record_before(binaries, data_dir, timeline, checkpoint).await {
        Ok(previous) => previous.unwrap_or(checkpoint),
        Err(error) => {
            tracing::error!(
                "Exception when parsing WAL pg_waldump output: {}",
                Causes(&error)
            );
            checkpoint
        }
    };
    ShutdownPoint {
        checkpoint,
        previous,
    }
}

async fn record_before(
    binaries: &Binaries,
    data_dir: &Path,
    timeline: Timeline,
    checkpoint: Lsn,
) -> Result<Option<Lsn>, CommandError> {
    let outcome = dump(binaries, data_dir, timeline, checkpoint, 1).await?;
    let Some(shutdown) = only_record(&outcome).filter(|record| {
        record.lsn == checkpoint
            && record.manager.eq_ignore_ascii_case("XLOG")
            && record.description.to_lowercase().starts_with("checkpoint")
            && record.description.to_lowercase().ends_with("shutdown")
    }) else {
        return Ok(None);
    };
    let outcome = dump(binaries, data_dir, timeline, shutdown.previous, 1).await?;
    let switch = only_record(&outcome).filter(|record| {
        record.lsn == shutdown.previous
            && record.manager.eq_ignore_ascii_case("XLOG")
            && matches!(record.description.trim(), "SWITCH" | "xlog switch")
    });
    Ok(switch.map(|record| record.lsn))
}

/// Where the checkpoint record of a former primary ends, provided that it is the last record of
/// its WAL. `None` when that cannot be said for sure; there may then be WAL after it.
pub async fn checkpoint_end(
    binaries: &Binaries,
    data_dir: &Path,
    timeline: Timeline,
    checkpoint: Lsn,
) -> Option<Lsn> {
    let outcome = dump(binaries, data_dir, timeline, checkpoint, 2)
        .await
        .ok()?;
    let (stdout, stderr) = (outcome.stdout_text(), outcome.stderr_text());
    let end = end_of_last_record(&stdout, &stderr, checkpoint);
    if end.is_none() {
        tracing::error!("Failed to parse pg_waldump output");
        tracing::error!(" stdout={stdout}");
        tracing::error!(" stderr={stderr}");
    }
    end
}

async fn dump(
    binaries: &Binaries,
    data_dir: &Path,
    timeline: Timeline,
    start: Lsn,
    count: u8,
) -> Result<CommandOutcome, CommandError> {
    Command::new(binaries.binary("pg_waldump"))
        .args(["-t", &timeline.to_string(), "-s", &start.to_string()])
        .args(["-n", &count.to_string()])
        .untranslated()
        .env("PGDATA", data_dir)
        .capture()
        .deadline(LIMIT)
        .run(&Cancel::new())
        .await
        .inspect_err(|error| {
            tracing::error!(
                "Failed to execute `pg_waldump -t {timeline} -s {start} -n {count}`: {}",
                Causes(error)
            );
        })
}

fn only_record(outcome: &CommandOutcome) -> Option<Record> {
    let text = outcome.stdout_text();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    match (lines.next(), lines.next()) {
        (Some(line), None) => Record::parse(line),
        (Some(_) | None, _) => None,
    }
}

fn end_of_last_record(stdout: &str, stderr: &str, checkpoint: Lsn) -> Option<Lsn> {
    let mut records = stdout.lines().filter(|line| !line.trim().is_empty());
    let record = Record::parse(records.next()?)?;
    let mut errors = stderr.lines().filter(|line| !line.trim().is_empty());
    let error = errors.next()?;
    let is_alone = records.next().is_none() && errors.next().is_none();
    if !is_alone || record.lsn != checkpoint {
        return None;
    }
    let (_, rest) = error.split_once("error in WAL record at ")?;
    let (at, reason) = rest.split_once(": ")?;
    let (_, rest) = reason.split_once("invalid record length at ")?;
    let end = rest.split(':').next()?;
    let at: Lsn = at.parse().ok()?;
    (at == checkpoint).then(|| end.parse().ok())?
}

impl Record {
    /// Reads `rmgr: XLOG len (rec/tot): n/ n, tx: n, lsn: X/X, prev X/X, desc: ..`.
    fn parse(line: &str) -> Option<Self> {
        let manager = line.strip_prefix("rmgr:")?.split_whitespace().next()?;
        let field = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split(',').next()?.trim().parse().ok()
        };
        let (_, description) = line.split_once("desc:")?;
        Some(Self {
            manager: manager.to_owned(),
            lsn: field(" lsn: ")?,
            previous: field(" prev ")?,
            description: description.trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: &str = "rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/05000028, prev 0/040001F0, desc: CHECKPOINT_SHUTDOWN redo 0/5000028; tli 2; prev tli 2; fpw true; xid 0:737; oid 16384; multi 1; offset 0; oldest xid 716 in DB 1; shutdown\n";
    const SWITCH: &str = "rmgr: XLOG        len (rec/tot):     24/    24, tx:          0, lsn: 0/040001F0, prev 0/040001B8, desc: SWITCH \n";

    fn lsn(text: &str) -> Lsn {
        text.parse().unwrap()
    }

    #[test]
    fn records_are_read() {
        let record = Record::parse(CHECKPOINT).unwrap();
        assert_eq!(record.manager, "XLOG");
        assert_eq!(
            (record.lsn, record.previous),
            (lsn("0/5000028"), lsn("0/40001F0"))
        );
        assert!(record.description.ends_with("; shutdown"));
        assert_eq!(Record::parse(SWITCH).unwrap().description, "SWITCH");
        assert_eq!(Record::parse("pg_waldump: nonsense"), None);
    }

    #[test]
    fn the_end_is_believed_only_when_nothing_follows() {
        let error = "pg_waldump: error: error in WAL record at 0/5000028: invalid record length at 0/50000A0: wanted 24, got 0\n";
        let at = lsn("0/5000028");
        assert_eq!(
            end_of_last_record(CHECKPOINT, error, at),
            Some(lsn("0/50000A0"))
        );
        for (stdout, stderr, at) in [
            (CHECKPOINT, "", at),
            ("", error, at),
            (CHECKPOINT, error, lsn("0/1")),
            (&format!("{CHECKPOINT}{SWITCH}"), error, at),
            (CHECKPOINT, &error.repeat(2), at),
            (
                CHECKPOINT,
                "pg_waldump: error: could not find a valid record",
                at,
            ),
        ] {
            assert_eq!(
                end_of_last_record(stdout, stderr, at),
                None,
                "{stdout} {stderr}"
            );
        }
    }
}
