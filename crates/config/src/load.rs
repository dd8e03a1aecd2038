//! Reading the local configuration from where it lies. The only module that opens files.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds of a JSON value that are not named are all alike here"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use patroni_core::value;
use serde_json::{Map, Value};

use crate::env::Environment;
use crate::error::ConfigError;
use crate::merge::deep_merge;
use crate::origin::{Origin, Origins};
use crate::{unknown, yaml};

/// The local configuration: files and environment, merged, not yet interpreted.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The settings as written.
    pub settings: Map<String, Value>,
    /// Where each was written.
    pub origins: Origins,
    /// The file or directory it came from; without one a reload changes nothing.
    pub path: Option<PathBuf>,
    /// Home directory of the process, for the default password file.
    pub home: Option<PathBuf>,
    /// For the log, from reading the environment.
    pub warnings: Vec<String>,
    /// Likewise, about variables that say nothing and are ignored.
    pub errors: Vec<String>,
}

impl Local {
    /// Finds and reads the local configuration: the given path if it exists, with the environment
    /// over it; else `PATRONI_CONFIGURATION` alone; else the environment alone. The result may be
    /// empty, see [`Self::require`].
    ///
    /// # Errors
    /// A source that exists but cannot be read or is no mapping.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let mut local = Self {
            home: environment.home.clone(),
            ..Self::default()
        };
        if let Some(path) = path.filter(|path| path.exists()) {
            local.read_path(path)?;
            local.path = Some(path.to_owned());
        } else if local.read_variable(environment)? {
            return Ok(local);
        }
        let mut variables = environment.settings.clone();
        drop_mere_scheme(&mut variables, &local.settings);
        deep_merge(&mut local.settings, variables);
        local.origins.extend(&environment.origins);
        local.warnings.clone_from(&environment.warnings);
        local.errors.clone_from(&environment.errors);
        Ok(local)
    }

    /// Reads the same source again. Without a file the configuration stays as it is.
    ///
    /// # Errors
    /// As [`Self::load`]; also when the file has gone. The old configuration stays in effect then.
    pub fn reload(&self, environment: &Environment) -> Result<Self, ConfigError> {
        match &self.path {
            None => Ok(self.clone()),
            Some(path) if !path.exists() => Err(ConfigError::InvalidPath { path: path.clone() }),
            Some(path) => Self::load(Some(path), environment),
        }
    }

    /// The configuration, if there is any.
    ///
    /// # Errors
    /// [`ConfigError::Empty`].
    pub fn require(self) -> Result<Self, ConfigError> {
        if self.settings.is_empty() {
            return Err(ConfigError::Empty);
        }
        Ok(self)
    }

    /// One warning for each key that nothing reads, with the known key that it may stand for. For
    /// a refusal, which often comes from a misspelt key; a configuration that can be used brings
    /// these among its own warnings.
    pub fn unknown_keys(&self) -> Vec<String> {
        unknown::warnings(&self.settings, &self.origins)
    }

    /// A refusal of a configuration made of this one alone, completed by what is known of the
    /// place: the line in `bootstrap.dcs`, or the file in which something is missing.
    #[must_use]
    pub fn locate(&self, refusal: ConfigError) -> ConfigError {
        match refusal {
            ConfigError::Dynamic(error) => {
                let path = format!("bootstrap.dcs.{}", error.key);
                ConfigError::Setting {
                    origin: self.origins.find(&path).cloned(),
                    path,
                    problem: format!("{} {}", error.value, error.problem),
                }
            }
            ConfigError::Setting {
                path,
                origin: None,
                problem,
            } => ConfigError::Setting {
                path,
                origin: self.path.clone().map(Origin::Whole),
                problem,
            },
            other @ (ConfigError::Empty
            | ConfigError::InvalidPath { .. }
            | ConfigError::NoMapping { .. }
            | ConfigError::Syntax { .. }
            | ConfigError::Read { .. }
            | ConfigError::ParametersNotMapping
            | ConfigError::NoStore
            | ConfigError::Setting { .. }) => other,
        }
    }

    fn read_path(&mut self, path: &Path) -> Result<(), ConfigError> {
        if path.is_file() {
            return self.read_file(path);
        }
        if !path.is_dir() {
            let path = path.to_owned();
            return Err(ConfigError::InvalidPath { path });
        }
        for file in yaml_files(path).map_err(|error| read_error(path, error))? {
            self.read_file(&file)?;
        }
        Ok(())
    }

    fn read_file(&mut self, file: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(file).map_err(|error| read_error(file, error))?;
        let document = yaml::parse(&text).map_err(|error| ConfigError::Syntax {
            file: file.to_owned(),
            error,
        })?;
        let Value::Object(settings) = document.value else {
            let file = file.to_owned();
            return Err(ConfigError::NoMapping { file });
        };
        deep_merge(&mut self.settings, settings);
        self.origins
            .add_file(file, document.places, document.stand_ins);
        Ok(())
    }

    /// Takes `PATRONI_CONFIGURATION`, if it is set to something.
    fn read_variable(&mut self, environment: &Environment) -> Result<bool, ConfigError> {
        let Some(text) = &environment.configuration else {
            return Ok(false);
        };
        let file = PathBuf::from("PATRONI_CONFIGURATION");
        let document = yaml::parse(text).map_err(|error| ConfigError::Syntax {
            file: file.clone(),
            error,
        })?;
        match document.value {
            Value::Object(settings) if !settings.is_empty() => {
                self.settings = settings;
                self.origins
                    .add_file(&file, document.places, document.stand_ins);
                Ok(true)
            }
            other if value::is_truthy(&other) => Err(ConfigError::NoMapping { file }),
            _ => Ok(false),
        }
    }
}

