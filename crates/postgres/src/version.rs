//! Versions of the server.

use std::io;
use std::path::Path;

/// Reads `PG_VERSION` of a data directory as an integer (`15` is 150000, `9.6` is 90600).
/// `None` when the file is missing.
///
/// # Errors
/// The file exists but cannot be read or is no version.
pub(crate) fn major_version(data_dir: &Path) -> io::Result<Option<u32>> {
    match std::fs::read_to_string(data_dir.join("PG_VERSION")) {
        Ok(text) => parse_major(text.trim())
            .map(Some)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "PG_VERSION is no version")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the last word of `postgres (PostgreSQL) 15.18` that looks like a version, with its
/// minor part (`150018`); betas and release candidates count as minor 0.
pub(crate) fn parse_program_version(output: &str) -> Option<u32> {
    let text = output
        .split_whitespace()
        .find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()))?;
    parse_full(text)
}

fn parse_major(text: &str) -> Option<u32> {
    let mut parts = text.split('.');
    let first: u32 = parts.next()?.parse().ok()?;
    if first >= 10 {
        return first.checked_mul(10_000);
    }
    let second: u32 = parts.next()?.parse().ok()?;
    Some(first * 10_000 + second * 100)
}

fn parse_full(text: &str) -> Option<u32> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let clean = text.len() == digits;
    let numbers: Vec<u32> = text[..digits]
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    let minor = |at: usize| numbers.get(at).copied().filter(|_| clean).unwrap_or(0);
    match numbers.as_slice() {
        [major, ..] if *major >= 10 => Some(major * 10_000 + minor(1)),
        [major, second, ..] => Some(major * 10_000 + second * 100 + minor(2)),
        _ => None,
    }
}

/// Whether two versions have the same major part.
pub(crate) fn same_major(a: u32, b: u32) -> bool {
    let unit = |version: u32| if version >= 100_000 { 10_000 } else { 100 };
    a / unit(a) == b / unit(b) && unit(a) == unit(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_integers() {
        assert_eq!(parse_major("15"), Some(150_000));
        assert_eq!(parse_major("9.6"), Some(90_600));
        assert_eq!(parse_major("x"), None);
        for (output, version) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                150_018,
            ),
            ("postgres (PostgreSQL) 9.6.24", 90_624),
            ("postgres (PostgreSQL) 18beta1", 180_000),
            ("postgres (PostgreSQL) 16devel", 160_000),
        ] {
            assert_eq!(parse_program_version(output), Some(version), "{output}");
        }
        assert!(same_major(150_018, 150_000));
        assert!(!same_major(90_624, 90_500));
    }
}
