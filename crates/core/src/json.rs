//! The two JSON styles of the wire: compact in the store, spaced in REST; both ASCII only.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

/// Compact, as everything in the store is written (`{"a":1,"b":2}`).
pub fn compact(value: &impl Serialize) -> String {
    write(
        value,
        Ascii {
            item: b",",
            colon: b":",
        },
    )
}

/// With `", "` and `": "`, the style of REST answers and of the cached configuration.
pub fn spaced(value: &impl Serialize) -> String {
    write(
        value,
        Ascii {
            item: b", ",
            colon: b": ",
        },
    )
}

fn write(value: &impl Serialize, style: Ascii) -> String {
    let mut out = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut out, style))
        .expect("our own values have text keys, and writing to memory cannot fail");
    String::from_utf8(out).expect("the formatter writes ASCII")
}

/// Reads a JSON object; anything else is `None`.
pub fn object(text: &str) -> Option<serde_json::Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

struct Ascii {
    item: &'static [u8],
    colon: &'static [u8],
}

impl Formatter for Ascii {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            out.write_all(self.item)
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            out.write_all(self.item)
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.colon)
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, number: f64) -> io::Result<()> {
        out.write_all(crate::value::float(number).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        for letter in text.chars() {
            if letter.is_ascii() && letter != '\x7f' {
                out.write_all(&[letter as u8])?;
                continue;
            }
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_styles_escape_everything_beyond_ascii() {
        let value = json!({"a": [1, "ü😀"], "b": {}});
        assert_eq!(compact(&value), r#"{"a":[1,"\u00fc\ud83d\ude00"],"b":{}}"#);
        assert_eq!(compact(&json!([1e-5, 1e16, 0.5])), "[1e-05,1e+16,0.5]");
        assert_eq!(
            spaced(&value),
            r#"{"a": [1, "\u00fc\ud83d\ude00"], "b": {}}"#
        );
    }
}
