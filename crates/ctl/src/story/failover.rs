//! The last change of leader: who lost the lock and why, who took it, who was refused.

use jiff::{SignedDuration, Timestamp};
use patroni_core::account::{Kind, Turn};
use patroni_core::{Account, MemberName};
use serde_json::{Value, json};

use super::{Journals, Words};

/// How long before the lock was seen free the former leader may have begun to step down.
const BEFORE: SignedDuration = SignedDuration::from_secs(120);
/// How long after the new leader took the lock others still take part in the same story.
const AFTER: SignedDuration = SignedDuration::from_secs(30);

/// One change of leader, seen through all journals.
#[derive(Clone, Debug)]
pub(crate) struct Failover<'a> {
    journals: &'a Journals,
    /// The decision that took the lock.
    took: &'a Account,
    former: Option<&'a MemberName>,
    /// The last time that anybody saw the former leader with the lock.
    last_seen: Option<Timestamp>,
    /// When the new leader's server was promoted.
    promoted: Option<&'a Account>,
    /// What the former leader told of its own end.
    stepped_down: Vec<&'a Account>,
    /// Everything that belongs to it.
    accounts: Vec<&'a Account>,
}

/// A node that was refused, and by whom.
struct Refusal<'a> {
    name: &'a MemberName,
    evidence: &'a str,
    reason: &'a str,
    by: Vec<&'a MemberName>,
}

impl<'a> Failover<'a> {
    /// The last one: a member took the lock from another. Without such one the last time that
    /// anybody took it at all.
    pub(crate) fn last(journals: &'a Journals) -> Option<Self> {
        let all = journals.accounts();
        let took_over = |account: &&Account| account.turn == Turn::TookOver;
        let from_another = |account: &&Account| {
            let former = account.former.as_ref();
            former.is_some_and(|former| *former != account.member)
        };
        let took = all
            .iter()
            .rev()
            .find(|account| took_over(account) && from_another(account))
            .or_else(|| all.iter().rev().find(took_over))?;
        let former = took
            .former
            .as_ref()
            .filter(|former| **former != took.member);
        let led = |account: &&Account| former.is_some() && account.leader.as_ref() == former;
        let last_seen = all
            .iter()
            .filter(|account| led(account) && account.at <= took.at)
            .map(|account| account.until.min(took.at))
            .max();
        let begin = last_seen.unwrap_or(took.at).min(took.at);
        let begin = begin.checked_sub(BEFORE).unwrap_or(begin);
        let end = took.until.checked_add(AFTER).unwrap_or(took.until);
        let accounts: Vec<&Account> = all
            .iter()
            .filter(|account| account.at >= begin && account.at <= end)
            .filter(|account| account.turn != Turn::Steady || !account.refused.is_empty())
            .collect();
        let stepped_down = accounts
            .iter()
            .copied()
            .filter(|account| Some(&account.member) == former && account.at <= took.until)
            .filter(|account| matches!(account.turn, Turn::SteppedDown | Turn::StoreLost))
            .collect();
        let promoted = all
            .iter()
            .find(|a| a.turn == Turn::Promoted && a.member == took.member && a.until >= took.at);
        Some(Self {
            journals,
            took,
            former,
            last_seen,
            promoted,
            stepped_down,
            accounts,
        })
    }

    /// From the first to the last that belongs to it.
    pub(crate) fn span(&self) -> (Timestamp, Timestamp) {
        let first = self.accounts.first().map_or(self.took.at, |told| told.at);
        let end = self
            .took
            .until
            .checked_add(AFTER)
            .unwrap_or(self.took.until);
        (first.min(self.took.at), end)
    }

