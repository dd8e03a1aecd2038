//! Times that people schedule things at. What they may look like: `spoken_time`.

use std::fmt;

use hyper::StatusCode;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Timestamp, Zoned};
use patroni_core::value;
use serde_json::Value;

use super::answer::Answer;
use super::spoken_time::{SpokenTime, SpokenZone};

/// A point in time with the offset it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// The point.
    pub at: Timestamp,
    offset: Offset,
}

/// Why a time cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleFault {
    /// It names no zone.
    #[error("the time names no zone")]
    NoZone,
    /// It is over.
    #[error("the time is in the past")]
    Past,
    /// It is no time, or an ambiguous one.
    #[error("the time cannot be read")]
    Unreadable,
}

impl ScheduleFault {
    /// The refusal of a time, where `action` is `restart` or `switchover`. One that cannot be read
    /// is told to the log, too.
    pub fn refuse(self, action: &str, given: &Value) -> Answer {
        if self == Self::Unreadable {
            tracing::error!("Invalid scheduled {action} time: {}", value::text(given));
        }
        match self {
            Self::NoZone => Answer::text(
                StatusCode::BAD_REQUEST,
                format!("Timezone information is mandatory for the scheduled {action}"),
            ),
            Self::Past => Answer::text(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("Cannot schedule {action} in the past"),
            ),
            Self::Unreadable => Answer::text(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
            ),
        }
    }
}

impl Scheduled {
    /// Reads a time that was sent to a member: it must name its zone and lie after `now`, whose
    /// zone tells what a date or a name of a zone means.
    ///
    /// # Errors
    /// See [`ScheduleFault`]; the zone is looked at before the past.
    pub fn parse(text: &str, now: &Zoned) -> Result<Self, ScheduleFault> {
        let said = SpokenTime::read(text, now).ok_or(ScheduleFault::Unreadable)?;
        let SpokenZone::Offset(offset) = said.zone else {
            return Err(ScheduleFault::NoZone);
        };
        let scheduled = Self::new(said.local, offset).ok_or(ScheduleFault::Unreadable)?;
        if scheduled.at < now.timestamp() {
            return Err(ScheduleFault::Past);
        }
        Ok(scheduled)
    }

    /// Reads a time that was said where `now` is: without a zone it is meant in that one. `None`
    /// when it makes no sense, or its zone is a name that may mean several.
    pub fn here(text: &str, now: &Zoned) -> Option<Self> {
        let said = SpokenTime::read(text, now)?;
        let offset = match said.zone {
            SpokenZone::Offset(offset) => offset,
            SpokenZone::None => said.local.to_zoned(now.time_zone().clone()).ok()?.offset(),
            SpokenZone::Unknown => return None,
        };
        Self::new(said.local, offset)
    }

    fn new(local: DateTime, offset: Offset) -> Option<Self> {
        let at = offset.to_timestamp(local).ok()?;
        Some(Self { at, offset })
    }

    /// The stored form: `2099-01-01T10:00:00+02:00`, with six digits of a fraction if there is
    /// one.
    pub fn to_iso(self) -> String {
        self.text('T')
    }

    fn text(self, between: char) -> String {
        let local = self.offset.to_datetime(self.at);
        let seconds = self.offset.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        let clock = if local.subsec_nanosecond() < 1000 {
            local.strftime("%H:%M:%S")
        } else {
            local.strftime("%H:%M:%S.%6f")
        };
        let date = local.date();
        format!(
            "{date}{between}{clock}{sign}{:02}:{:02}",
            minutes / 60,
            minutes % 60
        )
    }
}

