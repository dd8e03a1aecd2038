//! Where the programs of PostgreSQL are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use patroni_config::file::Postgresql;

/// Finds programs by the settings `bin_dir` and `bin_name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binaries {
    dir: Option<PathBuf>,
    names: BTreeMap<String, String>,
}

impl Binaries {
    /// The programs that the settings name.
    pub fn new(settings: &Postgresql) -> Self {
        Self {
            dir: settings.bin_dir.clone(),
            names: settings.bin_name.clone(),
        }
    }

    /// The path of a program known to us as `name` (`pg_ctl`, `postgres`, ..); a bare name when
    /// no directory is configured, so that PATH decides.
    pub fn binary(&self, name: &str) -> PathBuf {
        let name = self
            .names
            .get(name)
            .filter(|given| !given.is_empty())
            .map_or(name, String::as_str);
        match &self.dir {
            Some(dir) => dir.join(name),
            None => PathBuf::from(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_directory_come_from_the_settings() {
        let mut settings = Postgresql {
            bin_name: BTreeMap::from([("pg_rewind".to_owned(), "my_rewind".to_owned())]),
            ..Postgresql::default()
        };
        assert_eq!(
            Binaries::new(&settings).binary("pg_rewind"),
            PathBuf::from("my_rewind")
        );
        settings.bin_dir = Some(PathBuf::from("/pg/bin"));
        assert_eq!(
            Binaries::new(&settings).binary("initdb"),
            PathBuf::from("/pg/bin/initdb")
        );
    }
}
