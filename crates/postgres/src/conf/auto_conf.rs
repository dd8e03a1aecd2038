//! `postgresql.auto.conf`: recovery parameters that somebody set with `ALTER SYSTEM` would win
//! over ours, so they are taken out.

use super::guc_table;

/// The text without lines that set recovery parameters; `None` when there are none.
pub(crate) fn without_recovery(text: &str) -> Option<String> {
    let kept: String = text
        .split_inclusive('\n')
        .filter(|line| !sets_recovery(line))
        .collect();
    (kept.len() != text.len()).then_some(kept)
}

fn sets_recovery(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim();
        name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && guc_table::is_recovery(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recovery_parameters_are_taken_out() {
        let text = "# comment\nwork_mem = '5MB'\n primary_conninfo = 'x'\nrestore_command='y'\n";
        assert_eq!(
            without_recovery(text).as_deref(),
            Some("# comment\nwork_mem = '5MB'\n")
        );
        assert_eq!(without_recovery("work_mem = '5MB'\n"), None);
    }
}
