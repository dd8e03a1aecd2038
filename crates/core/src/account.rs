//! What one decision came to, told for people: the form in which journals travel between
//! members and tools.
//!
//! The decision core makes accounts of its records, members serve them, tools merge those of
//! several members into one story. Fields that a reader does not know are ignored, kinds that it
//! does not know read as [`Turn::Other`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::MemberName;

/// One decision, or several in a row that were alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its number in the journal of its member; it never goes back.
    pub number: u64,
    /// Whose decision it was.
    pub member: MemberName,
    /// When it began; of several alike the first.
    pub at: Timestamp,
    /// When it ended; of several alike the last.
    pub until: Timestamp,
    /// How many decisions alike this one stands for.
    #[serde(default = "once")]
    pub times: u64,
    /// A cycle of the loop, or a long task.
    pub kind: Kind,
    /// What it meant for the leadership.
    pub turn: Turn,
    /// The short name of the rule that spoke.
    pub rule: String,
    /// What the rule is about.
    pub about: String,
    /// Who held the lock by the view that was judged.
    pub leader: Option<MemberName>,
    /// Who led last, when nobody holds the lock.
    pub former: Option<MemberName>,
    /// The revision of the lock that was judged.
    pub revision: Option<String>,
    /// The change of leader that somebody had asked for, in words.
    #[serde(default)]
    pub request: Option<String>,
    /// The last words of the decision, as in the log.
    pub verdict: String,
    /// Why, in plain sentences.
    pub why: Vec<String>,
    /// Members that were looked at and found unfit to lead.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// What was done, in order.
    #[serde(default)]
    pub acts: Vec<Act>,
    /// What the log says of it.
    #[serde(default)]
    pub said: Vec<String>,
}

const fn once() -> u64 {
    1
}

/// What kind of program decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A cycle of the loop.
    Cycle,
    /// A long task beside the loop.
    Task,
}

/// What a decision meant for the leadership of its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Everything went on.
    Steady,
    /// It took the lock, or found it its own and began to lead.
    TookOver,
    /// A task made its server the primary.
    Promoted,
    /// It stepped down, or gave the lock back.
    SteppedDown,
    /// A node, or a request, was refused.
    Refused,
    /// The store did not answer.
    StoreLost,
    /// The server was started, copied, rewound or recovered.
    Repaired,
    /// Something else, also what only later versions know.
    #[serde(other)]
    Other,
}

/// A member that was found unfit to lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which.
    pub name: MemberName,
    /// The kind of reason, such as `NotAllowed`.
    pub reason: String,
    /// The reason with its evidence: positions, limits, the error.
    pub evidence: String,
}

/// One command and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The short name of the rule that asked for it.
    pub rule: String,
    /// What was asked for.
    pub command: String,
    /// What became of it; `None` when that was not learnt.
    pub outcome: Option<String>,
    /// It did not go as asked.
    pub failed: bool,
    /// How long after the beginning of the decision the outcome was learnt, in milliseconds.
    pub after_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_later_versions_can_be_read() {
        let text = r#"{
            "number": 7, "member": "a", "at": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:01Z",
            "kind": "cycle", "turn": "teleported", "rule": "L2", "about": "x", "leader": "a",
            "former": null, "revision": "12", "verdict": "v", "why": [], "mood": "good"
        }"#;
        let account: Account = serde_json::from_str(text).unwrap();
        assert_eq!(account.turn, Turn::Other);
        assert_eq!((account.number, account.times), (7, 1));
        let again = serde_json::to_string(&account).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&again).unwrap(), account);
    }
}
