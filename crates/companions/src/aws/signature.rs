//! Signing requests: version 4 of AWS's own way.
//!
//! Source: "Create a signed AWS API request" in the IAM user guide.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::{digest, hmac};

use super::credentials::Credentials;

/// A POST with a form, to be signed.
#[derive(Debug)]
pub(super) struct Form<'a> {
    /// Host, with its port unless that is the usual one.
    pub(super) host: &'a str,
    /// For example `eu-central-1`.
    pub(super) region: &'a str,
    /// For example `ec2`.
    pub(super) service: &'a str,
    /// The encoded form.
    pub(super) body: &'a str,
}

/// What the form is sent as.
pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

impl Form<'_> {
    /// The headers with the signature, beside `host` and `content-type`.
    pub(super) fn sign(
        &self,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Vec<(&'static str, String)> {
        let now = now.to_zoned(TimeZone::UTC);
        let (day, time) = (
            now.strftime("%Y%m%d").to_string(),
            now.strftime("%Y%m%dT%H%M%SZ").to_string(),
        );
        let mut headers = vec![
            ("content-type", CONTENT_TYPE.to_owned()),
            ("host", self.host.to_owned()),
            ("x-amz-date", time.clone()),
        ];
        if let Some(session) = &credentials.session {
            headers.push(("x-amz-security-token", session.expose().to_owned()));
        }
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!(
            "{ALGORITHM}\n{time}\n{scope}\n{}",
            sha256(&self.canonical(&headers, &names))
        );
        let signature = self.signature(credentials, &day, &text);
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credentials.id
        );
        headers.retain(|(name, _)| name.starts_with("x-"));
        headers.push(("authorization", authorization));
        headers
    }

    fn canonical(&self, headers: &[(&str, String)], names: &str) -> String {
        let mut text = "POST\n/\n\n".to_owned();
        for (name, value) in headers {
            let _ = writeln!(text, "{name}:{value}");
        }
        let _ = write!(text, "\n{names}\n{}", sha256(self.body));
        text
    }

    fn signature(&self, credentials: &Credentials, day: &str, text: &str) -> String {
        let secret = format!("AWS4{}", credentials.secret.expose());
        let parts = [day, self.region, self.service, "aws4_request"];
        let key = parts.iter().fold(
            hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            |key, part| {
                let next = hmac::sign(&key, part.as_bytes());
                hmac::Key::new(hmac::HMAC_SHA256, next.as_ref())
            },
        );
        hex(hmac::sign(&key, text.as_bytes()).as_ref())
    }
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::Secret;

    /// Of AWS's own suite of signatures: `post-x-www-form-urlencoded-parameters`.
    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let credentials = Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: None,
        };
        let form = Form {
            host: "example.amazonaws.com",
            region: "us-east-1",
            service: "service",
            body: "Param1=value1",
        };
        let headers = form.sign(&credentials, "2015-08-30T12:36:00Z".parse().unwrap());
        let (name, authorization) = headers.last().unwrap();
        assert_eq!(*name, "authorization");
        let (start, signature) = authorization.split_once(", Signature=").unwrap();
        assert_eq!(
            start,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date"
        );
        assert_eq!(
            signature,
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }
}
