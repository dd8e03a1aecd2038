//! `GET /journal`: what a member decided, and why.

use hyper::StatusCode;
use jiff::Timestamp;
use patroni_core::{Account, MemberName};
use serde::{Deserialize, Serialize};

use super::{Answer, Query};

/// How many accounts an answer has when nobody says.
const USUAL: usize = 100;
/// And at most.
pub const MOST: usize = 1000;

/// Which accounts a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalQuery {
    /// Only what came after it; without it the newest.
    pub since: Option<Since>,
    /// At most so many, from the beginning on when there is one.
    pub limit: usize,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Behind the account of this number.
    Number(u64),
    /// With what was not over at this time.
    Time(Timestamp),
}

impl Default for JournalQuery {
    fn default() -> Self {
        Self {
            since: None,
            limit: USUAL,
        }
    }
}

impl JournalQuery {
    /// Reads `since` (a number, or a time with a time zone) and `limit`.
    ///
    /// # Errors
    /// The answer to a request that makes no sense: 400 with the reason.
    pub fn parse(query: &Query<'_>) -> Result<Self, Answer> {
        let since = query.get("since").map(since).transpose()?;
        let limit = match query.get("limit") {
            None => USUAL,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| bad("limit", text, &format!("no number from 1 to {MOST}")))?,
        };
        Ok(Self { since, limit })
    }
}

fn since(text: &str) -> Result<Since, Answer> {
    if text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse()
    {
        return Ok(Since::Number(number));
    }
    // The + of a time zone arrives as a space where it was not encoded.
    let parsed = text.parse().or_else(|_| text.replace(' ', "+").parse());
    let wanted = "neither the number of a record nor a time such as 2026-01-31T13:00:00Z";
    parsed
        .map(Since::Time)
        .map_err(|_| bad("since", text, wanted))
}

fn bad(key: &str, text: &str, why: &str) -> Answer {
    Answer::text(
        StatusCode::BAD_REQUEST,
        format!("{key}: \"{text}\" is {why}"),
    )
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPage {
    /// Whose journal it is.
    pub member: MemberName,
    /// A journal is being kept.
    pub enabled: bool,
    /// The number of the oldest account that can be asked for.
    pub oldest: Option<u64>,
    /// And of the newest.
    pub newest: Option<u64>,
    /// Decisions that were not kept since the daemon started, because too many came at once.
    pub lost: u64,
    /// The accounts, newest last.
    pub records: Vec<Account>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused_with_the_reason() {
        let read = |text: &str| JournalQuery::parse(&Query::parse(text));
        assert_eq!(read(""), Ok(JournalQuery::default()));
        assert_eq!(
            read("since=17&limit=5"),
            Ok(JournalQuery {
                since: Some(Since::Number(17)),
                limit: 5
            })
        );
        let noon = Timestamp::from_second(1_767_268_800).unwrap();
        for text in [
            "since=2026-01-01T12:00:00Z",
            "since=2026-01-01T14:00:00+02:00",
            "since=2026-01-01T14:00:00%2B02:00",
        ] {
            assert_eq!(read(text).unwrap().since, Some(Since::Time(noon)), "{text}");
        }
        for (text, part) in [
            ("limit=0", "limit: \"0\" is no number from 1 to 1000"),
            ("limit=1001", "limit"),
            ("limit=many", "limit"),
            ("since=yesterday", "since: \"yesterday\" is neither"),
            ("since=-4", "since"),
        ] {
            let refusal = read(text).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            let super::super::Content::Text(said) = refusal.content else {
                panic!("no text");
            };
            assert!(String::from_utf8_lossy(&said).starts_with(part), "{said:?}");
        }
    }
}
