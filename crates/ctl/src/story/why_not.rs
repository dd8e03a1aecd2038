//! Why a member did not lead, and would not now.

use patroni_config::Dynamic;
use patroni_core::{Account, Cluster, MemberName};
use serde_json::{Value, json};

use super::{Journals, Words};

/// What speaks against one member.
#[derive(Clone, Debug)]
pub(crate) struct WhyNot<'a> {
    candidate: MemberName,
    leads: bool,
    /// By the store as it is now.
    now: Vec<String>,
    /// By the journals: evidence, reason, the newest account that has it, who else says so.
    told: Vec<Told<'a>>,
}

#[derive(Clone, Debug)]
struct Told<'a> {
    evidence: &'a str,
    reason: &'a str,
    newest: &'a Account,
    by: Vec<&'a MemberName>,
}

impl<'a> WhyNot<'a> {
    /// Looks for a member in the journals and in the store.
    pub(crate) fn of(
        candidate: &str,
        journals: &'a Journals,
        cluster: &Cluster,
        dynamic: &Dynamic,
    ) -> Self {
        let candidate = MemberName::new(candidate);
        let mut told: Vec<Told<'a>> = Vec::new();
        for account in journals.accounts().iter().rev() {
            for refused in account.refused.iter().filter(|r| r.name == candidate) {
                let known = told
                    .iter_mut()
                    .find(|told| told.evidence == refused.evidence);
                match known {
                    Some(known) if known.by.contains(&&account.member) => {}
                    Some(known) => known.by.push(&account.member),
                    None => told.push(Told {
                        evidence: &refused.evidence,
                        reason: &refused.reason,
                        newest: account,
                        by: vec![&account.member],
                    }),
                }
            }
        }
        Self {
            leads: cluster.leader_name() == Some(&candidate),
            now: obstacles(&candidate, cluster, dynamic),
            told,
            candidate,
        }
    }

    /// Told to people.
    pub(crate) fn lines(&self, words: &Words) -> Vec<String> {
        let candidate = &self.candidate;
        let mut lines = Vec::new();
        if self.leads {
            lines.push(format!("{candidate} holds the lock now."));
        }
        if self.told.is_empty() {
            lines.push(format!(
                "No journal that could be asked tells of a refusal of {candidate}."
            ));
        } else {
            lines.push(format!("{candidate} was refused, newest first:"));
        }
        for told in &self.told {
            let by: Vec<&str> = told.by.iter().map(|name| name.as_str()).collect();
            let when = words.time(told.newest.at);
            lines.push(format!(
                "  {when} {} (says {})",
                told.evidence,
                by.join(", ")
            ));
            lines.push(format!(
                "    {} decided: {}",
                told.newest.member, told.newest.verdict
            ));
            lines.extend(told.newest.why.iter().map(|why| format!("    {why}")));
        }
        if !self.leads {
            lines.push(String::new());
            if self.now.is_empty() {
                lines.push(format!(
                    "Nothing in the store speaks against {candidate} now."
                ));
            } else {
                lines.push(format!("What the store says against {candidate} now:"));
                lines.extend(self.now.iter().map(|why| format!("  {why}")));
            }
        }
        lines
    }

    /// Told to programs.
    pub(crate) fn document(&self) -> Value {
        let told: Vec<Value> = self
            .told
            .iter()
            .map(|told| {
                let by: Vec<&str> = told.by.iter().map(|name| name.as_str()).collect();
                json!({
                    "reason": told.reason,
                    "evidence": told.evidence,
                    "at": told.newest.at.to_string(),
                    "by": by,
                    "record": told.newest,
                })
            })
            .collect();
        json!({
            "candidate": self.candidate.as_str(),
            "leads": self.leads,
            "refused": told,
            "now": self.now,
        })
    }
}

