//! What the commands print.

use std::fmt::Arguments;
use std::io::Write as _;

/// Prints a line, as `println!` does. That nobody reads it any more (`| head`) ends nothing.
macro_rules! say {
    ($($text:tt)*) => { $crate::say::line(format_args!($($text)*)) };
}

pub(crate) fn line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
