//! Words of a command line, as a POSIX shell splits and quotes them.

/// Text that is not a list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordsError {
    /// A quotation mark has no partner.
    #[error("no closing quotation")]
    Unclosed,
    /// The text ends with a backslash.
    #[error("no escaped character")]
    DanglingEscape,
}

/// Splits a text at blanks. Single quotes keep everything, double quotes keep all but `\"` and
/// `\\`, a backslash elsewhere keeps the next character. Nothing is expanded, and `#` is a
/// character like others.
///
/// # Errors
/// A quotation or an escape that the text does not finish.
pub fn split(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or(WordsError::Unclosed)? {
                        '\'' => break,
                        kept => word.push(kept),
                    }
                }
            }
            '"' => double_quoted(&mut letters, word.get_or_insert_default())?,
            '\\' => {
                let kept = letters.next().ok_or(WordsError::DanglingEscape)?;
                word.get_or_insert_default().push(kept);
            }
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(
    letters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), WordsError> {
    loop {
        match letters.next().ok_or(WordsError::Unclosed)? {
            '"' => return Ok(()),
            '\\' => match letters.next().ok_or(WordsError::Unclosed)? {
                kept @ ('"' | '\\') => word.push(kept),
                other => {
                    word.push('\\');
                    word.push(other);
                }
            },
            kept => word.push(kept),
        }
    }
}

/// A word as a shell would have to read it.
pub fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@%+=:,./-_".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_a_shell_does() {
        for (text, expected) in [
            ("", vec![]),
            ("a b\t c\n", vec!["a", "b", "c"]),
            ("a 'b c'd", vec!["a", "b cd"]),
            (r#"a "b \" \\ \n" "#, vec!["a", r#"b " \ \n"#]),
            (r"a\ b \'", vec!["a b", "'"]),
            ("'' \"\"", vec!["", ""]),
            ("a #b", vec!["a", "#b"]),
        ] {
            assert_eq!(split(text).unwrap(), expected, "{text}");
        }
        assert_eq!(split("a 'b"), Err(WordsError::Unclosed));
        assert_eq!(split("a \"b"), Err(WordsError::Unclosed));
        assert_eq!(split("a\\"), Err(WordsError::DanglingEscape));
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for word in ["", "a", "a b", "it's", "$x;`y`", "\\", "ü", "\n"] {
            assert_eq!(split(&quote(word)).unwrap(), [word]);
        }
    }
}
