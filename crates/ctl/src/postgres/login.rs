//! Who logs in, and with which session.

use patroni_core::{ConnUrl, password_file};

use super::parameters::Parameters;
use super::tls::Tls;
use crate::settings::Environment;

/// Who logs in and how, by options, else by the defaults of libpq.
pub(crate) struct Login {
    pub(super) user: String,
    pub(super) database: String,
    pub(super) application_name: String,
    /// Settings of the session, as on the command line of a server.
    pub(super) options: Option<String>,
    pub(super) tls: Tls,
    password: Option<String>,
    passwords: Option<String>,
}

impl Login {
    /// Reads what the options leave open from the environment and its files. The error is a
    /// sentence.
    pub(crate) fn new(
        environment: &Environment,
        user: Option<String>,
        password: Option<String>,
        database: Option<String>,
    ) -> Result<Self, String> {
        let parameters = Parameters::read(environment)?;
        let user = user
            .or_else(|| parameters.get("user", "PGUSER"))
            .unwrap_or_else(account);
        let database = database
            .or_else(|| parameters.get("dbname", "PGDATABASE"))
            .unwrap_or_else(|| user.clone());
        let file = parameters
            .get("passfile", "PGPASSFILE")
            .map(Into::into)
            .or_else(|| parameters.at_home(".pgpass"));
        let application_name = parameters.get("application_name", "PGAPPNAME");
        Ok(Self {
            password: password.or_else(|| parameters.get("password", "PGPASSWORD")),
            passwords: file.and_then(|file| std::fs::read_to_string(file).ok()),
            application_name: application_name.unwrap_or_else(|| "Patroni ctl".to_owned()),
            options: parameters.get("options", "PGOPTIONS"),
            tls: Tls::read(&parameters)?,
            user,
            database,
        })
    }

    pub(super) fn password_for(&self, address: &ConnUrl) -> Option<String> {
        if self.password.is_some() {
            return self.password.clone();
        }
        let port = address.port.to_string();
        password_file::find(
            self.passwords.as_ref()?,
            &address.host,
            &port,
            &self.database,
            &self.user,
        )
    }
}

fn account() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "postgres".to_owned(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let owned = pairs.iter().map(|(name, value)| (*name, *value));
        owned
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn password_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let text = "# no\nother:*:*:*:x\nh:5432:d:u:se\\:cret\n";
        std::fs::write(&file, text).unwrap();
        let environment = environment(&[("PGPASSFILE", &file.display().to_string())]);
        let named = |name: &str| Some(name.to_owned());
        let login = Login::new(&environment, named("u"), None, named("d")).unwrap();
        let address = ConnUrl::parse("postgres://h:5432/x").unwrap();
        assert_eq!(login.password_for(&address).as_deref(), Some("se:cret"));
    }

    #[test]
    fn the_session_is_named_and_set_by_the_environment() {
        let login = |pairs: &[(&str, &str)]| {
            let login = Login::new(&environment(pairs), None, None, None).unwrap();
            (login.application_name, login.options)
        };
        assert_eq!(login(&[]), ("Patroni ctl".to_owned(), None));
        let given = login(&[("PGAPPNAME", "job"), ("PGOPTIONS", "-c work_mem=7MB")]);
        assert_eq!(
            given,
            ("job".to_owned(), Some("-c work_mem=7MB".to_owned()))
        );
    }
}
