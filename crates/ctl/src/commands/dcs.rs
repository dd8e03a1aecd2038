//! `dcs ls` and `dcs get`: what lies in the store, as it is.

use patroni_core::Scope;
use patroni_dcs::codec::{Keys, Stored};
use serde_json::Value;

use crate::cli::{Dcs, DcsGet, DcsLs, DcsOf, RawFormat};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Align, Column, Table};
use crate::yaml;

pub(super) async fn run(context: &mut Context, args: Dcs) -> Result<(), Failure> {
    match args {
        Dcs::Ls(args) => ls(context, args).await,
        Dcs::Get(args) => get(context, args).await,
    }
}

async fn ls(context: &mut Context, args: DcsLs) -> Result<(), Failure> {
    let (_, keys) = read(context, &args.of).await?;
    let prefix = args.prefix.unwrap_or_default();
    let rows = keys
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix))
        .map(|(key, stored)| row(key, stored));
    let table = Table {
        columns: vec![
            Column::new("Key", Align::Left),
            Column::new("Bytes", Align::Right),
            Column::new("Revision", Align::Left),
            Column::new("Lease", Align::Left),
        ],
        rows: rows.collect(),
        omit_empty: true,
        ..Table::default()
    };
    context.write(&table.render(args.format))
}

fn row(key: &str, stored: &Stored) -> Vec<Value> {
    let lease = stored.session.as_deref().unwrap_or_default();
    vec![
        key.into(),
        stored.value.len().into(),
        stored.revision.as_str().into(),
        lease.into(),
    ]
}

async fn get(context: &mut Context, args: DcsGet) -> Result<(), Failure> {
    let (scope, keys) = read(context, &args.of).await?;
    let Some(stored) = keys.get(&args.key) else {
        let key = &args.key;
        return Err(Failure::refused(format!(
            "The store has no key {key} of the cluster {scope}"
        )));
    };
    let text = &stored.value;
    // what is no JSON (a name, a number of many digits) is a text
    let value = || match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::from(text.as_str()),
    };
    match args.format {
        RawFormat::Raw => context.print(text),
        RawFormat::Json => context.print(&value().to_string()),
        RawFormat::Yaml => context.write(&yaml::block(&value())),
    }
}

async fn read(context: &mut Context, of: &DcsOf) -> Result<(Scope, Keys), Failure> {
    let scope = context.scope("dcs", of.cluster.as_ref())?;
    let group = context.own_group(of.group)?;
    let store = context
        .world
        .store(&context.settings, &scope, group)
        .await?;
    let keys = store.keys().await;
    let keys = keys.map_err(|error| context.store_failure(store.as_ref(), error))?;
    Ok((scope, keys))
}
