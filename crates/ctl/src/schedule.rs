//! Reading the times that people write.
//!
//! The rule (control tool contract, section 3): a lenient parser in which a missing zone means
//! the caller's own. A text is cut into words and numbers; each is a date, a clock time, a month
//! name, a zone or a weekday, and a text with anything else is refused.

use std::fmt;

use jiff::Zoned;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// A time with the offset in which it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    local: DateTime,
    offset: Offset,
}

impl Schedule {
    /// Reads a text; parts that it leaves out come from `now` (the date) or are zero (the
    /// clock). `None` when it makes no sense.
    pub(crate) fn parse(text: &str, now: &Zoned) -> Option<Self> {
        let mut parts = Parts::default();
        for word in split(text)? {
            parts.take(&word)?;
        }
        parts.finish(now)
    }

    /// ISO 8601 as it is sent to members (`2099-01-01T10:00:00+02:00`).
    pub(crate) fn iso(&self) -> String {
        self.text('T')
    }

    fn text(&self, between: char) -> String {
        let clock = self.local.time();
        let fraction = match clock.subsec_nanosecond() / 1_000 {
            0 => String::new(),
            micros => format!(".{micros:06}"),
        };
        let seconds = self.offset.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let seconds = seconds.abs();
        format!(
            "{}{between}{:02}:{:02}:{:02}{fraction}{sign}{:02}:{:02}",
            self.local.date(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            seconds / 3600,
            seconds / 60 % 60,
        )
    }
}

/// For people (`2099-01-01 10:00:00+02:00`).
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}

#[derive(Default)]
struct Parts {
    date: Option<Date>,
    time: Option<Time>,
    offset: Option<Offset>,
    month: Option<i8>,
    numbers: Vec<i16>,
    weekday: bool,
    afternoon: Option<bool>,
}

impl Parts {
    fn take(&mut self, word: &str) -> Option<()> {
        let lower = word.to_ascii_lowercase();
        if let Some(month) = month(&lower) {
            return self.month.replace(month).is_none().then_some(());
        }
        match lower.as_str() {
            "z" | "utc" | "gmt" => {
                return self.offset.replace(Offset::UTC).is_none().then_some(());
            }
            "am" | "pm" => {
                return self
                    .afternoon
                    .replace(lower == "pm")
                    .is_none()
                    .then_some(());
            }
            "at" | "of" | "on" | "t" => return Some(()),
            _ if is_weekday(&lower) => {
                self.weekday = true;
                return Some(());
            }
            _ => {}
        }
        if self.time.is_some() && word.starts_with(['+', '-']) {
            let offset = offset(word)?;
            return self.offset.replace(offset).is_none().then_some(());
        }
        if word.contains(':') {
            let time = clock(word)?;
            return self.time.replace(time).is_none().then_some(());
        }
        if let Some(date) = date(word) {
            return self.date.replace(date).is_none().then_some(());
        }
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &lower[digits.len()..];
        if matches!(suffix, "am" | "pm") && self.time.is_none() {
            self.time = Some(Time::new(digits.parse().ok()?, 0, 0, 0).ok()?);
            return self.take(suffix);
        }
        if matches!(suffix, "" | "st" | "nd" | "rd" | "th") {
            self.numbers.push(digits.parse().ok()?);
            return Some(());
        }
        None
    }

    fn finish(self, now: &Zoned) -> Option<Schedule> {
        let named = self.named_date(now)?;
        if self.date.is_none() && named.is_none() && self.time.is_none() {
            return None;
        }
        let time = match (self.time, self.afternoon) {
            (Some(time), Some(afternoon)) => twelve_hours(time, afternoon)?,
            (None, Some(_)) => return None,
            (time, None) => time.unwrap_or_default(),
        };
        let local = self
            .date
            .or(named)
            .unwrap_or_else(|| now.date())
            .to_datetime(time);
        let offset = match self.offset {
            Some(offset) => offset,
            None => local.to_zoned(now.time_zone().clone()).ok()?.offset(),
        };
        Some(Schedule { local, offset })
    }

    /// A date said with the month's name. `None` is nonsense, `Some(None)` is none given.
    #[expect(clippy::option_option, reason = "absent and wrong are two answers")]
    fn named_date(&self, now: &Zoned) -> Option<Option<Date>> {
        let Some(month) = self.month else {
            return self.numbers.is_empty().then_some(None);
        };
        if self.date.is_some() {
            return None;
        }
        let (day, year) = match self.numbers.as_slice() {
            [day] if *day <= 31 => (*day, now.year()),
            [year] => (1, *year),
            [first, second] if *first > 31 => (*second, *first),
            [first, second] => (*first, century(*second, now)),
            _ => return None,
        };
        Some(Some(Date::new(year, month, i8::try_from(day).ok()?).ok()?))
    }
}

/// Cuts at blanks and commas, and between a date, its time and the zone (`2099-01-01T10:00+02`).
fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for piece in text.split(|c: char| c.is_whitespace() || c == ',') {
        let mut rest = piece;
        if let Some((day, clock)) = rest.split_once(['T', 't'])
            && date(day).is_some()
            && clock.starts_with(|c: char| c.is_ascii_digit())
        {
            words.push(day.to_owned());
            rest = clock;
            if rest.bytes().all(|b| b.is_ascii_digit()) && matches!(rest.len(), 2 | 4 | 6) {
                words.push(colons(rest));
                continue;
            }
        }
        if !rest.contains(':') {
            if !rest.is_empty() {
                words.push(rest.to_owned());
            }
            continue;
        }
        let end = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
            .unwrap_or(rest.len());
        if end == 0 {
            // a zone with a colon, standing alone
            words.push(rest.to_owned());
            continue;
        }
        words.push(rest[..end].to_owned());
        if end < rest.len() {
            words.push(rest[end..].to_owned());
        }
    }
    (!words.is_empty()).then_some(words)
}

