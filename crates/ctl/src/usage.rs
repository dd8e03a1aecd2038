//! Usage errors in the form that operators know: usage line, hint, `Error: ...`.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::cli::command_line;
use crate::exit::Failure;

/// What became of parsing that yielded no command.
pub(crate) enum Unparsed {
    /// Help was asked for: text for standard output, exit 0.
    Help(String),
    /// The line is wrong.
    Wrong(Failure),
}

/// Words an error of the parser.
pub(crate) fn explain(error: &clap::Error, words: &[String]) -> Unparsed {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Unparsed::Help(error.render().to_string());
    }
    let root = command_line();
    let (path, command) = meant(&root, &words[command_at(&root, words)..]);
    let text = sentence(error, command);
    Unparsed::Wrong(compose(&path, command, &text))
}

/// A usage error that we find after parsing.
pub(crate) fn wrong(command: &str, text: &str) -> Failure {
    let root = command_line();
    let (path, command) = meant(&root, &[command.to_owned()]);
    compose(&path, command, text)
}

/// The words as the parser takes them in the sense of the reference's. A `--` in front of the
/// command ends the global options, which the command does anyway. In `-m=x` the value is `=x`.
pub(crate) fn prepared(words: &[String]) -> Vec<String> {
    let root = command_line();
    let mut command = &root;
    let mut out = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            if command.has_subcommands() {
                continue;
            }
            out.push(word.clone());
            out.extend(words.cloned());
            break;
        }
        if let Some((option, value)) = with_equals_sign(command, word) {
            out.extend([option.to_owned(), value.to_owned()]);
            continue;
        }
        out.push(word.clone());
        if takes_next(command, word) {
            out.extend(words.next().cloned());
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
        }
    }
    out
}

/// A short option and a value that begins with `=`.
fn with_equals_sign<'a>(command: &Command, word: &'a str) -> Option<(&'a str, &'a str)> {
    let (option, value) = word.split_at(word.find('=')?);
    let is_short = !word.starts_with("--");
    (is_short && takes_next(command, option)).then_some((option, value))
}

/// Where the command stands: behind the global options and their values.
fn command_at(root: &Command, words: &[String]) -> usize {
    let mut at = 0;
    while let Some(word) = words
        .get(at)
        .filter(|word| word.starts_with('-') && *word != "--")
    {
        at += if takes_next(root, word) { 2 } else { 1 };
    }
    at.min(words.len())
}

/// Whether this is an option and the word after it its value.
fn takes_next(command: &Command, word: &str) -> bool {
    if !word.starts_with('-') {
        return false;
    }
    let takes = |found: Option<&Arg>| found.is_some_and(|arg| arg.get_action().takes_values());
    let mut arguments = command.get_arguments();
    if let Some(long) = word.strip_prefix("--") {
        return takes(arguments.find(|arg| {
            let names = arg.get_long_and_visible_aliases().unwrap_or_default();
            names.contains(&long)
        }));
    }
    // of several letters the first one with a value takes the rest of the word
    let mut letters = word.chars().skip(1);
    let found = letters.find_map(|letter| {
        let mut arguments = command.get_arguments();
        arguments.find(|arg| arg.get_short() == Some(letter) && takes(Some(arg)))
    });
    found.is_some() && letters.next().is_none()
}

/// The command that the words begin with, as far down as it is known, with its name.
fn meant<'a>(root: &'a Command, words: &[String]) -> (String, &'a Command) {
    let mut found = ("patronictl".to_owned(), root);
    for word in words {
        let (path, command) = &found;
        let Some(below) = command.find_subcommand(word) else {
            break;
        };
        found = (format!("{path} {word}"), below);
    }
    found
}

fn compose(path: &str, command: &Command, text: &str) -> Failure {
    let usage = command.clone().render_usage().to_string();
    Failure::Usage(format!(
        "{}\nTry '{path} --help' for help.\n\nError: {text}",
        usage.trim_end()
    ))
}

fn sentence(error: &clap::Error, command: &Command) -> String {
    let value = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let subject = value(ContextKind::InvalidArg);
    let given = value(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            format!(
                "No such command '{}'.{}",
                value(ContextKind::InvalidSubcommand),
                suggestion(error, ContextKind::SuggestedSubcommand)
            )
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "Missing command.".to_owned()
        }
        ErrorKind::MissingRequiredArgument => match subject.split_once(' ') {
            Some((option, _)) if option.starts_with('-') => format!("Missing option '{option}'."),
            _ => format!(
                "Missing argument '{}'.",
                subject.trim_matches(['<', '>', '.', '[', ']'])
            ),
        },
        ErrorKind::TooManyValues => {
            let option = subject.split(' ').next().unwrap_or_default();
            format!("Option '{option}' does not take a value.")
        }
        ErrorKind::UnknownArgument => {
            if subject.starts_with('-') {
                let suggestion = suggestion(error, ContextKind::SuggestedArg);
                format!("No such option '{subject}'.{suggestion}")
            } else {
                format!("Got unexpected extra argument ({subject})")
            }
        }
        ErrorKind::InvalidValue if given.is_empty() => {
            format!("Option {} requires an argument.", quoted(command, &subject))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!(
                "Invalid value for {}: '{given}' is not {}.",
                quoted(command, &subject),
                expectation(error)
            )
        }
        _ => error.kind().to_string(),
    }
}

