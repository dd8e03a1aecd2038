//! Scalars in the style and with the line folding of the reference.

use super::scalar::{self, Meaning};

/// Text under construction that knows its column (in characters).
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) column: usize,
    pub(super) width: usize,
}

/// Where a scalar stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// Inside `{}` or `[]`.
    pub(super) flow: bool,
    /// As a key before its colon, which keeps it on one line.
    pub(super) key: bool,
    /// Indent of continuation lines.
    pub(super) indent: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

impl Page {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    /// Ends the line and indents the next.
    pub(super) fn line(&mut self, indent: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    pub(super) fn is_full(&self) -> bool {
        self.column > self.width
    }

    /// Writes a text so that it reads back as that text.
    pub(super) fn string(&mut self, text: &str, spot: Spot) {
        match style(text, spot.flow) {
            Style::Plain => self.plain(text, spot),
            Style::Single => self.single(text, spot),
            Style::Double => self.double(text, spot),
        }
    }

    fn plain(&mut self, text: &str, spot: Spot) {
        for run in runs(text) {
            if run == " " && self.is_full() && !spot.key {
                self.line(spot.indent);
            } else {
                self.push(run);
            }
        }
    }

    fn single(&mut self, text: &str, spot: Spot) {
        self.push("'");
        let mut done = 0;
        for run in runs(text) {
            let inner = done > 0 && done + run.len() < text.len();
            done += run.len();
            if run == " " && inner && self.is_full() && !spot.key {
                self.line(spot.indent);
            } else if run.starts_with(is_break) {
                // A lone break would read back as a blank, hence one more.
                if run.starts_with('\n') {
                    self.text.push('\n');
                }
                self.text.push_str(run);
                self.text.extend(std::iter::repeat_n(' ', spot.indent));
                self.column = spot.indent;
            } else {
                self.push(&run.replace('\'', "''"));
            }
        }
        self.push("'");
    }

    fn double(&mut self, text: &str, spot: Spot) {
        self.push("\"");
        let letters: Vec<char> = text.chars().collect();
        let mut start = 0;
        for (at, letter) in letters.iter().copied().enumerate() {
            if let Some(escape) = escape(letter) {
                self.letters(&letters[start..at]);
                self.push(&escape);
                start = at + 1;
            }
            let may_fold = at > 0 && at + 1 < letters.len() && (letter == ' ' || start >= at);
            if may_fold && !spot.key && self.column + at > self.width + start {
                if start < at {
                    self.letters(&letters[start..at]);
                    start = at;
                }
                self.push("\\");
                self.line(spot.indent);
                if letters.get(start) == Some(&' ') {
                    self.push("\\");
                }
            }
        }
        self.letters(&letters[start.min(letters.len())..]);
        self.push("\"");
    }

    fn letters(&mut self, letters: &[char]) {
        self.text.extend(letters);
        self.column += letters.len();
    }
}

/// Whether a text spreads over lines, which forbids it as a simple key.
pub(super) fn is_multiline(text: &str) -> bool {
    text.contains(is_break)
}

fn style(text: &str, flow: bool) -> Style {
    let edge = |letter: Option<char>| letter.is_some_and(|c| c == ' ' || is_break(c));
    let mixed = text
        .chars()
        .zip(text.chars().skip(1))
        .any(|(a, b)| (a == ' ' && is_break(b)) || (is_break(a) && b == ' '));
    if mixed || text.chars().any(|c| !is_printable(c)) {
        return Style::Double;
    }
    let plain = !edge(text.chars().next())
        && !edge(text.chars().next_back())
        && !is_multiline(text)
        && !has_indicator(text, flow)
        && scalar::resolve(text) == Meaning::Text;
    if plain { Style::Plain } else { Style::Single }
}

/// Whether some character of a text would be taken for syntax.
fn has_indicator(text: &str, flow: bool) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before_is_blank = true;
    let mut letters = text.chars().peekable();
    let mut first = true;
    while let Some(letter) = letters.next() {
        let ends = letters.peek().is_none_or(|c| is_blank(*c));
        let found = match letter {
            '#' => before_is_blank,
            ':' => ends || flow,
            '?' if first => ends || flow,
            '-' if first => ends,
            '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => first,
            ',' | '[' | ']' | '{' | '}' => first || flow,
            '?' => flow,
            _ => false,
        };
        if found {
            return true;
        }
        before_is_blank = is_blank(letter);
        first = false;
    }
    false
}

fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\0' | '\t' | '\r') || is_break(letter)
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a character can stand outside double quotes. The line breaks beyond `\n` cannot: YAML
/// 1.1 and 1.2 read them differently there.
fn is_printable(letter: char) -> bool {
    matches!(letter,
        '\n' | ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        | '\u{10000}'..='\u{10ffff}')
        && letter != '\u{feff}'
}

/// The escape of a character inside double quotes, if it needs one.
fn escape(letter: char) -> Option<String> {
    let short = match letter {
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{85}' => "\\N",
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        '\u{feff}' => "\\uFEFF",
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => return None,
        other => {
            let code = u32::from(other);
            return Some(match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
        }
    };
    Some(short.to_owned())
}

/// Cuts a text into runs of blanks, of line breaks, and of everything else.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let kind = |c: char| (c == ' ', is_break(c));
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest
            .find(|c: char| kind(c) != kind(first))
            .unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}
