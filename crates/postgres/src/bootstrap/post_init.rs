//! What happens in a new cluster after its first start: roles, grants, the operator's script.

use std::path::{Path, PathBuf};
use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_config::file::postgresql::Credentials;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::quote::{identifier, literal};
use super::text;
use crate::cancel::Cancel;
use crate::command::{Command, CommandError, End};
use crate::connection::QueryError;
use patroni_core::Causes;

/// The new cluster could not be prepared. Never holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostInitError {
    /// `authentication.replication.username` is missing.
    #[error("create the replication role: authentication.replication has no username")]
    NoReplicationUser,
    /// The server refused a statement.
    #[error("{purpose}: {reason}")]
    Sql {
        /// What the statement was for.
        purpose: String,
        /// The server's message, without its context (which may quote the statement).
        reason: String,
    },
    /// The database of Citus cannot be connected to.
    #[error("connect to the database of Citus")]
    Connect(#[source] QueryError),
    /// The address of this node, which its coordinator has to know, cannot be read.
    #[error("register the coordinator: no host in {url}")]
    NoHost {
        /// The address.
        url: String,
    },
    /// The server did not answer.
    #[error("{purpose}: no answer within {} s", LIMIT.as_secs())]
    Slow {
        /// What the statement was for.
        purpose: String,
    },
    /// The script could not be started.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The script failed.
    #[error("run the post_init script: it {end}")]
    Script {
        /// How it ended.
        end: End,
    },
}

/// How the script reaches the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptConnection {
    /// The local superuser connection as libpq text without password: the script's argument.
    pub conninfo: String,
    /// The file with the password, when there is one.
    pub pgpass: Option<PathBuf>,
}

/// How long one statement may take; creating a role waits for locks and a flush at most.
const LIMIT: Duration = Duration::from_mins(1);

/// Functions that `pg_rewind` calls on its source.
const REWIND_FUNCTIONS: &[&str] = &[
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
];

/// Settings under which a statement with a password leaves no trace in the server log: neither
/// as a statement, nor as a slow one, nor in the context of an error.
const QUIET: &str = "SET LOCAL log_statement = 'none'; \
     SET LOCAL log_min_duration_statement = -1; \
     SET LOCAL log_min_error_statement = 'log'; \
     SET LOCAL log_error_verbosity = 'terse'; \
     SET LOCAL pg_stat_statements.track_utility = 'off'; \
     SET LOCAL pgaudit.log = 'none'";

/// Creates the configured roles and runs `post_bootstrap` (or `post_init`), in the order of the
/// supervision contract, section 8. The client is a superuser's, connected to
/// `postgresql.database`.
///
/// Must not be dropped half way; raise `cancel` instead.
///
/// # Errors
/// The first thing that failed; what follows it is not done.
pub async fn post_init(
    client: &Client,
    settings: &Postgresql,
    script: &ScriptConnection,
    cancel: &Cancel,
) -> Result<(), PostInitError> {
    let superuser = &settings.superuser;
    if superuser.username.is_some() && superuser.password.is_some() {
        create_role(client, superuser, "SUPERUSER LOGIN").await?;
    }
    run_script(settings, script, cancel).await?;
    if settings.replication.username.is_none() {
        return Err(PostInitError::NoReplicationUser);
    }
    create_role(client, &settings.replication, "REPLICATION LOGIN").await?;
    if let Some(rewind) = &settings.rewind
        && rewind != superuser
        && version(client).await? >= 110_000
    {
        create_role(client, rewind, "LOGIN").await?;
        for grant in rewind_grants(rewind.username.as_deref().unwrap_or_default()) {
            execute(client, "grant to the rewind role", &grant).await?;
        }
    }
    if text(settings, "users").is_some() {
        tracing::error!(
            "User creation is not be supported starting from v4.0.0. Please use \
             \"bootstrap.post_bootstrap\" script to create users."
        );
    }
    Ok(())
}

/// The operator's script, if there is one.
pub(crate) fn configured_script(settings: &Postgresql) -> Option<String> {
    text(settings, "post_bootstrap").or_else(|| text(settings, "post_init"))
}

async fn run_script(
    settings: &Postgresql,
    script: &ScriptConnection,
    cancel: &Cancel,
) -> Result<(), PostInitError> {
    let Some(configured) = configured_script(settings) else {
        return Ok(());
    };
    let outcome = Command::parse(&configured)?
        .arg(&script.conninfo)
        .connecting(settings, script.pgpass.as_deref().map(Path::as_ref))
        .env(
            "PGOPTIONS",
            "-c synchronous_commit=local -c statement_timeout=0",
        )
        .run(cancel)
        .await?;
    match outcome.end {
        End::Exited(0) => Ok(()),
        end => {
            tracing::error!(
                "post_init script {configured} returned non-zero code {}",
                end.code()
            );
            Err(PostInitError::Script { end })
        }
    }
}

