//! The first statements of a group of a Citus cluster. Source: the Citus contract, section 3.

use patroni_config::file::postgresql::Credentials;
use patroni_config::file::{Citus, Postgresql};
use patroni_core::{ConnUrl, Secret};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::post_init::{PostInitError, execute, quietly, within};
use super::quote::{identifier, literal};
use crate::connection::{Endpoint, Session};
use crate::conninfo::ConnInfo;
use crate::create::CONNECT;

/// The number of the coordinator's group.
const COORDINATOR: u32 = 0;

/// Makes database and extension of Citus on a new primary, lets its nodes log in to each other,
/// and tells a coordinator its own address. A group that has all of it is left as it is, but for
/// the credentials: the caller comes here once, after `initdb`.
///
/// Must not be dropped half way.
///
/// # Errors
/// The first thing that failed; what follows it is not done.
pub(crate) async fn prepare_group(
    settings: &Postgresql,
    citus: &Citus,
) -> Result<(), PostInitError> {
    let mut endpoint = Endpoint {
        statement_timeout: None,
        ..Endpoint::local(settings, "Patroni")
    };
    if citus.database != settings.database {
        let session = connect(&endpoint).await?;
        create_database(session.client(), &citus.database).await?;
    }
    endpoint.database.clone_from(&citus.database);
    let session = connect(&endpoint).await?;
    let client = session.client();
    let create = "CREATE EXTENSION IF NOT EXISTS citus";
    execute(client, "create the extension citus", create).await?;
    if let Some(credentials) = credentials(&settings.superuser) {
        let statement = format!(
            "INSERT INTO pg_catalog.pg_dist_authinfo (nodeid, rolename, authinfo) \
             VALUES (0, pg_catalog.current_user(), {})",
            literal(&credentials.to_string())
        );
        quietly(client, "let the nodes of Citus log in", &statement).await?;
    }
    if citus.group == COORDINATOR {
        let statement = register_coordinator(settings)?;
        execute(client, "register the coordinator", &statement).await?;
    }
    Ok(())
}

/// A session whose commits wait for nobody: there are no standbys yet.
async fn connect(endpoint: &Endpoint) -> Result<Session, PostInitError> {
    let session = Session::connect(endpoint, CONNECT).await;
    let session = session.map_err(PostInitError::Connect)?;
    let alone = "SET synchronous_commit = 'local'";
    execute(session.client(), "commit without standbys", alone).await?;
    Ok(session)
}

async fn create_database(client: &Client, name: &str) -> Result<(), PostInitError> {
    let statement = format!("CREATE DATABASE {}", identifier(name));
    let create = async {
        match client.batch_execute(&statement).await {
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
            done => done,
        }
    };
    within("create the database of Citus", create).await
}

/// What the superuser shows to log in, if there is anything.
fn credentials(superuser: &Credentials) -> Option<ConnInfo> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let password = superuser.password.as_ref().map(Secret::expose);
    let mut credentials = ConnInfo::default();
    credentials
        .set("password", password.filter(|text| !text.is_empty()))
        .set("sslcert", given(&superuser.sslcert))
        .set("sslkey", given(&superuser.sslkey));
    (credentials != ConnInfo::default()).then_some(credentials)
}

fn register_coordinator(settings: &Postgresql) -> Result<String, PostInitError> {
    let url = settings.conn_url();
    let Some(address) = ConnUrl::parse(&url).filter(|url| !url.host.is_empty()) else {
        return Err(PostInitError::NoHost { url });
    };
    let host = literal(&address.host.to_ascii_lowercase());
    let port = address.port;
    Ok(format!(
        "SELECT pg_catalog.citus_set_coordinator_host({host}, {port}, 'primary', 'default')"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_config::file::HostPort;

    #[test]
    fn nodes_log_in_with_what_the_superuser_has() {
        assert_eq!(credentials(&Credentials::default()), None);
        let superuser = Credentials {
            username: Some("postgres".to_owned()),
            password: Some(Secret::new("a b")),
            sslmode: Some("require".to_owned()),
            sslkey: Some("/k".to_owned()),
            ..Credentials::default()
        };
        let found = credentials(&superuser).unwrap().to_string();
        assert_eq!(found, r"password=a\ b sslkey=/k");
    }

    #[test]
    fn a_coordinator_registers_its_published_address() {
        let mut settings = Postgresql {
            connect_address: Some(HostPort {
                host: "Host".to_owned(),
                port: 5433,
            }),
            ..Postgresql::default()
        };
        assert_eq!(
            register_coordinator(&settings).unwrap(),
            "SELECT pg_catalog.citus_set_coordinator_host('host', 5433, 'primary', 'default')"
        );
        settings.connect_address = Some(HostPort {
            host: String::new(),
            port: 5433,
        });
        assert!(register_coordinator(&settings).is_err());
    }
}
