//! Creating a replica: the configured methods one after another, into an empty data directory.
//!
//! While a copy is made, a lock file stands beside the data directory ([`super::copy_lock`]): no
//! second copy can begin, and a partial one is never taken for a database.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_config::file::Postgresql;
use patroni_core::CopyProgress;

use super::basebackup;
use super::copy_lock::CopyLock;
use super::methods::{Method, MethodSection};
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::End;
use patroni_core::Causes;

/// What a copy is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloneSource {
    /// The member's name, for the log.
    pub name: String,
    /// Its address as libpq text, with the replication user and without a password.
    pub conninfo: String,
    /// The file with the password, when there is one.
    pub pgpass: Option<PathBuf>,
    /// Its size in bytes, when known; only for showing progress.
    pub size: Option<u64>,
}

/// What a copy does to the data directory besides filling it.
pub trait DataDirectory: Send + Sync {
    /// Whether it holds nothing that matters.
    fn is_empty(&self) -> bool;

    /// Removes it with everything outside that belongs to it (WAL directory, tablespaces).
    ///
    /// # Errors
    /// Something could not be removed.
    fn remove(&self) -> io::Result<()>;
}

/// A copy to be made.
#[derive(Clone)]
pub struct CloneRequest<'a> {
    /// Settings of the local server.
    pub settings: &'a Postgresql,
    /// Its programs.
    pub binaries: &'a Binaries,
    /// Major version of the programs (15 is 150000).
    pub version: u32,
    /// What to copy from; without it only methods with `no_leader` are tried.
    pub source: Option<&'a CloneSource>,
    /// Names of the methods, in order; none means `basebackup`.
    pub methods: &'a [String],
    /// The data directory, without a running server.
    pub directory: Arc<dyn DataDirectory>,
}

/// No copy was made. The details are in the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloneError {
    /// Another copy into the same directory runs.
    #[error("lock the data directory for a copy: another copy holds {}", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// The lock file could not be made.
    #[error("lock the data directory for a copy with {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No configured method works without a source.
    #[error("create a replica: there is no source, and no method works without one")]
    NoMethod,
    /// The task was cancelled; the data directory is empty.
    #[error("create a replica: cancelled")]
    Cancelled,
    /// All methods failed; the data directory is empty, unless the last method keeps data.
    #[error("create a replica: all methods failed")]
    Failed,
}

/// Makes a copy of `source` by the first method that succeeds, and says by which
/// (configuration contract, sections 9.3 and 9.4). `progress` is called about once a second.
///
/// Nothing partial is left for data: on failure and on cancel the data directory is removed
/// (not after a method with `keep_data`). Must not be dropped half way; raise `cancel` instead.
///
/// # Errors
/// See [`CloneError`].
pub async fn clone_replica(
    request: &CloneRequest<'_>,
    cancel: &Cancel,
    progress: impl FnMut(CopyProgress) + Send,
) -> Result<Method, CloneError> {
    let lock = CopyLock::take(&request.settings.data_dir)?;
    let held = lock.file();
    let copied = tokio::select! {
        copied = request.try_methods(&held, cancel) => copied,
        never = request.watch(progress) => match never {},
    };
    let is_safe = match &copied {
        Ok(method) => {
            tracing::info!("replica has been created using {method}");
            true
        }
        Err(_) => request.directory.is_empty() || request.last_keeps_data(),
    };
    if is_safe {
        lock.lift();
    }
    copied
}

