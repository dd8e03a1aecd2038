//! Password files as libpq reads them: `host:port:database:user:password`.

/// The password of the first line that fits, from the text of a password file. `*` fits
/// everything; `\` protects `:` and itself.
pub fn find(text: &str, host: &str, port: &str, database: &str, user: &str) -> Option<String> {
    let wanted = [host, port, database, user];
    text.lines().find_map(|line| {
        let [fields @ .., password] = fields(line)?;
        let fits = fields
            .iter()
            .zip(wanted)
            .all(|(field, wanted)| field == "*" || field == wanted);
        fits.then_some(password)
    })
}

fn fields(line: &str) -> Option<[String; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => fields.last_mut()?.push(letters.next()?),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut()?.push(other),
        }
    }
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text =
            "# h:1:d:u:no\nshort:1\nother:*:*:*:x\nh:5432:d:u:se\\:c\\\\ret:\n*:*:*:*:last\n";
        let find = |host: &str| find(text, host, "5432", "d", "u");
        assert_eq!(find("h").as_deref(), Some("se:c\\ret:"));
        assert_eq!(find("other").as_deref(), Some("x"));
        assert_eq!(find("third").as_deref(), Some("last"));
        assert_eq!(super::find("h:1:d:u:x", "h", "2", "d", "u"), None);
    }
}
