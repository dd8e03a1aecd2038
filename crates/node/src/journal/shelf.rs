//! The newest accounts, in memory.

use std::collections::VecDeque;

use patroni_api::wire::journal::{JournalQuery, Since};
use patroni_core::Account;

/// At most so many accounts.
const MOST: usize = 500;
/// And at most so many bytes, measured in their JSON form.
const MOST_BYTES: usize = 512 << 10;

/// Accounts, oldest first, bounded by number and size.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    accounts: VecDeque<(usize, Account)>,
    bytes: usize,
}

impl Shelf {
    /// Puts one behind the others; the oldest make room.
    pub(super) fn push(&mut self, account: Account) {
        let size = size(&account);
        self.bytes += size;
        self.accounts.push_back((size, account));
        while self.accounts.len() > 1
            && (self.accounts.len() > MOST || self.bytes > MOST_BYTES)
            && let Some((size, _)) = self.accounts.pop_front()
        {
            self.bytes -= size;
        }
    }

    /// Replaces the newest one when it has this number, else puts it behind.
    pub(super) fn put(&mut self, account: Account) {
        if self.newest() == Some(account.number)
            && let Some((size, _)) = self.accounts.pop_back()
        {
            self.bytes -= size;
        }
        self.push(account);
    }

    /// The newest one, to count on.
    pub(super) fn last_mut(&mut self) -> Option<&mut Account> {
        self.accounts.back_mut().map(|(_, account)| account)
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.accounts.front().map(|(_, account)| account.number)
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.accounts.back().map(|(_, account)| account.number)
    }

    /// With a beginning, the first accounts from there on; without one the last. Newest last.
    pub(super) fn page(&self, query: &JournalQuery) -> Vec<Account> {
        let all = self.accounts.iter().map(|(_, account)| account);
        let Some(since) = &query.since else {
            let skipped = self.accounts.len().saturating_sub(query.limit);
            return all.skip(skipped).cloned().collect();
        };
        all.filter(|account| match since {
            Since::Number(number) => account.number > *number,
            Since::Time(time) => account.until >= *time,
        })
        .take(query.limit)
        .cloned()
        .collect()
    }
}

fn size(account: &Account) -> usize {
    serde_json::to_string(account).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::MemberName;
    use patroni_core::account::{Kind, Turn};

    fn account(number: u64) -> Account {
        Account {
            number,
            member: MemberName::new("a"),
            at: jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
            until: jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap(),
            times: 1,
            kind: Kind::Cycle,
            turn: Turn::Steady,
            rule: "L2".to_owned(),
            about: String::new(),
            leader: None,
            former: None,
            revision: None,
            request: None,
            verdict: String::new(),
            why: Vec::new(),
            refused: Vec::new(),
            acts: Vec::new(),
            said: Vec::new(),
        }
    }

    fn numbers(shelf: &Shelf, since: Option<Since>, limit: usize) -> Vec<u64> {
        let page = shelf.page(&JournalQuery { since, limit });
        page.into_iter().map(|account| account.number).collect()
    }

    #[test]
    fn pages_are_bounded_and_newest_last() {
        let mut shelf = Shelf::default();
        (1..=10).for_each(|number| shelf.push(account(number)));
        assert_eq!(numbers(&shelf, None, 3), [8, 9, 10]);
        assert_eq!(numbers(&shelf, Some(Since::Number(4)), 2), [5, 6]);
        let time = jiff::Timestamp::from_second(9).unwrap();
        assert_eq!(numbers(&shelf, Some(Since::Time(time)), 5), [9, 10]);
        assert!(numbers(&shelf, Some(Since::Number(10)), 5).is_empty());
    }

    #[test]
    fn the_oldest_make_room_by_number_and_by_size() {
        let mut shelf = Shelf::default();
        (1..=600).for_each(|number| shelf.push(account(number)));
        assert_eq!((shelf.oldest(), shelf.newest()), (Some(101), Some(600)));
        let mut large = account(601);
        large.said = vec!["x".repeat(MOST_BYTES)];
        shelf.push(large.clone());
        assert_eq!(shelf.oldest(), Some(601), "one is always kept");
        large.said.clear();
        shelf.put(large);
        shelf.push(account(602));
        assert_eq!((shelf.oldest(), shelf.newest()), (Some(601), Some(602)));
        assert!(shelf.bytes < 1000);
    }
}
