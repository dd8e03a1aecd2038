//! Reading the times that people write.
//!
//! A text is cut into words and numbers; each is a date, a clock time, a month name, a zone or a
//! weekday, and a text with anything else is refused: so are lone numbers, of which the reference
//! makes some day or other. It serves members (rest-api.md 10.8) and the control tool (patronictl
//! contract, section 3); they differ only in what a missing zone means to them.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use jiff::{ToSpan as _, Zoned};

/// Longer texts are no times; the bound keeps the work small.
const MAX_LENGTH: usize = 100;

/// A time as it was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpokenTime {
    pub(super) local: DateTime,
    pub(super) zone: SpokenZone,
}

/// The zone in which a time was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpokenZone {
    /// Not a word about it.
    None,
    /// A name that is neither UTC nor how the zone of `now` is called: it may mean several.
    Unknown,
    /// This far from UTC.
    Offset(Offset),
}

impl SpokenTime {
    /// Reads a text; parts that it leaves out come from `now` (the date) or are zero (the
    /// clock). `None` when it makes no sense.
    pub(super) fn read(text: &str, now: &Zoned) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let mut parts = Parts::default();
        for word in split(text, now)? {
            parts.take(&word, now)?;
        }
        parts.finish(now)
    }
}

#[derive(Default)]
struct Parts {
    date: Option<Date>,
    time: Option<Time>,
    zone: Option<Zone>,
    month: Option<i8>,
    numbers: Vec<i16>,
    weekday: Option<Weekday>,
    afternoon: Option<bool>,
}

/// A zone among the words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Offset(Offset),
    /// How the caller's own zone is called.
    Local,
    Unknown,
}

impl Parts {
    fn take(&mut self, word: &str, now: &Zoned) -> Option<()> {
        let lower = word.to_ascii_lowercase();
        if let Some(month) = month(&lower) {
            return self.month.replace(month).is_none().then_some(());
        }
        match lower.as_str() {
            "am" | "pm" | "a.m." | "p.m." => {
                if self.time.is_none() {
                    let hour = i8::try_from(self.numbers.pop()?).ok()?;
                    self.time = Some(Time::new(hour, 0, 0, 0).ok()?);
                }
                return self
                    .afternoon
                    .replace(lower.starts_with('p'))
                    .is_none()
                    .then_some(());
            }
            "at" | "of" | "on" | "t" => return Some(()),
            _ => {}
        }
        if let Some(weekday) = weekday(&lower) {
            return self.weekday.replace(weekday).is_none().then_some(());
        }
        if self.time.is_some()
            && let Some(zone) = zone(word, now)
        {
            return self.zone.replace(zone).is_none().then_some(());
        }
        if matches!(self.zone, Some(Zone::Offset(_))) && is_note(word) {
            return Some(());
        }
        if word.contains(':') {
            let time = clock(word)?;
            return self.time.replace(time).is_none().then_some(());
        }
        if self.date.is_some()
            && self.time.is_none()
            && let Some(text) = colons(word)
        {
            self.time = Some(clock(&text)?);
            return Some(());
        }
        if let Some(date) = date(word, now) {
            return self.date.replace(date).is_none().then_some(());
        }
        let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &lower[digits.len()..];
        if matches!(suffix, "am" | "pm") && self.time.is_none() {
            self.time = Some(Time::new(digits.parse().ok()?, 0, 0, 0).ok()?);
            return self.take(suffix, now);
        }
        if matches!(suffix, "" | "st" | "nd" | "rd" | "th") && is_digits(digits) {
            self.numbers.push(digits.parse().ok()?);
            return Some(());
        }
        None
    }

    fn finish(self, now: &Zoned) -> Option<SpokenTime> {
        let named = self.named_date(now)?;
        let nothing = self.date.is_none() && self.time.is_none() && self.weekday.is_none();
        if nothing && named.is_none() {
            return None;
        }
        let time = match (self.time, self.afternoon) {
            (Some(time), Some(afternoon)) => twelve_hours(time, afternoon)?,
            (None, Some(_)) => return None,
            (time, None) => time.unwrap_or_default(),
        };
        let mut date = self.date.or(named).unwrap_or_else(|| now.date());
        if let Some(weekday) = self.weekday.filter(|_| !self.has_day()) {
            let days = date.weekday().until(weekday);
            date = date.checked_add(i64::from(days).days()).ok()?;
        }
        let local = date.to_datetime(time);
        let zone = match self.zone {
            None => SpokenZone::None,
            Some(Zone::Unknown) => SpokenZone::Unknown,
            Some(Zone::Offset(offset)) => SpokenZone::Offset(offset),
            Some(Zone::Local) => {
                SpokenZone::Offset(local.to_zoned(now.time_zone().clone()).ok()?.offset())
            }
        };
        Some(SpokenTime { local, zone })
    }

