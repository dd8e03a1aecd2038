//! The table of parameters: what each accepts, per server version.

/// The table as text. It is scanned at each use: looking up a hundred names takes less than a
/// millisecond, and nothing is kept in memory beside the text that the kernel can drop.
const TABLE: &str = include_str!("../../data/guc.tsv");

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Integer,
    Real,
    Enum,
    /// Any boolean spelling, or one of the words.
    EnumBool,
    String,
}

impl Kind {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "bool" => Self::Bool,
            "integer" => Self::Integer,
            "real" => Self::Real,
            "enum" => Self::Enum,
            "enumbool" => Self::EnumBool,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// The word of the table, also used in warnings.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Enum => "enum",
            Self::EnumBool => "enumbool",
            Self::String => "string",
        }
    }
}

/// One parameter in one version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Least and greatest value in the base unit, as written in the table.
    pub(crate) range: Option<(&'static str, &'static str)>,
    pub(crate) unit: Option<&'static str>,
    words: Option<&'static str>,
}

impl Entry {
    /// Whether `word` (in lower case) is one of the words of an enumeration.
    pub(crate) fn allows(&self, word: &str) -> bool {
        self.words
            .is_some_and(|words| words.split(',').any(|listed| listed == word))
    }
}

/// What the table knows of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lookup {
    /// No line has the name.
    Unknown,
    /// The name exists, but not in this version.
    OtherVersion,
    /// What it accepts in this version.
    Found(Entry),
}

/// Looks a server parameter up, without regard to case. `version` is `server_version_num`.
pub(crate) fn parameter(name: &str, version: u32) -> Lookup {
    find(main_part(), name, version)
}

/// Looks a recovery parameter up.
pub(crate) fn recovery(name: &str, version: u32) -> Lookup {
    find(recovery_part(), name, version)
}

/// Whether the name is one of the recovery parameters of any version, without regard to case.
pub(crate) fn is_recovery(name: &str) -> bool {
    recovery_part().lines().any(|line| {
        line.split('\t')
            .next()
            .is_some_and(|n| n.eq_ignore_ascii_case(name))
    })
}

fn main_part() -> &'static str {
    TABLE.split_once("\n\n").map_or(TABLE, |(main, _)| main)
}

fn recovery_part() -> &'static str {
    TABLE
        .split_once("\n\n")
        .map_or("", |(_, recovery)| recovery)
}

fn find(part: &'static str, name: &str, version: u32) -> Lookup {
    let mut result = Lookup::Unknown;
    for line in part.lines() {
        let mut fields = line.split('\t');
        if !fields.next().is_some_and(|n| n.eq_ignore_ascii_case(name)) {
            continue;
        }
        result = Lookup::OtherVersion;
        if let Some(entry) = read(fields, version) {
            return Lookup::Found(entry);
        }
    }
    result
}

/// Reads the fields after the name when their window contains the version.
fn read<'a>(mut fields: impl Iterator<Item = &'static str> + 'a, version: u32) -> Option<Entry> {
    let kind = Kind::parse(fields.next()?)?;
    let since: u32 = fields.next()?.parse().ok()?;
    let before = fields.next()?;
    let inside = version >= since
        && before
            .parse::<u32>()
            .map_or(true, |before| version < before);
    let given = |field: &'static str| (field != "-").then_some(field);
    let (least, greatest) = (fields.next()?, fields.next()?);
    let unit = given(fields.next()?);
    let words = given(fields.next()?);
    inside.then_some(Entry {
        kind,
        range: given(least).zip(given(greatest)),
        unit,
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_whose_window_matches_counts() {
        let found = |name, version| match parameter(name, version) {
            Lookup::Found(entry) => entry,
            Lookup::Unknown | Lookup::OtherVersion => panic!("{name} {version}"),
        };
        assert_eq!(found("archive_mode", 90400).kind, Kind::Bool);
        assert!(found("archive_mode", 90500).allows("always"));
        assert_eq!(
            found("autovacuum_max_workers", 150_000).range,
            Some(("1", "262143"))
        );
        for since in [160_012, 170_008, 180_002] {
            let before = parameter("file_extend_method", since - 1);
            assert_eq!(before, Lookup::OtherVersion, "{since}");
            assert!(found("file_extend_method", since).allows("write_zeros"));
        }
        assert_eq!(found("timezone", 150_000).kind, Kind::String);
        assert_eq!(
            parameter("stats_temp_directory", 150_000),
            Lookup::OtherVersion
        );
        assert_eq!(parameter("no_such_parameter", 150_000), Lookup::Unknown);
        assert!(found("transaction_isolation", 150_000).allows("read committed"));
    }

    #[test]
    fn every_line_reads() {
        for part in [main_part(), recovery_part()] {
            for line in part.lines().filter(|line| !line.starts_with('#')) {
                let mut fields = line.split('\t');
                let name = fields.next().unwrap();
                let since = fields.clone().nth(1).unwrap().parse().unwrap();
                assert!(read(fields, since).is_some(), "{name}");
            }
        }
        assert_eq!(recovery_part().lines().count(), 18);
        assert!(is_recovery("Primary_ConnInfo"));
        assert!(!is_recovery("primary"));
        assert!(matches!(
            recovery("trigger_file", 150_000),
            Lookup::OtherVersion
        ));
    }
}
