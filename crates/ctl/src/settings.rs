//! Where the tool's settings come from: file, environment, global options.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use patroni_config::{ControlSettings, Local};
use patroni_core::{Causes, Scope};
use serde_json::{Map, Value, json};

use crate::cli::Global;
use crate::exit::Failure;

/// The environment of the caller, read once at start.
pub type Environment = BTreeMap<String, String>;

/// The sections that `-d` takes the place of.
const REPLACED: [&str; 5] = ["consul", "etcd", "etcd3", "exhibitor", "zookeeper"];

/// Finds the settings: the named file or directory, else the one of the user, with `PATRONI_*`
/// over it, and the store of `-d` in place of the file's.
///
/// # Errors
/// The named file cannot be read, or what is configured makes no sense.
pub fn find(global: &Global, environment: &Environment) -> Result<ControlSettings, Failure> {
    let variables = environment
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    let variables = patroni_config::Environment::read(variables);
    let config = |error: patroni_config::ConfigError| Failure::Config(Causes(&error).to_string());
    let set = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let named = global
        .config_file
        .clone()
        .or_else(|| set("PATRONICTL_CONFIG_FILE").map(PathBuf::from));
    let mut local = match named {
        Some(path) if !is_readable(&path) => return Err(Failure::ConfigFile(path)),
        Some(path) => Local::load(Some(&path), &variables).map_err(config)?,
        None => {
            let path = default_file(environment).filter(|path| is_readable(path));
            Local::load(path.as_deref(), &variables).map_err(config)?
        }
    };
    if let Some(url) = global.dcs_url.as_ref().or_else(|| set("DCS_URL")) {
        take_url(&mut local.settings, url)?;
    }
    let mut settings = ControlSettings::read(&local).map_err(config)?;
    settings.ctl.insecure |= global.insecure;
    Ok(settings)
}

/// The settings of another file about the same cluster. The variables of the environment are left
/// out: they are about the store of today. What the file does not say of namespace and scope is
/// as in `base`.
///
/// # Errors
/// The file cannot be read, makes no sense, or is about another cluster.
pub(crate) fn of_file(
    path: &Path,
    base: &ControlSettings,
    scope: &Scope,
) -> Result<ControlSettings, Failure> {
    if !is_readable(path) {
        return Err(Failure::refused(format!(
            "{} cannot be read",
            path.display()
        )));
    }
    let config = |error: patroni_config::ConfigError| Failure::Config(Causes(&error).to_string());
    let nothing = patroni_config::Environment::read(std::iter::empty());
    let mut local = Local::load(Some(path), &nothing).map_err(config)?;
    let mut assume = |key: &str, text: &str| {
        let entry = local.settings.entry(key.to_owned());
        entry.or_insert_with(|| text.into());
    };
    assume("namespace", &base.namespace);
    assume("scope", scope.as_str());
    let settings = ControlSettings::read(&local).map_err(config)?;
    if settings.scope.as_ref() != Some(scope) {
        return Err(Failure::refused(format!(
            "{} is about another cluster than {scope}",
            path.display()
        )));
    }
    if settings.dcs.is_none() {
        return Err(Failure::refused(format!(
            "{} has no section of a store",
            path.display()
        )));
    }
    if settings.dcs == base.dcs && settings.namespace == base.namespace {
        return Err(Failure::refused(format!(
            "{} names the store where the cluster is",
            path.display()
        )));
    }
    Ok(settings)
}

fn is_readable(path: impl AsRef<Path>) -> bool {
    nix::unistd::access(path.as_ref(), nix::unistd::AccessFlags::R_OK).is_ok()
}

fn default_file(environment: &Environment) -> Option<PathBuf> {
    let folder = match environment.get("XDG_CONFIG_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(environment.get("HOME")?).join(".config"),
    };
    Some(folder.join("patroni").join("patronictl.yaml"))
}

/// Puts the store of `[SCHEME://][HOST][:PORT][/NAMESPACE]` in place of those of the file.
fn take_url(settings: &mut Map<String, Value>, url: &str) -> Result<(), Failure> {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, url),
    };
    let (address, namespace) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, "")) => (host, None),
        Some((host, port)) if !port.contains(']') => (host, Some(port_number(port, url)?)),
        _ => (address, None),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let kind = match (scheme.as_deref(), port) {
        (Some(scheme), _) => scheme,
        (None, Some(2181)) => "zookeeper",
        (None, Some(8181)) => "exhibitor",
        (None, Some(8500)) => "consul",
        (None, _) => "etcd",
    };
    let port = port.unwrap_or(match kind {
        "zookeeper" => 2181,
        "exhibitor" => 8181,
        "consul" => 8500,
        _ => 2379,
    });
    let section = match kind {
        "consul" | "etcd" | "etcd3" => json!({"host": format!("{host}:{port}")}),
        "zookeeper" => json!({"hosts": [format!("{host}:{port}")]}),
        "exhibitor" => json!({"hosts": [host], "port": port}),
        other => return Err(Failure::Scheme(other.to_owned())),
    };
    settings.retain(|key, _| !REPLACED.contains(&key.as_str()));
    settings.insert(kind.to_owned(), section);
    if !namespace.trim_matches('/').is_empty() {
        settings.insert("namespace".to_owned(), namespace.into());
    }
    Ok(())
}