    /// Whether the day of the month is said; a weekday then adds nothing.
    fn has_day(&self) -> bool {
        let year_alone = matches!(self.numbers[..], [number] if number > 31);
        self.date.is_some() || (self.month.is_some() && !self.numbers.is_empty() && !year_alone)
    }

    /// A date said with the month's name. `None` is nonsense, `Some(None)` is none given.
    #[expect(clippy::option_option, reason = "absent and wrong are two answers")]
    fn named_date(&self, now: &Zoned) -> Option<Option<Date>> {
        let Some(month) = self.month else {
            return match (self.date, self.numbers.as_slice()) {
                (_, []) => Some(None),
                (None, &[first, second, third]) => {
                    numeric_date(first, second, third, now).map(Some)
                }
                _ => None,
            };
        };
        if self.date.is_some() {
            return None;
        }
        let (day, year) = match self.numbers.as_slice() {
            [] => return on_day_of(now, now.year(), month).map(Some),
            [day] if *day <= 31 => (*day, now.year()),
            [year] => return on_day_of(now, century(*year, now), month).map(Some),
            [first, second] if *first > 31 => (*second, century(*first, now)),
            [first, second] => (*first, century(*second, now)),
            _ => return None,
        };
        Some(Some(Date::new(year, month, i8::try_from(day).ok()?).ok()?))
    }
}

/// This month on today's day, or on its last one.
fn on_day_of(now: &Zoned, year: i16, month: i8) -> Option<Date> {
    let first = Date::new(year, month, 1).ok()?;
    Date::new(year, month, now.day().min(first.days_in_month())).ok()
}

/// Cuts at blanks and commas, and between a date, its time and the zone (`2099-01-01T10:00+02`).
fn split(text: &str, now: &Zoned) -> Option<Vec<String>> {
    let text = with_points(text);
    let mut words = Vec::new();
    for piece in text.split(|c: char| c.is_whitespace() || c == ',') {
        let mut rest = piece;
        if let Some((day, clock)) = day_and_clock(piece, now) {
            words.push(day.to_owned());
            let end = clock_end(clock);
            if let Some(time) = compact_clock(&clock[..end]) {
                words.push(time);
                rest = &clock[end..];
            } else {
                rest = clock;
            }
        }
        if rest
            .split('-')
            .any(|part| month(&part.to_ascii_lowercase()).is_some())
        {
            words.extend(rest.split('-').map(str::to_owned)); // 5-Dec-2026
            continue;
        }
        let end = if rest.contains(':') {
            clock_end(rest)
        } else {
            0
        };
        let parts = [&rest[..end], &rest[end..]]; // a zone may stand alone
        words.extend(
            parts
                .iter()
                .filter(|part| !part.is_empty())
                .map(|part| (*part).to_owned()),
        );
    }
    (!words.is_empty()).then_some(words)
}

/// A date with its time: a `T` between them, or digits alone.
fn day_and_clock<'a>(piece: &'a str, now: &Zoned) -> Option<(&'a str, &'a str)> {
    if is_digits(piece) && matches!(piece.len(), 12 | 14) {
        return Some(piece.split_at(8));
    }
    let (day, clock) = piece.split_once(['T', 't'])?;
    let fits = date(day, now).is_some() && clock.starts_with(|c: char| c.is_ascii_digit());
    fits.then_some((day, clock))
}

/// ISO 8601 has commas in front of fractions of a second, too: `10:15:30,5`, `101530,5`.
fn with_points(text: &str) -> String {
    let mut pieces = text.split(',');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let fraction = ends_in_seconds(&out) && piece.starts_with(|c: char| c.is_ascii_digit());
        out.push(if fraction { '.' } else { ',' });
        out.push_str(piece);
    }
    out
}

fn ends_in_seconds(text: &str) -> bool {
    let word = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    let clock = word.rsplit(['T', 't']).next().unwrap_or_default();
    let digits = clock
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b':');
    digits && (clock.matches(':').count() == 2 || (clock.len() == 6 && clock != word))
}

/// Where the time in front of a zone ends.
fn clock_end(text: &str) -> usize {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')));
    end.unwrap_or(text.len())
}

