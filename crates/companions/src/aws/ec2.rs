//! The two calls of EC2 that are needed, in its query form.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Url};

use super::credentials::Credentials;
use super::metadata::MetadataError;
use super::signature::{CONTENT_TYPE, Form};

/// Tags by their names.
pub(super) type Tags = BTreeMap<&'static str, String>;

/// EC2 of one region.
#[derive(Debug)]
pub(super) struct Ec2 {
    address: String,
    region: String,
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ec2Error {
    /// No key to sign with.
    #[error("find credentials")]
    Credentials(#[from] MetadataError),
    /// The address is none.
    #[error("read the address {0} of EC2")]
    Address(String),
    /// No connection.
    #[error("call {action}")]
    Unanswered {
        /// The call.
        action: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// EC2 said no.
    #[error("call {action}: {status}: {reason}")]
    Refused {
        /// The call.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// The code of the error, when the answer has one.
        reason: String,
    },
}

/// One call.
const LIMIT: Duration = Duration::from_secs(30);

/// The version of the interface.
const VERSION: &str = "2016-11-15";

impl Ec2 {
    /// EC2 of a region, or at another address.
    pub(super) fn new(region: &str, address: Option<&str>) -> Self {
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        Self {
            address: address
                .map_or_else(|| format!("https://ec2.{region}.{domain}"), str::to_owned),
            region: region.to_owned(),
        }
    }

    /// The volumes that are attached to an instance.
    pub(super) async fn volumes_of(
        &self,
        credentials: &Credentials,
        instance: &str,
    ) -> Result<Vec<String>, Ec2Error> {
        let parameters = [
            ("Filter.1.Name".to_owned(), "attachment.instance-id"),
            ("Filter.1.Value.1".to_owned(), instance),
        ];
        let answer = self
            .call(credentials, "DescribeVolumes", &parameters)
            .await?;
        let found: BTreeSet<&str> = texts(&answer, "volumeId").collect();
        Ok(found.into_iter().map(str::to_owned).collect())
    }

    /// Sets tags of resources.
    pub(super) async fn tag(
        &self,
        credentials: &Credentials,
        resources: &[String],
        tags: &Tags,
    ) -> Result<(), Ec2Error> {
        let mut parameters = Vec::new();
        for (number, resource) in (1..).zip(resources) {
            parameters.push((format!("ResourceId.{number}"), resource.as_str()));
        }
        for (number, (name, text)) in (1..).zip(tags) {
            parameters.push((format!("Tag.{number}.Key"), *name));
            parameters.push((format!("Tag.{number}.Value"), text));
        }
        self.call(credentials, "CreateTags", &parameters).await?;
        Ok(())
    }

    async fn call(
        &self,
        credentials: &Credentials,
        action: &'static str,
        parameters: &[(String, &str)],
    ) -> Result<String, Ec2Error> {
        let bad = || Ec2Error::Address(self.address.clone());
        let url = Url::parse(&self.address).map_err(|_| bad())?;
        let host = url.host_str().ok_or_else(bad)?;
        let host = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let body = form(action, parameters);
        let signed = Form {
            host: &host,
            region: &self.region,
            service: "ec2",
            body: &body,
        };
        let failed = |source: reqwest::Error| Ec2Error::Unanswered {
            action,
            source: source.without_url(),
        };
        let client = Client::builder().timeout(LIMIT).build().map_err(failed)?;
        let mut request = client.post(url).header("content-type", CONTENT_TYPE);
        for (name, text) in signed.sign(credentials, Timestamp::now()) {
            request = request.header(name, text);
        }
        let answer = request.body(body.clone()).send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if status.is_success() {
            return Ok(text);
        }
        Err(Ec2Error::Refused {
            action,
            status: status.as_u16(),
            reason: texts(&text, "Code").next().unwrap_or_default().to_owned(),
        })
    }
}

/// The encoded form of a call.
fn form(action: &str, parameters: &[(String, &str)]) -> String {
    let fixed = [("Action", action), ("Version", VERSION)];
    let given = parameters.iter().map(|(name, text)| (name.as_str(), *text));
    let pairs: Vec<String> = fixed
        .into_iter()
        .chain(given)
        .map(|(name, text)| format!("{name}={}", encode(text)))
        .collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The texts of all elements of this name; they hold no markup.
fn texts<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let open = format!("<{name}>");
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (text, after) = after.split_once("</")?;
        rest = after;
        Some(text)
    })
}
