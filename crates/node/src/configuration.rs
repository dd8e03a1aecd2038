//! The configuration of a running node: local sources and the dynamic document, and what they
//! mean together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use patroni_config::{ConfigError, Dynamic, Environment, Local, Settings, cache, reload};
use patroni_core::{ConfigDoc, Revision, value};
use serde_json::{Map, Value};
use tracing::{error, info, warn};

/// Both sources, and the settings that follow from them.
#[derive(Debug)]
pub(crate) struct Configuration {
    environment: Environment,
    local: Local,
    dynamic: Arc<Map<String, Value>>,
    /// The revision of the store that `dynamic` was last judged at.
    judged: Option<Revision>,
    /// The cache file's text as last written.
    cached: Option<String>,
    settings: Arc<Settings>,
    /// The node runs with these settings: what is read at start only stays as it is.
    in_use: bool,
    /// The local sources that the daemon was started with.
    started_with: Map<String, Value>,
    /// The warnings about the sources in effect: each is said once.
    said: BTreeSet<String>,
    /// Why the local sources that were read last cannot be used.
    refused: Option<String>,
}

impl Configuration {
    /// Reads the local sources; the dynamic document is that of the cache file beside the data,
    /// else `bootstrap.dcs`.
    ///
    /// # Errors
    /// The text for the operator; nothing was started.
    pub(crate) fn load(path: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        if let Some(path) = path.filter(|path| !path.exists()) {
            warn!(
                "config path {} does not exist, only the environment counts",
                path.display()
            );
        }
        let local = Local::load(path, &environment)?.require()?;
        let from_bootstrap = bootstrap_document(&local);
        let (settings, _) = Settings::of(&from_bootstrap, &local).map_err(|refusal| {
            // A misspelt key is a usual cause.
            for warning in local.warnings.iter().chain(&local.unknown_keys()) {
                warn!("{warning}");
            }
            local.locate(refusal)
        })?;
        let cached =
            std::fs::read_to_string(settings.postgresql.data_dir.join(cache::FILE_NAME)).ok();
        let dynamic = cached
            .as_deref()
            .and_then(cache::from_text)
            .unwrap_or(from_bootstrap);
        let (settings, warnings) = Settings::of(&dynamic, &local)?;
        for error in &local.errors {
            error!("{error}");
        }
        for warning in local.warnings.iter().chain(&warnings) {
            warn!("{warning}");
        }
        Ok(Self {
            environment,
            started_with: local.settings.clone(),
            said: warnings.into_iter().collect(),
            refused: None,
            local,
            dynamic: Arc::new(dynamic),
            judged: None,
            cached,
            settings: Arc::new(settings),
            in_use: false,
        })
    }

    /// Whether this node may be the first of a cluster and has nothing to tell it: neither the
    /// store nor the cache file has a document, and `bootstrap` has no `dcs`.
    ///
    /// # Errors
    /// So it is. The reference does not start either.
    pub(crate) fn require_dynamic(&self) -> Result<(), ConfigError> {
        let bootstrap = self.local.settings.get("bootstrap");
        let is_there = self.judged.is_some()
            || !self.dynamic.is_empty()
            // A node of Citus has a default there.
            || self.settings.citus.is_some()
            || bootstrap.is_none_or(|section| section.get("dcs").is_some());
        if is_there {
            return Ok(());
        }
        Err(self.local.locate(ConfigError::Setting {
            path: "bootstrap.dcs".to_owned(),
            origin: None,
            problem: "is not defined, and neither the store nor a cache file has a dynamic \
                      configuration: write `dcs: {}` below bootstrap to begin with the defaults"
                .to_owned(),
        }))
    }

    /// From now on what is read at start only stays as it is, whatever either source says.
    pub(crate) fn begin_use(&mut self) {
        self.in_use = true;
    }

    /// The settings in effect.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    /// The dynamic document in effect, as written.
    pub(crate) fn dynamic(&self) -> &Arc<Map<String, Value>> {
        &self.dynamic
    }

    /// The configuration file or folder, for texts.
    pub(crate) fn path(&self) -> PathBuf {
        self.local.path.clone().unwrap_or_default()
    }

    /// Takes over the store's document when it is valid, new and different. Returns whether the
    /// settings changed.
    pub(crate) fn judge_store(&mut self, doc: Option<&ConfigDoc>) -> bool {
        let Some(doc) = doc.filter(|doc| !doc.data.is_empty()) else {
            return false;
        };
        if doc.modify_revision.is_none() || doc.modify_revision == self.judged {
            return false;
        }
        self.judged.clone_from(&doc.modify_revision);
        if value::deep_equal(&doc.data, &self.dynamic) {
            return false;
        }
        match Settings::of(&doc.data, &self.local) {
            Ok((settings, warnings)) => {
                self.say(warnings);
                self.take_over(settings);
                self.dynamic = Arc::clone(&doc.data);
                true
            }
            Err(refusal) => {
                error!("Exception when setting dynamic_configuration: {refusal}");
                false
            }
        }
    }

