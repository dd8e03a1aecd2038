//! Opening, serving, changing and closing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::{Access, Peer, plain};
use super::certificate;
use super::connections::{Connections, Place};
use super::events::{Events, HEARTBEAT_TIME};
use super::line::Line;
use super::listener;
use super::member::Member;
use super::reply::{Body, Dress, Reply};
use super::request::ApiRequest;
use super::routes::{Routes, Terms};
use super::settings::{ServerSettings, TlsSettings};
use crate::error::BindError;

/// The time for a TLS handshake, and for a request's header to arrive.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// The largest header that is read, request line included.
const MAX_HEADER: usize = 64 * 1024;

/// Subscribers of events hold at most one in so many connections; the rest is for health checks.
const SUBSCRIBERS_SHARE: usize = 4;

/// A socket that is bound, not served yet: clients that connect wait. The daemon binds early,
/// to fail early, and serves when it is about to begin its first cycle.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    settings: ServerSettings,
    rules: Rules,
}

/// A running server. Dropping it ends everything at once; [`Server::shutdown`] is polite.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    settings: ServerSettings,
    control: watch::Sender<Control>,
    /// Its sender goes with the socket that is served.
    socket_open: watch::Receiver<()>,
    rules: Arc<ArcSwap<Rules>>,
    tasks: JoinSet<()>,
}

/// What follows from the settings and is looked at for each connection.
#[derive(Debug)]
struct Rules {
    access: Access,
    dress: Dress,
    tls: Option<Arc<ServerConfig>>,
    ui: bool,
    max_connections: usize,
    action_deadline: Duration,
}

/// What the accept loop is told.
#[derive(Clone, Debug)]
enum Control {
    Serve(Arc<Listening>),
    /// Nothing is accepted until there is a new listener.
    Pause,
    Stop,
}

/// A listener, and word of its end for those who wait for its port. The order of the fields is
/// the order of their ends.
#[derive(Debug)]
struct Listening {
    listener: TcpListener,
    _open: watch::Sender<()>,
}

