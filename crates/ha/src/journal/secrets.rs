//! Secrets do not belong into a journal.
//!
//! The typed parts of a record carry none: addresses are published without users, the server
//! masks the passwords of its own connections. But documents that people write (the dynamic
//! configuration, `restore_command`) may hold one, and so may the text of an error. What looks
//! like a secret is replaced the same way everywhere in a record, so a command that copies a
//! document still equals the document, and the record still replays.

use serde_json::Value;

/// What stands in place of a secret.
const MASK: &str = "***";

/// Words before `=` or `:` in a text that make what follows a secret.
const WORDS: [&str; 5] = ["password", "passwd", "passphrase", "secret", "token"];

/// Replaces everything that looks like a secret.
pub(super) fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(masked) = mask_text(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(text) if is_secret(key) => MASK.clone_into(text),
                    // A password of digits alone is a number in YAML.
                    Value::Number(number) if is_password(key) => *number = 0.into(),
                    Value::String(_) | Value::Array(_) | Value::Object(_) => mask(field),
                    Value::Null | Value::Bool(_) | Value::Number(_) => {}
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_password(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("password")
}

fn is_secret(key: &str) -> bool {
    is_password(key) || WORDS.iter().any(|word| key.eq_ignore_ascii_case(word))
}

/// The text without secrets; `None` when it holds none.
fn mask_text(text: &str) -> Option<String> {
    let mut masked = mask_user(text);
    let mut from = 0;
    loop {
        let now = masked.as_deref().unwrap_or(text);
        let Some((begin, end)) = assignment(now, from) else {
            return masked;
        };
        from = begin + MASK.len();
        masked = Some(format!("{}{MASK}{}", &now[..begin], &now[end..]));
    }
}

/// `scheme://user:secret@host`, every one of them.
fn mask_user(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let ends = |c: char| c == '/' || c.is_whitespace() || c == '"' || c == '\'';
        let authority = &tail[..tail.find(ends).unwrap_or(tail.len())];
        rest = tail;
        if let Some(host) = authority.rfind('@')
            && let Some(colon) = authority[..host].find(':')
        {
            out.push_str(&authority[..=colon]);
            out.push_str(MASK);
            rest = &tail[host..];
        }
    }
    out.push_str(rest);
    (out != text).then_some(out)
}

/// The place of the next value after `password=` or the like, from `from` on.
fn assignment(text: &str, from: usize) -> Option<(usize, usize)> {
    // Only ASCII letters change, so places are the same in both texts.
    let lower = text.to_ascii_lowercase();
    let mut at = from;
    loop {
        let found = WORDS
            .iter()
            .filter_map(|word| Some((at + lower[at..].find(word)?, word.len())))
            .min()?;
        at = found.0 + found.1;
        let after = text[at..].trim_start_matches(['"', '\'']);
        let after = after.trim_start_matches(' ');
        let Some(value) = after.strip_prefix(['=', ':']) else {
            continue;
        };
        let value = value.trim_start_matches(' ');
        let begin = text.len() - value.len();
        let length = if let Some(quote @ ('"' | '\'')) = value.chars().next() {
            value[1..].find(quote).map_or(value.len(), |end| end + 2)
        } else {
            let ends = |c: char| c.is_whitespace() || "&;,\"'{}".contains(c);
            value.find(ends).unwrap_or(value.len())
        };
        if length > 0 && &value[..length] != MASK {
            return Some((begin, begin + length));
        }
        at = begin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked_wherever_people_write_them() {
        let mut value = json!({
            "postgresql": {"authentication": {
                "superuser": {"username": "postgres", "password": "hush"},
                "rewind": {"password": 12345},
            }},
            "restore_command": "PGPASSWORD=hush wal-g fetch '%f' --token 'hu sh' x",
            "primary_conninfo": "host=a password='hu sh' user=b",
            "error": "cannot reach https://root:hush@etcd:2379/v3: Password: hush, sorry",
            "slots": {"token_ring": 77, "secret_slot": 12},
            "text": "password authentication failed for user \"x\"",
            "conn_url": "postgres://10.0.0.1:5432/postgres",
        });
        mask(&mut value);
        assert_eq!(
            value,
            json!({
                "postgresql": {"authentication": {
                    "superuser": {"username": "postgres", "password": "***"},
                    "rewind": {"password": 0},
                }},
                "restore_command": "PGPASSWORD=*** wal-g fetch '%f' --token 'hu sh' x",
                "primary_conninfo": "host=a password=*** user=b",
                "error": "cannot reach https://root:***@etcd:2379/v3: Password: ***, sorry",
                "slots": {"token_ring": 77, "secret_slot": 12},
                "text": "password authentication failed for user \"x\"",
                "conn_url": "postgres://10.0.0.1:5432/postgres",
            })
        );
        let once = value.clone();
        mask(&mut value);
        assert_eq!(value, once, "a second time changes nothing");
    }
}