/// A time without colons, with them.
fn compact_clock(text: &str) -> Option<String> {
    match text.split_once('.') {
        Some((digits, fraction)) if digits.len() == 6 => {
            Some(format!("{}.{fraction}", colons(digits)?))
        }
        Some(_) => None,
        None => colons(text),
    }
}

/// `10`, `1015` and `101530` as times.
fn colons(digits: &str) -> Option<String> {
    if !is_digits(digits) {
        return None;
    }
    Some(match digits.len() {
        2 => format!("{digits}:00"),
        4 => format!("{}:{}", &digits[..2], &digits[2..]),
        6 => format!("{}:{}:{}", &digits[..2], &digits[2..4], &digits[4..]),
        _ => return None,
    })
}

fn date(word: &str, now: &Zoned) -> Option<Date> {
    for separator in ['-', '/', '.'] {
        let parts: Vec<&str> = word.split(separator).collect();
        if let [first, second, third] = parts[..]
            && parts.iter().all(|part| is_digits(part))
        {
            let (first, second) = (first.parse().ok()?, second.parse().ok()?);
            return numeric_date(first, second, third.parse().ok()?, now);
        }
    }
    if word.len() == 8 && is_digits(word) {
        let (year, rest) = word.split_at(4);
        let (month, day) = rest.split_at(2);
        return Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok();
    }
    None
}

