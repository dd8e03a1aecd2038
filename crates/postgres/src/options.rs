//! Options of `initdb` and `pg_basebackup` as written in the configuration.
//!
//! A list holds texts (`data-checksums`) and one-entry mappings (`encoding: UTF8`); a mapping
//! holds keys and values. Options that we set ourselves, or that would make the result useless,
//! are refused (configuration contract, sections 9.1 and 9.4).

use std::fmt;

use patroni_core::value;
use serde_json::{Map, Value};

/// An option that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// We set it, or it breaks the result.
    #[error("{option} option for {tool} is not allowed")]
    NotAllowed {
        /// The option without dashes.
        option: String,
        /// The program.
        tool: Tool,
    },
    /// The client would compress, and a directory cannot be compressed.
    #[error(
        "compress option for basebackup must use server-side compression (e.g., server-gzip, server-zstd). Client-side compression is not allowed."
    )]
    ClientCompression,
    /// A list item with several keys, or whose value is no text.
    #[error(
        "Error when parsing {tool} key-value option {item}: only one key-value is allowed and value should be a string"
    )]
    NotOnePair {
        /// The program.
        tool: Tool,
        /// The item as written.
        item: String,
    },
    /// A list item that is neither text nor mapping.
    #[error(
        "Error when parsing {tool} option {item}: value should be string value or a single key-value pair"
    )]
    NotTextOrPair {
        /// The program.
        tool: Tool,
        /// The item as written.
        item: String,
    },
    /// Neither list nor mapping.
    #[error("{tool} options must be list or dict")]
    NotListOrMapping {
        /// The program.
        tool: Tool,
    },
}

/// A program with configurable options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `initdb`
    Initdb,
    /// `pg_basebackup` of this major version (15 is 150000).
    Basebackup {
        /// Version of the programs.
        version: u32,
    },
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initdb => "initdb",
            Self::Basebackup { .. } => "basebackup",
        })
    }
}

const INITDB_REFUSED: &[&str] = &["pgdata", "nosync", "pwfile", "sync-only", "version"];
const BASEBACKUP_REFUSED: &[&str] = &[
    "pgdata",
    "format",
    "wal-method",
    "xlog-method",
    "gzip",
    "version",
    "dbname",
    "host",
    "port",
    "username",
    "password",
];

/// The arguments that a configured value stands for, and the options that were refused, each
/// with its reason. Null and absent mean no options.
pub fn arguments(tool: Tool, options: &Value) -> (Vec<String>, Vec<OptionError>) {
    let items: Vec<Result<Option<String>, OptionError>> = match options {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(|item| list_item(tool, item)).collect(),
        Value::Object(pairs) => pairs
            .iter()
            .map(|(key, given)| {
                if value::is_truthy(given) {
                    tool.pair(key, &value::text(given)).map(Some)
                } else {
                    Ok(None)
                }
            })
            .collect(),
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            vec![Err(OptionError::NotListOrMapping { tool })]
        }
    };
    let mut arguments = Vec::new();
    let mut refused = Vec::new();
    for item in items {
        match item {
            Ok(argument) => arguments.extend(argument),
            Err(reason) => refused.push(reason),
        }
    }
    (arguments, refused)
}

fn list_item(tool: Tool, item: &Value) -> Result<Option<String>, OptionError> {
    match item {
        Value::String(option) => {
            let (name, given) = option
                .split_once('=')
                .map_or((option.as_str(), None), |(n, v)| (n, Some(v)));
            tool.allows(name, given)?;
            Ok(Some(format!("--{option}")))
        }
        Value::Object(pair) => match only_text(pair) {
            Some((key, text)) => tool.pair(key, text).map(Some),
            None => Err(OptionError::NotOnePair {
                tool,
                item: value::repr(item),
            }),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(OptionError::NotTextOrPair {
                tool,
                item: value::text(item),
            })
        }
    }
}

fn only_text(pair: &Map<String, Value>) -> Option<(&str, &str)> {
    let mut entries = pair.iter();
    match (entries.next(), entries.next()) {
        (Some((key, Value::String(text))), None) => Some((key, text)),
        (Some(_) | None, _) => None,
    }
}

