//! Leaving out arguments that nobody knows here: as a replica method the program gets the
//! daemon's own (`--scope=..`, `--role=..`), and whatever else the section holds.

use std::ffi::OsString;

use clap::{Arg, Command};

/// The arguments that `command` understands, the program's name first. What is no option is kept
/// as long as a place for it is free, so that the first such word is the command.
pub(super) fn known(command: &Command, args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut kept: Vec<OsString> = args.next().into_iter().collect();
    let mut command = command;
    let mut places = 0;
    while let Some(word) = args.next() {
        let text = word.to_string_lossy().into_owned();
        if let Some(option) = text.strip_prefix("--").filter(|name| !name.is_empty()) {
            let (name, given) = option
                .split_once('=')
                .map_or((option, None), |(name, given)| (name, Some(given)));
            if name == "help" {
                kept.push(word);
            } else if let Some(option) = option_of(command, name) {
                kept.push(word);
                if given.is_none() && option.get_action().takes_values() {
                    kept.extend(args.next());
                }
            }
        } else if text == "-h" {
            kept.push(word);
        } else if text.starts_with('-') {
            // Nobody's.
        } else if command.has_subcommands() {
            kept.push(word);
            // Another word than a command is an error of usage, and the parser says so.
            if let Some(found) = command.find_subcommand(&text) {
                command = found;
                places = command.get_positionals().count();
            }
        } else if places > 0 {
            places -= 1;
            kept.push(word);
        }
    }
    kept
}

/// An option by its name or the beginning of it, when that is enough to tell.
fn option_of<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let begins = |option: &&Arg| {
        let names = option.get_long_and_visible_aliases().unwrap_or_default();
        let hidden = option.get_all_aliases().unwrap_or_default();
        names
            .iter()
            .chain(&hidden)
            .any(|known| known.starts_with(name))
    };
    let exact = |option: &&Arg| {
        option.get_long() == Some(name)
            || option
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&name))
    };
    if let Some(found) = command.get_arguments().find(exact) {
        return Some(found);
    }
    let mut found = command.get_arguments().filter(begins);
    match (found.next(), found.next()) {
        (Some(option), None) => Some(option),
        (Some(_) | None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::command_line;
    use super::*;

    #[test]
    fn only_known_arguments_are_kept() {
        for (given, expected) in [
            (
                "p --api-url u --x=1 recover --barman-server s --scope a --role=replica --datadir /d",
                "p --api-url u recover --barman-server s --datadir /d",
            ),
            (
                "p --api-url=u config-switch --reset -v on_role_change replica c more",
                "p --api-url=u config-switch --reset on_role_change replica c",
            ),
            (
                "p --api u recover --barman s",
                "p --api u recover --barman s",
            ),
            ("p --api-url u nonsense", "p --api-url u nonsense"),
        ] {
            let words = given.split(' ').map(OsString::from);
            let kept = known(&command_line(), words);
            let kept: Vec<_> = kept.iter().map(|word| word.to_string_lossy()).collect();
            assert_eq!(kept.join(" "), expected);
        }
    }
}
