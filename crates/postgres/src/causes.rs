//! Errors in one line.

use std::error::Error;
use std::fmt;

/// An error with all its causes, for the log: each error says only its own part.
pub struct Causes<'a>(
    /// The last of them.
    pub &'a (dyn Error + 'static),
);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn causes_follow_in_order() {
        let error = Command::parse("a 'b").unwrap_err();
        assert_eq!(
            Causes(&error).to_string(),
            "split the command \"a 'b\" into words: no closing quotation"
        );
    }
}
