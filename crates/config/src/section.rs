//! Reading one section of the effective configuration: lenient about types where the reference
//! is, precise about the place where it cannot be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use patroni_core::{Secret, value};
use serde_json::{Map, Value};

use crate::error::ConfigError;
use crate::file::address::HostPort;
use crate::origin::Origins;

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

/// A view of one mapping, with its path for messages.
#[derive(Clone)]
pub(crate) struct Section<'a> {
    map: &'a Map<String, Value>,
    path: String,
    origins: &'a Origins,
}

impl<'a> Section<'a> {
    pub(crate) fn root(map: &'a Map<String, Value>, origins: &'a Origins) -> Self {
        Self {
            map,
            path: String::new(),
            origins,
        }
    }

    /// An error about a key of this section.
    pub(crate) fn fail(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        let path = self.path_of(key);
        ConfigError::Setting {
            origin: self.origins.find(&path).cloned(),
            path,
            problem: problem.into(),
        }
    }

    /// A warning about a key of this section, with its place in front.
    pub(crate) fn warning(&self, key: &str, text: &str) -> String {
        let path = self.path_of(key);
        format!("{}{path} {text}", self.origins.prefix(&path))
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn find(&self, key: &str) -> Option<&'a Value> {
        #[cfg(test)]
        crate::keys::reads::note(self.path_of(key));
        self.map.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.find(key)
    }

    /// A value that is there and says something: not null, false, zero or empty.
    pub(crate) fn filled(&self, key: &str) -> Option<&'a Value> {
        self.find(key).filter(|given| value::is_truthy(given))
    }

    /// A section inside; an absent or empty one is an empty section.
    pub(crate) fn section(&self, key: &str) -> Result<Section<'a>, ConfigError> {
        let map = match self.filled(key) {
            None => &NOTHING,
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.fail(key, "is not a dictionary")),
        };
        Ok(Section {
            map,
            path: self.path_of(key),
            origins: self.origins,
        })
    }

    /// As [`Self::section`], but `None` when the key is absent.
    pub(crate) fn section_if_any(&self, key: &str) -> Result<Option<Section<'a>>, ConfigError> {
        self.has(key).then(|| self.section(key)).transpose()
    }

    pub(crate) fn map(&self, key: &str) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.section(key)?.map.clone())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.map.iter()
    }

    /// Text; numbers and booleans have a text form too, an empty value is absent.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.find(key) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::Array(_) | Value::Object(_)) => Err(self.fail(key, "is not a string")),
            Some(given) => Ok(Some(value::text(given))),
        }
    }

    pub(crate) fn text_or(&self, key: &str, default: &str) -> Result<String, ConfigError> {
        Ok(self.text(key)?.unwrap_or_else(|| default.to_owned()))
    }

    pub(crate) fn required(&self, key: &str) -> Result<String, ConfigError> {
        self.text(key)?
            .ok_or_else(|| self.fail(key, "is not defined"))
    }

    pub(crate) fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(key)?.map(PathBuf::from))
    }

    pub(crate) fn secret(&self, key: &str) -> Result<Option<Secret>, ConfigError> {
        Ok(self.text(key)?.map(Secret::new))
    }

    /// A switch: a boolean or boolean word, else the truth of whatever is there.
    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        match self.find(key) {
            None => default,
            Some(given) => value::parse_bool(given).unwrap_or_else(|| value::is_truthy(given)),
        }
    }

    pub(crate) fn int(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        match self.find(key) {
            None | Some(Value::Null) => Ok(None),
            Some(given) => value::parse_int(given)
                .map(Some)
                .ok_or_else(|| self.fail(key, format!("{} is not an integer", value::repr(given)))),
        }
    }

    /// An integer of a type that holds less, within that type's bounds.
    pub(crate) fn number<T: TryFrom<i64>>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        self.int(key)?
            .map(|number| {
                T::try_from(number).map_err(|_| self.fail(key, format!("{number} is out of range")))
            })
            .transpose()
    }

    /// A pool's size, at least 5. Less is raised, and what is no integer brings a warning.
    pub(crate) fn pool_size(&self, key: &str, warnings: &mut Vec<String>) -> usize {
        const LEAST: usize = 5;
        let Some(given) = self.get(key) else {
            return LEAST;
        };
        if let Some(size) = value::parse_int(given) {
            return usize::try_from(size).unwrap_or(0).max(LEAST);
        }
        warnings.push(format!(
            "Failed to parse {} value \"{}\": no integer",
            self.path_of(key),
            value::text(given)
        ));
        LEAST
    }

    /// A size in bytes, with a unit of memory or without.
    pub(crate) fn bytes(&self, key: &str) -> Result<Option<u64>, ConfigError> {
        let Some(given) = self.filled(key) else {
            return Ok(None);
        };
        value::parse_bytes(given)
            .and_then(|bytes| u64::try_from(bytes).ok())
            .map(Some)
            .ok_or_else(|| self.fail(key, format!("{} is not a size", value::repr(given))))
    }

    pub(crate) fn list(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.filled(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items.iter().map(value::text).collect()),
            Some(_) => Err(self.fail(key, "is not a list")),
        }
    }

    /// A list of lines. What is no text is left out, with a warning.
    pub(crate) fn lines(
        &self,
        key: &str,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<String>, ConfigError> {
        let items = match self.filled(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.fail(key, "is not a list")),
        };
        let mut lines = Vec::new();
        for item in items {
            if let Value::String(line) = item {
                lines.push(line.clone());
            } else {
                let text = "has an item that is no text, left out";
                let text = format!("{text}: {}", value::repr(item));
                warnings.push(self.warning(key, &text));
            }
        }
        Ok(lines)
    }

    /// A list, or a text with commas.
    pub(crate) fn list_or_commas(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.filled(key) {
            Some(Value::String(text)) => Ok(text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect()),
            Some(_) | None => self.list(key),
        }
    }

    /// A mapping of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let section = self.section(key)?;
        let mut texts = BTreeMap::new();
        for name in section.map.keys() {
            if let Some(text) = section.text(name)? {
                texts.insert(name.clone(), text);
            }
        }
        Ok(texts)
    }

    pub(crate) fn address(
        &self,
        key: &str,
        default_port: Option<u16>,
    ) -> Result<Option<HostPort>, ConfigError> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        HostPort::parse(&text, default_port)
            .map(Some)
            .map_err(|problem| self.fail(key, format!("{text} {problem}")))
    }
}
