//! How far a move is: which member reads which store.

use patroni_core::{Cluster, Member, MemberData, MemberName};
use serde_json::{Map, Value, json};

use super::mark::{Arriving, Mark};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Align, Column, Format, Table};
use crate::rehearsal::LIMIT;
use crate::rest::{Answer, RestError};

/// The store that a member reads, by the configuration that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// The one that is left.
    Old,
    /// The one that the cluster comes to.
    New,
    /// It does not answer.
    Silent(String),
    /// Its configuration does not know of the move (yet).
    Unknown,
}

impl Where {
    fn text(&self) -> String {
        match self {
            Self::Old => "old".to_owned(),
            Self::New => "new".to_owned(),
            Self::Silent(why) => format!("no answer: {why}"),
            Self::Unknown => "not known".to_owned(),
        }
    }
}

/// What an answer to `GET /config` tells.
pub(super) fn reads(answer: Result<Answer, RestError>) -> Where {
    let body = match answer {
        Ok(answer) => answer.body,
        Err(why) => return Where::Silent(why.to_string()),
    };
    let config: Map<String, Value> = serde_json::from_str(&body).unwrap_or_default();
    match Mark::read(&config) {
        Ok(Some(Mark::Arriving(_))) => Where::New,
        Ok(Some(Mark::Leaving(_))) => Where::Old,
        Ok(None) | Err(_) => Where::Unknown,
    }
}

/// One look at all members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    rows: Vec<Row>,
    leader: Option<MemberName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: MemberName,
    store: Where,
    /// Its key is in the new store and says that it knows of the pause.
    listed: bool,
}

impl Row {
    fn has_joined(&self) -> bool {
        self.store == Where::New && self.listed
    }
}

impl Progress {
    /// Asks all members which store they read; `new` is what the new one holds.
    pub(super) async fn look(
        context: &mut Context,
        mark: &Arriving,
        without: &[MemberName],
        new: &Cluster,
    ) -> Result<Self, Failure> {
        let members: Vec<Member> = mark
            .members
            .iter()
            .filter(|(name, _)| !without.contains(name))
            .map(|(name, url)| member(name, url))
            .collect();
        let answers = context.ask_all(&members, "config", LIMIT).await?;
        let rows = members.iter().zip(answers);
        let rows = rows.map(|(member, heard)| Row {
            name: member.name.clone(),
            store: reads(heard.answer),
            listed: new
                .member(&member.name)
                .is_some_and(|member| member.data.api_url().is_some() && member.data.is_paused()),
        });
        Ok(Self {
            rows: rows.collect(),
            leader: new.leader_name().cloned(),
        })
    }

    /// Who leads in the new store and says itself that it reads it.
    pub(super) fn leader(&self) -> Option<&MemberName> {
        let leader = self.leader.as_ref()?;
        let row = self.rows.iter().find(|row| row.name == *leader)?;
        row.has_joined().then_some(leader)
    }

    /// Whether anybody is in the new store.
    pub(super) fn has_begun(&self) -> bool {
        self.leader.is_some()
            || self
                .rows
                .iter()
                .any(|row| row.store == Where::New || row.listed)
    }

    /// Whether everybody is in the new store, and somebody leads there.
    pub(super) fn is_complete(&self) -> bool {
        self.leader().is_some() && self.rows.iter().all(Row::has_joined)
    }

    /// The table of members.
    pub(super) fn table(&self) -> String {
        let row = |row: &Row| {
            let leads = self.leader.as_ref() == Some(&row.name);
            vec![
                row.name.as_str().into(),
                row.store.text().into(),
                if row.has_joined() { "yes" } else { "" }.into(),
                if leads { "yes" } else { "" }.into(),
            ]
        };
        let table = Table {
            columns: vec![
                Column::new("Member", Align::Left),
                Column::new("Store", Align::Left),
                Column::new("Joined", Align::Left),
                Column::new("Lock", Align::Left),
            ],
            rows: self.rows.iter().map(row).collect(),
            omit_empty: true,
            ..Table::default()
        };
        table.render(Format::Pretty)
    }

    /// Who should change next: the leader, so that the lock is out of both stores for one restart
    /// of one daemon only; when it is there the others by name. `None`: nobody, for the moment.
    pub(super) fn next(&self, leader: &MemberName) -> Option<&MemberName> {
        let mut waiting = self.rows.iter().filter(|row| row.store != Where::New);
        let chosen = if self.leader().is_some() {
            waiting.next()
        } else {
            waiting.find(|row| row.name == *leader)
        };
        chosen.map(|row| &row.name)
    }
}

fn member(name: &MemberName, url: &str) -> Member {
    let data = Map::from_iter([("api_url".to_owned(), json!(url))]);
    Member {
        name: name.clone(),
        session: None,
        data: MemberData::new(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(leader: Option<&str>, rows: &[(&str, Where, bool)]) -> Progress {
        let row = |(name, store, listed): &(&str, Where, bool)| Row {
            name: MemberName::new(*name),
            store: store.clone(),
            listed: *listed,
        };
        Progress {
            rows: rows.iter().map(row).collect(),
            leader: leader.map(MemberName::new),
        }
    }

    #[test]
    fn a_leader_counts_when_it_says_itself_that_it_moved() {
        let moved = progress(Some("a"), &[("a", Where::New, true)]);
        assert_eq!(moved.leader(), Some(&MemberName::new("a")));
        assert!(moved.is_complete());
        // Its key may be of an earlier daemon.
        for store in [Where::Old, Where::Unknown, Where::Silent("x".to_owned())] {
            assert_eq!(progress(Some("a"), &[("a", store, true)]).leader(), None);
        }
        assert!(!progress(None, &[("a", Where::New, true)]).is_complete());
    }

    #[test]
    fn the_leader_goes_first() {
        let next = |leads: Option<&str>, stores: [Where; 3]| {
            let rows: Vec<(&str, Where, bool)> = ["a", "b", "c"]
                .into_iter()
                .zip(stores)
                .map(|(name, store)| (name, store.clone(), store == Where::New))
                .collect();
            let next = progress(leads, &rows);
            next.next(&MemberName::new("b")).map(ToString::to_string)
        };
        let (old, new) = (Where::Old, Where::New);
        let all_old = [old.clone(), old.clone(), old.clone()];
        assert_eq!(next(None, all_old).as_deref(), Some("b"));
        // It has moved, and has not got the lock yet.
        let moved = [old.clone(), new.clone(), old.clone()];
        assert_eq!(next(None, moved.clone()), None);
        assert_eq!(next(Some("b"), moved).as_deref(), Some("a"));
        let last = [new.clone(), new.clone(), old];
        assert_eq!(next(Some("b"), last).as_deref(), Some("c"));
        assert_eq!(next(Some("b"), [new.clone(), new.clone(), new]), None);
    }

    #[test]
    fn members_tell_their_store_by_their_configuration() {
        let answer = |body: &str| {
            reads(Ok(Answer {
                status: 200,
                body: body.to_owned(),
                date: None,
            }))
        };
        assert_eq!(answer(r#"{"ttl": 30}"#), Where::Unknown);
        assert_eq!(answer("no JSON"), Where::Unknown);
        let leaving = r#"{"store_migration": {"leaving": {"to": "x", "system_id": "7000000000000000001", "resume": true, "closed": false}}}"#;
        assert_eq!(answer(leaving), Where::Old);
        let silent = reads(Err(RestError("refused".to_owned())));
        assert_eq!(silent.text(), "no answer: refused");
    }
}
