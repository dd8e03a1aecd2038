//! Where a setting was written, so that a message can name file and line.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::yaml::Place;

/// The source of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File {
        /// Its path.
        file: PathBuf,
        /// Line and column of the key.
        place: Place,
    },
    /// A file or folder, without a place: for what is missing in it.
    Whole(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, place } => write!(f, "{}, line {}", file.display(), place.line),
            Self::Whole(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// The sources of all settings, by dotted path.
#[derive(Clone, Debug, Default)]
pub struct Origins(HashMap<String, Origin>);

impl Origins {
    /// The source of a path, or of the closest section around it.
    pub fn find(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(origin) = self.0.get(path) {
                return Some(origin);
            }
            path = &path[..path.rfind('.')?];
        }
    }

    /// Prefix for a message about a path: `file, line 3: ` or nothing.
    pub(crate) fn prefix(&self, path: &str) -> String {
        self.find(path)
            .map(|origin| format!("{origin}: "))
            .unwrap_or_default()
    }

    pub(crate) fn add_file(&mut self, file: &Path, places: HashMap<String, Place>) {
        for (path, place) in places {
            let file = file.to_owned();
            self.0.insert(path, Origin::File { file, place });
        }
    }

    pub(crate) fn add_variable(&mut self, path: String, variable: String) {
        self.0.insert(path, Origin::Variable(variable));
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        let entries = other.0.iter();
        self.0
            .extend(entries.map(|(path, origin)| (path.clone(), origin.clone())));
    }
}
