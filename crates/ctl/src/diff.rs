//! Showing what changes: plain when piped, coloured through a pager on a terminal.

use std::fmt;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use similar::{ChangeTag, DiffTag, TextDiff};

use crate::context::Context;
use crate::editor::find;
use crate::exit::Failure;

/// Lines around a change.
const CONTEXT: usize = 3;

const RESET: &str = "\x1b[0m";

/// Shows the difference of two texts.
pub(crate) fn show(context: &mut Context, before: &str, after: &str) -> Result<(), Failure> {
    if !context.console.is_terminal() {
        return context.write(&plain(before, after));
    }
    let pager = pager(context)?;
    page(&pager, &coloured(before, after))
}

fn put(out: &mut String, text: fmt::Arguments<'_>) {
    fmt::Write::write_fmt(out, text).expect("writing to a string");
}

/// The unified diff, headers without names.
pub(crate) fn plain(before: &str, after: &str) -> String {
    let mut out = String::from("--- \n+++ \n");
    let diff = TextDiff::from_lines(before, after);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        put(&mut out, format_args!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let mark = mark(change.tag());
            put(
                &mut out,
                format_args!("{mark}{}\n", change.value().trim_end_matches('\n')),
            );
        }
    }
    out
}

const fn mark(tag: ChangeTag) -> char {
    match tag {
        ChangeTag::Equal => ' ',
        ChangeTag::Delete => '-',
        ChangeTag::Insert => '+',
    }
}

/// The same in colours: headers yellow, hunks blue, removed red, added green, changed words
/// inverse.
fn coloured(before: &str, after: &str) -> String {
    let mut out = format!("\x1b[33m--- \n{RESET}\x1b[33m+++ \n{RESET}");
    let diff = TextDiff::from_lines(before, after);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        put(&mut out, format_args!("\x1b[34m{}\n{RESET}", hunk.header()));
        for op in hunk.ops() {
            let inner: Vec<_> = match op.tag() {
                DiffTag::Replace => {
                    let old = op.old_range().filter_map(|index| diff.old_slice(index));
                    let new = op.new_range().filter_map(|index| diff.new_slice(index));
                    old.zip(new).map(|(old, new)| words(old, new)).collect()
                }
                DiffTag::Equal | DiffTag::Delete | DiffTag::Insert => Vec::new(),
            };
            let (mut removed, mut added) = (0, 0);
            for change in diff.iter_changes(op) {
                let whole = vec![(false, change.value().to_owned())];
                match change.tag() {
                    ChangeTag::Equal => {
                        put(&mut out, format_args!("{RESET} {}{RESET}", change.value()));
                    }
                    ChangeTag::Delete => {
                        let parts = inner.get(removed).map_or(whole, |(old, _)| old.clone());
                        out.push_str(&line("\x1b[31m", '-', &parts));
                        removed += 1;
                    }
                    ChangeTag::Insert => {
                        let parts = inner.get(added).map_or(whole, |(_, new)| new.clone());
                        out.push_str(&line("\x1b[32m", '+', &parts));
                        added += 1;
                    }
                }
            }
        }
    }
    out
}

/// Parts of a line, and whether they changed.
type Parts = Vec<(bool, String)>;

/// What changed between two lines, word by word.
fn words(old: &str, new: &str) -> (Parts, Parts) {
    let diff = TextDiff::from_words(old, new);
    let mut both = (Vec::new(), Vec::new());
    for change in diff.iter_all_changes() {
        let part = change.value().to_owned();
        match change.tag() {
            ChangeTag::Equal => {
                both.0.push((false, part.clone()));
                both.1.push((false, part));
            }
            ChangeTag::Delete => both.0.push((true, part)),
            ChangeTag::Insert => both.1.push((true, part)),
        }
    }
    both
}

fn line(colour: &str, mark: char, parts: &[(bool, String)]) -> String {
    let mut out = format!("{colour}{mark}{RESET}{colour}");
    for (changed, part) in parts {
        if *changed {
            put(
                &mut out,
                format_args!("\x1b[7m{colour}{part}{RESET}{colour}"),
            );
        } else {
            out.push_str(part);
        }
    }
    out + RESET
}

/// `$PAGER` when it is the name of a program, else `less`, else `more`.
fn pager(context: &Context) -> Result<PathBuf, Failure> {
    let environment = &context.environment;
    let wanted = environment.get("PAGER").filter(|name| !name.is_empty());
    wanted
        .map(String::as_str)
        .into_iter()
        .chain(["less", "more"])
        .find_map(|name| find(environment, name))
        .ok_or_else(|| {
            Failure::refused(
                "No pager could be found. Either set PAGER environment variable with your pager or install either \"less\" or \"more\" in the host.",
            )
        })
}

fn page(pager: &PathBuf, text: &str) -> Result<(), Failure> {
    let doing = || format!("run the pager {}", pager.display());
    let mut command = Command::new(pager);
    if pager.file_name().is_some_and(|name| name == "less") {
        command.arg("-FRSX");
    }
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::io(doing(), error))?;
    if let Some(mut input) = child.stdin.take() {
        // a pager that is left before the end closes its input: nothing is wrong then
        input.write_all(text.as_bytes()).ok();
    }
    child.wait().map_err(|error| Failure::io(doing(), error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_diffs_have_nameless_headers() {
        let text = plain("a: 1\nb: 2\n", "a: 1\nb: 3\n");
        assert_eq!(text, "--- \n+++ \n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n");
    }

    #[test]
    fn changed_words_are_inverse() {
        let text = coloured("loop_wait: 2\n", "loop_wait: 3\n");
        assert!(
            text.contains(
                "\x1b[31m-\x1b[0m\x1b[31mloop_wait: \x1b[7m\x1b[31m2\x1b[0m\x1b[31m\n\x1b[0m"
            ),
            "{text:?}"
        );
    }
}
