//! `top`: the cluster on the whole screen, as it changes.

use std::pin::pin;
use std::time::Duration;

use patroni_core::Scope;

use crate::cli::Top;
use crate::clock::seconds_text;
use crate::context::Context;
use crate::exit::Failure;
use crate::screen::Screen;
use crate::settings::Environment;
use crate::top::{Board, Moment, Paint, Step, draw};
use crate::usage;
use crate::view::View;

/// How often ages are told anew while nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Less would ask the store without a pause, in seconds.
const SHORTEST: f64 = 0.5;

/// More is no live view, in seconds.
const LONGEST: f64 = 3600.0;

pub(super) async fn run(context: &mut Context, args: Top) -> Result<u8, Failure> {
    let scope = context.scope("top", args.one.cluster.as_ref())?;
    let group = Context::group(args.one.group)?;
    let period = period(args.watch)?;
    let screen = open(context)?;
    let mut live = Live {
        screen,
        board: Board::new(scope.clone(), period),
        paint: paint(&context.environment),
    };
    loop {
        let begun = context.clock.elapsed();
        let read = match read(context, &mut live, &scope, group).await? {
            Read::Ended(status) => return Ok(status),
            Read::Seen(read) => read,
        };
        match read {
            Ok(view) => live.board.saw(view, context.clock.elapsed()),
            Err(failure) if may_pass(&failure) => {
                let text = failure.to_string();
                let why = text.strip_prefix("Error: ").unwrap_or(&text);
                live.board.failed(why.to_owned());
            }
            Err(failure) => return Err(failure),
        }
        if let Some(status) = rest(context, &mut live, begun + period).await? {
            return Ok(status);
        }
    }
}

/// The screen and what is shown on it.
struct Live {
    screen: Box<dyn Screen>,
    board: Board,
    paint: Paint,
}

/// What became of one reading of the store.
enum Read {
    Seen(Result<View, Failure>),
    /// Its reader went, with this exit status.
    Ended(u8),
}

impl Live {
    fn draw(&mut self, context: &Context) -> Result<(), Failure> {
        let moment = Moment {
            size: self.screen.size(),
            clock: seconds_text(&context.clock.now()),
            now: context.clock.elapsed(),
            paint: self.paint,
        };
        let text = draw(&self.board, &moment).escapes(self.paint);
        self.screen
            .draw(&text)
            .map_err(|error| Failure::io("draw", error))
    }
}

fn open(context: &mut Context) -> Result<Box<dyn Screen>, Failure> {
    const NONE: &str = "A terminal is needed on standard input and output. \
                        For files and programs there is 'patronictl list'.";
    let dumb = context
        .environment
        .get("TERM")
        .is_some_and(|term| term == "dumb");
    if dumb || !context.console.is_terminal() {
        return Err(usage::wrong("top", NONE));
    }
    context
        .console
        .screen()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::Unsupported => usage::wrong("top", NONE),
            _ => Failure::io("take over the terminal", error),
        })
}

fn period(given: Option<f64>) -> Result<Duration, Failure> {
    let seconds = given.unwrap_or(2.0);
    if (SHORTEST..=LONGEST).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let text = format!(
        "Invalid value for '--watch' / '-w': {seconds} is not between {SHORTEST} and {LONGEST}."
    );
    Err(usage::wrong("top", &text))
}

/// Colours unless `NO_COLOR` says no, letters beyond ASCII where the locale has them.
fn paint(environment: &Environment) -> Paint {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or(set("LC_CTYPE")).or(set("LANG"));
    let unicode = locale.is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Paint {
        colours: set("NO_COLOR").is_none(),
        unicode,
    }
}

/// Whether the next reading may go better.
const fn may_pass(failure: &Failure) -> bool {
    matches!(failure, Failure::Store { .. })
}

/// Reads the store once; keys are heard meanwhile.
async fn read(
    context: &Context,
    live: &mut Live,
    scope: &Scope,
    group: Option<u32>,
) -> Result<Read, Failure> {
    let mut reading = pin!(context.view(scope, group));
    loop {
        live.draw(context)?;
        tokio::select! {
            biased;
            read = &mut reading => return Ok(Read::Seen(read)),
            input = live.screen.input() => {
                if let Step::End(status) = live.board.take(input) {
                    return Ok(Read::Ended(status));
                }
            }
            () = context.clock.sleep(TICK) => {}
        }
    }
}

/// Waits for the next reading; gives the exit status when there is to be none.
async fn rest(context: &Context, live: &mut Live, next: Duration) -> Result<Option<u8>, Failure> {
    loop {
        live.draw(context)?;
        let left = next.saturating_sub(context.clock.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        tokio::select! {
            input = live.screen.input() => match live.board.take(input) {
                Step::Go => {}
                Step::Read => return Ok(None),
                Step::End(status) => return Ok(Some(status)),
            },
            () = context.clock.sleep(left.min(TICK)) => {}
        }
    }
}
