//! Everything a node is told, typed.

use std::sync::Arc;

use patroni_core::{MemberName, Scope, Tags};
use serde_json::{Map, Value};

use crate::dynamic::Dynamic;
use crate::effective::Effective;
use crate::error::ConfigError;
use crate::file::dcs::STORES;
use crate::file::{
    Bootstrap, Citus, Ctl, Dcs, Guardian, Journal, Log, Postgresql, RestApi, Watchdog,
};
use crate::load::Local;
use crate::section::Section;
use crate::unknown;

/// The settings of a daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `scope`.
    pub scope: Scope,
    /// `name`.
    pub name: MemberName,
    /// `namespace` as written, `service` by default; see [`Self::base_path`].
    pub namespace: String,
    /// The store.
    pub dcs: Dcs,
    /// `restapi`.
    pub restapi: RestApi,
    /// `ctl`.
    pub ctl: Ctl,
    /// `log`.
    pub log: Log,
    /// `journal`.
    pub journal: Journal,
    /// `postgresql`.
    pub postgresql: Postgresql,
    /// `bootstrap`; without it the node never initialises a cluster.
    pub bootstrap: Option<Bootstrap>,
    /// `watchdog`.
    pub watchdog: Watchdog,
    /// `guardian`.
    pub guardian: Guardian,
    /// `tags`.
    pub tags: Tags,
    /// `citus`.
    pub citus: Option<Citus>,
    /// `thread_pool_size`, at least 5.
    pub thread_pool_size: usize,
    /// `thread_stack_size` in bytes, where it is set. Nothing here depends on it.
    pub thread_stack_size: Option<i64>,
    /// The cluster-wide settings.
    pub dynamic: Arc<Dynamic>,
}

impl Settings {
    /// Puts both configurations together and reads the result. The texts are warnings for the log.
    ///
    /// A value below `postgresql` that only the store gives, and that has the wrong type, is
    /// left out with a warning: one mistake of that kind must not keep every node from the rest
    /// of the document, a pause among it.
    ///
    /// # Errors
    /// See [`Effective::compute`] and [`Self::read`].
    pub fn of(
        dynamic: &Map<String, Value>,
        local: &Local,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let mut effective = Effective::compute(dynamic, local)?;
        // Each round leaves out one value of a finite document.
        loop {
            let left_out = match Self::read(&effective) {
                Ok((settings, more)) => {
                    let mut warnings = effective.warnings;
                    warnings.extend(more);
                    return Ok((settings, warnings));
                }
                Err(ConfigError::Setting { path, problem, .. })
                    if effective.leave_out(&path, dynamic, local) =>
                {
                    format!("{path} of the dynamic configuration {problem}, left out")
                }
                Err(refusal) => return Err(refusal),
            };
            effective.warnings.push(left_out);
        }
    }

    /// Reads all sections. The texts are warnings for the log, in addition to those of
    /// [`Effective::warnings`].
    ///
    /// # Errors
    /// The first setting that is missing or cannot be used, with its file and line.
    pub fn read(effective: &Effective) -> Result<(Self, Vec<String>), ConfigError> {
        let root = &Section::root(&effective.settings, &effective.origins);
        let mut warnings = unknown::warnings(&effective.settings, &effective.origins);
        warnings.extend(several_stores(root));
        let scope = Scope::new(root.required("scope")?);
        let name = MemberName::new(root.required("name")?);
        let tags = Tags::new(root.map("tags")?);
        warnings.extend(contradictions(&tags));
        let settings = Self {
            scope,
            name,
            namespace: root.text_or("namespace", "service")?,
            dcs: Dcs::read(root, &mut warnings)?.ok_or(ConfigError::NoStore)?,
            restapi: RestApi::read(root, &mut warnings)?,
            ctl: Ctl::read(root)?,
            log: Log::read(root, &mut warnings)?,
            journal: Journal::read(root)?,
            postgresql: Postgresql::read(
                root,
                effective.home.as_deref(),
                effective.dynamic.retry_timeout,
                &mut warnings,
            )?,
            bootstrap: Bootstrap::read(root)?,
            watchdog: Watchdog::read(root, &mut warnings)?,
            guardian: Guardian::read(root, &mut warnings)?,
            tags,
            citus: Citus::read(root)?,
            thread_pool_size: root.pool_size("thread_pool_size", &mut warnings),
            thread_stack_size: thread_stack_size(root, &mut warnings),
            dynamic: Arc::new(effective.dynamic.clone()),
        };
        Ok((settings, warnings))
    }

    /// Goes on with the values of `running` for everything that is read only when the daemon
    /// starts ([`crate::reload::waiting_for_restart`] names these settings): a server cannot move
    /// to another data directory, nor a member to another name, while it runs.
    pub fn keep_start_only(&mut self, running: &Self) {
        self.scope.clone_from(&running.scope);
        self.name.clone_from(&running.name);
        self.namespace.clone_from(&running.namespace);
        self.thread_pool_size = running.thread_pool_size;
        self.citus.clone_from(&running.citus);
        self.bootstrap.clone_from(&running.bootstrap);
        self.postgresql.keep_start_only(&running.postgresql);
        self.restapi.request_queue_size = running.restapi.request_queue_size;
        self.restapi.thread_pool_size = running.restapi.thread_pool_size;
    }

    /// The key prefix of the cluster: `/service/demo`, without a slash at the end.
    pub fn base_path(&self) -> String {
        base_path(&self.namespace, &self.scope)
    }
}

/// `/` + namespace + `/` + scope with repeated slashes collapsed.
pub fn base_path(namespace: &str, scope: &Scope) -> String {
    let joined = format!("{namespace}/{scope}");
    let parts = joined.split('/').filter(|part| !part.is_empty());
    parts.fold(String::new(), |path, part| path + "/" + part)
}

/// A boolean tag and its priority that say different things: the boolean wins.
pub fn contradictions(tags: &Tags) -> Vec<String> {
    let mut warnings = Vec::new();
    for (flag, priority) in [
        ("nofailover", "failover_priority"),
        ("nosync", "sync_priority"),
    ] {
        let (Some(said), Some(rank)) = (tags.get(flag), tags.get(priority)) else {
            continue;
        };
        let (said, rank) = match (said, patroni_core::value::parse_int(rank)) {
            (Value::Null, _) | (_, None) => continue,
            (said, Some(rank)) => (said, rank),
        };
        if patroni_core::value::is_truthy(said) == (rank > 0) {
            let said = patroni_core::value::text(said);
            warnings.push(format!(
                "Conflicting configuration between {flag}: {said} and {priority}: {rank}. \
                 Defaulting to {flag}: {said}"
            ));
        }
    }
    warnings
}

fn thread_stack_size(root: &Section<'_>, warnings: &mut Vec<String>) -> Option<i64> {
    let given = root.get("thread_stack_size")?;
    let size = patroni_core::value::parse_bytes(given);
    if size.is_none() {
        let given = patroni_core::value::text(given);
        warnings.push(format!(
            "Failed to parse thread_stack_size value \"{given}\""
        ));
    }
    size
}

fn several_stores(root: &Section<'_>) -> Option<String> {
    let present: Vec<&str> = STORES.into_iter().filter(|name| root.has(name)).collect();
    match present.as_slice() {
        [first, rest @ ..] if !rest.is_empty() => Some(root.warning(
            first,
            &format!("is the store in use, ignored: {}", rest.join(", ")),
        )),
        _ => None,
    }
}
