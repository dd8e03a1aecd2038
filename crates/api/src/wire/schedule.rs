//! Times that people schedule things at.
//!
//! The accepted forms are ISO 8601 with `T` or blanks between the parts, and dates with the
//! month as a word. Purely numeric dates must begin with the year: `01/02/2099` is two days.

use hyper::StatusCode;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use patroni_core::value;
use serde_json::Value;

use super::answer::Answer;

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
    /// Reads a time that must lie after `now`.
    ///
    /// # Errors
    /// See [`ScheduleFault`]; the zone is looked at before the past.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, ScheduleFault> {
        let scheduled = Parts::read(text)
            .ok_or(ScheduleFault::Unreadable)?
            .resolve(now)?;
        if scheduled.at < now {
            return Err(ScheduleFault::Past);
        }
        Ok(scheduled)
    }

    /// The stored form: `2099-01-01T10:00:00+02:00`, with six digits of a fraction if there is
    /// one.
    pub fn to_iso(self) -> String {
        let local = self.offset.to_datetime(self.at);
        let seconds = self.offset.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        let form = if local.subsec_nanosecond() < 1000 {
            "%Y-%m-%dT%H:%M:%S"
        } else {
            "%Y-%m-%dT%H:%M:%S.%6f"
        };
        let text = local.strftime(form);
        format!("{text}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// What was recognised of a text.
#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    time: Option<Time>,
    afternoon: Option<bool>,
    offset: Option<Offset>,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let mut parts = Self::default();
        let text = text.trim();
        if text.is_empty() || text.len() > 100 {
            return None;
        }
        for word in text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|word| !word.is_empty())
        {
            parts.word(word)?;
        }
        (parts.time.is_some() || parts.has_date()).then_some(parts)
    }

    fn has_date(&self) -> bool {
        self.year.is_some() || self.month.is_some() || self.day.is_some()
    }

    fn word(&mut self, word: &str) -> Option<()> {
        if self.iso(word).is_some() {
            return Some(());
        }
        if let Some(offset) = offset(word) {
            return set(&mut self.offset, offset);
        }
        if word.contains(':') {
            return self.clock(word);
        }
        if word.bytes().all(|b| b.is_ascii_digit()) {
            return self.number(word);
        }
        let lower = word.trim_end_matches('.').to_lowercase();
        match lower.as_str() {
            "am" => return set(&mut self.afternoon, false),
            "pm" => return set(&mut self.afternoon, true),
            _ => {}
        }
        if let Some(month) = named(&MONTHS, &lower) {
            return set(&mut self.month, month);
        }
        if named(&WEEKDAYS, &lower).is_some() {
            return Some(());
        }
        let digits = lower
            .strip_suffix("st")
            .or_else(|| lower.strip_suffix("nd"))
            .or_else(|| lower.strip_suffix("rd"))
            .or_else(|| lower.strip_suffix("th"))?;
        set(&mut self.day, digits.parse().ok()?)
    }

    /// A date with the year first, alone or glued to a time and an offset by `T`.
    fn iso(&mut self, word: &str) -> Option<()> {
        let (date, rest) = word
            .split_once(['T', 't'])
            .map_or((word, None), |(date, rest)| (date, Some(rest)));
        let date = date.replace('/', "-");
        let date: Date = date
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| date.parse().ok())
            .flatten()?;
        let mut parsed = Self::default();
        if let Some(rest) = rest {
            parsed.clock(rest)?;
        }
        if self.has_date() || (parsed.time.is_some() && self.time.is_some()) {
            return None;
        }
        (self.year, self.month, self.day) =
            (Some(date.year()), Some(date.month()), Some(date.day()));
        self.time = self.time.or(parsed.time);
        self.offset = self.offset.or(parsed.offset);
        Some(())
    }

    /// `10:00`, `10:00:05.5`, `100005`, with an optional offset or am/pm at the end.
    fn clock(&mut self, word: &str) -> Option<()> {
        let end = word
            .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
            .unwrap_or(word.len());
        let (digits, rest) = word.split_at(end);
        set(&mut self.time, time(digits)?)?;
        match rest.to_lowercase().as_str() {
            "" => Some(()),
            "am" => set(&mut self.afternoon, false),
            "pm" => set(&mut self.afternoon, true),
            _ => set(&mut self.offset, offset(rest)?),
        }
    }

    fn number(&mut self, word: &str) -> Option<()> {
        match word.len() {
            1 | 2 => set(&mut self.day, word.parse().ok()?),
            4 => set(&mut self.year, word.parse().ok()?),
            _ => None,
        }
    }

    fn resolve(self, now: Timestamp) -> Result<Scheduled, ScheduleFault> {
        let unreadable = ScheduleFault::Unreadable;
        let mut time = self.time.unwrap_or(Time::midnight());
        if let Some(afternoon) = self.afternoon {
            let hour = time.hour();
            if !(1..=12).contains(&hour) {
                return Err(unreadable);
            }
            let hour = hour % 12 + if afternoon { 12 } else { 0 };
            time = time.with().hour(hour).build().map_err(|_| unreadable)?;
        }
        let offset = self.offset.ok_or(ScheduleFault::NoZone)?;
        let date = match (self.year, self.month, self.day) {
            (None, None, None) => offset.to_datetime(now).date(),
            (Some(year), Some(month), Some(day)) => {
                Date::new(year, month, day).map_err(|_| unreadable)?
            }
            _ => return Err(unreadable),
        };
        let at = offset
            .to_timestamp(DateTime::from_parts(date, time))
            .map_err(|_| unreadable)?;
        Ok(Scheduled { at, offset })
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value);
    Some(())
}