impl Bound {
    /// Binds the address and reads the TLS files.
    ///
    /// # Errors
    /// The address cannot be bound, or the TLS files cannot be used.
    pub async fn bind(settings: ServerSettings) -> Result<Self, BindError> {
        let rules = Rules::new(&settings, None).await?;
        let listener = listener::open(&settings).await?;
        let address = local_address(&listener, &settings)?;
        if settings.is_open() {
            tracing::warn!(
                "The REST API on {address} lets everybody who can reach it change the cluster: set restapi.authentication, restapi.verify_client or restapi.allowlist"
            );
        }
        Ok(Self {
            listener,
            address,
            settings,
            rules,
        })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Begins to answer on behalf of `member`. Must be called within a tokio runtime.
    pub fn serve(self, member: Arc<dyn Member>) -> Server {
        let (serve, socket_open) = Control::serve(self.listener);
        let (control, orders) = watch::channel(serve);
        let rules = Arc::new(ArcSwap::from_pointee(self.rules));
        let events = Arc::new(Events::new(&member.snapshot()));
        let mut stop = orders.clone();
        let stopped = async move {
            // The end of the sender is an end, too.
            let _ = stop.wait_for(|order| matches!(order, Control::Stop)).await;
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(
            events
                .clone()
                .follow(member.snapshots(), HEARTBEAT_TIME, stopped),
        );
        let accept = AcceptLoop {
            orders,
            rules: rules.clone(),
            routes: Arc::new(Routes::new(member, events)),
            connections: Arc::new(Connections::new()),
        };
        tasks.spawn(accept.run());
        Server {
            address: self.address,
            settings: self.settings,
            control,
            socket_open,
            rules,
            tasks,
        }
    }
}

impl Control {
    fn serve(listener: TcpListener) -> (Self, watch::Receiver<()>) {
        let (open, socket_open) = watch::channel(());
        let listening = Listening {
            listener,
            _open: open,
        };
        (Self::Serve(Arc::new(listening)), socket_open)
    }
}

impl Server {
    /// Binds and serves.
    ///
    /// # Errors
    /// See [`Bound::bind`].
    pub async fn start(
        settings: ServerSettings,
        member: Arc<dyn Member>,
    ) -> Result<Self, BindError> {
        Ok(Bound::bind(settings).await?.serve(member))
    }

    /// The address that is served.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Changes to other settings. TLS files are read again in any case, so that a renewed
    /// certificate is taken up. A new address is bound before the old one is given up, unless
    /// our own socket is in its way; requests in progress go on.
    ///
    /// # Errors
    /// The new settings cannot be used. The server goes on with the old ones.
    pub async fn reload(&mut self, settings: ServerSettings) -> Result<(), BindError> {
        let before = self.rules.load_full();
        let rules = Rules::new(&settings, Some(&before.access)).await?;
        if settings.listen != self.settings.listen || !self.is_listening() {
            let listener = self.open(&settings).await?;
            self.address = local_address(&listener, &settings)?;
            self.listen_with(listener);
        }
        self.rules.store(Arc::new(rules));
        self.settings = settings;
        Ok(())
    }

    fn is_listening(&self) -> bool {
        matches!(*self.control.borrow(), Control::Serve(_))
    }

    fn listen_with(&mut self, listener: TcpListener) {
        let (serve, socket_open) = Control::serve(listener);
        self.control.send_replace(serve);
        self.socket_open = socket_open;
    }

    /// Binds another address. Two addresses of one port, of which one means all of them, cannot
    /// both be bound: then the old one is given up first, and taken back when that was in vain.
    async fn open(&mut self, settings: &ServerSettings) -> Result<TcpListener, BindError> {
        let opened = listener::open(settings).await;
        let in_our_way = settings.listen.port == self.address.port() && self.is_listening();
        match opened {
            Err(error) if error.is_taken() && in_our_way => {}
            decided => return decided,
        }
        self.control.send_replace(Control::Pause);
        while self.socket_open.changed().await.is_ok() {}
        let opened = listener::open(settings).await;
        if opened.is_err() {
            self.take_back().await;
        }
        opened
    }

    async fn take_back(&mut self) {
        let mut old = self.settings.clone();
        old.listen.port = self.address.port();
        match listener::open(&old).await {
            Ok(listener) => self.listen_with(listener),
            Err(error) => tracing::error!("No REST API until the next reload: {error}"),
        }
    }

    /// Stops accepting, lets requests in progress finish within `deadline`, and ends the rest.
    pub async fn shutdown(mut self, deadline: Duration) {
        self.control.send_replace(Control::Stop);
        let finished = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(deadline, finished).await.is_err() {
            tracing::warn!("REST API requests were not finished at shutdown");
        }
    }
}

fn local_address(
    listener: &TcpListener,
    settings: &ServerSettings,
) -> Result<SocketAddr, BindError> {
    listener.local_addr().map_err(|source| BindError::Listen {
        listen: settings.listen.to_string(),
        source,
    })
}

impl Rules {
    async fn new(settings: &ServerSettings, before: Option<&Access>) -> Result<Self, BindError> {
        let load = |tls: &TlsSettings| certificate::load(tls).map_err(BindError::Tls);
        Ok(Self {
            tls: settings.tls.as_ref().map(load).transpose()?,
            access: Access::resolve(settings, before).await,
            dress: Dress::new(settings),
            ui: settings.ui,
            max_connections: settings.max_connections.max(1),
            action_deadline: settings.action_deadline,
        })
    }
}

struct AcceptLoop {
    orders: watch::Receiver<Control>,
    rules: Arc<ArcSwap<Rules>>,
    routes: Arc<Routes>,
    connections: Arc<Connections>,
}

impl AcceptLoop {
    async fn run(mut self) {
        let mut tasks = JoinSet::new();
        let mut number = 0;
        loop {
            let order = self.orders.borrow_and_update().clone();
            let listening = match order {
                Control::Serve(listening) => Some(listening),
                Control::Pause => None,
                Control::Stop => break,
            };
            tokio::select! {
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return; // the server was dropped, and with it all connections
                    }
                }
                accepted = accept(listening.as_deref()) => {
                    number += 1;
                    self.accepted(accepted, number, &mut tasks).await;
                }
                Some(_) = tasks.join_next() => {}
            }
        }
        self.connections.end_idle();
        while tasks.join_next().await.is_some() {
            self.connections.end_idle();
        }
    }