impl CloneRequest<'_> {
    fn methods(&self) -> Vec<Method> {
        let named = self.methods.iter().map(|name| Method::new(name));
        let usable = |method: &Method| match method {
            Method::Basebackup => self.source.is_some(),
            Method::Custom(name) => {
                self.source.is_some() || MethodSection::of(self.settings, name).no_leader()
            }
        };
        if self.methods.is_empty() {
            [Method::Basebackup].into_iter().filter(usable).collect()
        } else {
            named.filter(usable).collect()
        }
    }

    fn last_keeps_data(&self) -> bool {
        match self.methods().last() {
            Some(Method::Custom(name)) => MethodSection::of(self.settings, name).keeps_data(),
            Some(Method::Basebackup) | None => false,
        }
    }

    async fn try_methods(&self, lock: &Arc<File>, cancel: &Cancel) -> Result<Method, CloneError> {
        let methods = self.methods();
        if methods.is_empty() {
            return Err(CloneError::NoMethod);
        }
        for method in methods {
            if cancel.is_cancelled() {
                return Err(CloneError::Cancelled);
            }
            let copied = match (&method, self.source) {
                (Method::Basebackup, Some(source)) => {
                    basebackup::copy(self, source, lock, cancel).await
                }
                (Method::Basebackup, None) => false,
                (Method::Custom(name), _) => self.run_custom(name, lock, cancel).await,
            };
            if copied {
                return Ok(method);
            }
        }
        Err(if cancel.is_cancelled() {
            CloneError::Cancelled
        } else {
            CloneError::Failed
        })
    }

    async fn run_custom(&self, name: &str, lock: &Arc<File>, cancel: &Cancel) -> bool {
        let section = MethodSection::of(self.settings, name);
        if section.keeps_data() {
            if !self.directory.is_empty() {
                tracing::info!("Leaving data directory uncleaned");
            }
        } else if !self.empty_data_directory().await {
            return false;
        }
        let connstring = self.source.map_or("", |source| source.conninfo.as_str());
        let pgpass = self.source.and_then(|source| source.pgpass.as_deref());
        let end = match section.command(self.settings, connstring) {
            Ok(command) => {
                let command = command
                    .connecting(self.settings, pgpass)
                    .holding(Arc::clone(lock));
                // Why it cannot be executed is logged already.
                command.run(cancel).await.ok().map(|outcome| outcome.end)
            }
            Err(error) => {
                tracing::error!("Failed to {}", Causes(&error));
                None
            }
        };
        if end == Some(End::Exited(0)) {
            return true;
        }
        let code = end.map_or_else(|| "None".to_owned(), End::code);
        tracing::error!(
            "Error creating replica using method {name}: {} exited with code={code}",
            section.text(),
        );
        if !section.keeps_data() {
            self.empty_data_directory().await;
        }
        false
    }

    /// Removes the data directory; `false` when something is left. An existing directory without
    /// any entry stays: it may be a mount point that could not be made again.
    pub(super) async fn empty_data_directory(&self) -> bool {
        let dir = &self.settings.data_dir;
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none()) {
            return true;
        }
        let directory = Arc::clone(&self.directory);
        let removed = tokio::task::spawn_blocking(move || directory.remove()).await;
        match removed.map_err(io::Error::other).flatten() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("Could not remove data directory {}: {error}", dir.display());
                self.directory.is_empty()
            }
        }
    }

    /// Reports the growing size, seldom enough that measuring a huge directory costs little.
    async fn watch(&self, mut progress: impl FnMut(CopyProgress)) -> Infallible {
        let total = self.source.and_then(|source| source.size);
        let started = Instant::now();
        let mut pause = Duration::from_secs(1);
        loop {
            tokio::time::sleep(pause).await;
            let begun = Instant::now();
            let dir = self.settings.data_dir.clone();
            let measured = tokio::task::spawn_blocking(move || size_of(&dir)).await;
            pause = Duration::from_secs(1).max(begun.elapsed() * 10);
            if let Ok(bytes) = measured {
                progress(CopyProgress {
                    bytes,
                    total,
                    elapsed: started.elapsed(),
                });
            }
        }
    }
}

