//! Times and lines.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use patroni_core::Account;

/// How times are shown.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    zone: TimeZone,
}

impl Words {
    /// In the caller's zone.
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self { zone }
    }

    #[cfg(test)]
    pub(crate) fn utc() -> Self {
        Self::new(TimeZone::UTC)
    }

    /// To the millisecond: fast things happen here.
    pub(crate) fn time(&self, time: Timestamp) -> String {
        let local = time.to_zoned(self.zone.clone());
        local.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }

    /// `2.3 s`, `4 min 10 s`.
    pub(crate) fn span(span: SignedDuration) -> String {
        let seconds = span.as_secs();
        if seconds < 120 {
            format!("{:.1} s", span.as_secs_f64())
        } else {
            format!("{} min {} s", seconds / 60, seconds % 60)
        }
    }

    /// One line about an account.
    pub(crate) fn line(&self, account: &Account) -> String {
        let times = match account.times {
            0 | 1 => String::new(),
            times => format!(" ({times} times, until {})", self.time(account.until)),
        };
        format!(
            "{} {}  {:<4} {}{times}",
            self.time(account.at),
            account.member,
            account.rule,
            account.verdict
        )
    }

    /// An account with its reasons.
    pub(crate) fn block(&self, account: &Account) -> Vec<String> {
        let mut lines = vec![self.line(account)];
        lines.extend(account.why.iter().map(|why| format!("    {why}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::account;
    use super::*;
    use patroni_core::account::Turn;

    #[test]
    fn alike_decisions_are_one_line() {
        let mut many = account("a", 5, Turn::Steady, Some("a"), "no action");
        many.times = 12;
        assert_eq!(
            Words::utc().line(&many),
            "2026-01-01 12:00:05.000 a  T3   no action (12 times, until 2026-01-01 12:00:05.000)"
        );
        assert_eq!(Words::span(SignedDuration::from_millis(2345)), "2.3 s");
        assert_eq!(Words::span(SignedDuration::from_secs(250)), "4 min 10 s");
    }
}
