//! From a command line to an exit code.

use std::sync::Arc;

use patroni_config::ControlSettings;

use crate::cli::{self, Command, Global};
use crate::clock::Clock;
use crate::commands;
use crate::console::Console;
use crate::context::Context;
use crate::exit::Failure;
use crate::log::Level;
use crate::settings::Environment;
use crate::usage::{self, Unparsed};
use crate::world::World;

/// Finds the settings for the global options and the environment.
pub type Find = Box<dyn FnOnce(&Global, &Environment) -> Result<ControlSettings, Failure> + Send>;

/// What a run is made of; tests put in their own.
pub struct Surroundings {
    /// The environment variables.
    pub environment: Environment,
    /// Finds the settings for the global options.
    pub settings: Find,
    /// Stores and members.
    pub world: Arc<dyn World>,
    /// Input and output.
    pub console: Box<dyn Console>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Runs one command line (without the program's name) and returns its exit code. When
/// `interrupt` ends first, the command is dropped where it waits.
pub async fn run(
    arguments: &[String],
    surroundings: Surroundings,
    interrupt: impl Future<Output = ()>,
) -> u8 {
    let Surroundings {
        environment,
        settings,
        world,
        mut console,
        clock,
    } = surroundings;
    let arguments = usage::prepared(arguments);
    let cli = match cli::parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            return match usage::explain(&error, &arguments) {
                Unparsed::Help(text) => match console.out(&text) {
                    Ok(()) => 0,
                    Err(_) => 1,
                },
                Unparsed::Wrong(failure) => fail(console.as_mut(), &failure),
            };
        }
    };
    // its 1 and 2 are findings
    let unexamined = matches!(cli.command, Command::Doctor(_)).then_some(3);
    let found =
        Level::of(&environment).and_then(|level| Ok((level, settings(&cli.global, &environment)?)));
    let (level, settings) = match found {
        Ok(found) => found,
        Err(failure) => {
            let code = fail(console.as_mut(), &failure);
            return unexamined.unwrap_or(code);
        }
    };
    let mut context = Context::new(settings, level, environment, world, console, clock);
    let result = tokio::select! {
        biased;
        result = commands::run(&mut context, cli.command) => result,
        () = interrupt => Err(Failure::Interrupted),
    };
    match result {
        Ok(status) => status,
        Err(failure) => {
            let code = fail(context.console.as_mut(), &failure);
            unexamined.unwrap_or(code)
        }
    }
}

fn fail(console: &mut dyn Console, failure: &Failure) -> u8 {
    if !matches!(failure, Failure::Unread) {
        console.err(&format!("{failure}\n"));
    }
    failure.code()
}