/// For people (`2099-01-01 10:00:00+02:00`).
impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Saturday.
    fn now() -> Zoned {
        "2026-11-21T10:00:00+00:00[UTC]".parse().unwrap()
    }

    fn parse(text: &str) -> Result<String, ScheduleFault> {
        Scheduled::parse(text, &now()).map(Scheduled::to_iso)
    }

    #[test]
    fn many_forms_are_read() {
        for (text, expected) in [
            ("2099-01-01T10:00:00Z", "2099-01-01T10:00:00+00:00"),
            ("2099-01-01T10:00+02:00", "2099-01-01T10:00:00+02:00"),
            ("2099-01-01 10:00 +02", "2099-01-01T10:00:00+02:00"),
            (
                "2099-01-01 10:00:00.25-0330",
                "2099-01-01T10:00:00.250000-03:30",
            ),
            ("20990101T100000Z", "2099-01-01T10:00:00+00:00"),
            ("2099/01/01 10:00 utc", "2099-01-01T10:00:00+00:00"),
            ("25 Dec 2099 10:00 UTC", "2099-12-25T10:00:00+00:00"),
            (
                "Fri, December 25th 2099 10:00 pm GMT",
                "2099-12-25T22:00:00+00:00",
            ),
            ("12:30am Jan 1 2099 +01:00", "2099-01-01T00:30:00+01:00"),
            ("11:00Z", "2026-11-21T11:00:00+00:00"),
            ("Jan 1 2099 10am UTC", "2099-01-01T10:00:00+00:00"),
            ("1/2/2099 10:00 UTC", "2099-01-02T10:00:00+00:00"),
            ("13/2/2099 10:00 UTC", "2099-02-13T10:00:00+00:00"),
            ("13.02.2099 10:00 Z", "2099-02-13T10:00:00+00:00"),
            ("2099.01.01 10:00Z", "2099-01-01T10:00:00+00:00"),
            ("2099-1-1 1:2:3Z", "2099-01-01T01:02:03+00:00"),
            ("2099-01-01T10:00:00,5Z", "2099-01-01T10:00:00.500000+00:00"),
            ("2099-01-01T10:00:00+2", "2099-01-01T10:00:00+02:00"),
            ("2099-01-01T10:00 +3", "2099-01-01T10:00:00+03:00"),
            ("2099-01-01T10:00+2:30", "2099-01-01T10:00:00+02:30"),
            ("2099-01-01T10:00+02:00 (CEST)", "2099-01-01T10:00:00+02:00"),
            ("2099-01-01 at 10:00 UTC", "2099-01-01T10:00:00+00:00"),
            ("2099-01-01 12am UTC", "2099-01-01T00:00:00+00:00"),
            ("2099-01-01 0:30 am UTC", "2099-01-01T00:30:00+00:00"),
            ("Sept 1 2099 10:00Z", "2099-09-01T10:00:00+00:00"),
            ("20990101101010 UTC", "2099-01-01T10:10:10+00:00"),
            ("2099 12 25 10:00Z", "2099-12-25T10:00:00+00:00"),
            ("25 12 2099 10:00Z", "2099-12-25T10:00:00+00:00"),
            ("2099-01-01 10:00 p.m. UTC", "2099-01-01T22:00:00+00:00"),
            ("Friday 10:00 UTC", "2026-11-27T10:00:00+00:00"),
            ("25 Dec 10:00Z", "2026-12-25T10:00:00+00:00"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        for text in [
            "2099-01-01T00:00:00",
            "2099-01-01 10:00",
            "25 Dec 2099",
            "2099-02-13T10:00 EST",
            "2099-02-13T10:00 CET",
            "2099-02-13T10:00 CEST",
        ] {
            assert_eq!(parse(text), Err(ScheduleFault::NoZone), "{text}");
        }
        for text in ["2001-01-01T00:00:00Z", "09:59Z"] {
            assert_eq!(parse(text), Err(ScheduleFault::Past), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "soon",
            "25:00Z",
            "123",
            "Z",
            "2099-13-01T00:00Z",
            "2099-01-01T10:00Z Z",
            "2099-01-01T10:00:00.Z",
            "2099-01-01T10:00:00+24:00",
            "2099-01-01T10:00:00+23:60",
            "2099-01-01T10:00:00+020",
            "2099-01-01T10:00 (CEST)",
            "+02:00 2099-01-01",
            "2099-01-01 UTC",
            "2099-01-01 Z",
            "1 2 2099 Z",
            "é",
            "+é",
        ] {
            assert_eq!(parse(text), Err(ScheduleFault::Unreadable), "{text}");
        }
        assert_eq!(parse(&"1 ".repeat(100)), Err(ScheduleFault::Unreadable));
    }

    #[test]
    fn people_see_a_blank_between_date_and_time() {
        let schedule = Scheduled::here("2099-03-03T03:03+03:00", &now()).unwrap();
        assert_eq!(schedule.to_string(), "2099-03-03 03:03:00+03:00");
    }
}
