//! What was judged about the lock since the last wait, so that nothing newer is acted upon.

use super::record::Record;

/// The judgement that an attempt to take the lock is made on.
///
/// A snapshot is loaded by the cycle that decides, but also by anybody who asks the node for the
/// state of the cluster. If the lock was free, then somebody else's for a moment and then free
/// again, the second reader must not make the first one's decision look fresh: what it decided on
/// is no longer so. Whatever happens between two waits can only spoil a judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nobody has looked since the last wait.
    #[default]
    Open,
    /// Somebody holds the lock.
    Held,
    /// Nobody does, by this record or by there being none.
    Free(Option<Record>),
    /// It was free, and then something else.
    Spoiled,
}

impl Judgement {
    /// One more look.
    pub(super) fn look(&mut self, record: Option<&Record>, is_free: bool) {
        let seen = if is_free {
            Self::Free(record.cloned())
        } else {
            Self::Held
        };
        *self = match self {
            Self::Open | Self::Held => seen,
            Self::Free(_) if *self == seen => seen,
            Self::Free(_) | Self::Spoiled => Self::Spoiled,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    fn record(name: &str) -> Record {
        Record::taken(None, name, Duration::from_secs(30), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_held_lock_may_become_free_but_a_free_one_must_stay_as_it_is() {
        let (a, b) = (record("a"), record("b"));
        let mut judgement = Judgement::default();
        judgement.look(Some(&a), false);
        judgement.look(Some(&a), true);
        judgement.look(Some(&a), true);
        assert_eq!(judgement, Judgement::Free(Some(a)));
        judgement.look(Some(&b), true);
        judgement.look(Some(&b), true);
        assert_eq!(judgement, Judgement::Spoiled);
    }
}
