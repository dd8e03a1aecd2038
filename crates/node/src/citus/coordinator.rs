//! The side of the coordinator: the periodic look at all groups, and the events of workers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;
use patroni_api::error::Unavailable;
use patroni_api::wire::MppEvent;
use patroni_core::{Cluster, MemberName, Role, State, value};
use patroni_ha::citus::rows::COOLDOWN;
use patroni_ha::citus::{BadUrl, COORDINATOR, Event, Group, Task, Told};
use patroni_postgres::citus::NodeTable;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{error, info, warn};

use super::desk::{Desk, Mail};
use super::event_of;
use super::groups::Groups;
use crate::act::{Body, explain};

/// How much mail may wait. The writer takes it in at once, also while a statement runs.
const WAITING_MAIL: usize = 64;

/// What other parts of a coordinator's node ask of the writer.
pub(crate) struct Coordinator {
    groups: Groups,
    mail: mpsc::Sender<Mail>,
    inbox: Mutex<Option<mpsc::Receiver<Mail>>>,
    /// A look is due.
    due: Notify,
    /// API addresses of the members of other groups, as last seen.
    other_apis: Mutex<Arc<[String]>>,
}

impl Coordinator {
    pub(super) fn new(groups: Groups) -> Self {
        let (mail, inbox) = mpsc::channel(WAITING_MAIL);
        Self {
            groups,
            mail,
            inbox: Mutex::new(Some(inbox)),
            due: Notify::new(),
            other_apis: Mutex::new(Arc::from([])),
        }
    }

    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Lets the periodic look begin. Looks that are asked for during one become the next one.
    pub(crate) fn look(&self) {
        self.due.notify_one();
    }

    /// The table may say something else by now.
    pub(crate) fn reload_table(&self) {
        self.post(Mail::Reload);
    }

    /// This node gives the primary role up.
    pub(crate) fn clear(&self) {
        self.post(Mail::Clear);
    }

    /// Never waits: the cycle depends on it. There is room, unless the writer has died.
    fn post(&self, mail: Mail) {
        if self.mail.try_send(mail).is_err() {
            error!("the writer of pg_dist_node does not take its mail");
        }
    }

    /// API addresses of the members of other groups.
    pub(crate) fn other_apis(&self) -> Arc<[String]> {
        let known = self.other_apis.lock();
        Arc::clone(&known.unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the event of a worker, and waits for its end where the worker has to.
    ///
    /// # Errors
    /// The group cannot be read in the store.
    pub(crate) async fn hear(&self, body: &Body, event: &MppEvent) -> Result<(), Unavailable> {
        if !leads(body) {
            return Ok(());
        }
        let task = match Group::try_from(event.group) {
            Ok(group) if group != COORDINATOR => {
                let view = self.groups.read(group).await;
                let view = view.map_err(|failure| Unavailable(explain(&failure)))?;
                task_of(group, &view, event, body)
            }
            Ok(_) | Err(_) => None,
        };
        let Some(task) = task else {
            info!("Discarding event {}", value::repr(&event.to_value()));
            return Ok(());
        };
        let waits = task.event == Event::BeforeDemote;
        let (waiter, released) = oneshot::channel();
        let sent = self.mail.send(Mail::Told { task, waiter }).await;
        if sent.is_ok() && waits {
            let mut server = body.supervisor.subscribe();
            tokio::select! {
                _ = released => {} // its end is the answer
                _ = server.wait_for(|(_, role)| *role != Role::Primary) => {}
            }
        }
        Ok(())
    }

    /// Looks when it is time to, for ever.
    async fn keep_looking(&self, body: &Body) {
        loop {
            self.due.notified().await;
            let mut bad = Vec::new();
            let own = body.view();
            let own = own.and_then(|view| Task::own(&view, &body.name, &mut bad));
            let others = self.look_at_others().await;
            let mut tasks: Vec<Task> = own.into_iter().collect();
            let seen = others.iter();
            tasks.extend(seen.filter_map(|(group, view)| Task::periodic(*group, view, &mut bad)));
            log_bad(&bad);
            self.note_apis(&others);
            // The store may have taken its time.
            if leads(body) && self.mail.send(Mail::Seen(tasks)).await.is_err() {
                return;
            }
        }
    }

    /// The views of all groups but our own; those that cannot be read are left out.
    async fn look_at_others(&self) -> Vec<(Group, Cluster)> {
        let groups = match self.groups.all().await {
            Ok(groups) => groups,
            Err(failure) => {
                let why = explain(&failure);
                warn!("failed to read the groups of the Citus cluster: {why}");
                return Vec::new();
            }
        };
        let others = groups.into_iter().filter(|group| *group != COORDINATOR);
        let read = others.map(async |group| match self.groups.read(group).await {
            Ok(view) => Some((group, view)),
            Err(failure) => {
                let why = explain(&failure);
                warn!("failed to read group {group} of the Citus cluster: {why}");
                None
            }
        });
        join_all(read).await.into_iter().flatten().collect()
    }

    fn note_apis(&self, others: &[(Group, Cluster)]) {
        let members = others.iter().flat_map(|(_, view)| &view.members);
        let apis = members.filter_map(|member| member.data.api_url().map(str::to_owned));
        let known = self.other_apis.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = apis.collect();
    }
}

/// Keeps the table of nodes, for ever, where this node belongs to the coordinator's group.
pub(crate) async fn keep(body: Arc<Body>) {
    let Some(coordinator) = body.citus.coordinator() else {
        return;
    };
    let inbox = coordinator.inbox.lock();
    let inbox = inbox.unwrap_or_else(PoisonError::into_inner).take();
    let Some(inbox) = inbox else {
        return;
    };
    let table = NodeTable::new(body.supervisor.clone());
    tokio::join!(
        Desk::default().serve(inbox, table, body.clock),
        coordinator.keep_looking(&body),
    );
}

/// This node is the running primary of its group, by its own lock.
fn leads(body: &Body) -> bool {
    let server = (body.supervisor.state(), body.supervisor.role());
    let is_primary = server == (State::Running, Role::Primary);
    // In a pause there is no lease, but a lock.
    let by_lease = body.lease.is_held(body.clock.now());
    is_primary && (by_lease || body.snapshot().has_lock(Instant::now()))
}

fn task_of(group: Group, view: &Cluster, event: &MppEvent, body: &Body) -> Option<Task> {
    let leader = MemberName::new(&event.leader);
    let told = Told {
        event: event_of(event.kind),
        leader: &leader,
        timeout: event.timeout.unwrap_or(body.timings().ttl),
        cooldown: event.cooldown.unwrap_or(COOLDOWN),
    };
    let mut bad = Vec::new();
    let task = Task::told(group, view, &told, &mut bad);
    log_bad(&bad);
    task
}

fn log_bad(bad: &[BadUrl]) {
    for url in bad {
        error!("{url}");
    }
}
