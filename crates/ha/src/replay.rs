//! Deterministic re-execution: a program asks, recorded outcomes answer, and the first question
//! without a recorded answer ends the run.

use patroni_core::Moment;

use crate::command::Command;
use crate::outcome::Outcome;
use crate::sentence::{Sentence, Text};

/// Why a program does not go on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Halt {
    /// It needs the outcome of this command.
    Suspended(Box<Command>),
    /// The store did not answer: the rules for that case take over.
    StoreFailed,
    /// The program or its body is wrong.
    Bug(String),
}

/// What a question to the outside gives.
pub(crate) type Asked<T> = Result<T, Halt>;

/// More commands than any honest cycle or job needs: a loop without end is a bug, and ending it
/// is better than running it.
const MOST_COMMANDS: usize = 600;

/// The recorded outcomes and what was said since the last of them.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    received: &'a [(Outcome, Moment)],
    next: usize,
    now: Moment,
    said: Vec<Sentence>,
    pending: Option<Text>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(begun: Moment, received: &'a [(Outcome, Moment)]) -> Self {
        Self {
            received,
            next: 0,
            now: begun,
            said: Vec::new(),
            pending: None,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    pub(crate) fn ask(&mut self, command: Command) -> Asked<Outcome> {
        if self.next >= MOST_COMMANDS {
            return Err(Halt::Bug(format!("more than {MOST_COMMANDS} commands")));
        }
        let Some((outcome, at)) = self.received.get(self.next) else {
            return Err(Halt::Suspended(Box::new(command)));
        };
        self.next += 1;
        self.now = self.now.max(*at);
        // What was said before the question was handed out together with it.
        self.said.clear();
        Ok(outcome.clone())
    }

    /// Says a sentence that is worth a line only when another one follows.
    pub(crate) fn say_with_next(&mut self, text: Text) {
        self.pending = Some(text);
    }

    pub(crate) fn say(&mut self, text: Text) {
        self.flush();
        self.said.push(text.into());
    }

    /// Says what waits for a following line.
    pub(crate) fn flush(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.said.push(pending.into());
        }
    }

    pub(crate) fn into_said(self) -> Vec<Sentence> {
        self.said
    }
}