/// The year stands first or last, and the month before the day unless it cannot.
fn numeric_date(first: i16, second: i16, third: i16, now: &Zoned) -> Option<Date> {
    let (year, month, day) = if first > 31 {
        (first, second, third)
    } else if first > 12 {
        (century(third, now), second, first)
    } else {
        (century(third, now), first, second)
    };
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn clock(word: &str) -> Option<Time> {
    let (whole, fraction) = match word.split_once('.') {
        Some((_, fraction)) if !is_digits(fraction) => return None,
        split => split.unwrap_or((word, "")),
    };
    let parts: Vec<i8> = whole
        .split(':')
        .map(|part| is_digits(part).then(|| part.parse().ok()).flatten())
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

/// What a word behind the time says about the zone; `None` when it is about something else.
fn zone(word: &str, now: &Zoned) -> Option<Zone> {
    if let Some(offset) = offset(word) {
        return Some(Zone::Offset(offset));
    }
    if is_local_zone(word, now) {
        return Some(Zone::Local);
    }
    is_zone_name(word).then_some(Zone::Unknown)
}

/// `Z`, `UTC`, `GMT`, `+2`, `+02`, `+0200`, `+2:00`, `+02:00`.
fn offset(word: &str) -> Option<Offset> {
    if ["z", "utc", "gmt"].contains(&word.to_ascii_lowercase().as_str()) {
        return Some(Offset::UTC);
    }
    let distance = word.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match distance.split_once(':') {
        Some(parts) => parts,
        None if distance.len() == 4 => distance.split_at_checked(2)?,
        None => (distance, "00"),
    };
    let is_short = |digits: &str| matches!(digits.len(), 1 | 2) && is_digits(digits);
    if !is_short(hours) || !is_short(minutes) || minutes.len() == 1 {
        return None;
    }
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    let seconds = Some(seconds).filter(|seconds| *seconds < 24 * 3600)?;
    Offset::from_seconds(if word.starts_with('-') {
        -seconds
    } else {
        seconds
    })
    .ok()
}

/// How zones are abbreviated: `EST`, `CEST`.
fn is_zone_name(word: &str) -> bool {
    matches!(word.len(), 3..=5) && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// The name of a zone in brackets, behind its offset, where it adds nothing: `+02:00 (CEST)`.
fn is_note(word: &str) -> bool {
    let name = word.strip_prefix('(').and_then(|w| w.strip_suffix(')'));
    name.is_some_and(is_zone_name)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn twelve_hours(time: Time, afternoon: bool) -> Option<Time> {
    let hour = match (time.hour(), afternoon) {
        (12, true) => 12,
        (12, false) => 0,
        (hour @ 0..=11, true) => hour + 12,
        (hour @ 0..=11, false) => hour,
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

fn weekday(word: &str) -> Option<Weekday> {
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let word = word.trim_end_matches('.');
    let mut days = DAYS.iter();
    let found = days.find(|(name, _)| *name == word || name[..3] == *word);
    found.map(|(_, day)| *day)
}

/// Whether this is how the caller's own zone is called, in winter or in summer.
fn is_local_zone(word: &str, now: &Zoned) -> bool {
    [1, 7].into_iter().any(|month| {
        let day = Date::new(now.year(), month, 1);
        let day = day.and_then(|day| day.to_zoned(now.time_zone().clone()));
        day.is_ok_and(|day| {
            day.time_zone()
                .to_offset_info(day.timestamp())
                .abbreviation()
                == word
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::schedule::Scheduled;

    fn read(text: &str) -> Option<String> {
        let now: Zoned = "2026-11-21T12:34:56+01:00[Europe/Berlin]".parse().unwrap();
        Scheduled::here(text, &now).map(Scheduled::to_iso)
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
            ("December 25, 2099 10 pm", "2099-12-25T22:00:00+01:00"),
            ("Dec 25 2099 10:30pm", "2099-12-25T22:30:00+01:00"),
            ("20990101T1000", "2099-01-01T10:00:00+01:00"),
            ("12/31/2099 01:02", "2099-12-31T01:02:00+01:00"),
            ("14:15", "2026-11-21T14:15:00+01:00"),
            ("2099-01-01", "2099-01-01T00:00:00+01:00"),
        ] {
            assert_eq!(read(text).as_deref().unwrap_or("none"), expected, "{text}");
        }
    }

    /// A weekday was dropped, so that the work came on the wrong day. Today is a Saturday.
    #[test]
    fn a_weekday_moves_forward_to_it() {
        for (text, expected) in [
            ("Monday 10:00", "2026-11-23T10:00:00+01:00"),
            ("sat 10:00", "2026-11-21T10:00:00+01:00"),
            ("Fri", "2026-11-27T00:00:00+01:00"),
            ("10:15 Fri CET", "2026-11-27T10:15:00+01:00"),
            ("Thursday Dec 2099", "2099-12-24T00:00:00+01:00"),
            ("Mon 5 Dec 2026 10:00", "2026-12-05T10:00:00+01:00"),
            ("Mon 2026-12-05", "2026-12-05T00:00:00+01:00"),
        ] {
            assert_eq!(read(text).as_deref().unwrap_or("none"), expected, "{text}");
        }
    }

    #[test]
    fn the_month_stands_first_unless_it_cannot() {
        for (text, expected) in [
            ("05.12.2026 10:00", "2026-05-12T10:00:00+02:00"),
            ("25.12.2026 10:00", "2026-12-25T10:00:00+01:00"),
            ("12/05/26 10:00", "2026-12-05T10:00:00+01:00"),
            ("26-12-05 10:00", "2005-12-26T10:00:00+01:00"),
            ("5/12/99 10:00", "1999-05-12T10:00:00+02:00"),
            ("5.12.75", "2075-05-12T00:00:00+02:00"),
            ("5-Dec-2026 10:00", "2026-12-05T10:00:00+01:00"),
            ("Dec 2026", "2026-12-21T00:00:00+01:00"),
        ] {
            assert_eq!(read(text).as_deref().unwrap_or("none"), expected, "{text}");
        }
    }

    #[test]
    fn iso_8601_is_read_in_its_forms() {
        for (text, expected) in [
            ("20261205T101530", "2026-12-05T10:15:30+01:00"),
            ("20261205T101530Z", "2026-12-05T10:15:30+00:00"),
            ("20261205T101530+0200", "2026-12-05T10:15:30+02:00"),
            ("20261205T101530.5Z", "2026-12-05T10:15:30.500000+00:00"),
            ("20261205T101530,5Z", "2026-12-05T10:15:30.500000+00:00"),
            ("20261205T1015+02", "2026-12-05T10:15:00+02:00"),
            ("20261205T10", "2026-12-05T10:00:00+01:00"),
            ("20261205101530", "2026-12-05T10:15:30+01:00"),
            ("202612051015", "2026-12-05T10:15:00+01:00"),
            ("20261205 1015", "2026-12-05T10:15:00+01:00"),
            ("2026-12-05 10", "2026-12-05T10:00:00+01:00"),
            ("2026-12-05T10:15:30,5", "2026-12-05T10:15:30.500000+01:00"),
            ("2026-12-05 10:15 CET", "2026-12-05T10:15:00+01:00"),
            ("2026-12-05 10:15 CEST", "2026-12-05T10:15:00+01:00"),
            ("2026-07-05 10:15 CEST", "2026-07-05T10:15:00+02:00"),
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
            "2099",
            "101530",
            "2026-12",
            "2026-12-05 10:15 EST",
            "2026-12-05 10:15 UTC+3",
            "2026-12-05 10h30m",
            "Mon Tue 10:00",
            "2026-12-05 10:15 PM CET Z",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
