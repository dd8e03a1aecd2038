//! The one connection that `query` makes.

use std::path::PathBuf;
use std::time::Duration;

use patroni_core::ConnUrl;
use serde_json::{Number, Value};
use tokio::task::JoinSet;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::exit::chain;
use crate::settings::Environment;

/// For reaching the server and logging in.
const CONNECT: Duration = Duration::from_secs(5);

/// Who logs in, by options, else by the defaults of libpq.
pub(crate) struct Login {
    user: String,
    database: String,
    password: Option<String>,
    passwords: Option<String>,
}

impl Login {
    pub(crate) fn new(
        environment: &Environment,
        user: Option<String>,
        password: Option<String>,
        database: Option<String>,
    ) -> Self {
        let variable = |name: &str| environment.get(name).filter(|v| !v.is_empty()).cloned();
        let user = user.or_else(|| variable("PGUSER")).unwrap_or_else(account);
        let database = database
            .or_else(|| variable("PGDATABASE"))
            .unwrap_or_else(|| user.clone());
        let file = variable("PGPASSFILE")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".pgpass")));
        Self {
            password: password.or_else(|| variable("PGPASSWORD")),
            passwords: file.and_then(|file| std::fs::read_to_string(file).ok()),
            user,
            database,
        }
    }

    fn password_for(&self, address: &ConnUrl) -> Option<String> {
        if self.password.is_some() {
            return self.password.clone();
        }
        let port = address.port.to_string();
        let wanted = [address.host.as_str(), &port, &self.database, &self.user];
        self.passwords.as_ref()?.lines().find_map(|line| {
            let fields = password_line(line)?;
            let fits = fields[..4]
                .iter()
                .zip(wanted)
                .all(|(field, wanted)| field == "*" || field == wanted);
            fits.then(|| fields[4].clone())
        })
    }
}

/// The five fields of a line of a password file; `\` protects `:` and itself.
fn password_line(line: &str) -> Option<[String; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => fields.last_mut()?.push(letters.next()?),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut()?.push(other),
        }
    }
    fields.try_into().ok()
}

fn account() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "postgres".to_owned(), |user| user.name)
}

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
            .application_name("Patroni ctl");
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
        let (client, connection) = tokio::time::timeout(CONNECT, config.connect(NoTls))
            .await
            .map_err(|_| failed("timeout expired"))?
            .map_err(|error| match error.as_db_error() {
                Some(refusal) => failed(&format!("{}:  {}", refusal.severity(), refusal.message())),
                None => failed(&chain(&error)),
            })?;
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
        let answer = tokio::time::timeout(
            CONNECT,
            self.client
                .query_one("SELECT pg_catalog.pg_is_in_recovery()", &[]),
        );
        let row = answer
            .await
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| chain(&error))?;
        row.try_get(0).map_err(|error| chain(&error))
    }

    /// Runs the text as it is, several statements too; the last result is shown. No limit: how
    /// long a statement may take is the server's affair.
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
                    None => chain(&error).replace('\n', " "),
                };
                return Outcome::Failed(format!("ERROR, SQLSTATE: {why}"));
            }
        };
        result_of(messages, types.as_deref())
    }
}

fn result_of(messages: Vec<SimpleQueryMessage>, types: Option<&[Type]>) -> Outcome {
    let nothing = "ERROR, SQLSTATE: the last operation didn't produce records";
    let mut last = Outcome::Failed(nothing.to_owned());
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                last = Outcome::Rows {
                    columns: columns.iter().map(|c| c.name().to_owned()).collect(),
                    rows: Vec::new(),
                };
            }
            SimpleQueryMessage::Row(row) => {
                if let Outcome::Rows { rows, .. } = &mut last {
                    let cells = (0..row.len()).map(|index| {
                        let kind = types.and_then(|types| types.get(index));
                        cell(row.get(index), kind)
                    });
                    rows.push(cells.collect());
                }
            }
            _ => {}
        }
    }
    last
}

/// Whole and real numbers and booleans keep their nature; everything else is text.
fn cell(text: Option<&str>, kind: Option<&Type>) -> Value {
    let Some(text) = text else {
        return Value::Null;
    };
    let number = match kind {
        Some(&Type::BOOL) => return Value::Bool(text == "t"),
        Some(&Type::INT2 | &Type::INT4 | &Type::INT8 | &Type::OID) => {
            text.parse::<i64>().ok().map(Number::from)
        }
        Some(&Type::FLOAT4 | &Type::FLOAT8) => text.parse().ok().and_then(Number::from_f64),
        _ => None,
    };
    number.map_or_else(|| text.into(), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_files_are_read() {
        let login = Login {
            user: "u".into(),
            database: "d".into(),
            password: None,
            passwords: Some("# no\nother:*:*:*:x\nh:5432:d:u:se\\:cret\n".into()),
        };
        let address = ConnUrl::parse("postgres://h:5432/x").unwrap();
        assert_eq!(login.password_for(&address).as_deref(), Some("se:cret"));
    }

    #[test]
    fn cells_keep_their_nature() {
        assert_eq!(cell(Some("t"), Some(&Type::BOOL)), Value::Bool(true));
        assert_eq!(cell(Some("7"), Some(&Type::INT4)), Value::from(7));
        assert_eq!(cell(Some("7"), None), Value::from("7"));
        assert!(cell(None, Some(&Type::INT4)).is_null());
    }
}
