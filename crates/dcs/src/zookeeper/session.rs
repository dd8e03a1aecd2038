//! The session, and requests within their time.
//!
//! The client library keeps one session alive, changes servers when one falls silent, and ends
//! for good when the session does. This room opens the next session, resumes the present one
//! with other settings, and sees to it that nobody waits longer than allowed. It is the only
//! layer that repeats anything.
//!
//! Source: store contract, section 12 (session timeout, ping timeout).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use patroni_config::file::dcs::zookeeper::Access;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_client::{
    Acl, Client, Connector, SaslOptions, SessionInfo, SessionState, TlsDynamicCerts,
};

use super::failure::Failure;
use super::relay::Relay;
use super::tls;
use super::znodes::{self, Znodes};
use crate::retry::{Backoff, Effort, SHORTEST_ATTEMPT};
use crate::store::Timings;

/// The one session of this process, and the client that keeps it.
pub(super) struct Session {
    access: Access,
    acls: Arc<[Acl]>,
    hosts: watch::Receiver<Vec<String>>,
    holds: Holds,
    state: Mutex<State>,
    /// Only one is opened at a time.
    opening: tokio::sync::Mutex<()>,
    /// The number of the present client.
    number: watch::Sender<u64>,
}

/// What the session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Lock and member key: it must last for the ttl, also beyond the end of this process.
    Leases,
    /// Nothing: it ends with its client.
    Nothing,
}

struct State {
    timings: Timings,
    open: Option<Open>,
    /// The last session that held for its ttl, to be resumed while that is the right one.
    last: Option<(Duration, SessionInfo)>,
}

impl State {
    /// The ttl of the last session, while another one is wanted: what hangs on the session stays
    /// there until the servers grant the other.
    fn ttl_to_keep(&self) -> Option<Duration> {
        let (ttl, _) = self.last.as_ref()?;
        (*ttl != self.timings.ttl).then_some(*ttl)
    }
}

#[derive(Clone)]
struct Open {
    client: Client,
    number: u64,
    plan: Plan,
    lack: Option<Lack>,
    way: Way,
}

/// How a client reaches the servers.
#[derive(Clone)]
enum Way {
    /// In plain text.
    Plain,
    /// With these certificates, which can be renewed.
    Verified(TlsDynamicCerts),
    /// By ports of our own, which last as long as this.
    Relayed(Arc<Relay>),
}

/// What a client was made for. Another plan needs another client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    timings: Timings,
    hosts: Vec<String>,
}

/// A session that ends before its ttl is over. A lock on it would let two members lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    granted: Duration,
    ttl: Duration,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { granted, ttl } = self;
        write!(
            f,
            "ZooKeeper grants sessions of {granted:?} at most, and ttl is {ttl:?}: lower ttl, or \
             raise maxSessionTimeout of the servers"
        )
    }
}

/// Whether a request may have been carried out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It was not sent yet.
    First,
    /// An earlier attempt was not answered.
    Again,
}

/// A session before gets so long to find the servers that a new one has found.
const TIME_FOR_THE_OLD_ONE: Duration = Duration::from_millis(500);