    fn refusals(&self) -> Vec<Refusal<'a>> {
        let mut refusals: Vec<Refusal<'a>> = Vec::new();
        for account in &self.accounts {
            for refused in &account.refused {
                let known = refusals.iter_mut().find(|known| {
                    known.name == &refused.name && known.evidence == refused.evidence
                });
                match known {
                    Some(known) if known.by.contains(&&account.member) => {}
                    Some(known) => known.by.push(&account.member),
                    None => refusals.push(Refusal {
                        name: &refused.name,
                        evidence: &refused.evidence,
                        reason: &refused.reason,
                        by: vec![&account.member],
                    }),
                }
            }
        }
        refusals
    }

    /// Told to people.
    pub(crate) fn lines(&self, words: &Words) -> Vec<String> {
        let took = self.took;
        let new = &took.member;
        let when = words.time(took.at);
        let mut lines = match self.former {
            Some(former) => vec![format!("{former} was replaced by {new} at {when}.")],
            None => vec![format!("{new} became the leader at {when}.")],
        };
        if let Some(request) = self.request() {
            lines.push(format!("It was asked for: {request}."));
        }
        if let Some(former) = self.former {
            lines.push(String::new());
            lines.push(format!("Why {former} does not lead any more:"));
            lines.extend(self.why_lost(former, words));
        }
        lines.push(String::new());
        lines.push(format!("Why {new} leads:"));
        lines.push(format!("  {} {new}: {}", words.time(took.at), took.verdict));
        lines.extend(took.why.iter().map(|why| format!("    {why}")));
        if let Some(promoted) = self.promoted {
            let took = promoted.until.duration_since(took.at);
            let when = words.time(promoted.until);
            lines.push(format!(
                "  {when} {new}: its server was promoted, {} after the lock was asked for",
                Words::span(took)
            ));
        }
        if let Some(gap) = self.gap() {
            let gap = Words::span(gap);
            lines.push(format!("  Nobody was known to lead for at most {gap}."));
        }
        let refusals = self.refusals();
        if !refusals.is_empty() {
            lines.push(String::new());
            lines.push("Who was refused:".to_owned());
            for refusal in refusals {
                let by: Vec<&str> = refusal.by.iter().map(|name| name.as_str()).collect();
                let (name, evidence) = (refusal.name, refusal.evidence);
                lines.push(format!("  {name}: {evidence} (says {})", by.join(", ")));
            }
        }
        lines.push(String::new());
        lines.push("Step by step:".to_owned());
        lines.extend(
            self.accounts
                .iter()
                .map(|told| format!("  {}", words.line(told))),
        );
        lines
    }

    fn why_lost(&self, former: &MemberName, words: &Words) -> Vec<String> {
        let mut lines = Vec::new();
        for told in &self.stepped_down {
            lines.push(format!(
                "  {} {former}: {}",
                words.time(told.at),
                told.verdict
            ));
            lines.extend(told.why.iter().map(|why| format!("    {why}")));
        }
        if let Some(why) = self.journals.why_missing(former.as_str()) {
            lines.push(format!("  {former} itself cannot be asked: {why}."));
        }
        if let Some(seen) = self.last_seen {
            let when = words.time(seen);
            lines.push(format!("  It was last seen with the lock at {when}."));
        }
        if self.stepped_down.is_empty() {
            let when = words.time(self.took.at);
            lines.push(format!(
                "  It told nobody why: its lock ran out, or was given back, before {when}."
            ));
        }
        lines
    }

    fn request(&self) -> Option<&str> {
        let mut told = std::iter::once(self.took).chain(self.stepped_down.iter().copied());
        told.find_map(|account| account.request.as_deref())
    }

    /// From the last sight of the old leader to the promotion of the new one.
    fn gap(&self) -> Option<SignedDuration> {
        let end = self.promoted.map_or(self.took.until, |told| told.until);
        Some(end.duration_since(self.last_seen?))
    }

    /// Told to programs.
    pub(crate) fn document(&self) -> Value {
        let refused: Vec<Value> = self
            .refusals()
            .into_iter()
            .map(|refusal| {
                let by: Vec<&str> = refusal.by.iter().map(|name| name.as_str()).collect();
                json!({
                    "name": refusal.name.as_str(),
                    "reason": refusal.reason,
                    "evidence": refusal.evidence,
                    "by": by,
                })
            })
            .collect();
        let promoted = self.promoted.filter(|told| told.kind == Kind::Task);
        json!({
            "from": self.former.map(MemberName::as_str),
            "to": self.took.member.as_str(),
            "at": self.took.at.to_string(),
            "request": self.request(),
            "last_seen": self.last_seen.map(|time| time.to_string()),
            "promoted_at": promoted.map(|told| told.until.to_string()),
            "took": self.took,
            "stepped_down": self.stepped_down,
            "refused": refused,
            "records": self.accounts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{a_failover, account, page};
    use super::*;

    #[test]
    fn a_dead_leader_a_new_one_and_who_was_refused() {
        let journals = a_failover();
        let failover = Failover::last(&journals).unwrap();
        let text = failover.lines(&Words::utc()).join("\n");
        assert_eq!(
            text,
            "\
a was replaced by b at 2026-01-01 12:00:20.000.

Why a does not lead any more:
  a itself cannot be asked: connection refused.
  It was last seen with the lock at 2026-01-01 12:00:01.000.
  It told nobody why: its lock ran out, or was given back, before 2026-01-01 12:00:20.000.

Why b leads:
  2026-01-01 12:00:20.000 b: promoted self to leader
    Nobody held the lock; a led last.
  2026-01-01 12:00:22.000 b: its server was promoted, 2.0 s after the lock was asked for
  Nobody was known to lead for at most 21.0 s.

Who was refused:
  c: not allowed to promote (says b, c)
  a: not reachable (connection refused) (says b)

Step by step:
  2026-01-01 12:00:20.000 b  T3   promoted self to leader
  2026-01-01 12:00:21.000 c  T3   following a different leader
  2026-01-01 12:00:22.000 b  T3   promote: success"
        );
        let document = failover.document();
        assert_eq!(
            (&document["from"], &document["to"]),
            (&json!("a"), &json!("b"))
        );
        assert_eq!(document["refused"][0]["by"], json!(["b", "c"]));
    }

    #[test]
    fn what_the_old_leader_says_of_its_own_end_comes_first() {
        let mut demoting = account(
            "a",
            19,
            Turn::SteppedDown,
            Some("a"),
            "switchover: demoting",
        );
        demoting.request = Some("switchover away from a to b".to_owned());
        let took = account("b", 20, Turn::TookOver, None, "promoted");
        let journals = Journals::new(
            vec![page("a", vec![demoting]), page("b", vec![took])],
            vec![],
        );
        let failover = Failover::last(&journals).unwrap();
        let lines = failover.lines(&Words::utc());
        assert!(lines.contains(&"It was asked for: switchover away from a to b.".to_owned()));
        let told = "  2026-01-01 12:00:19.000 a: switchover: demoting".to_owned();
        assert!(lines.contains(&told), "{lines:#?}");
    }

    #[test]
    fn the_first_leader_replaces_nobody_and_nothing_is_no_failover() {
        let mut first = account("a", 5, Turn::TookOver, None, "initialized a new cluster");
        first.former = None;
        let journals = Journals::new(vec![page("a", vec![first])], vec![]);
        let lines = Failover::last(&journals).unwrap().lines(&Words::utc());
        assert_eq!(lines[0], "a became the leader at 2026-01-01 12:00:05.000.");
        assert!(Failover::last(&Journals::default()).is_none());
    }
}
