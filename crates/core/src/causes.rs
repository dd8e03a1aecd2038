//! Errors in one line.

use std::error::Error;
use std::fmt;

/// An error with all its causes, outermost first, joined by colons: each error says only its own
/// part. A cause that the line says already is not repeated: transports nest deeply, and some
/// show what caused them.
pub struct Causes<'a>(
    /// The last of them.
    pub &'a (dyn Error + 'static),
);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self.0.to_string(), self.0.source()))
    }
}

/// A text that stands for an error, with what caused that error, as [`Causes`] tells it.
#[must_use]
pub fn with_causes(mut text: String, mut cause: Option<&(dyn Error + 'static)>) -> String {
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        below: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().unwrap();
        Layer {
            text,
            below: (!rest.is_empty()).then(|| Box::new(layers(rest))),
        }
    }

    #[test]
    fn causes_follow_in_order_and_once() {
        let error = layers(&["read a.crt", "open failed: no such file", "no such file"]);
        assert_eq!(
            Causes(&error).to_string(),
            "read a.crt: open failed: no such file"
        );
        let error = layers(&["load", "key", "password"]);
        assert_eq!(Causes(&error).to_string(), "load: key: password");
    }
}