/// Creates a role or gives an existing one the attributes and the password, in a transaction of
/// its own whose settings end with it.
async fn create_role(
    client: &Client,
    credentials: &Credentials,
    attributes: &str,
) -> Result<(), PostInitError> {
    let name = credentials.username.as_deref().unwrap_or_default();
    let purpose = format!("create role {name}");
    quietly(client, &purpose, &role_statement(credentials, attributes)).await
}

/// Runs a statement with a secret in a transaction of its own, under [`QUIET`].
pub(super) async fn quietly(
    client: &Client,
    purpose: &str,
    statement: &str,
) -> Result<(), PostInitError> {
    execute(client, purpose, "BEGIN").await?;
    let quiet = execute(client, purpose, QUIET).await;
    let done = match quiet {
        Ok(()) => execute(client, purpose, statement).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => execute(client, purpose, "COMMIT").await,
        Err(error) => {
            if let Err(error) = execute(client, purpose, "ROLLBACK").await {
                tracing::warn!("failed to {error}");
            }
            Err(error)
        }
    }
}

/// One anonymous block. Its body is a string constant and not dollar-quoted, so that no value
/// in it can end it.
fn role_statement(credentials: &Credentials, attributes: &str) -> String {
    let name = credentials.username.as_deref().unwrap_or_default();
    let password = credentials
        .password
        .as_ref()
        .filter(|password| !password.is_empty())
        .map(|password| format!(" PASSWORD {}", literal(password.expose())))
        .unwrap_or_default();
    let role = identifier(name);
    let known = literal(name);
    let body = format!(
        "BEGIN\n\
         SET LOCAL synchronous_commit = 'local';\n\
         PERFORM 1 FROM pg_catalog.pg_authid WHERE rolname = CAST({known} AS pg_catalog.name);\n\
         IF FOUND THEN\n\
         ALTER ROLE {role} WITH {attributes}{password};\n\
         ELSE\n\
         CREATE ROLE {role} WITH {attributes}{password};\n\
         END IF;\n\
         END;"
    );
    format!("DO {}", literal(&body))
}

fn rewind_grants(user: &str) -> impl Iterator<Item = String> {
    // In strict synchronous mode nobody would confirm the commit: there are no standbys yet.
    let role = identifier(user);
    REWIND_FUNCTIONS.iter().map(move |function| {
        format!(
            "SET LOCAL synchronous_commit = 'local'; \
             GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {role}"
        )
    })
}

async fn version(client: &Client) -> Result<u32, PostInitError> {
    let purpose = "ask for the server's version";
    let query = client.query_one(
        "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4",
        &[],
    );
    let row = within(purpose, query).await?;
    let number: i32 = row.try_get(0).map_err(|error| failed(purpose, &error))?;
    Ok(u32::try_from(number).unwrap_or(0))
}

pub(super) async fn execute(
    client: &Client,
    purpose: &str,
    statement: &str,
) -> Result<(), PostInitError> {
    within(purpose, client.batch_execute(statement)).await
}

pub(super) async fn within<T>(
    purpose: &str,
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, PostInitError> {
    match timeout(LIMIT, call).await {
        Ok(answer) => answer.map_err(|error| failed(purpose, &error)),
        Err(_elapsed) => Err(PostInitError::Slow {
            purpose: purpose.to_owned(),
        }),
    }
}

/// Keeps the message alone: the context of a server error may quote the statement.
fn failed(purpose: &str, error: &tokio_postgres::Error) -> PostInitError {
    let reason = match error.as_db_error() {
        Some(refusal) => format!("{} ({})", refusal.message(), refusal.code().code()),
        None => Causes(error).to_string(),
    };
    PostInitError::Sql {
        purpose: purpose.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::Secret;

    #[test]
    fn the_statement_quotes_twice() {
        let credentials = Credentials {
            username: Some(r#"o'b"r"#.to_owned()),
            password: Some(Secret::new("p'")),
            ..Credentials::default()
        };
        assert_eq!(
            role_statement(&credentials, "LOGIN"),
            "DO 'BEGIN\n\
             SET LOCAL synchronous_commit = ''local'';\n\
             PERFORM 1 FROM pg_catalog.pg_authid WHERE rolname = CAST(''o''''b\"r'' AS pg_catalog.name);\n\
             IF FOUND THEN\n\
             ALTER ROLE \"o''b\"\"r\" WITH LOGIN PASSWORD ''p'''''';\n\
             ELSE\n\
             CREATE ROLE \"o''b\"\"r\" WITH LOGIN PASSWORD ''p'''''';\n\
             END IF;\n\
             END;'"
        );
    }

    #[test]
    fn an_empty_password_is_none() {
        let credentials = Credentials {
            username: Some("r".to_owned()),
            password: Some(Secret::new("")),
            ..Credentials::default()
        };
        assert!(!role_statement(&credentials, "LOGIN").contains("PASSWORD"));
    }
}
