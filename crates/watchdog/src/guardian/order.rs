//! What the daemon tells its guardian, one line each.

use std::time::Duration;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Act at this time, unless told otherwise before.
    Until {
        /// On the clock since boot.
        at: Duration,
        /// What to do, in the words of whoever acts.
        what: String,
    },
    /// The lock was given back, or nothing is promised: go home.
    Rest,
}

impl Order {
    /// The line, with its end. `None` for a text that would not stay one line.
    pub(super) fn line(&self) -> Option<String> {
        match self {
            Self::Until { what, .. } if what.contains('\n') => None,
            Self::Until { at, what } => Some(format!("until {} {what}\n", at.as_millis())),
            Self::Rest => Some("rest\n".to_owned()),
        }
    }

    /// Reads a line without its end. `None` for what no daemon of ours writes.
    pub(super) fn read(line: &str) -> Option<Self> {
        if line == "rest" {
            return Some(Self::Rest);
        }
        let (at, what) = line.strip_prefix("until ")?.split_once(' ')?;
        Some(Self::Until {
            at: Duration::from_millis(at.parse().ok()?),
            what: what.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_survive_the_pipe() {
        for order in [
            Order::Rest,
            Order::Until {
                at: Duration::from_millis(123_456),
                what: "7 99 /a path/with blanks".to_owned(),
            },
        ] {
            let line = order.line().unwrap();
            assert_eq!(Order::read(line.trim_end_matches('\n')), Some(order));
        }
        let two_lines = Order::Until {
            at: Duration::ZERO,
            what: "a\nrest".to_owned(),
        };
        assert_eq!(two_lines.line(), None);
        assert_eq!(Order::read("until soon x"), None);
    }
}
