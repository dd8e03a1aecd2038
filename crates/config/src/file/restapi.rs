//! The section `restapi`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use patroni_core::Secret;

use super::address::HostPort;
use super::auth::BasicAuth;
use crate::error::ConfigError;
use crate::section::Section;

/// The REST server of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestApi {
    /// `listen`.
    pub listen: HostPort,
    /// `connect_address`, by default the listen address.
    pub connect_address: HostPort,
    /// `authentication` for unsafe methods.
    pub auth: Option<BasicAuth>,
    /// `certfile`, which switches to HTTPS.
    pub certfile: Option<PathBuf>,
    /// `keyfile`.
    pub keyfile: Option<PathBuf>,
    /// `keyfile_password`.
    pub keyfile_password: Option<Secret>,
    /// `cafile`: trust for client certificates.
    pub cafile: Option<PathBuf>,
    /// `ciphers`, in OpenSSL's notation.
    pub ciphers: Option<String>,
    /// `verify_client`.
    pub verify_client: VerifyClient,
    /// `allowlist`: addresses, networks and names; empty lets everybody in.
    pub allowlist: Vec<String>,
    /// `allowlist_include_members`.
    pub allowlist_include_members: bool,
    /// `http_extra_headers`.
    pub http_extra_headers: BTreeMap<String, String>,
    /// `https_extra_headers`.
    pub https_extra_headers: BTreeMap<String, String>,
    /// `request_queue_size`: the backlog of the socket.
    pub request_queue_size: u32,
    /// `thread_pool_size`: requests served at once, at least 5.
    pub thread_pool_size: usize,
    /// `server_tokens`.
    pub server_tokens: ServerTokens,
    /// `ui`: whether there is a page for people. The reference has none and ignores the key.
    pub ui: bool,
}

/// What is asked of a client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VerifyClient {
    /// Nothing.
    #[default]
    None,
    /// Unsafe requests need one.
    Optional,
    /// Every request needs one.
    Required,
    /// A word that means nothing: nothing is asked, and the log says so as an error.
    Unknown(String),
}

/// The `Server` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerTokens {
    /// As the server library has it.
    #[default]
    Original,
    /// Product and version.
    Minimal,
    /// Product alone.
    ProductOnly,
}

impl RestApi {
    pub(crate) fn read(
        root: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let section = &root.section("restapi")?;
        let listen = required_address(section, "listen")?;
        let connect_address = match section.text("connect_address")? {
            Some(_) => required_address(section, "connect_address")?,
            None => listen.clone(),
        };
        Ok(Self {
            listen,
            connect_address,
            auth: BasicAuth::read(section)?,
            certfile: section.path("certfile")?,
            keyfile: section.path("keyfile")?,
            keyfile_password: section.secret("keyfile_password")?,
            cafile: section.path("cafile")?,
            ciphers: section.text("ciphers")?,
            verify_client: verify_client(section)?,
            allowlist: section.list("allowlist")?,
            allowlist_include_members: section.flag("allowlist_include_members", false),
            http_extra_headers: section.texts("http_extra_headers")?,
            https_extra_headers: section.texts("https_extra_headers")?,
            request_queue_size: section.number("request_queue_size")?.unwrap_or(5),
            thread_pool_size: section.pool_size("thread_pool_size", warnings),
            server_tokens: server_tokens(section, warnings)?,
            ui: section.flag("ui", true),
        })
    }

    /// Whether the server speaks TLS.
    pub fn is_https(&self) -> bool {
        self.certfile.is_some()
    }

    /// The address that members publish: `http[s]://host:port/patroni`.
    pub fn api_url(&self) -> String {
        let scheme = if self.is_https() { "https" } else { "http" };
        format!("{scheme}://{}/patroni", self.connect_address)
    }
}

fn required_address(section: &Section<'_>, key: &str) -> Result<HostPort, ConfigError> {
    let text = section.required(key)?;
    HostPort::parse(&text, None).map_err(|_| {
        section.fail(
            key,
            format!(
                "cannot be used. Invalid \"restapi\" config: expected <HOST>:<PORT> for \"{key}\", but got \"{text}\""
            ),
        )
    })
}

fn verify_client(section: &Section<'_>) -> Result<VerifyClient, ConfigError> {
    let text = section.text_or("verify_client", "none")?;
    Ok(match text.to_lowercase().as_str() {
        "none" => VerifyClient::None,
        "optional" => VerifyClient::Optional,
        "required" => VerifyClient::Required,
        _ => VerifyClient::Unknown(text),
    })
}

fn server_tokens(
    section: &Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<ServerTokens, ConfigError> {
    let text = section.text_or("server_tokens", "original")?;
    Ok(match text.to_lowercase().as_str() {
        "original" => ServerTokens::Original,
        "minimal" => ServerTokens::Minimal,
        "productonly" => ServerTokens::ProductOnly,
        _ => {
            warnings.push(format!(
                "restapi.server_tokens is set to \"{text}\". Patroni will not modify the Server \
                 header. Valid values are: \"Minimal\", \"ProductOnly\"."
            ));
            ServerTokens::Original
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origins;
    use serde_json::json;

    #[test]
    fn the_page_for_people_is_there_unless_switched_off() {
        for (value, expected) in [(None, true), (Some("off"), false), (Some("true"), true)] {
            let mut settings = json!({"restapi": {"listen": "127.0.0.1:8008"}});
            if let Some(value) = value {
                settings["restapi"]["ui"] = value.into();
            }
            let origins = Origins::default();
            let root = Section::root(settings.as_object().unwrap(), &origins);
            let read = RestApi::read(&root, &mut Vec::new()).unwrap();
            assert_eq!(read.ui, expected, "{value:?}");
        }
    }
}