/// What would have been right.
fn expectation(error: &clap::Error) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        return format!("one of {}", values.join(", "));
    }
    let expected = error.source().map(ToString::to_string);
    expected.unwrap_or_else(|| "valid".to_owned())
}

/// A question after what is nearly right.
fn suggestion(error: &clap::Error, kind: ContextKind) -> String {
    let nearest = match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        Some(ContextValue::Strings(texts)) => texts.last(), // they come in ascending order
        _ => None,
    };
    nearest.map_or_else(String::new, |text| format!(" Did you mean '{text}'?"))
}

/// The names of an option: `'--format' / '-f'`.
fn quoted(command: &Command, subject: &str) -> String {
    match find(command, subject) {
        Some(arg) => match (arg.get_long(), arg.get_short()) {
            (Some(long), Some(short)) => format!("'--{long}' / '-{short}'"),
            (Some(long), None) => format!("'--{long}'"),
            (None, Some(short)) => format!("'-{short}'"),
            (None, None) => format!("'{}'", arg.get_id()),
        },
        None => format!("'{subject}'"),
    }
}

fn find<'a>(command: &'a Command, subject: &str) -> Option<&'a Arg> {
    let name = subject.split([' ', '=']).next()?;
    command.get_arguments().find(|arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        long.as_deref() == Some(name) || short.as_deref() == Some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_command_is_the_first_word_that_belongs_to_no_global_option() {
        let root = command_line();
        for (line, expected) in [
            ("list demo restart", "patronictl list"),
            ("-c dcs dsn", "patronictl dsn"),
            (
                "-kc list --dcs-url version --dcs=x -cy reload",
                "patronictl reload",
            ),
            ("dcs ls get", "patronictl dcs ls"),
            ("dcs --bogus", "patronictl dcs"),
            ("nonsense list", "patronictl"),
            ("-c", "patronictl"),
        ] {
            let words = words(line);
            let (path, _) = meant(&root, &words[command_at(&root, &words)..]);
            assert_eq!(path, expected, "{line}");
        }
    }

    #[test]
    fn words_are_prepared_in_the_sense_of_the_reference() {
        for (line, expected) in [
            ("-c f -- dsn demo", "-c f dsn demo"),
            ("-- list", "list"),
            ("-- dcs -- ls", "dcs ls"),
            ("dsn -- demo", "dsn -- demo"),
            ("-c -- list", "-c -- list"),
            ("dsn -m=node2", "dsn -m =node2"),
            ("-kc=f list -ew=5 -- -m=1", "-kc =f list -ew =5 -- -m=1"),
            ("dsn -m -m=1 --member=x", "dsn -m -m=1 --member=x"),
        ] {
            assert_eq!(prepared(&words(line)), words(expected), "{line}");
        }
    }

    #[test]
    fn mistakes_are_told_with_the_way_out() {
        for (line, expected) in [
            ("lst", "No such command 'lst'. Did you mean 'list'?"),
            ("zzz", "No such command 'zzz'."),
            (
                "list --extnded",
                "No such option '--extnded'. Did you mean '--extended'?",
            ),
            (
                "list --extended=1",
                "Option '--extended' does not take a value.",
            ),
            ("migrate-store", "Missing option '--to'."),
            ("restart", "Missing argument 'CLUSTER_NAME'."),
            (
                "list --group x",
                "Invalid value for '--group': 'x' is not a valid integer.",
            ),
            (
                "list -w x",
                "Invalid value for '--watch' / '-w': 'x' is not a valid float.",
            ),
            (
                "list -w -1",
                "Invalid value for '--watch' / '-w': '-1' is not a number of seconds from 0 on.",
            ),
            (
                "dsn -r -x",
                "Invalid value for '--role' / '-r': '-x' is not one of 'leader', 'primary', 'standby-leader', 'replica', 'standby', 'any'.",
            ),
        ] {
            let words = words(line);
            let Unparsed::Wrong(failure) = explain(&parse(&words).unwrap_err(), &words) else {
                panic!("{line} asks for no help")
            };
            let text = failure.to_string();
            let (_, told) = text.split_once("Error: ").unwrap();
            assert_eq!(told, expected, "{line}");
        }
    }

    #[test]
    fn an_option_takes_the_next_word() {
        let read = |line: &str| parse(&prepared(&words(line))).unwrap().command;
        let crate::cli::Command::Restart(restart) =
            read("restart demo --timeout -5 --scheduled -x --pg-version -- --group -1")
        else {
            panic!("another command")
        };
        assert_eq!(restart.timeout.as_deref(), Some("-5"));
        assert_eq!(restart.scheduled.as_deref(), Some("-x"));
        assert_eq!(restart.pg_version.as_deref(), Some("--"));
        assert_eq!(restart.members.group, Some(-1));
        let crate::cli::Command::Query(query) = read("query -c --x --delimiter -- -m=node2") else {
            panic!("another command")
        };
        assert_eq!(query.command.as_deref(), Some("--x"));
        assert_eq!(query.delimiter, "--");
        assert_eq!(query.member.as_deref(), Some("=node2"));
    }
}
