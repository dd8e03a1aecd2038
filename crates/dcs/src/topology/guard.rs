//! Refusing answers of a node that fell behind.
//!
//! Source: store contract, section 8 (stale node guard).

/// The highest raft term seen from the present cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guard {
    cluster: Option<String>,
    term: u64,
}

/// What the guard says about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing speaks against it.
    Good,
    /// It comes from another cluster than before, which is a new beginning.
    NewCluster {
        /// The cluster known before.
        from: String,
    },
    /// The node does not know of an election that others know of.
    Stale {
        /// The highest term known.
        known: u64,
    },
}

impl Guard {
    /// Judges an answer's header and remembers it.
    pub(super) fn judge(&mut self, cluster: &str, term: u64) -> Judgement {
        match &self.cluster {
            Some(known) if known != cluster => {
                let from = known.clone();
                *self = Self {
                    cluster: Some(cluster.to_owned()),
                    term,
                };
                return Judgement::NewCluster { from };
            }
            Some(_) if term < self.term => return Judgement::Stale { known: self.term },
            Some(_) => {}
            None => self.cluster = Some(cluster.to_owned()),
        }
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
        assert_eq!(guard.judge("1", 5), Judgement::Good);
        assert_eq!(guard.judge("1", 4), Judgement::Stale { known: 5 });
        assert_eq!(guard.judge("1", 6), Judgement::Good);
        let from = "1".to_owned();
        assert_eq!(guard.judge("2", 1), Judgement::NewCluster { from });
        assert_eq!(guard.judge("2", 1), Judgement::Good);
    }
}
