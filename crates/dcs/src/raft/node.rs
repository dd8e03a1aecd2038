//! A running member: port, core, and the tasks between them.

use patroni_core::Causes;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::core::Core;
use super::error::RaftError;
use super::formation::{self, Beginning};
use super::ident::{self, Address};
use super::input::{Handle, Input, View};
use super::log::{Directory, Disk, Meta};
use super::options::{Options, Tuning};
use super::transport::wire::{Stage, Who};
use super::transport::{Caller, Key, Listener, Peers, Standing};

/// Inputs waiting for the core. Peers and clients wait when it is full.
const QUEUE: usize = 1024;
/// For an orderly end, hand-over included.
const GOODBYE: Duration = Duration::from_secs(3);

/// A member of a cluster, voting, without any knowledge of PostgreSQL. Dropping it stops it at
/// once, as a crash would; [`Node::stop`] hands over first.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    ended: watch::Receiver<Option<String>>,
    key: Option<Key>,
    _tasks: JoinSet<()>,
}

/// What the member needs besides its disk.
struct Plan {
    address: Address,
    founders: BTreeSet<Address>,
    key: Option<Key>,
    tuning: Tuning,
}

impl Node {
    /// Starts a member: takes the directory, opens the port and goes to work. Returns before the
    /// cluster is there; see [`Node::ready`].
    ///
    /// # Errors
    /// The settings are incomplete, the directory is damaged or in use, the port is taken.
    pub async fn start(options: &Options, tuning: Tuning) -> Result<Self, RaftError> {
        let address = options.self_addr.as_deref();
        let address = Address::parse(address.ok_or(RaftError::Settings("self_addr is not set"))?)?;
        let bind = match &options.bind_addr {
            Some(bind) => Address::parse(bind)?,
            None => address.clone(),
        };
        let mut founders = addresses(&options.partner_addrs)?;
        founders.insert(address.clone());
        let key = derive_key(options).await?;
        if key.is_none() && !bind.is_loopback() {
            tracing::warn!(
                "raft has no password: everybody who reaches {bind} can read and change the cluster"
            );
        }
        let plan = Plan {
            address,
            founders,
            key,
            tuning,
        };
        plan.start(&options.data_dir, &bind).await
    }

    /// Waits until a leader is known and this member votes; false when time is over. A member
    /// that ended never gets ready, see [`Self::failed`]. Cancel safe.
    pub async fn ready(&self, limit: Duration) -> bool {
        let mut view = self.handle.view();
        let ready = async {
            if view.wait_for(View::is_ready).await.is_err() {
                // Its task is gone: returning at once would let the caller ask without a pause.
                std::future::pending::<()>().await;
            }
        };
        timeout(limit, ready).await.is_ok()
    }

    /// What the member sees at the moment.
    pub fn view(&self) -> View {
        self.handle.view().borrow().clone()
    }

