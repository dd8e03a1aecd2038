//! What a process finds around it that tells where the API is.

use std::env;
use std::path::PathBuf;

/// Where a Pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The variables and places that tell where the API is and who we are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Host of the API's service, inside a Pod.
    pub service_host: Option<String>,
    /// Its port.
    pub service_port: Option<String>,
    /// The folder of the service account: `token` and `ca.crt`.
    pub service_account: PathBuf,
    /// The client's configuration files, the first one wins; for use outside a Pod.
    pub kubeconfig: Vec<PathBuf>,
}

impl Environment {
    /// What the variables of this process say: `KUBERNETES_SERVICE_HOST` and
    /// `KUBERNETES_SERVICE_PORT`, `KUBECONFIG` or else `.kube/config` in `HOME`.
    pub fn of_process() -> Self {
        let filled = |name| env::var(name).ok().filter(|text| !text.is_empty());
        let kubeconfig = match env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
            Some(paths) => env::split_paths(&paths).collect(),
            None => env::home_dir()
                .map(|home| home.join(".kube/config"))
                .into_iter()
                .collect(),
        };
        Self {
            service_host: filled("KUBERNETES_SERVICE_HOST"),
            service_port: filled("KUBERNETES_SERVICE_PORT"),
            service_account: PathBuf::from(SERVICE_ACCOUNT),
            kubeconfig,
        }
    }
}