fn port_number(port: &str, url: &str) -> Result<u16, Failure> {
    port.parse().map_err(|_| {
        Failure::refused(format!(
            "Invalid dcs url {url}: '{port}' is no port number, 1 to 65535"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_url(url: &str) -> Result<Value, Failure> {
        let mut settings = Map::new();
        settings.insert("etcd3".to_owned(), json!({"host": "old:1"}));
        settings.insert("raft".to_owned(), json!({}));
        take_url(&mut settings, url)?;
        settings.remove("raft").expect("raft stays");
        Ok(Value::Object(settings))
    }

    #[test]
    fn a_file_about_another_store_is_read_as_one_of_the_same_cluster() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let nothing = patroni_config::Environment::read(std::iter::empty());
        let here = file(
            "here.yml",
            "scope: demo\nnamespace: /ns\netcd3: {host: 'h:1'}\n",
        );
        let local = Local::load(Some(&here), &nothing).expect("a configuration");
        let base = ControlSettings::read(&local).expect("settings");
        let read = |name: &str, text: &str| {
            let path = file(name, text);
            of_file(&path, &base, &Scope::new("demo")).map_err(|failure| failure.to_string())
        };
        let moved = read("new.yml", "consul: {host: 'h:2'}\n").expect("another store");
        assert_eq!(moved.namespace, base.namespace);
        for (name, text, why) in [
            ("none.yml", "foo: 1\n", "has no section of a store"),
            (
                "same.yml",
                "etcd3: {host: 'h:1'}\n",
                "names the store where the cluster is",
            ),
            (
                "other.yml",
                "scope: x\nconsul: {host: 'h:2'}\n",
                "is about another cluster than demo",
            ),
            ("bad.yml", "consul: [oops\n", "invalid config file"),
        ] {
            let said = read(name, text).expect_err(name);
            assert!(said.contains(name) && said.contains(why), "{said}");
        }
    }

    /// The usual port was taken instead, so that another store answered.
    #[test]
    fn a_port_is_a_number() {
        for (url, port) in [
            ("etcd3://host:abc", "abc"),
            ("x:99999", "99999"),
            ("x:-1/ns", "-1"),
        ] {
            let expected =
                format!("Error: Invalid dcs url {url}: '{port}' is no port number, 1 to 65535");
            assert_eq!(by_url(url).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn urls_name_stores() {
        for (url, expected) in [
            (
                "etcd3://h:1/ns",
                json!({"etcd3": {"host": "h:1"}, "namespace": "ns"}),
            ),
            ("ETCD3://h:1", json!({"etcd3": {"host": "h:1"}})),
            ("h", json!({"etcd": {"host": "h:2379"}})),
            (
                "h:/ns",
                json!({"etcd": {"host": "h:2379"}, "namespace": "ns"}),
            ),
            (":8500", json!({"consul": {"host": "localhost:8500"}})),
            (
                "zookeeper://",
                json!({"zookeeper": {"hosts": ["localhost:2181"]}}),
            ),
            (
                "h:8181",
                json!({"exhibitor": {"hosts": ["h"], "port": 8181}}),
            ),
        ] {
            assert_eq!(by_url(url).unwrap(), expected, "{url}");
        }
        let error = by_url("bogus://x").unwrap_err();
        assert_eq!(error.to_string(), "Error: Unknown dcs scheme: bogus");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let global = Global {
            config_file: Some("/nonexistent.yml".into()),
            ..Global::default()
        };
        let error = find(&global, &Environment::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Error: Provided config file /nonexistent.yml not existing or no read rights. Check the -c/--config-file parameter"
        );
    }

    #[test]
    fn the_environment_alone_is_enough() {
        let environment: Environment = [
            ("PATRONI_ETCD3_HOST", "127.0.0.1:2379"),
            ("PATRONI_SCOPE", "demo"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let settings = find(&Global::default(), &environment).unwrap();
        assert_eq!(
            settings.scope.map(|scope| scope.to_string()).as_deref(),
            Some("demo")
        );
        assert_eq!(settings.dcs.map(|dcs| dcs.name()), Some("etcd3"));
    }

    #[test]
    fn a_directory_is_merged_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yml"), "scope: wrong\n").unwrap();
        std::fs::write(
            folder.path().join("b.yml"),
            "scope: demo\netcd3: {host: h}\n",
        )
        .unwrap();
        let global = Global {
            config_file: Some(folder.path().to_owned()),
            insecure: true,
            ..Global::default()
        };
        let settings = find(&global, &Environment::new()).unwrap();
        assert_eq!(
            settings.scope.map(|scope| scope.to_string()).as_deref(),
            Some("demo")
        );
        assert!(settings.ctl.insecure);
    }
}
