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
    let command = root
        .get_subcommands()
        .find(|command| words.iter().any(|word| word == command.get_name()))
        .filter(|_| error.kind() != ErrorKind::InvalidSubcommand);
    let text = sentence(error, command.unwrap_or(&root));
    Unparsed::Wrong(compose(command, &text))
}

/// A usage error that we find after parsing.
pub(crate) fn wrong(command: &str, text: &str) -> Failure {
    let root = Cli::command();
    compose(root.find_subcommand(command), text)
}

fn compose(command: Option<&Command>, text: &str) -> Failure {
    let root = Cli::command();
    let (path, source) = match command {
        Some(command) => (format!("patronictl {}", command.get_name()), command),
        None => ("patronictl".to_owned(), &root),
    };
    let usage = source.clone().render_usage().to_string();
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
