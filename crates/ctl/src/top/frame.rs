//! Lines of text with looks, and how they reach a terminal.

use crossterm::Command;
use crossterm::cursor::MoveTo;
use crossterm::style::{Attribute, Color, SetAttribute, SetForegroundColor};
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    /// Beside the point.
    Quiet,
    Strong,
    Good,
    Warn,
    Bad,
    Accent,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pieces: Vec<(Look, String)>,
    /// It is the chosen one, and shown reversed.
    pub(super) chosen: bool,
}

/// A whole screen, with as many lines as it has rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(super) lines: Vec<Line>,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    /// Colours; without them only strong, faint and reversed text.
    pub(crate) colours: bool,
    /// Letters beyond ASCII.
    pub(crate) unicode: bool,
}

impl Line {
    /// The same line with one more piece.
    pub(super) fn with(mut self, look: Look, text: impl Into<String>) -> Self {
        self.pieces.push((look, text.into()));
        self
    }

    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.width()).sum()
    }

    /// The line within a width; `mark` stands for what was cut off.
    pub(super) fn within(self, width: usize, mark: char) -> Self {
        let (mut left, mut pieces) = (width, Vec::new());
        for (look, text) in self.pieces {
            let whole = text.width() <= left;
            let text = if whole { text } else { cut(&text, left, mark) };
            left -= text.width();
            pieces.push((look, text));
            if !whole {
                break;
            }
        }
        Self {
            pieces,
            chosen: self.chosen,
        }
    }
}

impl Frame {
    /// The frame as escape sequences that overwrite what was there, without a flicker.
    pub(crate) fn escapes(&self, paint: Paint) -> String {
        let mut text = String::new();
        say(&mut text, &BeginSynchronizedUpdate);
        for (row, line) in (0..).zip(&self.lines) {
            // Cleared first: behind a full line the cursor stands on its last letter.
            say(&mut text, &MoveTo(0, row));
            say(&mut text, &Clear(ClearType::UntilNewLine));
            for (look, piece) in &line.pieces {
                if line.chosen {
                    say(&mut text, &SetAttribute(Attribute::Reverse));
                }
                dress(&mut text, *look, paint);
                text.push_str(piece);
                say(&mut text, &SetAttribute(Attribute::Reset));
            }
        }
        say(&mut text, &EndSynchronizedUpdate);
        text
    }

    /// The text alone.
    #[cfg(test)]
    pub(super) fn plain(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let pieces = line.pieces.iter().map(|(_, piece)| piece.as_str());
            text += pieces.collect::<String>().trim_end();
            text.push('\n');
        }
        text
    }
}

fn dress(text: &mut String, look: Look, paint: Paint) {
    let (attribute, colour) = match look {
        Look::Plain => (None, None),
        Look::Quiet => (Some(Attribute::Dim), None),
        Look::Strong => (Some(Attribute::Bold), None),
        Look::Good => (None, Some(Color::Green)),
        Look::Warn => (Some(Attribute::Bold), Some(Color::Yellow)),
        Look::Bad => (Some(Attribute::Bold), Some(Color::Red)),
        Look::Accent => (None, Some(Color::Cyan)),
    };
    if let Some(attribute) = attribute {
        say(text, &SetAttribute(attribute));
    }
    if let Some(colour) = colour.filter(|_| paint.colours) {
        say(text, &SetForegroundColor(colour));
    }
}

/// Writing to a string does not fail.
fn say(text: &mut String, command: &impl Command) {
    command.write_ansi(text).ok();
}

/// As much of a text as fits, with a mark at its end.
pub(super) fn cut(text: &str, width: usize, mark: char) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 1);
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(letter);
    }
    if width > 0 {
        kept.push(mark);
    }
    kept
}

/// A name or text of somebody else without what would steer a terminal or turn the line around.
pub(super) fn harmless(text: &str) -> String {
    let harms = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|letter| if harms(letter) { '?' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_width_of_their_letters() {
        assert_eq!(cut("abc", 3, '~'), "abc");
        assert_eq!(cut("abcd", 3, '~'), "ab~");
        assert_eq!(cut("日本語", 4, '~'), "日~");
        assert_eq!(cut("abc", 0, '~'), "");
        let line = Line::default()
            .with(Look::Plain, "ab")
            .with(Look::Bad, "cdef");
        let cut = line.with(Look::Plain, "gh").within(5, '~');
        assert_eq!(cut.width(), 5);
        assert_eq!(cut.pieces[1], (Look::Bad, "cd~".to_owned()));
        assert_eq!(cut.pieces.len(), 2);
    }

    #[test]
    fn texts_of_others_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\nc\u{202e}d\u{9b}31m"), "a?[2Jb?c?d?31m");
    }

    #[test]
    fn without_colours_there_are_none() {
        let frame = Frame {
            lines: vec![Line::default().with(Look::Bad, "x")],
        };
        let paint = |colours| Paint {
            colours,
            unicode: true,
        };
        assert!(frame.escapes(paint(true)).contains("\x1b[38;5;9m"));
        assert!(!frame.escapes(paint(false)).contains("\x1b[38"));
    }
}
