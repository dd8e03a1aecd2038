//! The guardian of a primary: a process that stops PostgreSQL when this one cannot any more.
//!
//! The lease guard lives in the daemon and dies with it. Its last backup is told here what the
//! lease is: with every renewal, and when the lock is given back. See the decision page.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use patroni_config::file::guardian::GuardianMode;
use patroni_core::Role;
use patroni_ha::lease::guard_margin;
use patroni_postgres::{Stopped, Target};
use patroni_watchdog::guardian::{Post, watch};

use crate::act::Body;

/// Says, in the data directory, which guardian is on duty.
const FILE: &str = "patroni.guardian";

/// How the margin of the lease guard is divided after that guard has failed to act: the guardian
/// stops PostgreSQL at half of it, and kills what is left a quarter later.
const STOP_AT: u32 = 2;
const KILL_AFTER: u32 = 4;

impl Body {
    /// Tells the guardian how things stand: a primary with a lease is guarded, also while it is
    /// on its way down; nobody else is, and nobody in a pause.
    pub(crate) fn tell_guardian(&self) {
        let settings = self.settings();
        let off = settings.guardian.mode == GuardianMode::Off || settings.dynamic.pause;
        let leads = matches!(self.supervisor.role(), Role::Primary | Role::Promoted);
        match (self.lease.end(), leads && !off) {
            (_, false) => self.rest_guardian(),
            (None, true) => {}
            (Some(end), true) => {
                let margin = guard_margin(settings.dynamic.ttl);
                let at = self.clock.of_the_system(end - margin / STOP_AT);
                let what = What {
                    patience: margin / KILL_AFTER,
                    target: self.supervisor.target(),
                };
                self.guardian().tell(at, &what.to_text(), &self.duty());
            }
        }
    }

    /// The lock is given back: there is nothing to guard.
    pub(crate) fn rest_guardian(&self) {
        self.guardian().rest(&self.duty());
    }

    fn duty(&self) -> PathBuf {
        self.supervisor.data_dir().join(FILE)
    }
}

/// What a guardian is told to do.
#[derive(Debug, PartialEq, Eq)]
struct What {
    /// How long the server gets to end by itself.
    patience: Duration,
    target: Target,
}

impl What {
    fn to_text(&self) -> String {
        format!("{} {}", self.patience.as_millis(), self.target.to_text())
    }

    fn parse(text: &str) -> Option<Self> {
        let (patience, target) = text.split_once(' ')?;
        Some(Self {
            patience: Duration::from_millis(patience.parse().ok()?),
            target: Target::parse(target)?,
        })
    }
}

/// Lives the life of a guardian when the arguments of this process (without its own name) say
/// that it is one, and ends with its last words on standard error; `None` for a daemon.
pub fn run_as_guardian(
    arguments: impl IntoIterator<Item = OsString>,
) -> Option<std::io::Result<()>> {
    Some(guard(&Post::of_arguments(arguments)?))
}

fn guard(post: &Post) -> std::io::Result<()> {
    watch(post, |text| {
        let Some(what) = What::parse(text) else {
            return;
        };
        let done = match what.target.stop(what.patience) {
            Stopped::NothingRan => return,
            Stopped::Ended => "stopped",
            Stopped::Killed => "killed",
        };
        eprintln!(
            "guardian: the leader lock ran out and the daemon did not act, {done} PostgreSQL"
        );
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_survives_the_pipe() {
        let target = Target::parse("12 3456 /data of/ours").unwrap();
        let what = What {
            patience: Duration::from_millis(333),
            target,
        };
        assert_eq!(What::parse(&what.to_text()), Some(what));
        assert_eq!(What::parse("nonsense"), None);
    }
}
