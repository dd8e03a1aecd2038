//! `history`: the changes of timeline.

use serde_json::Value;

use crate::cli::History;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Align, Column, Table};

pub(super) async fn run(context: &mut Context, args: History) -> Result<(), Failure> {
    let scope = context.scope("history", args.one.cluster.as_ref())?;
    let group = context.own_group(args.one.group)?;
    let target = context.target(&scope, group).await?;
    let columns = vec![
        Column::new("TL", Align::Right),
        Column::new("LSN", Align::Right),
        Column::new("Reason", Align::Left),
        Column::new("Timestamp", Align::Left),
        Column::new("New Leader", Align::Left),
    ];
    let raw = target
        .cluster
        .history
        .map(|history| history.raw.as_ref().clone());
    let rows = raw
        .unwrap_or_default()
        .into_iter()
        .filter_map(|line| match line {
            Value::Array(cells) => Some(cells),
            _ => None,
        })
        .map(|mut cells| {
            cells.resize(columns.len(), "".into());
            cells
        })
        .collect();
    let table = Table {
        columns,
        rows,
        ..Table::default()
    };
    context.write(&table.render(args.format))
}
