//! A slow and lossy way to a port, as a client of TCP experiences it: every piece of data takes
//! its time, and now and then one has to be sent again.
//!
//! The kernel's `netem` would do it below TCP, where it is built in; here the delay of a lost
//! packet (a retransmission timeout, doubled each time) is added above.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::wait;

/// How bad a link is.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Each piece of data on its way to the server takes so long, as `netem` on the interface of
    /// the client would have it: the round trip is longer by this.
    pub latency: Duration,
    /// Percent of the pieces that are lost in either direction, again at each retransmission.
    pub loss: u64,
}

/// The first retransmission comes after this: two round trips of 300 ms.
const FIRST_RETRY: Duration = Duration::from_millis(600);

/// A listening port that forwards to another one.
#[derive(Debug)]
pub struct SlowLink {
    /// Clients connect here.
    pub port: u16,
    is_bad: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
    _accepting: JoinHandle<()>,
}

impl SlowLink {
    /// Forwards the port of a listener to another loopback port; good until it is made bad.
    ///
    /// # Errors
    /// The listener is broken.
    pub fn start(listener: TcpListener, to: u16, quality: Quality) -> Result<Self> {
        let port = listener.local_addr()?.port();
        let (is_bad, lost) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let link = Link {
            quality,
            is_bad: Arc::clone(&is_bad),
            lost: Arc::clone(&lost),
        };
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let link = link.clone();
                std::thread::spawn(move || link.carry(client, to));
            }
        });
        Ok(Self {
            port,
            is_bad,
            lost,
            _accepting: accepting,
        })
    }

    /// From now on it is bad, or good again.
    pub fn set_bad(&self, bad: bool) {
        self.is_bad.store(bad, Ordering::Relaxed);
    }

    /// How often something had to be sent again.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Link {
    quality: Quality,
    is_bad: Arc<AtomicBool>,
    lost: Arc<AtomicU64>,
}

impl Link {
    fn carry(&self, client: TcpStream, to: u16) {
        let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], to)));
        let (Ok(server), Ok(client_too)) = (server, client.try_clone()) else {
            return;
        };
        let Ok(server_too) = server.try_clone() else {
            return;
        };
        let back = self.clone();
        std::thread::spawn(move || back.one_way(server_too, client_too, Duration::ZERO));
        self.one_way(client, server, self.quality.latency);
    }

    fn one_way(&self, mut from: TcpStream, to: TcpStream, latency: Duration) {
        let (on_its_way, arriving) = mpsc::channel();
        std::thread::spawn(move || deliver(&arriving, to));
        let mut piece = [0; 16 * 1024];
        let mut chance = u64::from(from.peer_addr().map_or(1, |address| address.port())) + 7;
        let mut last = Instant::now();
        while let Ok(count @ 1..) = from.read(&mut piece) {
            let mut arrives = Instant::now();
            if self.is_bad.load(Ordering::Relaxed) {
                arrives += latency + self.retransmissions(&mut chance);
            }
            // TCP hands nothing on before what was sent earlier.
            last = last.max(arrives);
            if on_its_way.send((last, piece[..count].to_vec())).is_err() {
                break;
            }
        }
        let _ = from.shutdown(std::net::Shutdown::Read);
    }

    fn retransmissions(&self, chance: &mut u64) -> Duration {
        let (mut lost_for, mut retry) = (Duration::ZERO, FIRST_RETRY);
        while draw(chance) < self.quality.loss {
            self.lost.fetch_add(1, Ordering::Relaxed);
            lost_for += retry;
            retry *= 2;
        }
        lost_for
    }
}

/// Writes each piece when it arrives; those behind it are under way meanwhile.
fn deliver(arriving: &mpsc::Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (arrives, piece) in arriving {
        wait::pause(arrives.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// A number below 100 (xorshift; the numbers only have to be spread).
fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % 100
}