/// What the store alone tells; the members know more.
fn obstacles(candidate: &MemberName, cluster: &Cluster, dynamic: &Dynamic) -> Vec<String> {
    let Some(member) = cluster.member(candidate) else {
        return vec!["it is no member: its key is not in the store".to_owned()];
    };
    let data = &member.data;
    let mut against = Vec::new();
    if data.tags().nofailover() {
        let tags = data.tags();
        let shown = if tags.get("nofailover").is_some() {
            "nofailover: true".to_owned()
        } else {
            format!("failover_priority: {}", tags.failover_priority())
        };
        against.push(format!(
            "its tags say {shown}: it is not allowed to promote"
        ));
    }
    if data.api_url().is_none() {
        against.push("it has published no API address, so nobody can ask it".to_owned());
    }
    if !data.is_running() {
        against.push(format!("its PostgreSQL is {}", data.state()));
    }
    let lag = data
        .position()
        .map(|at| at.lag_behind(cluster.status.optime));
    if let Some(lag) = lag
        && i128::from(lag) > i128::from(dynamic.maximum_lag_on_failover)
        && lag > 0
    {
        against.push(format!(
            "it lags by {lag} bytes, maximum_lag_on_failover is {}",
            dynamic.maximum_lag_on_failover
        ));
    }
    let (theirs, ours) = (data.timeline(), cluster.timeline());
    if let (Some(theirs), Some(ours)) = (theirs, ours)
        && dynamic.check_timeline
        && theirs < ours
    {
        against.push(format!("it is on timeline {theirs}, the cluster on {ours}"));
    }
    let sync = &cluster.sync;
    if dynamic.is_synchronous() && !sync.is_empty() && !sync.has_member(candidate) {
        against.push("it is not in the sync key, and synchronous mode is on".to_owned());
    }
    let failsafe = cluster
        .failsafe
        .as_ref()
        .filter(|members| !members.is_empty());
    if dynamic.failsafe_mode && failsafe.is_some_and(|members| !members.contains_key(candidate)) {
        against.push("it is not in the failsafe topology".to_owned());
    }
    if dynamic.pause {
        against.push("the cluster is paused: nobody is promoted unless asked for".to_owned());
    }
    against
}

#[cfg(test)]
mod tests {
    use super::super::tests::a_failover;
    use super::*;
    use patroni_core::{Lsn, Member, MemberData, Status};

    fn cluster(of_c: &Value) -> Cluster {
        Cluster {
            members: vec![Member {
                name: MemberName::new("c"),
                session: None,
                data: MemberData::new(of_c.as_object().unwrap().clone()),
            }],
            status: Status {
                optime: Lsn::new(5_000_000),
                ..Status::default()
            },
            ..Cluster::default()
        }
    }

    #[test]
    fn journals_and_the_store_name_the_tag() {
        let journals = a_failover();
        let cluster = cluster(&json!({
            "api_url": "http://c:8008/patroni", "state": "running", "xlog_location": 4_999_999,
            "tags": {"nofailover": true},
        }));
        let why_not = WhyNot::of("c", &journals, &cluster, &Dynamic::default());
        assert_eq!(
            why_not.lines(&Words::utc()).join("\n"),
            "\
c was refused, newest first:
  2026-01-01 12:00:21.000 not allowed to promote (says c, b)
    c decided: following a different leader
    Nobody held the lock; a led last.

What the store says against c now:
  its tags say nofailover: true: it is not allowed to promote"
        );
        assert_eq!(why_not.document()["refused"][0]["by"], json!(["c", "b"]));
    }

    #[test]
    fn the_store_alone_tells_lag_state_and_absence() {
        let journals = Journals::default();
        let cluster = cluster(&json!({"state": "stopped", "xlog_location": 1}));
        let dynamic = Dynamic::default();
        let now = |name: &str| WhyNot::of(name, &journals, &cluster, &dynamic).now;
        assert_eq!(
            now("c"),
            [
                "it has published no API address, so nobody can ask it",
                "its PostgreSQL is stopped",
                "it lags by 4999999 bytes, maximum_lag_on_failover is 1048576",
            ]
        );
        assert_eq!(now("x"), ["it is no member: its key is not in the store"]);
    }
}