fn time(text: &str) -> Option<Time> {
    let (clock, fraction) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let fields: Vec<i8> = if clock.contains(':') {
        clock
            .split(':')
            .map(|field| {
                let plain = (1..=2).contains(&field.len());
                plain.then(|| field.parse().ok()).flatten()
            })
            .collect::<Option<_>>()?
    } else if clock.len() == 2 || clock.len() == 4 || clock.len() == 6 {
        clock
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).ok()?.parse().ok())
            .collect::<Option<_>>()?
    } else {
        return None;
    };
    let nanos = match fraction {
        None => 0,
        Some(digits) if (1..=9).contains(&digits.len()) && fields.len() == 3 => {
            format!("{digits:0<9}").parse().ok()?
        }
        Some(_) => return None,
    };
    let (hour, rest) = fields.split_first()?;
    match rest {
        [] => Time::new(*hour, 0, 0, 0).ok(),
        [minute] => Time::new(*hour, *minute, 0, 0).ok(),
        [minute, second] => Time::new(*hour, *minute, *second, nanos).ok(),
        _ => None,
    }
}

/// `Z`, `UTC`, `GMT`, `+02`, `+0200`, `+02:00`.
fn offset(text: &str) -> Option<Offset> {
    if ["z", "utc", "gmt"].contains(&text.to_lowercase().as_str()) {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    if !digits.bytes().all(|b| b.is_ascii_digit()) || (digits.len() != 2 && digits.len() != 4) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 {
        digits[2..].parse().ok().filter(|m| *m < 60)?
    } else {
        0
    };
    Offset::try_from(SignedDuration::from_mins(sign * (hours * 60 + minutes))).ok()
}

/// The number of a name, given in full or by its first three letters.
fn named(names: &[&str], word: &str) -> Option<i8> {
    let index = names
        .iter()
        .position(|name| *name == word || (word.len() == 3 && name.starts_with(word)))?;
    i8::try_from(index + 1).ok()
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, ScheduleFault> {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        Scheduled::parse(text, now).map(Scheduled::to_iso)
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
            ("2099-01-01 Z", "2099-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_are_told_apart() {
        for text in ["2099-01-01T00:00:00", "2099-01-01 10:00", "25 Dec 2099"] {
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
            "01/02/2099 10:00Z",
            "2099-13-01T00:00Z",
            "2099-01-01T10:00Z Z",
            "25 Dec 10:00Z",
            "2099-01-01T10:00+2",
            "1 2 2099 Z",
            "é",
            "+é",
        ] {
            assert_eq!(parse(text), Err(ScheduleFault::Unreadable), "{text}");
        }
    }
}
