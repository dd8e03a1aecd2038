//! Dates and times written without quotes: kept as the text that Python prints for them.

/// The text of a date (`2001-12-14`) or time (`2001-12-14 21:59:43.100000-05:00`); `None` when
/// the scalar is no such thing, or names a day that does not exist.
pub(super) fn python_text(text: &str) -> Option<String> {
    let (date, rest) = match text.find(['T', 't', ' ', '\t']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let short = if rest.is_some() { 1 } else { 2 };
    if parts.next().is_some()
        || !digits(year, 4, 4)
        || !digits(month, short, 2)
        || !digits(day, short, 2)
    {
        return None;
    }
    let (month, day): (u32, u32) = (month.parse().ok()?, day.parse().ok()?);
    if day == 0 || day > days(year.parse().ok()?, month)? {
        return None;
    }
    let date = format!("{year}-{month:02}-{day:02}");
    match rest {
        None => Some(date),
        Some(rest) => Some(format!("{date} {}", time(rest)?)),
    }
}

fn time(rest: &str) -> Option<String> {
    let rest = match rest.as_bytes().first()? {
        b'T' | b't' => &rest[1..],
        _ => rest.trim_start_matches([' ', '\t']),
    };
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(rest.len());
    let (clock, zone) = (&rest[..end], rest[end..].trim_start_matches([' ', '\t']));
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (clock, ""),
    };
    let mut groups = clock.split(':');
    let (hour, minute, second) = (groups.next()?, groups.next()?, groups.next()?);
    let well_formed = groups.next().is_none()
        && digits(hour, 1, 2)
        && digits(minute, 2, 2)
        && digits(second, 2, 2)
        && digits(fraction, 0, usize::MAX);
    let hour: u32 = well_formed.then(|| hour.parse().ok()).flatten()?;
    if hour > 23 || minute >= "60" || second >= "60" {
        return None;
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = if micros == "000000" {
        String::new()
    } else {
        format!(".{micros}")
    };
    Some(format!(
        "{hour:02}:{minute}:{second}{micros}{}",
        offset(zone)?
    ))
}

fn offset(zone: &str) -> Option<String> {
    let sign = match zone {
        "" => return Some(String::new()),
        "Z" => return Some("+00:00".to_owned()),
        _ => zone.chars().next().filter(|c| matches!(c, '+' | '-'))?,
    };
    let (hours, minutes) = zone[1..].split_once(':').unwrap_or((&zone[1..], "00"));
    if !digits(hours, 1, 2) || !digits(minutes, 2, 2) {
        return None;
    }
    Some(format!("{sign}{hours:0>2}:{minutes}"))
}

fn digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn days(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::python_text;

    #[test]
    fn times_print_as_in_python() {
        for (text, expected) in [
            ("2001-12-14", Some("2001-12-14")),
            (
                "2001-12-14t21:59:43.10-05:00",
                Some("2001-12-14 21:59:43.100000-05:00"),
            ),
            ("2020-01-01 10:00:00", Some("2020-01-01 10:00:00")),
            ("2020-1-1 1:00:00Z", Some("2020-01-01 01:00:00+00:00")),
            ("2020-01-01 10:00:00 +2", Some("2020-01-01 10:00:00+02:00")),
            ("2020-1-1", None),
            ("2021-02-29", None),
            ("2020-01-01 10:00", None),
            ("10.0.0.1-2", None),
        ] {
            assert_eq!(python_text(text).as_deref(), expected, "{text}");
        }
    }
}
