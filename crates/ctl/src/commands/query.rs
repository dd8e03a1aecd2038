//! `query`: runs a statement on a member and shows the result. Failures are rows, too.

use std::path::Path;

use super::dsn::Choice;
use crate::cli::Query;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Align, Column, Format, Table};
use crate::postgres::{Login, Outcome, Session};
use crate::select::RoleFilter;
use crate::usage::wrong;
use crate::view::View;

pub(super) async fn run(context: &mut Context, args: Query) -> Result<(), Failure> {
    let choice = Choice::of(args.role, args.member.clone())?;
    let sql = statement(context, &args).await?;
    let scope = context.scope("query", args.one.cluster.as_ref())?;
    let group = Context::group(args.one.group)?;
    let password = if args.password {
        Some(context.ask_password().await?)
    } else {
        None
    };
    let login = Login::new(
        &context.environment,
        args.username.clone(),
        password,
        args.dbname.clone(),
    );
    let view = context.view(&scope, group).await?;
    let period = args.watch.period();
    loop {
        let begun = context.clock.elapsed();
        let outcome = ask(context, &choice, args.role, &view, &login, &sql).await;
        let text = render(context, &args, outcome);
        context.write(&text)?;
        let Some(period) = period else {
            return Ok(());
        };
        let spent = context.clock.elapsed().saturating_sub(begun);
        context
            .clock
            .clone()
            .sleep(period.saturating_sub(spent))
            .await;
    }
}

async fn statement(context: &mut Context, args: &Query) -> Result<String, Failure> {
    let text = match &args.file {
        Some(file) => Some(read(context, file).await?),
        None => None,
    };
    match (args.command.clone(), text) {
        (Some(_), Some(_)) => Err(Failure::refused(
            "--file and --command are mutually exclusive options",
        )),
        (None, None) => Err(Failure::refused(
            "You need to specify either --command or --file",
        )),
        (Some(sql), None) | (None, Some(sql)) => Ok(sql),
    }
}

/// A file that cannot be read is a mistake in the command line, before any other.
async fn read(context: &mut Context, file: &Path) -> Result<String, Failure> {
    if file.as_os_str() == "-" {
        let text = context.console.rest().await;
        return text.map_err(|error| Failure::io("read -", error));
    }
    std::fs::read_to_string(file).map_err(|error| {
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or_default();
        let place = file.display();
        wrong(
            "query",
            &format!("Invalid value for '--file' / '-f': '{place}': {reason}"),
        )
    })
}

/// One round on a new connection.
async fn ask(
    context: &mut Context,
    choice: &Choice,
    role: Option<RoleFilter>,
    view: &View,
    login: &Result<Login, String>,
    sql: &str,
) -> Outcome {
    let absent = match (choice, role) {
        (Choice::Member(name), _) => format!("No connection to member {name} is available"),
        (Choice::Role(_), Some(role)) => {
            format!("No connection to role '{}' is available", role.as_str())
        }
        (Choice::Role(_), None) => "No connection is available".to_owned(),
    };
    let in_recovery = match choice {
        Choice::Role(RoleFilter::Primary) => Some(false),
        Choice::Role(RoleFilter::StandbyLeader | RoleFilter::Replica | RoleFilter::Standby) => {
            Some(true)
        }
        Choice::Role(RoleFilter::Leader | RoleFilter::Any) | Choice::Member(_) => None,
    };
    for address in choice.addresses(view) {
        let opened = match login {
            Ok(login) => Session::open(&address, login).await,
            Err(why) => Err(why.clone()),
        };
        let session = match opened {
            Ok(session) => session,
            Err(why) => return Outcome::Failed(format!("ERROR, SQLSTATE: {why}")),
        };
        if let Some(expected) = in_recovery {
            match session.is_in_recovery().await {
                Ok(found) if found == expected => {}
                Ok(_) => continue,
                Err(why) => {
                    context.warn(&why);
                    continue;
                }
            }
        }
        return session.run(sql).await;
    }
    Outcome::Failed(absent)
}

fn render(context: &Context, args: &Query, outcome: Outcome) -> String {
    let Some(format) = Format::parse(&args.format) else {
        return String::new(); // as in the reference, an unknown format shows nothing
    };
    match outcome {
        Outcome::Rows { columns, rows } => Table {
            columns: columns
                .iter()
                .map(|name| Column::new(name, Align::Left))
                .collect(),
            rows,
            delimiter: Some(args.delimiter.clone()),
            ..Table::default()
        }
        .render(format),
        Outcome::Failed(why) => match format {
            Format::Json => "[{}]\n".to_owned(),
            Format::Yaml | Format::Yml => "- {}\n\n".to_owned(),
            Format::Tsv | Format::Pretty => {
                let titles: &[&str] = match format {
                    Format::Pretty => &["Field 1", "Field 2"],
                    Format::Tsv | Format::Json | Format::Yaml | Format::Yml => &[],
                };
                Table {
                    columns: titles
                        .iter()
                        .map(|title| Column::new(title, Align::Left))
                        .collect(),
                    rows: vec![vec![context.now_text().into(), why.into()]],
                    delimiter: Some(args.delimiter.clone()),
                    ..Table::default()
                }
                .render(format)
            }
        },
    }
}