impl Tool {
    fn pair(self, key: &str, text: &str) -> Result<String, OptionError> {
        let text = unquoted(text);
        self.allows(key, Some(text))?;
        Ok(format!("--{key}={text}"))
    }

    fn allows(self, name: &str, given: Option<&str>) -> Result<(), OptionError> {
        let refused = match self {
            Self::Initdb => INITDB_REFUSED.contains(&name),
            Self::Basebackup { version } if name == "compress" && version >= 150_000 => {
                return match given {
                    Some(method) if method.starts_with("server") => Ok(()),
                    Some(_) | None => Err(OptionError::ClientCompression),
                };
            }
            Self::Basebackup { .. } => name == "compress" || BASEBACKUP_REFUSED.contains(&name),
        };
        if refused {
            return Err(OptionError::NotAllowed {
                option: name.to_owned(),
                tool: self,
            });
        }
        Ok(())
    }
}

/// Takes off the quotation marks that surround a whole value: people write `"'C'"`.
fn unquoted(text: &str) -> &str {
    ['\'', '"']
        .into_iter()
        .find_map(|mark| text.strip_prefix(mark)?.strip_suffix(mark))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PG14: Tool = Tool::Basebackup { version: 140_000 };
    const PG15: Tool = Tool::Basebackup { version: 150_000 };

    #[test]
    fn lists_and_mappings_become_arguments() {
        for (tool, options, expected) in [
            (Tool::Initdb, json!(null), vec![]),
            (
                Tool::Initdb,
                json!([{"encoding": "UTF8"}, "data-checksums", {"lc-messages": "'C'"}]),
                vec!["--encoding=UTF8", "--data-checksums", "--lc-messages=C"],
            ),
            (
                Tool::Initdb,
                json!({"encoding": "UTF8", "locale": null, "x": "", "wal-segsize": 16}),
                vec!["--encoding=UTF8", "--wal-segsize=16"],
            ),
            (
                PG15,
                json!(["verbose", {"max-rate": "100M"}, {"compress": "server-gzip"}]),
                vec!["--verbose", "--max-rate=100M", "--compress=server-gzip"],
            ),
        ] {
            assert_eq!(
                arguments(tool, &options),
                (expected.into_iter().map(str::to_owned).collect(), vec![]),
                "{options}"
            );
        }
    }

    #[test]
    fn refused_options_say_why() {
        for (tool, options, reason) in [
            (
                Tool::Initdb,
                json!(["sync-only"]),
                "sync-only option for initdb is not allowed",
            ),
            (
                Tool::Initdb,
                json!(["pwfile=/etc/passwd"]),
                "pwfile option for initdb is not allowed",
            ),
            (
                Tool::Initdb,
                json!([{"a": "1", "b": "2"}]),
                "Error when parsing initdb key-value option {'a': '1', 'b': '2'}: only one key-value is allowed and value should be a string",
            ),
            (
                PG15,
                json!([{"max-rate": 100}]),
                "Error when parsing basebackup key-value option {'max-rate': 100}: only one key-value is allowed and value should be a string",
            ),
            (
                Tool::Initdb,
                json!([1]),
                "Error when parsing initdb option 1: value should be string value or a single key-value pair",
            ),
            (
                Tool::Initdb,
                json!("encoding"),
                "initdb options must be list or dict",
            ),
            (
                PG15,
                json!({"password": "x"}),
                "password option for basebackup is not allowed",
            ),
            (
                PG14,
                json!([{"compress": "server-gzip"}]),
                "compress option for basebackup is not allowed",
            ),
            (
                PG15,
                json!([{"compress": "gzip"}]),
                "compress option for basebackup must use server-side compression (e.g., server-gzip, server-zstd). Client-side compression is not allowed.",
            ),
        ] {
            let (arguments, refused) = arguments(tool, &options);
            assert_eq!(arguments, Vec::<String>::new(), "{options}");
            assert_eq!(refused.len(), 1, "{options}");
            assert_eq!(refused[0].to_string(), reason);
        }
    }
}