fn colons(digits: &str) -> String {
    let pairs: Vec<&str> = (0..digits.len() / 2)
        .map(|pair| &digits[2 * pair..2 * pair + 2])
        .collect();
    if pairs.len() == 1 {
        format!("{}:00", pairs[0])
    } else {
        pairs.join(":")
    }
}

fn date(word: &str) -> Option<Date> {
    let numbers = |separator: char| -> Option<Vec<i16>> {
        let parts: Vec<&str> = word.split(separator).collect();
        let plain = parts.len() == 3
            && parts
                .iter()
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        plain
            .then(|| parts.iter().filter_map(|part| part.parse().ok()).collect())
            .filter(|numbers: &Vec<i16>| numbers.len() == 3)
    };
    let small = |number: i16| i8::try_from(number).ok();
    if let Some(parts) = numbers('-')
        .or_else(|| numbers('/'))
        .or_else(|| numbers('.'))
    {
        let (year, month, day) = match parts[..] {
            [year, month, day] if year > 31 => (year, month, day),
            [day, month, year] if day > 12 || word.contains('.') => (year, month, day),
            [month, day, year] => (year, month, day),
            _ => return None,
        };
        return Date::new(year, small(month)?, small(day)?).ok();
    }
    if word.len() == 8 && word.bytes().all(|b| b.is_ascii_digit()) {
        let number = |range: std::ops::Range<usize>| word[range].parse::<i16>().ok();
        return Date::new(number(0..4)?, small(number(4..6)?)?, small(number(6..8)?)?).ok();
    }
    None
}

fn clock(word: &str) -> Option<Time> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let parts: Vec<i8> = whole
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let (hour, minute, second) = match parts[..] {
        [hour, minute] if fraction.is_empty() => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let nanos = if fraction.is_empty() {
        0
    } else {
        let digits: String = fraction
            .chars()
            .chain(std::iter::repeat('0'))
            .take(6)
            .collect();
        digits.parse::<i32>().ok()? * 1_000
    };
    Time::new(hour, minute, second, nanos).ok()
}

fn offset(word: &str) -> Option<Offset> {
    let negative = word.starts_with('-');
    let digits: String = word[1..].chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = match digits.len() {
        1 | 2 => (digits.parse().ok()?, 0),
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        _ => return None,
    };
    let seconds = hours * 3600 + minutes * 60;
    Offset::from_seconds(if negative { -seconds } else { seconds }).ok()
}

fn twelve_hours(time: Time, afternoon: bool) -> Option<Time> {
    let hour = match (time.hour(), afternoon) {
        (12, true) => 12,
        (12, false) => 0,
        (hour @ 1..=11, true) => hour + 12,
        (hour @ 1..=11, false) => hour,
        _ => return None,
    };
    Time::new(hour, time.minute(), time.second(), time.subsec_nanosecond()).ok()
}

fn century(year: i16, now: &Zoned) -> i16 {
    if year > 99 {
        return year;
    }
    let this = now.year() / 100 * 100;
    if this + year >= now.year() + 50 {
        this + year - 100
    } else {
        this + year
    }
}

fn month(word: &str) -> Option<i8> {
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
    let word = word.trim_end_matches('.');
    let index = MONTHS.iter().position(|name| {
        *name == word || name[..3] == *word || (word == "sept" && name.starts_with("sept"))
    })?;
    i8::try_from(index + 1).ok()
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let word = word.trim_end_matches('.');
    DAYS.iter().any(|name| *name == word || name[..3] == *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let now: Zoned = "2026-11-21T12:34:56+01:00[Europe/Berlin]".parse().unwrap();
        Schedule::parse(text, &now).map(|schedule| schedule.iso())
    }

    #[test]
    fn lenient_forms_are_read() {
        for (text, expected) in [
            ("2099-01-01T00:00", "2099-01-01T00:00:00+01:00"),
            ("2099-07-01T00:00", "2099-07-01T00:00:00+02:00"),
            ("2099-01-01T00:00Z", "2099-01-01T00:00:00+00:00"),
            ("2099-01-01T10:00:00+02:00", "2099-01-01T10:00:00+02:00"),
            ("2099-01-01 10:00 +02", "2099-01-01T10:00:00+02:00"),
            (
                "2099-01-01 10:00:00.5-0330",
                "2099-01-01T10:00:00.500000-03:30",
            ),
            ("25 Dec 2099 10:00 UTC", "2099-12-25T10:00:00+00:00"),
            ("December 25, 2099 10 pm", "none"),
            ("Dec 25 2099 10:30pm", "2099-12-25T22:30:00+01:00"),
            ("20990101T1000", "2099-01-01T10:00:00+01:00"),
            ("12/31/2099 01:02", "2099-12-31T01:02:00+01:00"),
            ("14:15", "2026-11-21T14:15:00+01:00"),
            ("2099-01-01", "2099-01-01T00:00:00+01:00"),
        ] {
            assert_eq!(read(text).as_deref().unwrap_or("none"), expected, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "x",
            "",
            "yesterday-ish",
            "2099-13-01",
            "25:00",
            "12",
            "10:00 10:00",
            "bogus 10:00",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn people_see_a_blank_between_date_and_time() {
        let now: Zoned = "2026-11-21T12:34:56+00:00[UTC]".parse().unwrap();
        let schedule = Schedule::parse("2099-03-03T03:03+03:00", &now).unwrap();
        assert_eq!(schedule.to_string(), "2099-03-03 03:03:00+03:00");
    }
}