    /// Reads the local sources again. The old ones stay when that fails, or when the new ones
    /// cannot be used ([`Self::refused`]). Returns whether anything changed.
    pub(crate) fn reload_local(&mut self) -> bool {
        self.refused = None;
        let read = self.local.reload(&self.environment);
        let local = match read.and_then(Local::require) {
            Ok(local) => local,
            Err(refusal) => {
                if let Some(line) = refusal.log_line() {
                    error!("{line}");
                }
                let path = self.path();
                error!(
                    "Exception when reloading local configuration from {}: {refusal}",
                    path.display()
                );
                return false;
            }
        };
        if reload::changed_sections(&self.local.settings, &local.settings).is_empty() {
            info!("{}", reload::NOTHING_CHANGED);
            return false;
        }
        match Settings::of(&self.dynamic, &local) {
            Ok((settings, warnings)) => {
                self.say(warnings);
                for path in self.newly_waiting(&local.settings) {
                    warn!("{path} takes effect only when the daemon is started again");
                }
                self.take_over(settings);
                self.local = local;
                true
            }
            Err(refusal) => {
                self.refused = Some(local.locate(refusal).to_string());
                false
            }
        }
    }

    /// Why the local sources that were read last cannot be used, if that is so. Nothing of a
    /// reload takes effect then.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Settings that just changed and now wait for another start of the daemon. One that is back
    /// at what the daemon runs with waits for nothing.
    fn newly_waiting(&self, new: &Map<String, Value>) -> Vec<&'static str> {
        let differ = reload::waiting_for_restart(&self.started_with, new);
        let mut changed = reload::waiting_for_restart(&self.local.settings, new);
        changed.retain(|path| differ.contains(path));
        changed
    }

    /// Logs what has not been said of the sources before.
    fn say(&mut self, warnings: Vec<String>) {
        let warnings = warnings.into_iter().collect();
        for warning in self.unsaid(&warnings) {
            warn!("{warning}");
        }
        self.said = warnings;
    }

    fn unsaid<'w>(&'w self, warnings: &'w BTreeSet<String>) -> impl Iterator<Item = &'w String> {
        warnings.difference(&self.said)
    }

    fn take_over(&mut self, mut settings: Settings) {
        if self.in_use {
            settings.keep_start_only(&self.settings);
        }
        self.settings = Arc::new(settings);
    }

    /// Writes the cache file when the document changed since it was written last.
    pub(crate) fn write_cache(&mut self) {
        let text = cache::to_text(&self.dynamic);
        if self.cached.as_ref() == Some(&text) {
            return;
        }
        let path = self.settings.postgresql.data_dir.join(cache::FILE_NAME);
        match replace_file(&path, &text) {
            Ok(()) => self.cached = Some(text),
            Err(failure) => error!("Exception when saving file: {}: {failure}", path.display()),
        }
    }
}

