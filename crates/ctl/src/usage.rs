//! Usage errors in the form that operators know: usage line, hint, `Error: ...`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;
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
    let root = Cli::command();
    let (path, command) = meant(&root, &words[command_at(&root, words)..]);
    let text = sentence(error, command);
    Unparsed::Wrong(compose(&path, command, &text))
}

/// A usage error that we find after parsing.
pub(crate) fn wrong(command: &str, text: &str) -> Failure {
    let root = Cli::command();
    let (path, command) = meant(&root, &[command.to_owned()]);
    compose(&path, command, text)
}

/// The words without a `--` in front of the command: it ends the global options, which the
/// command does anyway.
pub(crate) fn without_separator(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    let at = command_at(&Cli::command(), &words);
    if words.get(at).is_some_and(|word| word == "--") {
        words.remove(at);
    }
    words
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

/// Whether the word after this option is its value.
fn takes_next(root: &Command, word: &str) -> bool {
    let takes = |found: Option<&Arg>| found.is_some_and(|arg| arg.get_action().takes_values());
    let mut arguments = root.get_arguments();
    if let Some(long) = word.strip_prefix("--") {
        return takes(arguments.find(|arg| {
            let names = arg.get_long_and_visible_aliases().unwrap_or_default();
            names.contains(&long)
        }));
    }
    // of several letters the first one with a value takes the rest of the word
    let mut letters = word.chars().skip(1);
    let found = letters.find_map(|letter| {
        let mut arguments = root.get_arguments();
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
                "No such command '{}'.",
                value(ContextKind::InvalidSubcommand)
            )
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "Missing command.".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            format!(
                "Missing argument '{}'.",
                subject.trim_matches(['<', '>', '.', '[', ']'])
            )
        }
        ErrorKind::UnknownArgument => {
            if subject.starts_with('-') {
                format!("No such option: {subject}")
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
                expectation(command, error, &subject)
            )
        }
        _ => error.kind().to_string(),
    }
}

/// What would have been right.
fn expectation(command: &Command, error: &clap::Error, subject: &str) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        return format!("one of {}", values.join(", "));
    }
    let float = find(command, subject).is_some_and(|arg| arg.get_id() == "watch");
    let kind = if float { "float" } else { "integer" };
    format!("a valid {kind}")
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

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_command_is_the_first_word_that_belongs_to_no_global_option() {
        let root = Cli::command();
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
    fn a_separator_may_stand_before_the_command() {
        for (line, expected) in [
            ("-c f -- dsn demo", "-c f dsn demo"),
            ("-- list", "list"),
            ("dsn -- demo", "dsn -- demo"),
            ("-c -- list", "-c -- list"),
        ] {
            assert_eq!(without_separator(&words(line)), words(expected), "{line}");
        }
    }
}
