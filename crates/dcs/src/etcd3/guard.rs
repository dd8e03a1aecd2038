//! Refusing answers of a node that fell behind.
//!
//! Source: store contract, section 8 (stale node guard).

use etcd_client::{
    DeleteResponse, GetResponse, LeaseGrantResponse, LeaseKeepAliveResponse, MemberListResponse,
    PutResponse, ResponseHeader, TxnResponse, WatchResponse,
};

/// An answer that tells by whom and when it was given.
pub(super) trait Answer {
    /// The common header, which every server sends.
    fn header(&self) -> Option<&ResponseHeader>;
}

macro_rules! answers {
    ($($name:ty),*) => {
        $(impl Answer for $name {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header()
            }
        })*
    };
}

answers!(
    DeleteResponse,
    GetResponse,
    LeaseGrantResponse,
    LeaseKeepAliveResponse,
    MemberListResponse,
    PutResponse,
    TxnResponse,
    WatchResponse
);

/// The highest raft term seen from the present cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guard {
    cluster: Option<u64>,
    term: u64,
}

/// What the guard says about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing speaks against it.
    Good,
    /// It comes from another cluster than before, which is a new beginning.
    NewCluster {
        /// The cluster known before.
        from: u64,
    },
    /// The node does not know of an election that others know of.
    Stale {
        /// The highest term known.
        known: u64,
    },
}

impl Guard {
    /// Judges an answer's header and remembers it.
    pub(super) fn judge(&mut self, cluster: u64, term: u64) -> Judgement {
        match self.cluster {
            Some(known) if known != cluster => {
                *self = Self {
                    cluster: Some(cluster),
                    term,
                };
                return Judgement::NewCluster { from: known };
            }
            Some(_) if term < self.term => return Judgement::Stale { known: self.term },
            Some(_) | None => {}
        }
        self.cluster = Some(cluster);
        self.term = term;
        Judgement::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_never_go_back_within_one_cluster() {
        let mut guard = Guard::default();
        assert_eq!(guard.judge(1, 5), Judgement::Good);
        assert_eq!(guard.judge(1, 4), Judgement::Stale { known: 5 });
        assert_eq!(guard.judge(1, 6), Judgement::Good);
        assert_eq!(guard.judge(2, 1), Judgement::NewCluster { from: 1 });
        assert_eq!(guard.judge(2, 1), Judgement::Good);
    }
}
