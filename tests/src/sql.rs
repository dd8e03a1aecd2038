//! Statements as a client of the cluster sends them.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// Runs one or more statements on a loopback port as superuser and gives the first column of the
/// last result's rows.
///
/// # Errors
/// The server refuses, or does not answer within `at_most`.
pub fn query(port: u16, statement: &str, at_most: Duration) -> Result<Vec<String>> {
    query_in("postgres", port, statement, at_most)
}

/// The same in another database.
///
/// # Errors
/// As [`query`].
pub fn query_in(
    database: &str,
    port: u16,
    statement: &str,
    at_most: Duration,
) -> Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::time::timeout(at_most, run(database, port, statement))
            .await
            .context("no answer in time")?
    })
}

async fn run(database: &str, port: u16, statement: &str) -> Result<Vec<String>> {
    let config = format!(
        "host=127.0.0.1 port={port} user=postgres password=supersecret dbname={database} connect_timeout=3"
    );
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    let work = async {
        let messages = client.simple_query(statement).await?;
        Ok::<_, anyhow::Error>(
            messages
                .into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                    _ => None,
                })
                .collect(),
        )
    };
    tokio::select! {
        rows = work => rows,
        ended = connection => { ended?; anyhow::bail!("the server closed the connection") }
    }
}
