//! Basic authentication of the REST interface.

use patroni_core::Secret;

use crate::error::ConfigError;
use crate::section::Section;

/// A user name and password for HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

impl BasicAuth {
    /// Reads `auth` (`user:password`), which the effective configuration has in place of
    /// `authentication`.
    pub(crate) fn read(section: &Section<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(pair) = section.text("auth")? else {
            return Ok(None);
        };
        let (username, password) = pair
            .split_once(':')
            .ok_or_else(|| section.fail("auth", "must have the form user:password"))?;
        Ok(Some(Self {
            username: username.to_owned(),
            password: Secret::new(password),
        }))
    }

    /// `user:password`, what is encoded in the `Authorization` header.
    pub fn pair(&self) -> Secret {
        Secret::new(format!("{}:{}", self.username, self.password.expose()))
    }
}