    /// Waits for the end of a member that cannot go on, and says why. Cancel safe.
    pub async fn failed(&self) -> RaftError {
        let mut ended = self.ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "its task was ended".to_owned(),
        };
        RaftError::Stopped(why)
    }

    /// Hands the leadership to another member, if we have it, and ends.
    pub async fn stop(self) {
        if self.handle.pass(Input::Stop).await.is_ok() {
            let _ = timeout(GOODBYE, self.failed()).await; // then it ends without a goodbye
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

/// All addresses, each once.
pub(crate) fn addresses(texts: &[String]) -> Result<BTreeSet<Address>, RaftError> {
    texts.iter().map(|text| Address::parse(text)).collect()
}

/// The key of the password. Takes a moment of computing, so not on a thread that others need.
pub(crate) async fn derive_key(options: &Options) -> Result<Option<Key>, RaftError> {
    let Some(password) = options.password.clone() else {
        return Ok(None);
    };
    tokio::task::spawn_blocking(move || Key::derive(&password))
        .await
        .map_err(|error| RaftError::Stopped(error.to_string()))
}

impl Plan {
    async fn start(self, data_dir: &Path, bind: &Address) -> Result<Node, RaftError> {
        ident::founders(&self.founders)?;
        let directory = Directory::open(data_dir)?;
        let meta = directory.load_meta(&self.address)?;
        let place = match meta {
            Some(meta) => Place::Used(Box::new(Disk::open(directory, meta)?)),
            None => Place::Blank(directory),
        };
        let who = match &place {
            Place::Used(disk) => self.who(Some(disk.meta())),
            Place::Blank(_) => self.who(None),
        };
        let (standing, standing_seen) = watch::channel(Standing { who });
        let (inputs, waiting) = mpsc::channel(QUEUE);
        let (view, view_seen) = watch::channel(View::default());
        let (tell, ended) = watch::channel(None);
        let handle = Handle::new(inputs.clone(), view_seen);
        let listener = Listener::bind(
            bind,
            self.key.clone(),
            standing_seen.clone(),
            handle.clone(),
        )
        .await?;
        let caller = Caller {
            key: self.key.clone(),
            standing: standing_seen,
        };
        let key = self.key.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.run());
        let life = Life {
            plan: self,
            handle: handle.clone(),
            standing,
            peers: Peers::new(caller, inputs),
            waiting,
            view,
            ended: tell,
        };
        tasks.spawn(life.run(place));
        Ok(Node {
            handle,
            ended,
            key,
            _tasks: tasks,
        })
    }

    fn who(&self, meta: Option<&Meta>) -> Who {
        let founders = ident::fingerprint(&self.founders);
        let (id, cluster) = meta.map_or((0, 0), |meta| (meta.id, meta.cluster));
        let stage = match meta {
            None => Stage::Blank,
            Some(meta) if meta.cluster != 0 => Stage::Member,
            Some(meta) if meta.joined => Stage::Joining,
            Some(_) => Stage::Founding,
        };
        Who {
            id,
            address: self.address.clone(),
            cluster,
            stage,
            founders,
        }
    }
}

/// The state of the disk at start.
enum Place {
    Used(Box<Disk>),
    Blank(Directory),
}

/// From the empty disk to the running core, and what goes along with it.
struct Life {
    plan: Plan,
    handle: Handle,
    standing: watch::Sender<Standing>,
    peers: Peers,
    waiting: mpsc::Receiver<Input>,
    view: watch::Sender<View>,
    ended: watch::Sender<Option<String>>,
}

impl Life {
    async fn run(self, place: Place) {
        let disk = match place {
            Place::Used(disk) => Ok(*disk),
            Place::Blank(directory) => self.begin(directory).await,
        };
        let (key, partners) = (self.plan.key.clone(), self.plan.founders.clone());
        let (meta, handle, standing, plan, _halt) = match disk {
            Ok(disk) => {
                let meta = disk.meta().clone();
                let (handle, standing) = (self.handle.clone(), self.standing.clone());
                standing.send_replace(Standing {
                    who: self.plan.who(Some(&meta)),
                });
                let (plan, halt) = self.launch(disk);
                (meta, handle, standing, plan, halt)
            }
            Err(error) => {
                tracing::error!(error = %Causes(&error), "raft member cannot start");
                self.ended.send_replace(Some(Causes(&error).to_string()));
                return;
            }
        };
        let joined = async {
            if meta.joined {
                formation::join(meta.id, &meta.address, &partners, key.as_ref(), &handle).await;
            }
        };
        let follow = async {
            let mut view = handle.view();
            while view.changed().await.is_ok() {
                let cluster = view.borrow_and_update().machine.cluster;
                let known = standing.borrow().who.cluster;
                if cluster != known && cluster != 0 {
                    let who = plan.who(Some(&Meta {
                        cluster,
                        ..meta.clone()
                    }));
                    standing.send_replace(Standing { who });
                }
            }
        };
        tokio::join!(joined, follow);
    }

    async fn begin(&self, directory: Directory) -> Result<Disk, RaftError> {
        let (plan, me) = (&self.plan, self.plan.who(None));
        let address = plan.address.clone();
        match formation::decide(&me, &plan.founders, plan.key.as_ref()).await {
            Beginning::Found => {
                let members = ident::founders(&plan.founders)?;
                tracing::info!("founding a raft cluster of {} as {address}", members.len());
                let id = ident::founder_id(&address);
                let meta = Meta::new(id, address, me.founders, false);
                Disk::create(directory, meta, Some(formation::first_snapshot(members)))
            }
            Beginning::Join => {
                tracing::info!("joining a raft cluster as {address}");
                let id = ident::joiner_id(&address, ident::random_id());
                let meta = Meta::new(id, address, me.founders, true);
                Disk::create(directory, meta, None)
            }
        }
    }

    /// Starts the thread of the core; it ends at once when the returned sender is dropped.
    fn launch(self, disk: Disk) -> (Plan, oneshot::Sender<()>) {
        let (halt, halted) = oneshot::channel();
        let ended = self.ended;
        let plan = self.plan;
        // With a password everybody who gets through may come; without one only who is named.
        let allowed = plan
            .key
            .is_none()
            .then(|| plan.founders.iter().cloned().collect());
        let tuning = plan.tuning;
        let (peers, waiting, view) = (self.peers, self.waiting, self.view);
        let tell = ended.clone();
        let work = move || {
            let run = || -> Result<(), RaftError> {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .map_err(|error| RaftError::Stopped(error.to_string()))?;
                let core = Core::new(disk, tuning, allowed, peers, waiting, view)?;
                runtime.block_on(async {
                    tokio::select! {
                        ended = core.run() => ended,
                        _ = halted => Ok(()),
                    }
                })
            };
            let why = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => "it was stopped".to_owned(),
                Ok(Err(error)) => {
                    tracing::error!(error = %Causes(&error), "raft member had to stop");
                    Causes(&error).to_string()
                }
                Err(_) => {
                    tracing::error!("raft member had to stop: {LOST_STATE}");
                    LOST_STATE.to_owned()
                }
            };
            tell.send_replace(Some(why));
        };
        let spawned = std::thread::Builder::new()
            .name("raft".to_owned())
            .spawn(work);
        if let Err(error) = spawned {
            ended.send_replace(Some(error.to_string()));
        }
        (plan, halt)
    }
}

/// What a member says whose memory contradicts what the others know of it.
const LOST_STATE: &str = "its state makes no sense; if its disk lost what was written, empty the \
                          directory and let this member join again";