impl Session {
    /// A session that is not opened yet.
    pub(super) fn new(
        access: Access,
        hosts: watch::Receiver<Vec<String>>,
        holds: Holds,
        timings: Timings,
    ) -> Self {
        Self {
            acls: znodes::acls(&access.set_acls),
            access,
            hosts,
            holds,
            state: Mutex::new(State {
                timings,
                open: None,
                last: None,
            }),
            opening: tokio::sync::Mutex::default(),
            number: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn timings(&self) -> Timings {
        self.state().timings
    }

    /// The ttl of the session, which may not be the one last asked for.
    pub(super) fn ttl_in_force(&self) -> Duration {
        let state = self.state();
        let last = state.last.as_ref().map(|(ttl, _)| *ttl);
        last.unwrap_or(state.timings.ttl)
    }

    /// New timings, which the next request applies.
    pub(super) fn set_timings(&self, timings: Timings) {
        self.state().timings = timings;
    }

    /// Lets the connection go. The session itself lasts until its time is over.
    pub(super) fn let_go(&self) {
        self.state().open = None;
    }

    /// The number of the present client, as it changes.
    pub(super) fn numbers(&self) -> watch::Receiver<u64> {
        self.number.subscribe()
    }

    /// How one attempt of a request without a budget of its own is bounded.
    fn single_attempt(&self) -> Duration {
        (self.timings().retry_timeout / 3).max(SHORTEST_ATTEMPT)
    }

    /// Makes a request. It ends within the effort's time whatever the servers do. After
    /// [`Failure::Lost`] and [`Failure::Silent`] it may or may not have been carried out.
    pub(super) async fn call<T, F, Fut>(&self, effort: Effort, request: F) -> Result<T, Failure>
    where
        F: Fn(Znodes, Attempt) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let deadline = match effort {
            Effort::Until(deadline) => deadline,
            Effort::Once => Instant::now() + self.single_attempt(),
        };
        let mut backoff = Backoff::default();
        let mut attempt = Attempt::First;
        loop {
            let failure = match self.attempt(deadline, attempt, &request).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = backoff.pause(left, getrandom::u32().unwrap_or(0));
            let pause = pause.filter(|_| matches!(effort, Effort::Until(_)));
            let Some(pause) = pause.filter(|_| failure.is_passing()) else {
                return Err(failure);
            };
            tracing::debug!("repeating a request: {failure}");
            attempt = Attempt::Again;
            sleep(pause).await;
        }
    }

    async fn attempt<T, F, Fut>(
        &self,
        deadline: Instant,
        attempt: Attempt,
        request: &F,
    ) -> Result<T, Failure>
    where
        F: Fn(Znodes, Attempt) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let Open {
            client,
            number,
            lack,
            ..
        } = self.ready(deadline).await?;
        let znodes = Znodes::new(client, self.acls.clone(), lack);
        match timeout_at(deadline, request(znodes, attempt)).await {
            Ok(Err(failure @ Failure::Nonsense(_))) => {
                self.forget(number);
                Err(failure)
            }
            Ok(result) => result,
            Err(_) => Err(self.silence()),
        }
    }

    fn silence(&self) -> Failure {
        let hosts = self.hosts.borrow().join(", ");
        Failure::Silent(format!("no answer in time from {hosts}"))
    }

    /// A client that talked nonsense may not recover by itself: the next request makes another.
    fn forget(&self, number: u64) {
        let mut state = self.state();
        if state
            .open
            .as_ref()
            .is_some_and(|open| open.number == number)
        {
            state.open = None;
        }
    }

    /// A connected client with its number, by `deadline`.
    pub(super) async fn client(&self, deadline: Instant) -> Result<(Client, u64), Failure> {
        let open = self.ready(deadline).await?;
        Ok((open.client, open.number))
    }

    async fn ready(&self, deadline: Instant) -> Result<Open, Failure> {
        let open = match self.usable() {
            Some(open) => open,
            None => self.open(deadline).await?,
        };
        let patience = deadline.min(Instant::now() + open.plan.silence());
        match timeout_at(patience, self.connected(&open, deadline)).await {
            Ok(connected) => connected.map(|()| open),
            Err(_) => self.connected_anew(open, deadline).await,
        }
    }

    /// The client when it has a connection, or another one.
    async fn connected_anew(&self, open: Open, deadline: Instant) -> Result<Open, Failure> {
        tokio::select! {
            connected = self.connected(&open, deadline) => connected.map(|()| open.clone()),
            Ok(Ok(new)) = timeout_at(deadline, self.replace(&open, deadline)) => Ok(new),
        }
    }

    /// Servers whose data are older than what a session has seen (somebody put them back, or
    /// removed them) close its connections without a word for as long as it lasts. That a new
    /// session is taken shows that it is that.
    ///
    /// Cancel safe: a session that was opened unheard ends by itself.
    async fn replace(&self, open: &Open, deadline: Instant) -> Result<Open, Failure> {
        let _turn = self.opening.lock().await;
        if let Some(newer) = self.usable().filter(|newer| newer.number != open.number) {
            return Ok(newer);
        }
        let new = self.begin(open.plan.clone(), deadline).await?;
        sleep(TIME_FOR_THE_OLD_ONE).await;
        tracing::warn!(
            "ZooKeeper takes a new session, but not the one before: its data may be older than \
             what was seen of them"
        );
        Ok(self.put(new))
    }

    /// The client, if it fits the present plan and its session has not ended.
    fn usable(&self) -> Option<Open> {
        let plan = self.plan();
        let open = self.state().open.clone()?;
        (open.plan == plan && !open.client.state().is_terminated()).then_some(open)
    }

