//! `synchronous_standby_names`: reading what the server reports, writing what we want.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How a set of names is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncKind {
    /// Replication is asynchronous.
    #[default]
    Off,
    /// The first ones in the list that are connected.
    Priority,
    /// Any of the list.
    Quorum,
}

/// A value of `synchronous_standby_names`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncNames {
    /// Kind of replication.
    pub kind: SyncKind,
    /// How many must confirm.
    pub count: usize,
    /// `*` stands in the list: any standby will do.
    pub star: bool,
    /// The names, without `*`.
    pub names: BTreeSet<String>,
}

impl SyncNames {
    /// No synchronous replication.
    pub fn off() -> Self {
        Self::default()
    }

    /// Any standby, which blocks commits until one is there.
    pub fn any_standby(kind: SyncKind) -> Self {
        Self {
            kind,
            count: 1,
            star: true,
            names: BTreeSet::new(),
        }
    }

    /// Whether `name` is listed, without regard to case.
    pub fn has(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.names
            .iter()
            .any(|listed| listed.to_lowercase() == name)
    }

    /// Reads the server's value.
    ///
    /// # Errors
    /// A text that PostgreSQL would not accept either; the message is the operator's sentence.
    pub fn parse(text: &str) -> Result<Self, SyncNamesError> {
        let tokens = tokens(text)?;
        let fail = |message: String| SyncNamesError {
            value: text.to_owned(),
            message,
        };
        let (kind, count, list) = match tokens.as_slice() {
            [] => return Ok(Self::off()),
            [
                (Token::Word(any), _),
                (Token::Number(n), _),
                (Token::Open, _),
                list @ ..,
                (Token::Close, _),
            ] if any.eq_ignore_ascii_case("any") => (SyncKind::Quorum, *n, list),
            [
                (Token::Word(first), _),
                (Token::Number(n), _),
                (Token::Open, _),
                list @ ..,
                (Token::Close, _),
            ] if first.eq_ignore_ascii_case("first") => (SyncKind::Priority, *n, list),
            [
                (Token::Number(n), _),
                (Token::Open, _),
                list @ ..,
                (Token::Close, _),
            ] => (SyncKind::Priority, *n, list),
            list => (SyncKind::Priority, 1, list),
        };
        let mut names = Self {
            kind,
            count,
            star: false,
            names: BTreeSet::new(),
        };
        for (index, (token, at)) in list.iter().enumerate() {
            match token {
                Token::Comma if index % 2 == 1 => {
                    if index + 1 == list.len() {
                        return Err(fail(format!(
                            "Unexpected token {} '{token}' at {at}",
                            token.kind()
                        )));
                    }
                }
                _ if index % 2 == 1 => {
                    return Err(fail(format!(
                        "Got token {} '{token}' while expecting comma at {at}",
                        token.kind()
                    )));
                }
                Token::Star => names.star = true,
                Token::Word(name) | Token::Quoted(name) => {
                    names.names.insert(name.clone());
                }
                Token::Number(_) | Token::Open | Token::Close | Token::Comma => {
                    return Err(fail(format!(
                        "Unexpected token {} '{token}' at {at}",
                        token.kind()
                    )));
                }
            }
        }
        Ok(names)
    }
}

/// The form that is written: names sorted and quoted where needed.
impl fmt::Display for SyncNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quorum = match self.kind {
            SyncKind::Off => return Ok(()),
            SyncKind::Priority => false,
            SyncKind::Quorum => true,
        };
        let mut list: Vec<String> = self.names.iter().map(|name| quote(name)).collect();
        if self.star {
            list = vec!["*".to_owned()];
        }
        match (quorum, list.as_slice()) {
            (_, []) => Ok(()),
            (false, [one]) => f.write_str(one),
            (false, _) => write!(f, "{} ({})", self.count, list.join(",")),
            (true, _) => write!(f, "ANY {} ({})", self.count, list.join(",")),
        }
    }
}

