//! Whether positions back what a key would promise.

use patroni_core::MemberName;

use super::state::Names;

/// The part of the `sync` key that elections go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its leader, who votes, too.
    pub leader: MemberName,
    /// Votes needed beside the candidate's own.
    pub quorum: usize,
    /// Who votes.
    pub voters: Names,
}

impl Key {
    /// Whether this key may be written over `old` by the primary `self.leader`, when of all
    /// standbys those in `ready` are known to have everything that was committed before
    /// `synchronous_standby_names` last changed.
    ///
    /// The rule between the two sets ([`State::check`](super::State::check)) covers commits that
    /// are made under the setting in effect. Older ones were confirmed by other numbers of other
    /// names. Any group of `quorum + 1` voters that could elect a leader under this key must
    /// contain either a node that is ready, or `old.quorum + 1` nodes of the old electorate,
    /// which are enough by the old key. Groups with the primary itself need no look: it has
    /// everything.
    ///
    /// The reference writes such keys without waiting: a standby that lags behind can enter the
    /// key as the only voter, and be elected without commits that another one had confirmed.
    pub fn is_backed(&self, old: &Self, ready: &Names) -> bool {
        let behind: Names = self.voters.difference(ready).cloned().collect();
        if behind.len() <= self.quorum {
            return true;
        }
        let new = behind
            .iter()
            .filter(|name| !old.voters.contains(*name) && **name != old.leader)
            .count();
        self.quorum >= old.quorum + new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Names {
        text.split_whitespace().map(MemberName::new).collect()
    }

    fn key(leader: &str, quorum: usize, voters: &str) -> Key {
        Key {
            leader: MemberName::new(leader),
            quorum,
            voters: names(voters),
        }
    }

    #[test]
    fn fewer_votes_need_standbys_that_caught_up() {
        let old = key("a", 1, "b c");
        let table = [
            (
                "the same key promises nothing new",
                key("a", 1, "b c"),
                "",
                true,
            ),
            ("no votes at all", key("a", 0, "b c"), "b", false),
            (
                "no votes, both have everything",
                key("a", 0, "b c"),
                "b c",
                true,
            ),
            ("the one that is left may lag", key("a", 0, "c"), "", false),
            (
                "the one that is left has everything",
                key("a", 0, "c"),
                "c",
                true,
            ),
            (
                "nobody is electable but the primary",
                key("a", 0, ""),
                "",
                true,
            ),
            (
                "a new voter, and a vote more",
                key("a", 2, "b c d"),
                "",
                true,
            ),
            ("a new voter for nothing", key("a", 1, "b c d"), "c", false),
            (
                "a new voter that has everything",
                key("a", 1, "b c d"),
                "c d",
                true,
            ),
            ("another leader, same nodes", key("b", 1, "a c"), "", true),
        ];
        for (what, new, ready, backed) in table {
            assert_eq!(new.is_backed(&old, &names(ready)), backed, "{what}");
        }
    }
}