    fn plan(&self) -> Plan {
        Plan {
            timings: self.timings(),
            hosts: self.hosts.borrow().clone(),
        }
    }

    /// Waits until the client has a connection: it would keep requests until then, and send them
    /// when nobody waits for them any more.
    async fn connected(&self, open: &Open, deadline: Instant) -> Result<(), Failure> {
        let mut states = open.client.state_watcher();
        if states.peek_state() == SessionState::Disconnected {
            self.renew_certificates(open).await;
        }
        let connected = async {
            loop {
                match states.peek_state() {
                    SessionState::SyncConnected | SessionState::ConnectedReadOnly => return Ok(()),
                    SessionState::Disconnected => states.changed().await,
                    ended @ (SessionState::AuthFailed
                    | SessionState::Expired
                    | SessionState::Closed) => {
                        return Err(Failure::Lost(format!("the session ended: {ended}")));
                    }
                };
            }
        };
        match timeout_at(deadline, connected).await {
            Ok(result) => result,
            Err(_) => Err(self.silence()),
        }
    }

    /// Certificates may have been the reason for the lost connection, or were renewed since.
    async fn renew_certificates(&self, open: &Open) {
        // A relay reads them for each connection.
        let Way::Verified(certificates) = &open.way else {
            return;
        };
        match tls::load(&self.access).await {
            Ok(renewed) => certificates.update(renewed),
            Err(failure) => tracing::warn!("certificates stay as they were: {failure}"),
        }
    }

    /// Opens a client for the present plan: on the last session if that still fits, else on a
    /// new one.
    ///
    /// Cancel safe: a session that was opened unheard ends by itself.
    async fn open(&self, deadline: Instant) -> Result<Open, Failure> {
        let turn = timeout_at(deadline, self.opening.lock()).await;
        let _turn = turn.map_err(|_| self.silence())?;
        loop {
            if let Some(open) = self.usable() {
                return Ok(open);
            }
            let plan = self.plan();
            let Some(kept) = self.ttl_to_keep() else {
                return self.resume(plan, deadline).await;
            };
            let open = self.begin(plan, deadline).await?;
            match open.lack {
                None => return Ok(self.put(open)),
                Some(lack) => self.keep_ttl(kept, lack),
            }
        }
    }

    fn ttl_to_keep(&self) -> Option<Duration> {
        self.state().ttl_to_keep()
    }

    /// The servers do not grant the ttl that was asked for.
    fn keep_ttl(&self, kept: Duration, lack: Lack) {
        tracing::error!("ttl stays {kept:?}: {lack}");
        let mut state = self.state();
        if state.timings.ttl == lack.ttl {
            state.timings.ttl = kept;
        }
    }

    /// Opens a new session beside the present one, which goes on until the other takes its place:
    /// it ends by itself, and what hangs on it is written anew before.
    async fn begin(&self, plan: Plan, deadline: Instant) -> Result<Open, Failure> {
        let (connector, way) = self.connector(&plan).await?;
        let client = self.connect(connector, &plan, &way, deadline).await?;
        Ok(self.opened(client, plan, way))
    }

    /// Opens a client in the place of the present one.
    async fn resume(&self, plan: Plan, deadline: Instant) -> Result<Open, Failure> {
        let last = {
            let mut state = self.state();
            state.open = None;
            state.last.clone()
        };
        self.tell_of_change();
        if let Some((_, last)) = last {
            let (connector, way) = self.connector(&plan).await?;
            let resumed = connector.with_session(last);
            match self.connect(resumed, &plan, &way, deadline).await {
                Ok(client) => return Ok(self.put(self.opened(client, plan, way))),
                Err(Failure::Expired) => self.state().last = None,
                Err(failure) => return Err(failure),
            }
        }
        let open = self.begin(plan, deadline).await?;
        if let Some(lack) = open.lack {
            tracing::error!("this member cannot lead: {lack}");
        }
        Ok(self.put(open))
    }

    fn opened(&self, client: Client, plan: Plan, way: Way) -> Open {
        let (granted, ttl) = (client.session_timeout(), plan.timings.ttl);
        let short = self.holds == Holds::Leases && granted < ttl;
        Open {
            client,
            number: 0,
            plan,
            lack: short.then_some(Lack { granted, ttl }),
            way,
        }
    }

