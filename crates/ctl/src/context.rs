//! What every command has at hand: settings, stores, members, streams, clock.

use std::sync::Arc;
use std::time::Duration;

use patroni_config::{ControlSettings, Dynamic};
use patroni_core::{Cluster, Member, Scope};
use patroni_dcs::error::StoreError;
use patroni_dcs::store::Store;
use serde_json::Value;

use crate::clock::{Clock, seconds_text, stamp_text};
use crate::console::Console;
use crate::exit::Failure;
use crate::log::Level;
use crate::rest::{Answer, Heard, Method, Rest, RestError, endpoint};
use crate::settings::Environment;
use crate::usage;
use crate::view::{Part, View};
use crate::world::World;

/// The surroundings of one run.
pub(crate) struct Context {
    pub(crate) settings: ControlSettings,
    pub(crate) environment: Environment,
    pub(crate) world: Arc<dyn World>,
    pub(crate) console: Box<dyn Console>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) level: Level,
    rest: Option<Arc<dyn Rest>>,
}

/// One cluster as a command works on it: what was read, and where it was read.
pub(crate) struct Target {
    pub(crate) scope: Scope,
    pub(crate) group: Option<u32>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cluster: Cluster,
}

impl Context {
    /// Surroundings made of their parts.
    pub(crate) fn new(
        settings: ControlSettings,
        level: Level,
        environment: Environment,
        world: Arc<dyn World>,
        console: Box<dyn Console>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            level,
            settings,
            environment,
            world,
            console,
            clock,
            rest: None,
        }
    }

    /// Writes to standard output.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.console.out(text).map_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                Failure::Unread
            } else {
                Failure::io("write the output", error)
            }
        })
    }

    /// Writes a line to standard output.
    pub(crate) fn print(&mut self, line: &str) -> Result<(), Failure> {
        self.write(&format!("{line}\n"))
    }

    /// Writes a line that begins with the time.
    pub(crate) fn print_stamped(&mut self, line: &str) -> Result<(), Failure> {
        let stamp = stamp_text(&self.clock.now());
        self.print(&format!("{stamp} {line}"))
    }

    /// Local time to the second.
    pub(crate) fn now_text(&self) -> String {
        seconds_text(&self.clock.now())
    }

    /// The named cluster, else the configured one.
    pub(crate) fn scope(&self, command: &str, named: Option<&String>) -> Result<Scope, Failure> {
        named
            .map(|scope| Scope::new(scope.as_str()))
            .or_else(|| self.settings.scope.clone())
            .ok_or_else(|| usage::wrong(command, "Missing argument 'CLUSTER_NAME'."))
    }

    /// The configured group; there is one exactly in MPP layout.
    pub(crate) fn mpp_group(&self) -> Option<u32> {
        self.settings.citus.as_ref().map(|citus| citus.group)
    }

    /// A group as given on the command line.
    pub(crate) fn group(given: Option<i64>) -> Result<Option<u32>, Failure> {
        given
            .map(|group| {
                u32::try_from(group)
                    .map_err(|_| Failure::refused(format!("{group} is not a valid Citus group")))
            })
            .transpose()
    }

    /// The group that a command about one cluster means: the given one, else the one of the
    /// configuration.
    pub(crate) fn own_group(&self, given: Option<i64>) -> Result<Option<u32>, Failure> {
        Ok(Self::group(given)?.or(self.mpp_group()))
    }

    /// The group of commands that speak to the coordinator when none is given.
    pub(crate) fn coordinator_group(&self, given: Option<i64>) -> Result<Option<u32>, Failure> {
        Ok(Self::group(given)?.or(self.mpp_group().map(|_| 0)))
    }

    /// Reads one cluster (one group).
    pub(crate) async fn target(
        &self,
        scope: &Scope,
        group: Option<u32>,
    ) -> Result<Target, Failure> {
        let store = self.world.store(&self.settings, scope, group).await?;
        let cluster = self.load(store.as_ref()).await?;
        Ok(Target {
            scope: scope.clone(),
            group,
            store,
            cluster,
        })
    }

    /// Reads what a table shows: the chosen group, all groups of an MPP cluster, or the cluster.
    pub(crate) async fn view(&self, scope: &Scope, group: Option<u32>) -> Result<View, Failure> {
        if group.is_none() && self.mpp_group().is_some() {
            let mut parts = Vec::new();
            for group in self.world.groups(&self.settings, scope).await? {
                let target = self.target(scope, Some(group)).await?;
                parts.push(Part {
                    group: Some(group),
                    cluster: target.cluster,
                });
            }
            return Ok(View::of_groups(scope.clone(), parts));
        }
        let target = self.target(scope, group).await?;
        Ok(View::of_one(scope.clone(), group, target.cluster))
    }

    /// Reads a store's objects.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<Cluster, Failure> {
        store
            .load()
            .await
            .map_err(|error| self.store_failure(store, error))
    }

    /// A store's failure with the address that was asked.
    pub(crate) fn store_failure(&self, store: &dyn Store, source: StoreError) -> Failure {
        Failure::Store {
            kind: store.kind().to_owned(),
            endpoint: self.world.endpoint(&self.settings),
            source,
        }
    }

    /// Asks a member; `Err` when there was no answer.
    pub(crate) async fn ask_member(
        &mut self,
        member: &Member,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, RestError> {
        let Some(url) = member.data.api_url() else {
            return Err(no_address());
        };
        let rest = self
            .rest()
            .map_err(|failure| RestError(failure.to_string()))?;
        rest.request(method, &endpoint(url, path), body, limit)
            .await
    }

    /// Asks several members the same, all at once. Answers in the order of the members; a member
    /// without an address is one that does not answer.
    pub(crate) async fn ask_all(
        &mut self,
        members: &[Member],
        path: &str,
        limit: Duration,
    ) -> Result<Vec<Heard>, Failure> {
        let rest = self.rest()?;
        let mut asking = tokio::task::JoinSet::new();
        for (index, member) in members.iter().enumerate() {
            let (rest, clock) = (rest.clone(), self.clock.clone());
            let url = member.data.api_url().map(|url| endpoint(url, path));
            asking.spawn(async move {
                let begun = clock.elapsed();
                let answer = match url {
                    Some(url) => rest.request(Method::Get, &url, None, limit).await,
                    None => Err(no_address()),
                };
                let heard = Heard {
                    answer,
                    at: clock.now().timestamp(),
                    took: clock.elapsed().saturating_sub(begun),
                };
                (index, heard)
            });
        }
        let lost = |_| Heard {
            answer: Err(RestError("the question was lost".to_owned())),
            at: self.clock.now().timestamp(),
            took: Duration::ZERO,
        };
        let mut answers: Vec<Heard> = members.iter().map(lost).collect();
        while let Some(ended) = asking.join_next().await {
            if let Ok((index, heard)) = ended
                && let Some(slot) = answers.get_mut(index)
            {
                *slot = heard;
            }
        }
        Ok(answers)
    }

    /// Asks a member that must answer.
    pub(crate) async fn tell_member(
        &mut self,
        member: &Member,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        self.ask_member(member, method, path, body, limit)
            .await
            .map_err(|error| Failure::Member {
                member: member.name.to_string(),
                why: error.to_string(),
            })
    }

    fn rest(&mut self) -> Result<Arc<dyn Rest>, Failure> {
        if let Some(rest) = &self.rest {
            return Ok(rest.clone());
        }
        let rest = self.world.rest(&self.settings)?;
        self.rest = Some(rest.clone());
        Ok(rest)
    }
}

fn no_address() -> RestError {
    RestError("it has published no API address".to_owned())
}

/// The dynamic settings of a cluster; an unusable document gives the defaults.
pub(crate) fn dynamic(cluster: &Cluster) -> Dynamic {
    Dynamic::of(cluster).unwrap_or_default()
}
