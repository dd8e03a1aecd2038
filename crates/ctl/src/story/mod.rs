//! The journals of several members, put together: what happened to the leadership, and why.
//!
//! Pure functions over [`Account`]s. Members tell what they decided; here it is only chosen,
//! sorted and worded.

mod failover;
mod why_not;
mod words;

use jiff::Timestamp;
use patroni_api::wire::JournalPage;
use patroni_core::Account;
use patroni_core::account::Turn;
use serde_json::{Value, json};

pub(crate) use failover::Failover;
pub(crate) use why_not::WhyNot;
pub(crate) use words::Words;

/// What could be gathered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journals {
    pages: Vec<JournalPage>,
    missing: Vec<(String, String)>,
    /// All accounts in the order of time.
    accounts: Vec<Account>,
}

impl Journals {
    /// Journals of members that answered, and the names of the others with what went wrong.
    pub(crate) fn new(mut pages: Vec<JournalPage>, missing: Vec<(String, String)>) -> Self {
        let mut accounts: Vec<Account> = Vec::new();
        for page in &mut pages {
            accounts.append(&mut page.records);
        }
        accounts.sort_by(|a, b| (a.at, &a.member, a.number).cmp(&(b.at, &b.member, b.number)));
        Self {
            pages,
            missing,
            accounts,
        }
    }

    /// Somebody answered.
    pub(crate) fn has_answers(&self) -> bool {
        !self.pages.is_empty()
    }

    pub(crate) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    pub(crate) fn missing(&self) -> &[(String, String)] {
        &self.missing
    }

    /// Why this member could not be asked.
    pub(crate) fn why_missing(&self, member: &str) -> Option<&str> {
        let mut missing = self.missing.iter();
        let found = missing.find(|(name, _)| name == member)?;
        Some(&found.1)
    }

    /// The newest account of one of these kinds, outside of a span of time.
    pub(crate) fn last(
        &self,
        turns: &[Turn],
        not_in: Option<(Timestamp, Timestamp)>,
    ) -> Option<&Account> {
        let outside = |account: &&Account| {
            not_in.is_none_or(|(begin, end)| account.until < begin || account.at > end)
        };
        let wanted = |account: &&Account| turns.contains(&account.turn);
        self.accounts.iter().rev().find(|a| wanted(a) && outside(a))
    }

    /// What does not go without saying about the journals themselves.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for (member, why) in &self.missing {
            remarks.push(format!("{member} could not be asked: {why}."));
        }
        for page in &self.pages {
            if !page.enabled {
                remarks.push(format!(
                    "{} keeps no journal (journal.enabled).",
                    page.member
                ));
            }
            if page.lost > 0 {
                let (member, lost) = (&page.member, page.lost);
                remarks.push(format!(
                    "{member} has lost {lost} decisions: too many came at once."
                ));
            }
        }
        remarks
    }

    /// The same for programs.
    pub(crate) fn sources(&self) -> Value {
        let asked: Vec<Value> = self
            .pages
            .iter()
            .map(|page| {
                json!({
                    "member": page.member.as_str(),
                    "enabled": page.enabled,
                    "oldest": page.oldest,
                    "newest": page.newest,
                    "lost": page.lost,
                })
            })
            .collect();
        let missing = self.missing.iter();
        let missing: Vec<Value> = missing
            .map(|(member, why)| json!({"member": member, "why": why}))
            .collect();
        json!({"asked": asked, "not_asked": missing})
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use patroni_core::MemberName;
    use patroni_core::account::{Kind, Refused};

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_268_800 + second).unwrap()
    }

    /// An account of a cycle of this member, at so many seconds, with this leader in view.
    pub(crate) fn account(
        member: &str,
        second: i64,
        turn: Turn,
        leader: Option<&str>,
        verdict: &str,
    ) -> Account {
        Account {
            number: u64::try_from(second).unwrap(),
            member: MemberName::new(member),
            at: at(second),
            until: at(second),
            times: 1,
            kind: Kind::Cycle,
            turn,
            rule: "T3".to_owned(),
            about: "nobody led and this node took the lock".to_owned(),
            leader: leader.map(MemberName::new),
            former: leader.is_none().then(|| MemberName::new("a")),
            revision: leader.map(|_| "7".to_owned()),
            request: None,
            verdict: verdict.to_owned(),
            why: vec!["Nobody held the lock; a led last.".to_owned()],
            refused: Vec::new(),
            acts: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn refused(name: &str, evidence: &str) -> Refused {
        Refused {
            name: MemberName::new(name),
            reason: "X".to_owned(),
            evidence: evidence.to_owned(),
        }
    }

    pub(crate) fn page(member: &str, records: Vec<Account>) -> JournalPage {
        JournalPage {
            member: MemberName::new(member),
            enabled: true,
            oldest: Some(1),
            newest: Some(9),
            lost: 0,
            records,
        }
    }

    /// `a` led and died, `b` took over, `c` may not lead; `a` cannot be asked.
    pub(crate) fn a_failover() -> Journals {
        let steady = |member| account(member, 1, Turn::Steady, Some("a"), "no action");
        let mut took = account("b", 20, Turn::TookOver, None, "promoted self to leader");
        took.refused = vec![
            refused("c", "not allowed to promote"),
            refused("a", "not reachable (connection refused)"),
        ];
        let mut promoted = account("b", 22, Turn::Promoted, Some("b"), "promote: success");
        promoted.kind = Kind::Task;
        let mut stood_back = account("c", 21, Turn::Refused, None, "following a different leader");
        stood_back.refused = vec![refused("c", "not allowed to promote")];
        Journals::new(
            vec![
                page("b", vec![steady("b"), took, promoted]),
                page("c", vec![steady("c"), stood_back]),
            ],
            vec![("a".to_owned(), "connection refused".to_owned())],
        )
    }

    #[test]
    fn journals_are_merged_in_the_order_of_time() {
        let journals = a_failover();
        let times: Vec<Timestamp> = journals.accounts().iter().map(|told| told.at).collect();
        assert!(times.is_sorted());
        assert_eq!(times.len(), 5);
        let last = journals.last(&[Turn::Refused], None).unwrap();
        assert_eq!(last.member.as_str(), "c");
        assert!(
            journals
                .last(&[Turn::Refused], Some((at(0), at(30))))
                .is_none()
        );
        assert_eq!(
            journals.remarks(),
            ["a could not be asked: connection refused."]
        );
    }
}
