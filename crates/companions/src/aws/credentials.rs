//! With which key requests are signed: that of the environment, of the shared file, or of the
//! instance's role, in this order.

use std::path::PathBuf;

use patroni_core::Secret;
use serde_json::Value;

use super::metadata::{Metadata, MetadataError, field};
use super::variable;

/// A key.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// Its public part.
    pub(super) id: String,
    /// Its secret part.
    pub(super) secret: Secret,
    /// What temporary keys come with.
    pub(super) session: Option<Secret>,
}

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

impl Credentials {
    /// Looks in all places; those of a role are asked for each time, because they expire.
    pub(super) async fn find(metadata: &Metadata) -> Result<Self, MetadataError> {
        if let Some(found) = Self::of_variables().or_else(Self::of_file) {
            return Ok(found);
        }
        let roles = metadata.get(ROLES).await?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let text = metadata.get(&format!("{ROLES}{role}")).await?;
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self {
            id: field(&document, "AccessKeyId")?,
            secret: Secret::new(field(&document, "SecretAccessKey")?),
            session: Some(Secret::new(field(&document, "Token")?)),
        })
    }

    fn of_variables() -> Option<Self> {
        Some(Self {
            id: variable("AWS_ACCESS_KEY_ID")?,
            secret: Secret::new(variable("AWS_SECRET_ACCESS_KEY")?),
            session: variable("AWS_SESSION_TOKEN").map(Secret::new),
        })
    }

    fn of_file() -> Option<Self> {
        let path = variable("AWS_SHARED_CREDENTIALS_FILE")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")))?;
        let text = std::fs::read_to_string(path).ok()?;
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        Self::of_profile(&text, &profile)
    }

    /// The section `[profile]` of the shared file.
    fn of_profile(text: &str, profile: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim);
        let section: Vec<(&str, &str)> = lines
            .skip_while(|line| *line != format!("[{profile}]"))
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect();
        let get = |wanted: &str| {
            let found = section.iter().find(|(key, _)| *key == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        Some(Self {
            id: get("aws_access_key_id")?,
            secret: Secret::new(get("aws_secret_access_key")?),
            session: get("aws_session_token").map(Secret::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_the_shared_file_is_read() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n\
                    [other]\naws_access_key_id=C\naws_secret_access_key=D==\naws_session_token=E\n";
        let read = |profile: &str| {
            let found = Credentials::of_profile(text, profile)?;
            let session = found.session.map(|token| token.expose().to_owned());
            Some((found.id, found.secret.expose().to_owned(), session))
        };
        let owned = |a: &str, b: &str, c: Option<&str>| {
            Some((a.to_owned(), b.to_owned(), c.map(str::to_owned)))
        };
        assert_eq!(read("default"), owned("A", "B", None));
        assert_eq!(read("other"), owned("C", "D==", Some("E")));
        assert_eq!(read("third"), None);
    }
}