/// Quotes a name unless it is a plain identifier that is no keyword of the list syntax.
pub fn quote(name: &str) -> String {
    let mut letters = name.bytes();
    let plain = letters
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
        && !name.eq_ignore_ascii_case("first")
        && !name.eq_ignore_ascii_case("any");
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// A value that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unparsable synchronous_standby_names value '{value}': {message}")]
pub struct SyncNamesError {
    value: String,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Number(usize),
    Star,
    Comma,
    Open,
    Close,
}

impl Token {
    fn kind(&self) -> &'static str {
        match self {
            Self::Word(word) if word.eq_ignore_ascii_case("any") => "any",
            Self::Word(word) if word.eq_ignore_ascii_case("first") => "first",
            Self::Word(_) => "ident",
            Self::Quoted(_) => "dquot",
            Self::Number(_) => "num",
            Self::Star => "star",
            Self::Comma => "comma",
            Self::Open => "parenstart",
            Self::Close => "parenend",
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Star => f.write_str("*"),
            Self::Comma => f.write_str(","),
            Self::Open => f.write_str("("),
            Self::Close => f.write_str(")"),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, SyncNamesError> {
    let mut found = Vec::new();
    let mut at = 0;
    let run =
        |from: usize, keep: fn(u8) -> bool| text[from..].bytes().take_while(|b| keep(*b)).count();
    while let Some(byte) = text.as_bytes().get(at).copied() {
        let start = at;
        let token = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b',' => Token::Comma,
            b'(' => Token::Open,
            b')' => Token::Close,
            b'*' => Token::Star,
            b'"' => {
                let (name, length) = quoted(&text[at..]).ok_or_else(|| junk(text, at))?;
                at += length;
                found.push((Token::Quoted(name), start));
                continue;
            }
            b'0'..=b'9' => {
                let length = run(at, |b| b.is_ascii_digit());
                let number = text[at..at + length].parse().map_err(|_| junk(text, at))?;
                at += length;
                found.push((Token::Number(number), start));
                continue;
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                let length = run(at, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$');
                found.push((Token::Word(text[at..at + length].to_owned()), start));
                at += length;
                continue;
            }
            _ => return Err(junk(text, at)),
        };
        found.push((token, start));
        at += 1;
    }
    Ok(found)
}

fn junk(text: &str, at: usize) -> SyncNamesError {
    let message = format!("Unexpected token junk '{}' at {at}", &text[at..]);
    SyncNamesError {
        value: text.to_owned(),
        message,
    }
}

/// A double-quoted name at the start of `text`, and how many bytes it takes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != '"' {
            name.push(letter);
        } else if letters.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return Some((name, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, kind, count, star, names) in [
            ("", SyncKind::Off, 0, false, vec![]),
            ("a", SyncKind::Priority, 1, false, vec!["a"]),
            ("a,b", SyncKind::Priority, 1, false, vec!["a", "b"]),
            ("2 (a,b)", SyncKind::Priority, 2, false, vec!["a", "b"]),
            (
                "first 2 (a, \"B-\"\"1\")",
                SyncKind::Priority,
                2,
                false,
                vec!["B-\"1", "a"],
            ),
            ("ANY 1 (*)", SyncKind::Quorum, 1, true, vec![]),
            ("any", SyncKind::Priority, 1, false, vec!["any"]),
        ] {
            let read = SyncNames::parse(text).unwrap();
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(
                read,
                SyncNames {
                    kind,
                    count,
                    star,
                    names
                },
                "{text}"
            );
        }
        for text in ["a b", "a,", "1 (", "(a)", "%"] {
            assert!(SyncNames::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_sorted_and_quoted() {
        let names = |list: &[&str]| list.iter().map(|&n| n.to_owned()).collect();
        let one = SyncNames {
            kind: SyncKind::Priority,
            count: 1,
            star: false,
            names: names(&["node-1"]),
        };
        assert_eq!(one.to_string(), "\"node-1\"");
        let two = SyncNames {
            kind: SyncKind::Priority,
            count: 2,
            star: false,
            names: names(&["b", "a"]),
        };
        assert_eq!(two.to_string(), "2 (a,b)");
        let any = SyncNames {
            kind: SyncKind::Quorum,
            count: 1,
            star: false,
            names: names(&["a"]),
        };
        assert_eq!(any.to_string(), "ANY 1 (a)");
        assert_eq!(SyncNames::any_standby(SyncKind::Priority).to_string(), "*");
    }
}