fn bootstrap_document(local: &Local) -> Map<String, Value> {
    let bootstrap = local.settings.get("bootstrap").and_then(Value::as_object);
    bootstrap
        .and_then(|section| section.get("dcs"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// Writes through a file beside it, so that the old or the new text is there at any time.
fn replace_file(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension(format!("json{}", std::process::id()));
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The timings of a store for these settings.
pub(crate) fn timings(dynamic: &Dynamic) -> patroni_dcs::Timings {
    patroni_dcs::Timings {
        ttl: dynamic.ttl,
        loop_wait: dynamic.loop_wait,
        retry_timeout: dynamic.retry_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, data_dir: &str, tag: &str) -> String {
        format!(
            "scope: demo\nname: {name}\ntags: {{x: {tag}}}\netcd3: {{host: h}}\n\
             restapi: {{listen: '127.0.0.1:8008'}}\n\
             postgresql: {{listen: 127.0.0.1, data_dir: {data_dir}}}\n"
        )
    }

    #[test]
    fn a_reload_leaves_the_member_its_name_and_its_data() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yml");
        std::fs::write(&file, text("m1", "/nowhere/1", "old")).unwrap();
        let mut configuration = Configuration::load(Some(&file), Environment::default()).unwrap();
        configuration.begin_use();
        std::fs::write(&file, text("m2", "/nowhere/2", "new")).unwrap();
        assert!(configuration.reload_local());
        let settings = configuration.settings();
        assert_eq!(settings.name.as_str(), "m1");
        assert_eq!(settings.postgresql.name, Some(settings.name.clone()));
        assert_eq!(settings.postgresql.data_dir, Path::new("/nowhere/1"));
        assert_eq!(settings.postgresql.config_dir, Path::new("/nowhere/1"));
        assert_eq!(settings.tags.get("x"), Some(&"new".into()));
        assert!(!configuration.reload_local(), "one warning is enough");
    }

    #[test]
    fn a_first_node_needs_something_to_begin_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yml");
        let bare = text("m1", "/nowhere/1", "x");
        let read = |more: &str| {
            std::fs::write(&file, format!("{bare}{more}")).unwrap();
            Configuration::load(Some(&file), Environment::default()).unwrap()
        };
        for fine in [
            "",
            "bootstrap: {dcs: {}}\n",
            "citus: {group: 0, database: d}\nbootstrap: {method: m}\n",
        ] {
            read(fine).require_dynamic().unwrap();
        }
        let mut lacking = read("bootstrap: {initdb: [data-checksums]}\n");
        let refusal = lacking.require_dynamic().unwrap_err().to_string();
        assert!(
            refusal.contains("node.yml: bootstrap.dcs is not defined"),
            "{refusal}"
        );
        let document = serde_json::json!({"ttl": 25});
        let doc = ConfigDoc {
            revision: Revision::new(1),
            modify_revision: Some(Revision::new(1)),
            data: Arc::new(document.as_object().unwrap().clone()),
        };
        lacking.judge_store(Some(&doc));
        lacking.require_dynamic().unwrap();
    }

    fn waiting(configuration: &Configuration, text: &str) -> Vec<&'static str> {
        let document = patroni_config::yaml::parse_value(text).unwrap();
        configuration.newly_waiting(document.as_object().unwrap())
    }

    #[test]
    fn what_is_back_at_the_running_value_waits_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yml");
        let (old, new) = (text("m1", "/nowhere/1", "x"), text("m2", "/nowhere/1", "x"));
        std::fs::write(&file, &old).unwrap();
        let mut configuration = Configuration::load(Some(&file), Environment::default()).unwrap();
        assert_eq!(waiting(&configuration, &new), ["name"]);
        std::fs::write(&file, &new).unwrap();
        assert!(configuration.reload_local());
        assert!(waiting(&configuration, &new).is_empty());
        assert!(waiting(&configuration, &old).is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_from_one_that_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yml");
        let good = text("m1", "/nowhere/1", "x");
        std::fs::write(&file, &good).unwrap();
        let mut configuration = Configuration::load(Some(&file), Environment::default()).unwrap();
        let mut reload = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let changed = configuration.reload_local();
            (changed, configuration.refused().map(str::to_owned))
        };
        let (changed, why) = reload(&format!("{good}log: {{level: loud}}\n"));
        let why = why.unwrap();
        assert!(
            !changed && why.ends_with("log.level loud is not a log level"),
            "{why}"
        );
        assert_eq!(reload("a: b: c\n"), (false, None));
        assert_eq!(reload(&good), (false, None));
    }

    #[test]
    fn a_warning_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yml");
        std::fs::write(&file, text("m1", "/nowhere/1", "x") + "ttl: 5\n").unwrap();
        let mut configuration = Configuration::load(Some(&file), Environment::default()).unwrap();
        let document = serde_json::json!({"ttl": 25, "loop_wait": 0});
        let doc = ConfigDoc {
            revision: Revision::new(1),
            modify_revision: Some(Revision::new(1)),
            data: Arc::new(document.as_object().unwrap().clone()),
        };
        let (_, warnings) = Settings::of(&doc.data, &configuration.local).unwrap();
        let warnings = warnings.into_iter().collect();
        let new: Vec<_> = configuration.unsaid(&warnings).collect();
        assert_eq!(new, ["loop_wait=0 can't be smaller than 1, adjusting..."]);
        assert!(configuration.judge_store(Some(&doc)));
        assert_eq!(configuration.unsaid(&warnings).count(), 0);
    }

    #[test]
    fn the_store_says_where_binaries_are_until_the_node_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.yml");
        std::fs::write(&file, text("m1", "/nowhere/1", "x")).unwrap();
        let mut configuration = Configuration::load(Some(&file), Environment::default()).unwrap();
        let mut says = |directory: &str, revision: u64| {
            let document = serde_json::json!({"postgresql": {"bin_dir": directory}});
            let doc = ConfigDoc {
                revision: Revision::new(revision),
                modify_revision: Some(Revision::new(revision)),
                data: Arc::new(document.as_object().unwrap().clone()),
            };
            configuration.judge_store(Some(&doc));
            configuration.begin_use();
            configuration.settings().postgresql.bin_dir.clone()
        };
        assert_eq!(says("/a", 1), Some("/a".into()));
        assert_eq!(says("/b", 2), Some("/a".into()));
    }
}
