//! Where the API is, and who we are there.

use std::error::Error;
use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::options::Options;

/// The way to the API. Files are read anew for every new connection, so that renewed ones are
/// used without a restart; a service account's token also within a minute by itself.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// A Pod with its service account.
    Pod {
        url: String,
        ca: PathBuf,
        token: PathBuf,
    },
    /// A client's configuration files.
    Files {
        paths: Vec<PathBuf>,
        context: Option<String>,
    },
}

/// The settings do not lead to an API.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAccess(String);

impl Access {
    /// In a Pod when the variables and files of one are there, else by the client's files.
    pub(super) fn find(options: &Options) -> Self {
        let environment = &options.environment;
        let account = &environment.service_account;
        let ca = options.cacert.clone().unwrap_or(account.join("ca.crt"));
        let token = account.join("token");
        match (&environment.service_host, &environment.service_port) {
            (Some(host), Some(port)) if has_content(&ca) && has_content(&token) => Self::Pod {
                url: url(host, port),
                ca,
                token,
            },
            _ => Self::Files {
                paths: environment.kubeconfig.clone(),
                context: options.context.clone(),
            },
        }
    }

    /// Reads everything that one connection needs.
    pub(super) async fn config(&self) -> Result<Config, NoAccess> {
        let mut config = match self {
            Self::Pod { url, ca, token } => pod_config(url, ca, token)?,
            Self::Files { paths, context } => files_config(paths, context.clone()).await?,
        };
        config.proxy_url = None; // no variable of the environment leads a member elsewhere
        Ok(config)
    }
}

/// The URL of a host, which may be an IPv6 address.
pub(super) fn url(host: &str, port: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        return format!("https://[{host}]:{port}");
    }
    format!("https://{host}:{port}")
}

fn has_content(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() > 0)
}

fn pod_config(url: &str, ca: &Path, token: &Path) -> Result<Config, NoAccess> {
    let url = url
        .parse()
        .map_err(|error| NoAccess(format!("bad address of the API, {url}: {error}")))?;
    let mut config = Config::new(url);
    config.root_cert = Some(certificates(ca)?);
    config.root_cert_file = Some(ca.to_owned());
    config.auth_info.token_file = Some(token.display().to_string());
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, NoAccess> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    let fail = |why: &dyn Error| NoAccess(format!("read {}: {why}", path.display()));
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| fail(&error))?
        .collect();
    let found = found.map_err(|error| fail(&error))?;
    if found.is_empty() {
        return Err(NoAccess(format!("no certificate in {}", path.display())));
    }
    Ok(found.iter().map(|one| one.as_ref().to_vec()).collect())
}

async fn files_config(paths: &[PathBuf], context: Option<String>) -> Result<Config, NoAccess> {
    let fail = |error: &dyn Error| NoAccess(format!("not in a Pod, and {error}"));
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        if paths.len() > 1 && !path.exists() {
            continue; // as every client does with a list
        }
        let file = Kubeconfig::read_from(path).map_err(|error| fail(&error))?;
        merged = Some(match merged {
            Some(before) => before.merge(file).map_err(|error| fail(&error))?,
            None => file,
        });
    }
    let Some(kubeconfig) = merged else {
        let why = "not in a Pod, and there is no file in KUBECONFIG or at ~/.kube/config";
        return Err(NoAccess(why.to_owned()));
    };
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|error| fail(&error))
}