/// Bytes of all files below a directory. Files come and go meanwhile; what cannot be read counts
/// as nothing.
fn size_of(dir: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // Follows links on purpose: WAL and tablespaces are links to elsewhere.
            match fs::metadata(entry.path()) {
                Ok(found) if found.is_dir() => open.push(entry.path()),
                Ok(found) => bytes += found.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A data directory without links.
    pub(crate) struct Plain(PathBuf);

    impl Plain {
        pub(crate) fn new(path: impl Into<PathBuf>) -> Arc<Self> {
            Arc::new(Self(path.into()))
        }
    }

    impl DataDirectory for Plain {
        fn is_empty(&self) -> bool {
            !self.0.exists()
        }

        fn remove(&self) -> io::Result<()> {
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        }
    }

    struct Case {
        settings: Postgresql,
        _home: tempfile::TempDir,
    }

    impl Case {
        /// A data directory with something in it, and scripts as methods.
        fn new(methods: &serde_json::Value) -> Self {
            let home = tempfile::tempdir().unwrap();
            let data_dir = home.path().join("data");
            fs::create_dir(&data_dir).unwrap();
            fs::write(data_dir.join("old"), "x").unwrap();
            Self {
                settings: Postgresql {
                    data_dir,
                    methods: methods.as_object().unwrap().clone(),
                    ..Postgresql::default()
                },
                _home: home,
            }
        }

        async fn run(&self, methods: &[&str], cancel: &Cancel) -> Result<Method, CloneError> {
            let methods: Vec<String> = methods.iter().map(|&name| name.to_owned()).collect();
            let request = CloneRequest {
                settings: &self.settings,
                binaries: &Binaries::default(),
                version: 150_000,
                source: None,
                methods: &methods,
                directory: Plain::new(&self.settings.data_dir),
            };
            clone_replica(&request, cancel, |_| {}).await
        }

        fn has(&self, name: &str) -> bool {
            self.settings.data_dir.join(name).exists()
        }

        fn is_interrupted(&self) -> bool {
            super::super::is_interrupted(&self.settings.data_dir)
        }
    }

    fn script(text: &str) -> serde_json::Value {
        json!({"command": format!("sh -c '{text}'"), "no_leader": true, "no_params": true})
    }

    #[tokio::test]
    async fn methods_are_tried_in_order_and_begin_with_nothing() {
        let mut case = Case::new(&json!({"good": {}, "bad": script("exit 1")}));
        let dir = case.settings.data_dir.display().to_string();
        let good = script(&format!("mkdir {dir} && touch {dir}/new"));
        case.settings.methods["good"] = good;
        let made = case
            .run(&["basebackup", "bad", "good"], &Cancel::new())
            .await;
        assert_eq!(made.unwrap(), Method::Custom("good".to_owned()));
        assert!(case.has("new") && !case.has("old") && !case.is_interrupted());
    }

    #[tokio::test]
    async fn kept_data_survive_a_failure_and_others_do_not() {
        let mut keeping = script("exit 1");
        keeping["keep_data"] = json!(true);
        let case = Case::new(&json!({"keeping": keeping, "wiping": script("exit 1")}));
        let cancel = Cancel::new();
        assert!(matches!(
            case.run(&["keeping"], &cancel).await,
            Err(CloneError::Failed)
        ));
        assert!(case.has("old") && !case.is_interrupted());
        assert!(matches!(
            case.run(&["wiping"], &cancel).await,
            Err(CloneError::Failed)
        ));
        assert!(!case.settings.data_dir.exists() && !case.is_interrupted());
    }

    #[tokio::test]
    async fn without_a_source_only_methods_that_need_none_are_tried() {
        let case = Case::new(&json!({"needy": {"command": "true"}}));
        let made = case.run(&["needy", "basebackup"], &Cancel::new()).await;
        assert!(matches!(made, Err(CloneError::NoMethod)));
        assert!(case.has("old"));
    }

    #[tokio::test]
    async fn a_running_copy_excludes_another_and_leaves_nothing_when_cancelled() {
        let mut case = Case::new(&json!({"slow": {}}));
        let dir = case.settings.data_dir.display().to_string();
        case.settings.methods["slow"] = script(&format!("mkdir {dir}; touch {dir}/part; sleep 60"));
        let cancel = Cancel::new();
        let first = case.run(&["slow"], &cancel);
        let second = async {
            while !case.has("part") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(case.is_interrupted());
            let second = case.run(&["slow"], &Cancel::new()).await;
            assert!(matches!(second, Err(CloneError::Busy { .. })));
            cancel.cancel();
        };
        let (first, ()) = tokio::join!(first, second);
        assert!(matches!(first, Err(CloneError::Cancelled)));
        assert!(!case.settings.data_dir.exists() && !case.is_interrupted());
    }
}
