//! SQL text that no value can break out of.

/// An identifier in double quotes.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant. With a backslash inside it takes the `E'..'` form, whose meaning does not
/// depend on `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_doubled() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(identifier("a'; DROP"), r#""a'; DROP""#);
        for (text, quoted) in [
            ("", "''"),
            ("it's", "'it''s'"),
            (r"a\b", r"E'a\\b'"),
            (r"\'", r"E'\\'''"),
            ("$$ü", "'$$ü'"),
        ] {
            assert_eq!(literal(text), quoted);
        }
    }
}
