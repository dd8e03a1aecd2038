//! What the instance knows of itself: the metadata service, version 2.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

/// The service of this instance.
#[derive(Debug)]
pub(super) struct Metadata {
    base: String,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// For example `i-0abc`.
    pub(super) id: String,
    /// For example `eu-central-1`.
    pub(super) region: String,
}

/// The service did not answer: mostly because this is no EC2 instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum MetadataError {
    /// No connection, or a refusal.
    #[error("ask for {what}")]
    Unanswered {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer without a field.
    #[error("find {field} in the answer")]
    NoField {
        /// Its name.
        field: &'static str,
    },
}

/// The service is on the same machine.
const LIMIT: Duration = Duration::from_millis(2100);

/// How long a token lives; it is used at once.
const TOKEN_SECONDS: &str = "60";

impl Metadata {
    pub(super) fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// Name and region of the instance.
    pub(super) async fn instance(&self) -> Result<Instance, MetadataError> {
        let text = self
            .get("/latest/dynamic/instance-identity/document")
            .await?;
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Instance {
            id: field(&document, "instanceId")?,
            region: field(&document, "region")?,
        })
    }

    /// The text at a path.
    pub(super) async fn get(&self, path: &str) -> Result<String, MetadataError> {
        let failed = |source: reqwest::Error| MetadataError::Unanswered {
            what: path.to_owned(),
            source: source.without_url(),
        };
        let client = Client::builder().no_proxy().timeout(LIMIT).build();
        let client = client.map_err(failed)?;
        let token = client
            .put(format!("{}/latest/api/token", self.base))
            .header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        let token = token.text().await.map_err(failed)?;
        let answer = client
            .get(format!("{}{path}", self.base))
            .header("X-aws-ec2-metadata-token", token)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        answer.text().await.map_err(failed)
    }
}

/// A text of a document.
pub(super) fn field(document: &Value, field: &'static str) -> Result<String, MetadataError> {
    document
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or(MetadataError::NoField { field })
}
