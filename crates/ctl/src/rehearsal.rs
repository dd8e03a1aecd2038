//! `--dry-run`: the steps of a command, told instead of taken.

use std::time::Duration;

use patroni_core::Member;

use crate::context::Context;
use crate::exit::Failure;
use crate::rest::Heard;

/// A member that does not answer within it is told as silent.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Steps in their order, and what speaks against them.
#[derive(Debug, Default)]
pub(crate) struct Rehearsal {
    steps: Vec<String>,
    refusals: Vec<String>,
}

impl Rehearsal {
    /// The next step.
    pub(crate) fn step(&mut self, text: impl Into<String>) {
        self.steps.push(text.into());
    }

    /// Somebody would refuse.
    pub(crate) fn refuse(&mut self, text: impl Into<String>) {
        self.refusals.push(text.into());
    }

    /// A member would answer with this code and text.
    pub(crate) fn refuse_with(&mut self, who: &str, code: u16, text: &str) {
        self.refuse(format!("{who} would refuse: {code}, {text}"));
    }

    /// Whether anybody would refuse.
    pub(crate) fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// Tells everything; refusals end with the status of one.
    pub(crate) fn tell(self, context: &mut Context) -> Result<(), Failure> {
        if self.steps.is_empty() && self.refusals.is_empty() {
            return context.print("Dry run: there is nothing to do.");
        }
        context.print("Dry run: nothing is changed. The steps would be:")?;
        for (index, step) in self.steps.iter().enumerate() {
            context.print(&format!("{:>3}. {step}", index + 1))?;
        }
        if self.refusals.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(self.refusals.join("\nError: ")))
    }
}

impl Context {
    /// Asks members for their status, which changes nothing.
    pub(crate) async fn look_at(&mut self, members: &[Member]) -> Result<Vec<Heard>, Failure> {
        self.ask_all(members, "patroni", LIMIT).await
    }
}
