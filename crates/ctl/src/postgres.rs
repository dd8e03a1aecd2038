//! The one connection that `query` makes.

mod cell;
mod login;
mod parameters;
mod tls;

use std::time::Duration;

use patroni_core::{Causes, ConnUrl};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use self::cell::cell;
pub(crate) use self::login::Login;

/// For reaching the server and logging in.
const CONNECT: Duration = Duration::from_secs(5);

/// What came of a statement.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A result.
    Rows {
        /// Names of its columns.
        columns: Vec<String>,
        /// Its rows.
        rows: Vec<Vec<Value>>,
    },
    /// The sentence that is shown instead.
    Failed(String),
}

/// An open connection; dropping it closes it.
pub(crate) struct Session {
    client: Client,
    _connection: JoinSet<()>,
}

impl Session {
    /// Connects within 5 seconds. The error is a sentence.
    pub(crate) async fn open(address: &ConnUrl, login: &Login) -> Result<Self, String> {
        let mut config = Config::new();
        config
            .host(&address.host)
            .port(address.port)
            .user(&login.user)
            .dbname(&login.database)
            .connect_timeout(CONNECT)
            .application_name(&login.application_name)
            .ssl_mode(login.tls.wish());
        if let Some(options) = &login.options {
            config.options(options);
        }
        if let Some(password) = login.password_for(address) {
            config.password(password);
        }
        let failed = |why: &str| {
            format!(
                "connection failed: connection to server at \"{}\", port {} failed: {}",
                address.host,
                address.port,
                why.replace('\n', " ")
            )
        };
        let deadline = Instant::now() + CONNECT;
        let mut opened = timeout_at(deadline, Self::connect(&config, login)).await;
        if config.get_ssl_mode() == SslMode::Prefer
            && matches!(&opened, Ok(Err(Refused::Server(error))) if may_do_without_tls(error))
        {
            config.ssl_mode(SslMode::Disable);
            opened = timeout_at(deadline, Self::connect(&config, login)).await;
        }
        opened
            .map_err(|_| failed("timeout expired"))?
            .map_err(|refused| match refused {
                Refused::Settings(why) => failed(&why),
                Refused::Server(error) => match error.as_db_error() {
                    Some(no) => failed(&format!("{}:  {}", no.severity(), no.message())),
                    None => failed(&Causes(&error).to_string()),
                },
            })
    }

    async fn connect(config: &Config, login: &Login) -> Result<Self, Refused> {
        let connector = login.tls.connector().map_err(Refused::Settings)?;
        let connected = config.connect(connector).await;
        let (client, connection) = connected.map_err(Refused::Server)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            connection.await.ok(); // the client's own calls tell what went wrong
        });
        Ok(Self {
            client,
            _connection: tasks,
        })
    }

    /// Whether the server is in recovery.
    pub(crate) async fn is_in_recovery(&self) -> Result<bool, String> {
        let answer = timeout(
            CONNECT,
            self.client
                .query_one("SELECT pg_catalog.pg_is_in_recovery()", &[]),
        );
        let row = answer
            .await
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| Causes(&error).to_string())?;
        row.try_get(0).map_err(|error| Causes(&error).to_string())
    }

    /// Runs the text as it is, several statements too; the result of the first one is shown. No
    /// limit: how long a statement may take is the server's affair.
    pub(crate) async fn run(&self, sql: &str) -> Outcome {
        // the simple protocol takes several statements but tells no types: those come from a
        // preparation, which fails for several statements; then all is text
        let types: Option<Vec<Type>> = self.client.prepare(sql).await.ok().map(|statement| {
            let columns = statement.columns().iter();
            columns.map(|column| column.type_().clone()).collect()
        });
        let messages = match self.client.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => {
                let why = match error.code() {
                    Some(code) => code.code().to_owned(),
                    None => Causes(&error).to_string().replace('\n', " "),
                };
                return Outcome::Failed(format!("ERROR, SQLSTATE: {why}"));
            }
        };
        result_of(messages, types.as_deref())
    }
}

/// Why there is no connection.
enum Refused {
    /// What the caller configured cannot be used.
    Settings(String),
    Server(tokio_postgres::Error),
}

/// Whether another try in the clear may help, where encryption is only preferred: the server's
/// rules want none, or the two found no common way to encrypt. As libpq has it.
fn may_do_without_tls(error: &tokio_postgres::Error) -> bool {
    error.code().map_or_else(
        || !error.is_closed(),
        |code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    )
}

/// The result of the first statement.
fn result_of(messages: Vec<SimpleQueryMessage>, types: Option<&[Type]>) -> Outcome {
    let nothing = "ERROR, SQLSTATE: the last operation didn't produce records";
    let mut first = Outcome::Failed(nothing.to_owned());
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                first = Outcome::Rows {
                    columns: columns.iter().map(|c| c.name().to_owned()).collect(),
                    rows: Vec::new(),
                };
            }
            SimpleQueryMessage::Row(row) => {
                if let Outcome::Rows { rows, .. } = &mut first {
                    let cells = (0..row.len()).map(|index| {
                        let kind = types.and_then(|types| types.get(index));
                        cell(row.get(index), kind)
                    });
                    rows.push(cells.collect());
                }
            }
            _ => break, // the statement's end
        }
    }
    first
}
