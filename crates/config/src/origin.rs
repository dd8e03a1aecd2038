//! Where a setting was written, so that a message can name file and line.

use std::collections::{HashMap, HashSet};
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
pub struct Origins {
    known: HashMap<String, Origin>,
    /// Paths of texts that stand for something else, see [`crate::yaml::Document::stand_ins`].
    stand_ins: HashSet<String>,
}

impl Origins {
    /// The source of a path, or of the closest section around it.
    pub fn find(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(origin) = self.known.get(path) {
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

    /// Whether the text at a path was written as a date, or as a number that JSON cannot hold.
    pub(crate) fn is_stand_in(&self, path: &str) -> bool {
        self.stand_ins.contains(path)
    }

    pub(crate) fn add_file(
        &mut self,
        file: &Path,
        places: HashMap<String, Place>,
        stand_ins: HashSet<String>,
    ) {
        for (path, place) in places {
            let file = file.to_owned();
            self.add(path, Origin::File { file, place });
        }
        self.stand_ins.extend(stand_ins);
    }

    pub(crate) fn add_variable(&mut self, path: String, variable: String) {
        self.add(path, Origin::Variable(variable));
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        for (path, origin) in &other.known {
            self.add(path.clone(), origin.clone());
        }
    }

    fn add(&mut self, path: String, origin: Origin) {
        self.stand_ins.remove(&path);
        self.known.insert(path, origin);
    }
}