/// `PATRONI_CONSUL_SCHEME` alone tells how to reach Consul, and does not choose that store.
fn drop_mere_scheme(variables: &mut Map<String, Value>, file: &Map<String, Value>) {
    let consul = variables.get("consul").and_then(Value::as_object);
    let is_mere = consul.is_some_and(|section| section.keys().all(|key| key == "scheme"));
    if is_mere && !file.contains_key("consul") {
        variables.shift_remove("consul");
    }
}

/// Regular files (or links to such) of a directory that end in `.yml` or `.yaml`, in byte order.
fn yaml_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if (name.ends_with(b".yml") || name.ends_with(b".yaml")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_error(file: &Path, error: io::Error) -> ConfigError {
    let file = file.to_owned();
    ConfigError::Read { file, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effective, Settings};
    use serde_json::json;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let owned = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Environment::read(owned)
    }

    #[test]
    fn a_directory_is_merged_in_name_order() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("20-b.yaml", "name: b\ntags: {x: null, y: 2}\n");
        write("10-a.yml", "scope: s\nname: a\ntags: {x: 1}\nlog:\n");
        write(".hidden.yml", "hidden: 1\n");
        write("30-c.YML", "name: c\n");
        let local = Local::load(
            Some(directory.path()),
            &environment(&[("PATRONI_SCOPE", "env")]),
        )
        .unwrap();
        assert_eq!(
            Value::Object(local.settings.clone()),
            json!({"hidden": 1, "scope": "env", "name": "b", "tags": {"y": 2}})
        );
        let origin = |path: &str| local.origins.find(path).unwrap().to_string();
        assert!(origin("name").ends_with("20-b.yaml, line 1"));
        assert_eq!(origin("scope"), "PATRONI_SCOPE");
        write("40-empty.yml", "# nothing\n");
        let broken = local.reload(&Environment::default()).unwrap_err();
        assert!(broken.to_string().starts_with("invalid config file "));
        assert!(
            broken
                .log_line()
                .unwrap()
                .ends_with("40-empty.yml does not contain a dict")
        );
    }

    #[test]
    fn a_refusal_names_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("node.yml");
        fs::write(&file, "scope: s\nnam: a\nbootstrap:\n  dcs:\n    ttl: x\n").unwrap();
        let local = Local::load(Some(&file), &Environment::default()).unwrap();
        let name = file.display();
        assert_eq!(
            local.unknown_keys(),
            [format!(
                "{name}, line 2: nam is an unknown key, did you mean name?"
            )]
        );
        let bootstrap = local.settings["bootstrap"]["dcs"].as_object().unwrap();
        let refusal = Effective::compute(bootstrap, &local).unwrap_err();
        assert_eq!(
            local.locate(refusal).to_string(),
            format!("{name}, line 5: bootstrap.dcs.ttl x is not an integer")
        );
        let effective = Effective::compute(&Map::new(), &local).unwrap();
        let refusal = Settings::read(&effective).unwrap_err();
        assert_eq!(
            local.locate(refusal).to_string(),
            format!("{name}: name is not defined")
        );
    }

    #[test]
    fn a_missing_file_leaves_the_variables() {
        let absent = Path::new("/nonexistent/patroni.yml");
        let whole = environment(&[
            ("PATRONI_CONFIGURATION", "scope: a\nname: b\n"),
            ("PATRONI_NAME", "ignored"),
        ]);
        let local = Local::load(Some(absent), &whole).unwrap();
        assert_eq!(
            Value::Object(local.settings),
            json!({"scope": "a", "name": "b"})
        );
        let parts = environment(&[("PATRONI_CONFIGURATION", ""), ("PATRONI_NAME", "n")]);
        let local = Local::load(Some(absent), &parts).unwrap();
        assert_eq!(Value::Object(local.settings.clone()), json!({"name": "n"}));
        assert_eq!(
            local.reload(&Environment::default()).unwrap().settings,
            local.settings
        );
        let none = Local::load(None, &Environment::default()).unwrap();
        assert_eq!(none.require().unwrap_err().to_string(), "Config is empty.");
    }

    #[test]
    fn a_scheme_chooses_no_store() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yml");
        let load = |text: &str, variables: &[(&str, &str)]| {
            fs::write(&file, text).unwrap();
            let local = Local::load(Some(&file), &environment(variables)).unwrap();
            local.settings.get("consul").cloned()
        };
        let scheme = ("PATRONI_CONSUL_SCHEME", "https");
        let host = ("PATRONI_CONSUL_HOST", "h");
        assert_eq!(load("etcd3: {host: h}\n", &[scheme]), None);
        let both = json!({"host": "h", "scheme": "https"});
        assert_eq!(load("a: 1\n", &[scheme, host]), Some(both.clone()));
        assert_eq!(load("consul: {host: h}\n", &[scheme]), Some(both));
    }

    #[test]
    fn a_syntax_error_names_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("p.yml");
        fs::write(&file, "a: 1\nb: c: d\n").unwrap();
        let broken = Local::load(Some(&file), &Environment::default()).unwrap_err();
        let message = broken.to_string();
        assert!(
            message.starts_with(&format!("invalid config file {}: line 2", file.display())),
            "{message}"
        );
    }
}