    async fn accepted(
        &self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        number: u64,
        tasks: &mut JoinSet<()>,
    ) {
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: give others time to return some.
                tracing::warn!("could not accept a REST connection: {error}");
                sleep(Duration::from_millis(50)).await;
                return;
            }
        };
        let limit = self.rules.load().max_connections;
        let Some(place) = self.connections.enter(number, limit) else {
            tracing::warn!("REST connection from {from} refused: all are busy with requests");
            return;
        };
        listener::tune(&stream);
        let connection = Connection {
            rules: self.rules.clone(),
            routes: self.routes.clone(),
            place,
            from,
        };
        let task = tasks.spawn(connection.run(stream));
        self.connections.attach(number, task);
    }
}

/// The next connection; without a listener none comes.
async fn accept(listening: Option<&Listening>) -> io::Result<(TcpStream, SocketAddr)> {
    match listening {
        Some(listening) => listening.listener.accept().await,
        None => std::future::pending().await,
    }
}

struct Connection {
    /// Looked at for each request: a changed password counts for open connections, too.
    rules: Arc<ArcSwap<Rules>>,
    routes: Arc<Routes>,
    place: Place,
    from: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let from = self.from;
        let line = Line::new(stream);
        let Some(tls) = self.rules.load().tls.clone() else {
            return self.serve(line.clone(), &line, false).await;
        };
        match timeout(HEADER_TIME, TlsAcceptor::from(tls).accept(line.clone())).await {
            Ok(Ok(stream)) => {
                let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                self.serve(stream, &line, has_certificate).await;
            }
            Ok(Err(error)) => tracing::debug!("TLS handshake with {from} failed: {error}"),
            Err(_) => tracing::debug!("TLS handshake with {from} took too long"),
        }
    }

    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        line: &Line,
        has_certificate: bool,
    ) {
        let peer = Peer {
            ip: plain(self.from.ip()),
            has_certificate,
        };
        let this = &self;
        let service = service_fn(move |request: Request<Incoming>| async move {
            Ok::<_, std::convert::Infallible>(this.respond(request, peer, line).await)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(MAX_HEADER)
            .title_case_headers(true)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!("REST connection from {} ended: {error}", self.from);
        }
    }

    async fn respond(&self, request: Request<Incoming>, peer: Peer, line: &Line) -> Response<Body> {
        let busy = self.place.activity.begin_request();
        let begun = std::time::Instant::now();
        let request = ApiRequest::new(request, peer);
        let shown = tracing::enabled!(tracing::Level::DEBUG)
            .then(|| format!("{} {}", request.method, request.path));
        let rules = self.rules.load_full();
        let terms = Terms {
            access: &rules.access,
            most_subscribers: rules.max_connections / SUBSCRIBERS_SHARE,
            ui: rules.ui,
        };
        let reply = async {
            match request.refusal() {
                Some(refusal) => Reply::Answer(refusal),
                None => self.routes.reply(request, &self.place, &terms).await,
            }
        };
        let response = match timeout(rules.action_deadline, reply).await {
            Ok(Reply::Answer(answer)) => rules.dress.put_on(answer),
            Ok(Reply::Events(frames)) => rules.dress.put_on_events(frames, line.departure(), busy),
            Err(_) => rules.dress.too_late(),
        };
        if let Some(shown) = shown {
            tracing::debug!(
                "API thread: {} - - \"{shown}\" {} - latency: {:.3} ms",
                self.from.ip(),
                response.status().as_u16(),
                begun.elapsed().as_secs_f64() * 1000.0,
            );
        }
        response
    }
}
