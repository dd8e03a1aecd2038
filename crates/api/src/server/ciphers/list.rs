//! Reading a list and doing what it says, one element after the other.

use super::suite::Suite;
use super::words::{self, Meaning};
use crate::error::CipherListError;

/// What a list selects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// In the order of preference.
    pub(super) suites: Vec<Suite>,
    /// Of `@SECLEVEL=`.
    pub(super) level: Option<u8>,
    /// Elements with a word that nobody knows. They have no effect.
    pub(super) unknown: Vec<String>,
}

impl Selection {
    /// Does what a list says.
    pub(super) fn of(list: &str) -> Result<Self, CipherListError> {
        let mut reader = Reader {
            rest: list,
            board: Board::new(),
            level: None,
            unknown: Vec::new(),
        };
        if !reader.suite_b() {
            reader.default();
            while !reader.rest.is_empty() {
                reader.element()?;
            }
        }
        Ok(Self {
            suites: reader.board.selected,
            level: reader.level,
            unknown: reader.unknown,
        })
    }
}

/// What is done with the suites that an element names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Those that are not selected are put at the end.
    Add,
    /// They are no longer selected; they can be added again.
    Remove,
    /// Those that are selected move to the end.
    Move,
    /// They can never be added again.
    Forbid,
}

/// Suites on two heaps.
#[derive(Debug)]
struct Board {
    selected: Vec<Suite>,
    others: Vec<Suite>,
}

impl Board {
    fn new() -> Self {
        Self {
            selected: Vec::new(),
            others: Suite::all().collect(),
        }
    }

    fn act(&mut self, action: Action, named: impl Fn(&Suite) -> bool) {
        match action {
            Action::Add => self.selected.extend(take(&mut self.others, named)),
            Action::Move => {
                let moved = take(&mut self.selected, named);
                self.selected.extend(moved);
            }
            // What was removed last is the first to come back.
            Action::Remove => {
                let removed = take(&mut self.selected, named);
                self.others.splice(..0, removed);
            }
            Action::Forbid => {
                self.selected.retain(|suite| !named(suite));
                self.others.retain(|suite| !named(suite));
            }
        }
    }

    fn by_strength(&mut self) {
        self.selected
            .sort_by_key(|suite| std::cmp::Reverse(suite.bits()));
    }
}

fn take(from: &mut Vec<Suite>, named: impl Fn(&Suite) -> bool) -> Vec<Suite> {
    let (taken, left) = from.iter().copied().partition(named);
    *from = left;
    taken
}

struct Reader<'a> {
    rest: &'a str,
    board: Board,
    level: Option<u8>,
    unknown: Vec<String>,
}

impl<'a> Reader<'a> {
    /// `SUITEB128` and its like at the beginning are the whole list, whatever follows.
    fn suite_b(&mut self) -> bool {
        const SMALL: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
        const LARGE: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
        let suites: &[&str] = match self.rest {
            list if list.starts_with("SUITEB128ONLY") => &[SMALL],
            list if list.starts_with("SUITEB128C2") => &[LARGE],
            list if list.starts_with("SUITEB128") => &[SMALL, LARGE],
            list if list.starts_with("SUITEB192") => &[LARGE],
            _ => return false,
        };
        for name in suites {
            self.board.act(Action::Add, |suite| suite.name == *name);
        }
        true
    }

    /// `DEFAULT` is a word at the beginning alone.
    fn default(&mut self) {
        let Some(rest) = self.rest.strip_prefix("DEFAULT") else {
            return;
        };
        self.rest = rest;
        for (action, word) in [
            (Action::Add, "ALL"),
            (Action::Forbid, "COMPLEMENTOFDEFAULT"),
            (Action::Forbid, "eNULL"),
        ] {
            let named = words::meaning(word).into_iter();
            named.for_each(|named| self.board.act(action, named));
        }
    }

    /// One element; the separators before it, too. Elements need none between them when the
    /// later one begins with a sign (`HIGH!aNULL`).
    fn element(&mut self) -> Result<(), CipherListError> {
        self.rest = self.rest.trim_start_matches(is_separator);
        let element = self.rest;
        let Some(first) = element.chars().next() else {
            return Ok(());
        };
        let action = match first {
            '!' => Action::Forbid,
            '-' => Action::Remove,
            '+' => Action::Move,
            '@' => return self.command(),
            _ => Action::Add,
        };
        if action != Action::Add {
            self.rest = &element[1..];
        }
        if let Some(meanings) = self.words(element)? {
            let named = |suite: &Suite| meanings.iter().all(|meaning| meaning(suite));
            self.board.act(action, named);
        }
        Ok(())
    }

    /// What the words of an element say, which `+` joins; `None` when one of them is unknown.
    fn words(&mut self, element: &str) -> Result<Option<Vec<Meaning>>, CipherListError> {
        let mut meanings = Vec::new();
        loop {
            let word = self.word();
            if word.is_empty() {
                return Err(CipherListError::Unreadable(element.to_owned()));
            }
            let Some(meaning) = words::meaning(word) else {
                self.skip(element, word);
                return Ok(None);
            };
            meanings.push(meaning);
            let Some(rest) = self.rest.strip_prefix('+') else {
                return Ok(Some(meanings));
            };
            self.rest = rest;
        }
    }

    fn command(&mut self) -> Result<(), CipherListError> {
        let command = self.rest;
        self.rest = &command[1..];
        let word = self.word();
        let level = word.strip_prefix("SECLEVEL=").map(str::as_bytes);
        if let Some([digit @ b'0'..=b'5']) = level {
            self.level = Some(digit - b'0');
        } else if word == "STRENGTH" {
            self.board.by_strength();
        } else {
            let command = &command[..=word.len()];
            return Err(CipherListError::Command(command.to_owned()));
        }
        self.leave();
        Ok(())
    }

    /// An element with an unknown word has no effect, whatever follows in it.
    fn skip(&mut self, element: &str, word: &str) {
        self.leave();
        if !words::is_history(word) {
            let length = element.len() - self.rest.len();
            self.unknown.push(element[..length].to_owned());
        }
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|letter: char| !is_word(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    /// Goes on behind what is left of an element.
    fn leave(&mut self) {
        let end = self.rest.find(is_separator).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }
}

fn is_separator(letter: char) -> bool {
    matches!(letter, ':' | ' ' | ';' | ',')
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '=')
}