    /// Makes a client the present one.
    fn put(&self, mut open: Open) -> Open {
        open.number = self.tell_of_change();
        let mut state = self.state();
        if open.lack.is_none() {
            state.last = Some((open.plan.timings.ttl, open.client.session().clone()));
        }
        state.open = Some(open.clone());
        open
    }

    /// Tells whoever holds the client before to let it go at once: the servers serve one
    /// connection of a session, and two clients would take it from each other for ever.
    fn tell_of_change(&self) -> u64 {
        self.number.send_modify(|number| *number += 1);
        *self.number.borrow()
    }

    async fn connector(&self, plan: &Plan) -> Result<(Connector, Way), Failure> {
        let mut connector = Client::connector()
            .with_session_timeout(plan.timings.ttl)
            .with_connection_timeout(plan.silence());
        if self.holds == Holds::Leases {
            connector = connector.with_detached();
        }
        for (scheme, credential) in &self.access.auth_data {
            connector = if scheme == "sasl" {
                connector.with_sasl(sasl(credential.expose())?)
            } else {
                connector.with_auth(scheme, credential.expose().as_bytes())
            };
        }
        if !self.access.use_ssl {
            return Ok((connector, Way::Plain));
        }
        tls::check_hosts(&plan.hosts)?;
        if !self.access.verify {
            let relay = Relay::start(&plan.hosts, &self.access, plan.silence()).await?;
            let certificates = TlsDynamicCerts::new(relay.certificates());
            let connector = connector.with_tls(tls::options(certificates));
            return Ok((connector, Way::Relayed(Arc::new(relay))));
        }
        let certificates = TlsDynamicCerts::new(tls::load(&self.access).await?);
        let connector = connector.with_tls(tls::options(certificates.clone()));
        Ok((connector, Way::Verified(certificates)))
    }

    /// Connects in a task of its own, so that an answer which the library does not survive ends
    /// that task and nothing else.
    async fn connect(
        &self,
        connector: Connector,
        plan: &Plan,
        way: &Way,
        deadline: Instant,
    ) -> Result<Client, Failure> {
        let cluster = match way {
            Way::Plain | Way::Verified(_) => plan.hosts.join(","),
            Way::Relayed(relay) => relay.hosts().join(","),
        };
        let secure = self.access.use_ssl;
        let mut task = JoinSet::new();
        task.spawn(async move {
            if secure {
                connector.secure_connect(&cluster).await
            } else {
                connector.connect(&cluster).await
            }
        });
        match timeout_at(deadline, task.join_next()).await {
            Ok(Some(Ok(connected))) => connected.map_err(Failure::from),
            Ok(Some(Err(panic))) => Err(Failure::Nonsense(panic.to_string())),
            Ok(None) | Err(_) => Err(self.silence()),
        }
    }
}

impl Plan {
    /// After how long a silence a server is left for another: so that each gets its share of the
    /// budget, and no later than the reference does.
    fn silence(&self) -> Duration {
        let servers = u32::try_from(self.hosts.len().max(3)).unwrap_or(u32::MAX);
        let share = self.timings.retry_timeout / servers;
        let two = Duration::from_secs(2);
        let ping = self.timings.loop_wait.saturating_sub(two).max(two);
        share.min(ping).max(SHORTEST_ATTEMPT)
    }
}

/// The old way to ask for SASL: user and password as one credential.
fn sasl(credential: &str) -> Result<SaslOptions, Failure> {
    let Some((user, password)) = credential.split_once(':') else {
        let why = "the credential of sasl in auth_data is not of the form user:password";
        return Err(Failure::Denied(why.to_owned()));
    };
    Ok(SaslOptions::digest_md5(user.to_owned(), password.to_owned()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_share_of_the_budget() {
        let silence = |hosts: usize, loop_wait: u64, retry_timeout: u64| {
            let plan = Plan {
                timings: Timings {
                    ttl: Duration::from_secs(30),
                    loop_wait: Duration::from_secs(loop_wait),
                    retry_timeout: Duration::from_secs(retry_timeout),
                },
                hosts: vec!["a:1".to_owned(); hosts],
            };
            plan.silence().as_millis()
        };
        assert_eq!(silence(1, 10, 10), 3333);
        assert_eq!(silence(5, 10, 10), 2000);
        assert_eq!(silence(3, 3, 30), 2000, "as the reference");
        assert_eq!(silence(9, 1, 3), 1000);
    }
}
