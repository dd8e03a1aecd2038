//! One thing that is not as it should be.

use patroni_core::MemberName;
use serde::Serialize;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// The next change of leader may be worse than it should be.
    Warning,
    /// A failover or switchover would not come about, or the cluster is in trouble now.
    Problem,
}

impl Severity {
    /// The word in reports.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// The exit status when nothing graver was found.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Note => 0,
            Self::Warning => 1,
            Self::Problem => 2,
        }
    }
}

/// What was found, at whom, and the way out. The order of fields is that of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// A stable name for programs.
    pub(crate) check: &'static str,
    /// The member concerned; none when it is the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<MemberName>,
    /// What is so, with figures.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Finding {
    fn new(severity: Severity, check: &'static str, reason: String, remedy: &str) -> Self {
        Self {
            severity,
            check,
            member: None,
            reason,
            remedy: remedy.to_owned(),
        }
    }

    pub(crate) fn problem(check: &'static str, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Severity::Problem, check, reason.into(), remedy)
    }

    pub(crate) fn warning(check: &'static str, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Severity::Warning, check, reason.into(), remedy)
    }

    pub(crate) fn note(check: &'static str, reason: impl Into<String>, remedy: &str) -> Self {
        Self::new(Severity::Note, check, reason.into(), remedy)
    }

    /// The same about one member.
    pub(crate) fn of(mut self, member: &MemberName) -> Self {
        self.member = Some(member.clone());
        self
    }
}
