//! The life of a daemon: its start in order, its loop, its end in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use patroni_api::client::Client;
use patroni_api::server::Bound;
use patroni_config::{Environment, Settings};
use patroni_core::rest_url::sibling;
use patroni_core::{Causes, Cluster, MemberName};
use patroni_dcs::{Store, StoreError, StoreErrorKind, connect};
use patroni_postgres::{Ask, Cancel, Clock, Supervisor};
use patroni_telemetry::{Handle, LogSettings};
use patroni_watchdog::Watchdog;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::act::{Body, LOOK, Parts, explain};
use crate::configuration::{Configuration, timings};
use crate::ha_loop::{End, HaLoop};
use crate::member::NodeMember;
use crate::reload::Reloader;
use crate::wake::Wake;
use crate::{adapt, citus, lease_guard, probe, reload, shutdown, standby_watch};

/// The pause between two attempts to reach the store at the start.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// How long the last lines of the log may take.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What a daemon is started with.
#[derive(Debug)]
pub struct Start {
    /// The configuration file or folder, if one was named.
    pub path: Option<PathBuf>,
    /// The `PATRONI_*` part of the environment, read once.
    pub environment: Environment,
    /// The log.
    pub log: Handle,
}

/// A start that failed; the text is for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct StartError {
    text: String,
    was_shown: bool,
}

impl StartError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self {
            text: error.to_string(),
            was_shown: false,
        }
    }

    /// With what caused it: an operator cannot mend "read certificate" alone.
    fn caused(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(Causes(error).to_string())
    }

    /// Whether the text is on standard error already, because the log goes there.
    pub fn was_shown(&self) -> bool {
        self.was_shown
    }
}

/// Runs a daemon until it is told to end, and gives its exit status.
///
/// # Errors
/// The configuration cannot be used, an address is taken, or a node of that name runs already;
/// nothing was changed then.
pub async fn run(start: Start) -> Result<u8, StartError> {
    let Start {
        path,
        environment,
        log,
    } = start;
    patroni_postgres::command::hide_variables(environment.consumed.iter().cloned());
    let configuration = Configuration::load(path.as_deref(), environment).map_err(|refusal| {
        if let Some(line) = refusal.log_line() {
            error!("{line}");
        }
        StartError::new(refusal)
    })?;
    let settings = configuration.settings();
    log.reload(&LogSettings::from(&settings.log))
        .map_err(|failure| StartError::caused(&failure))?;
    // From here on a refusal belongs into the log, wherever that goes.
    begin(configuration, log).await.map_err(|refusal| {
        error!(critical = true, "{refusal}");
        StartError {
            was_shown: settings.log.dir.is_none(),
            ..refusal
        }
    })
}

/// Everything after the log is set up.
async fn begin(mut configuration: Configuration, log: Handle) -> Result<u8, StartError> {
    let settings = configuration.settings();
    if settings.thread_stack_size.is_none() {
        info!("Using default value thread_stack_size = 524288");
    }
    info!(
        "Patroni global thread_pool_size = {}",
        settings.thread_pool_size
    );
    let signals = Signals::listen().map_err(|failure| StartError::caused(&failure))?;
    let starting = async {
        let store = reach_store(&settings).await?;
        let cluster = first_load(store.as_ref()).await;
        let rest = Client::new(&adapt::client(&settings))
            .map_err(|failure| StartError::caused(&failure))?;
        refuse_duplicate(&cluster, &settings.name, &rest).await?;
        Ok((store, cluster, rest))
    };
    // Until the loop begins, a request to end ends the process at once.
    let (store, cluster, rest) = tokio::select! {
        reached = starting => reached?,
        () = signals.asked_to_end() => return Ok(0),
    };
    configuration.judge_store(cluster.config.as_ref());
    configuration.require_dynamic().map_err(StartError::new)?;
    configuration.begin_use();
    let settings = configuration.settings();
    store.set_timings(timings(&settings.dynamic));
    let (watchdog, timing) = adapt::watchdog(&settings);
    let watchdog = Watchdog::new(watchdog, timing);
    let clock = Clock::start();
    let supervisor = Supervisor::adopt(settings.postgresql.clone(), clock)
        .await
        .map_err(StartError::new)?;
    supervisor.set_cluster_facts(adapt::cluster_facts(&settings));
    let server = supervisor.observe(Ask::default(), LOOK).await;
    info!(
        "REST API thread_pool_size = {}",
        configuration.settings().restapi.thread_pool_size
    );
    let bound = Bound::bind(adapt::server(&settings))
        .await
        .map_err(|failure| StartError::new(reload::why_not_served(&failure)))?;
    let parts = Parts {
        clock,
        store,
        supervisor,
        rest,
        watchdog,
        settings,
        server,
    };
    let body = Arc::new(Body::new(parts));
    Ok(Box::pin(live(body, configuration, bound, log, signals)).await)
}

