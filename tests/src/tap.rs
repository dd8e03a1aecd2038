//! A port in front of a server that counts the requests on their way.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;

/// How many requests there were, by their kind.
pub type Requests = BTreeMap<String, u64>;

/// How clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// HTTP/1.1 without TLS: etcd's version 2 API, and Consul.
    Http,
    /// `ZooKeeper`'s packets, which begin with their length.
    ZooKeeper,
}

/// A listening port that forwards to another one and counts.
#[derive(Debug)]
pub struct Tap {
    /// Clients connect here.
    pub port: u16,
    requests: Arc<Mutex<Requests>>,
    _accepting: JoinHandle<()>,
}

impl Tap {
    /// Forwards the port of a listener to another loopback port.
    ///
    /// # Errors
    /// The listener is broken.
    pub fn start(listener: TcpListener, to: u16, language: Language) -> Result<Self> {
        let port = listener.local_addr()?.port();
        let requests = Arc::<Mutex<Requests>>::default();
        let counted = Arc::clone(&requests);
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let reader = Reader::new(language, Arc::clone(&counted));
                std::thread::spawn(move || carry(client, to, reader));
            }
        });
        Ok(Self {
            port,
            requests,
            _accepting: accepting,
        })
    }

    /// What was asked so far. A request counts when its head has passed, so one that waits for
    /// its answer has counted already, and once.
    pub fn requests(&self) -> Requests {
        lock(&self.requests).clone()
    }
}

fn lock(requests: &Mutex<Requests>) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(client: TcpStream, to: u16, mut reader: Reader) {
    let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], to)));
    let (Ok(server), Ok(client_too)) = (server, client.try_clone()) else {
        return;
    };
    let Ok(server_too) = server.try_clone() else {
        return;
    };
    // What is small must not wait for more on its second way.
    let _ = (server.set_nodelay(true), client.set_nodelay(true));
    std::thread::spawn(move || forward(server_too, client_too, |_| {}));
    forward(client, server, |piece| reader.take_in(piece));
}

fn forward(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        look(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Finds the requests in what one client sends.
struct Reader {
    language: Language,
    requests: Arc<Mutex<Requests>>,
    /// What has come of a head that is not complete.
    head: Vec<u8>,
    /// So much of the present request is left, and says nothing more.
    body_left: usize,
    /// The first packet of a connection to `ZooKeeper` has another form.
    is_connected: bool,
}

impl Reader {
    fn new(language: Language, requests: Arc<Mutex<Requests>>) -> Self {
        Self {
            language,
            requests,
            head: Vec::new(),
            body_left: 0,
            is_connected: false,
        }
    }

    fn take_in(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let skipped = self.body_left.min(piece.len());
            self.body_left -= skipped;
            piece = &piece[skipped..];
            let Some((byte, rest)) = piece.split_first() else {
                return;
            };
            self.head.push(*byte);
            piece = rest;
            let request = match self.language {
                Language::Http => http_request(&self.head),
                Language::ZooKeeper => zookeeper_request(&self.head, self.is_connected),
            };
            if let Some((kind, body)) = request {
                *lock(&self.requests).entry(kind).or_default() += 1;
                self.head.clear();
                self.body_left = body;
                self.is_connected = true;
            }
        }
    }
}

/// The kind of an HTTP request and the length of its body, when its head is complete. The clients
/// of stores send bodies of a known length.
fn http_request(head: &[u8]) -> Option<(String, usize)> {
    let head = head.strip_suffix(b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    });
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // The version and the kind of object; what follows names one.
    let object: Vec<&str> = path.splitn(4, '/').take(3).collect();
    let waits = query
        .split('&')
        .any(|word| word.starts_with("wait=") || word.starts_with("index="));
    let waits = if waits { " that waits" } else { "" };
    let kind = format!("{method} {}{waits}", object.join("/"));
    Some((kind, length.unwrap_or(0)))
}

/// The kind of a packet for `ZooKeeper` and the length of its rest, when enough of it is there.
fn zookeeper_request(head: &[u8], is_connected: bool) -> Option<(String, usize)> {
    let number = |at: usize| Some(i32::from_be_bytes(*head.get(at..)?.first_chunk()?));
    let length = usize::try_from(number(0)?).unwrap_or(0);
    if !is_connected {
        return Some(("connect".to_owned(), length));
    }
    // Length, number of the request, type.
    let kind = number(8)?;
    let name = match kind {
        1 | 15 | 19 | 21 => "create",
        2 => "delete",
        3 => "exists",
        4 => "getData",
        5 => "setData",
        8 | 12 => "getChildren",
        9 => "sync",
        11 => "ping",
        14 => "multi",
        100 => "auth",
        101 | 105 => "setWatches",
        -11 => "close",
        other => &format!("type {other}"),
    };
    Some((name.to_owned(), (length + 4).saturating_sub(head.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(language: Language, pieces: &[&[u8]]) -> Requests {
        let requests = Arc::<Mutex<Requests>>::default();
        let mut reader = Reader::new(language, Arc::clone(&requests));
        for piece in pieces {
            reader.take_in(piece);
        }
        lock(&requests).clone()
    }

    #[test]
    fn requests_over_http_are_found_in_whatever_pieces_they_come() {
        let text: &[u8] = b"PUT /v2/keys/service/demo/leader?prevExist=true HTTP/1.1\r\n\
            content-length: 12\r\n\r\nGET / HTTP/1GET /v2/keys/service/demo/?recursive=true \
            HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/keys/service/demo/leader?wait=true&waitIndex=7 \
            HTTP/1.1\r\n\r\n";
        let seen: Requests = [
            ("GET /v2/keys", 1),
            ("GET /v2/keys that waits", 1),
            ("PUT /v2/keys", 1),
        ]
        .map(|(kind, count)| (kind.to_owned(), count))
        .into();
        assert_eq!(read(Language::Http, &[text]), seen);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(read(Language::Http, &bytes), seen);
    }

    #[test]
    fn packets_for_zookeeper_have_a_type() {
        let packet = |numbers: &[i32], rest: usize| {
            let length = numbers.len() * 4 + rest;
            let mut bytes = i32::try_from(length).unwrap().to_be_bytes().to_vec();
            bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
            bytes.resize(length + 4, 11);
            bytes
        };
        let (connect, ping) = (packet(&[0, 0], 36), packet(&[-2, 11], 0));
        let all = [connect, ping.clone(), packet(&[1, 4], 13), ping].concat();
        let seen: Requests = [("connect", 1), ("getData", 1), ("ping", 2)]
            .map(|(kind, count)| (kind.to_owned(), count))
            .into();
        assert_eq!(read(Language::ZooKeeper, &[&all]), seen);
        let pieces: Vec<&[u8]> = all.chunks(5).collect();
        assert_eq!(read(Language::ZooKeeper, &pieces), seen);
    }
}