/// Everything that runs beside the loop ends with this function.
async fn live(
    body: Arc<Body>,
    configuration: Configuration,
    bound: Bound,
    log: Handle,
    signals: Signals,
) -> u8 {
    let stopping = Cancel::default();
    let reloader = Reloader {
        log: log.clone(),
        rest: None,
    };
    let (mut ha_loop, requests, ends) =
        HaLoop::new(Arc::clone(&body), configuration, reloader, stopping.clone());
    let member = NodeMember::new(Arc::clone(&body), requests, ends, log.clone());
    ha_loop.reloader.rest = Some(bound.serve(Arc::new(member)));
    if body.supervisor.is_alive() {
        body.callbacks
            .when_running(Some(patroni_ha::command::CallbackEvent::Start));
    }
    let mut beside = JoinSet::new();
    beside.spawn(signals.forward(Arc::clone(&body), stopping.clone()));
    beside.spawn(guard(Arc::clone(&body)));
    beside.spawn(probe::run(Arc::clone(&body)));
    beside.spawn(standby_watch::watch_standbys(Arc::clone(&body)));
    beside.spawn(citus::keep(Arc::clone(&body)));
    beside.spawn({
        let body = Arc::clone(&body);
        async move { body.publish_server().await }
    });
    beside.spawn({
        let body = Arc::clone(&body);
        async move { body.callbacks.watch().await }
    });
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    if let Err(failure) = log.start_writer() {
        warn!("the log is written without a queue: {failure}");
    }
    let end = Box::pin(ha_loop.run()).await;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let code = Box::pin(shutdown::run(ha_loop, &end)).await;
    beside.abort_all();
    // A full queue that cannot be written out is the one thing that spoils a good end.
    if log.flush(LAST_LINES) { code } else { 5 }
}

async fn guard(body: Arc<Body>) {
    let ttl = watch::Sender::new(body.timings().ttl);
    let mut settings = body.settings.subscribe();
    let follow = async {
        while settings.changed().await.is_ok() {
            ttl.send_replace(body.timings().ttl);
        }
    };
    let wakes = Arc::clone(&body.wakes);
    let guard = lease_guard::guard(
        body.lease.clone(),
        ttl.subscribe(),
        body.clock,
        body.supervisor.clone(),
        wakes,
    );
    tokio::join!(guard, follow);
}

/// Connects to the store, again and again until it answers. Only what no repetition can mend
/// ends the start.
async fn reach_store(settings: &Settings) -> Result<Arc<dyn Store>, StartError> {
    let group = settings.citus.as_ref().map(|citus| citus.group);
    let identity = citus::identity(settings, group, Some(settings.name.clone()));
    loop {
        match connect::connect(&settings.dcs, identity.clone(), timings(&settings.dynamic)).await {
            Ok(store) => return Ok(store),
            Err(error) if error.is_final() => return Err(StartError::new(final_reason(&error))),
            Err(error) => {
                info!("waiting on {}: {}", settings.dcs.name(), explain(&error));
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

/// Why no repetition can help, in the words of whoever said so.
fn final_reason(error: &StoreError) -> String {
    match &error.kind {
        StoreErrorKind::Denied(why) => why.clone(),
        StoreErrorKind::Unreachable(_) | StoreErrorKind::LostRace | StoreErrorKind::Nonsense(_) => {
            explain(error)
        }
    }
}

async fn first_load(store: &dyn Store) -> Cluster {
    loop {
        match store.load().await {
            Ok(cluster) => return cluster,
            Err(error) => {
                warn!("Can not get cluster from dcs: {}", explain(&error));
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

/// A node name must be unique: any HTTP answer of the member that carries ours is a refusal.
async fn refuse_duplicate(
    cluster: &Cluster,
    name: &MemberName,
    rest: &Client,
) -> Result<(), StartError> {
    let Some(url) = cluster
        .member(name)
        .and_then(|member| member.data.api_url())
    else {
        return Ok(());
    };
    let liveness = sibling(url, "liveness");
    match rest
        .request(http::Method::GET, &liveness, None, Duration::from_secs(3))
        .await
    {
        Ok(_) => Err(StartError::new(format!(
            "Can't start; there is already a node named '{name}' running"
        ))),
        Err(_) => Ok(()),
    }
}

/// The signals that a daemon understands. All others keep their default action.
struct Signals {
    hangup: tokio::signal::unix::Signal,
    end: watch::Receiver<bool>,
    _listening: JoinSet<()>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (sender, end) = watch::channel(false);
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                sender.send_replace(true); // a second one says nothing new
            }
        });
        Ok(Self {
            hangup,
            end,
            _listening: listening,
        })
    }

    async fn asked_to_end(&self) {
        let mut end = self.end.clone();
        let _ = end.wait_for(|asked| *asked).await;
    }

    /// Passes signals to the loop, for ever.
    async fn forward(mut self, body: Arc<Body>, stopping: Cancel) {
        let mut end = self.end.clone();
        loop {
            tokio::select! {
                _ = self.hangup.recv() => body.wakes.wake(Wake::Reload),
                Ok(_) = end.wait_for(|asked| *asked), if !stopping.is_cancelled() => {
                    stopping.cancel();
                    body.wakes.wake(Wake::Shutdown);
                }
            }
        }
    }
}

/// Whether the daemon was asked to end, in the words of the loop.
impl End {
    /// The exit status of an end that goes well.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Asked => 0,
            Self::Fatal { code, .. } => *code,
        }
    }
}
