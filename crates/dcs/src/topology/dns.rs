//! SRV records, as name servers tell them.
//!
//! Source: RFC 1035 (messages) and RFC 2782 (SRV). Only what discovery needs: one question at a
//! time, and TCP for an answer that is too long for one datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// A host and port that an SRV record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

/// How long one name server may take for one try.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a name server is asked: datagrams get lost.
const TRIES: usize = 2;

/// As many name servers are used, as by every resolver of a system.
const MOST_SERVERS: usize = 3;

/// The targets of a name's SRV records, none when there is no such name, from the first name
/// server that answers.
pub(super) async fn lookup(servers: &[SocketAddr], name: &str) -> Result<Vec<Target>, String> {
    let mut last = "no name server is known".to_owned();
    for server in servers.iter().take(MOST_SERVERS) {
        for _ in 0..TRIES {
            last = match timeout(PATIENCE, ask(*server, name)).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(why)) => format!("name server {server}: {why}"),
                Err(_) => format!("name server {server}: no answer within {PATIENCE:?}"),
            };
        }
    }
    Err(last)
}

/// The name servers of the system.
pub(super) async fn of_system() -> Vec<SocketAddr> {
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await;
    name_servers(&text.unwrap_or_default())
}

fn name_servers(resolv_conf: &str) -> Vec<SocketAddr> {
    const PORT: u16 = 53;
    let address = |line: &str| {
        let (key, value) = line.trim().split_once(char::is_whitespace)?;
        let address: IpAddr = value.trim().parse().ok()?;
        (key == "nameserver").then(|| SocketAddr::new(address, PORT))
    };
    let found: Vec<_> = resolv_conf.lines().filter_map(address).collect();
    if found.is_empty() {
        return vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)];
    }
    found
}

async fn ask(server: SocketAddr, name: &str) -> Result<Vec<Target>, String> {
    let id = getrandom::u32()
        .map_err(|error| error.to_string())?
        .to_be_bytes();
    let id = u16::from_be_bytes([id[0], id[1]]);
    let question = question(id, name).ok_or_else(|| format!("{name} is no name"))?;
    let said = over_udp(server, id, &question).await;
    let said = said.map_err(|error| error.to_string())?;
    if let Some(targets) = answer(&said, id)? {
        return Ok(targets);
    }
    let said = over_tcp(server, &question).await;
    let said = said.map_err(|error| error.to_string())?;
    answer(&said, id)?.ok_or_else(|| "the answer is cut off".to_owned())
}

async fn over_udp(server: SocketAddr, id: u16, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What answers another question, perhaps an earlier one, is none of ours.
        if buffer[..length].starts_with(&id.to_be_bytes()) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or(u16::MAX);
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let mut said = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut said).await?;
    Ok(said)
}

const SRV: u16 = 33;
const INTERNET: u16 = 1;
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;

/// The message that asks for the SRV records of a name; none when it cannot be one.
fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    const RECURSION_DESIRED: u16 = 0x0100;
    let name = name.trim_end_matches('.');
    if name.len() > LONGEST_NAME {
        return None;
    }
    let mut message = Vec::new();
    for number in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(number.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > LONGEST_LABEL {
            return None;
        }
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(SRV.to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Some(message)
}

/// What a message answers; `None` when it is cut off.
fn answer(message: &[u8], id: u16) -> Result<Option<Vec<Target>>, String> {
    const IS_ANSWER: u16 = 0x8000;
    const CUT_OFF: u16 = 0x0200;
    const NO_SUCH_NAME: u16 = 3;
    let unreadable = || "the answer cannot be read".to_owned();
    let mut reader = Reader { message, at: 0 };
    let mut number = || reader.number().ok_or_else(unreadable);
    let (said_id, flags) = (number()?, number()?);
    let (questions, answers) = (number()?, number()?);
    if said_id != id || flags & IS_ANSWER == 0 {
        return Err(unreadable());
    }
    if flags & CUT_OFF != 0 {
        return Ok(None);
    }
    match flags & 0xf {
        0 => {}
        NO_SUCH_NAME => return Ok(Some(Vec::new())),
        code => return Err(format!("the answer is an error of code {code}")),
    }
    reader.at = 12;
    let targets = reader.targets(questions, answers);
    targets.map(Some).ok_or_else(unreadable)
}

/// A message as far as it is read. Everything is `None` where it ends too early.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> Option<u16> {
        let bytes = self.message.get(self.at..self.at + 2)?;
        self.at += 2;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn targets(&mut self, questions: u16, answers: u16) -> Option<Vec<Target>> {
        for _ in 0..questions {
            self.name()?;
            self.at += 4;
        }
        let mut targets = Vec::new();
        for _ in 0..answers {
            self.name()?;
            let (kind, class) = (self.number()?, self.number()?);
            self.at += 4; // how long it may be kept
            let end = usize::from(self.number()?) + self.at;
            if (kind, class) == (SRV, INTERNET) {
                self.at += 4; // priority and weight: clients of a cluster spread by themselves
                let (port, host) = (self.number()?, self.name()?);
                targets.extend((!host.is_empty()).then_some(Target { host, port }));
            }
            self.at = end;
        }
        Some(targets)
    }

    /// A name, which may go on where an earlier one stands. Pointers lead ever further back, so
    /// that none leads in a circle.
    fn name(&mut self) -> Option<String> {
        let mut labels = Vec::new();
        let (mut at, mut before, mut end) = (self.at, self.at, None);
        loop {
            let length = usize::from(*self.message.get(at)?);
            match length {
                0 => break,
                1..=LONGEST_LABEL => {
                    let label = self.message.get(at + 1..at + 1 + length)?;
                    labels.push(String::from_utf8_lossy(label));
                    at += 1 + length;
                }
                0xc0.. => {
                    end.get_or_insert(at + 2);
                    let low = usize::from(*self.message.get(at + 1)?);
                    at = (length & 0x3f) << 8 | low;
                    if at >= before {
                        return None;
                    }
                    before = at;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at + 1);
        Some(labels.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u16 = 7;
    const NAME: &str = "_etcd-client._tcp.example.org";

    /// An answer with one record of `kind`, whose owner is the name of the question.
    fn message(flags: u16, kind: u16, target: &[u8]) -> Vec<u8> {
        let mut message = question(ID, NAME).unwrap();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[7] = 1;
        message.extend([0xc0, 12]);
        for number in [kind, INTERNET, 0, 60] {
            message.extend(number.to_be_bytes());
        }
        let length = u16::try_from(6 + target.len()).unwrap();
        for number in [length, 0, 0, 2379] {
            message.extend(number.to_be_bytes());
        }
        message.extend(target);
        message
    }

    #[test]
    fn answers_are_read() {
        // `n1`, and then the name of the question from `example` on.
        let short = [b"\x02n1".as_slice(), &[0xc0, 12 + 13 + 5]].concat();
        let found = answer(&message(0x8180, SRV, &short), ID);
        let n1 = Target {
            host: "n1.example.org".to_owned(),
            port: 2379,
        };
        assert_eq!(found, Ok(Some(vec![n1])));
        assert_eq!(
            answer(&message(0x8180, 5, &short), ID),
            Ok(Some(Vec::new()))
        );
        assert_eq!(
            answer(&message(0x8180, SRV, &[0]), ID),
            Ok(Some(Vec::new()))
        );
        assert_eq!(
            answer(&message(0x8183, SRV, &short), ID),
            Ok(Some(Vec::new()))
        );
        assert_eq!(answer(&message(0x8380, SRV, &short), ID), Ok(None));
        assert!(answer(&message(0x8182, SRV, &short), ID).is_err());
        assert!(answer(&message(0x0180, SRV, &short), ID).is_err());
        assert!(answer(&message(0x8180, SRV, &short), 8).is_err());
    }

    #[test]
    fn no_answer_is_read_beyond_its_end_or_in_circles() {
        let whole = message(0x8180, SRV, b"\x01a\x00");
        for length in 0..whole.len() {
            assert!(answer(&whole[..length], ID).is_err(), "{length}");
        }
        let at = u8::try_from(message(0x8180, SRV, &[]).len()).unwrap();
        assert!(answer(&message(0x8180, SRV, &[0xc0, at]), ID).is_err());
    }

    #[test]
    fn only_names_are_asked_for() {
        assert!(question(ID, "a..b").is_none());
        assert!(question(ID, &"a".repeat(64)).is_none());
        assert!(question(ID, &"a.".repeat(127)).is_some());
        assert!(question(ID, &"a.".repeat(128)).is_none());
    }

    #[test]
    fn name_servers_are_those_of_the_system() {
        let servers = |text| -> Vec<String> {
            let servers = name_servers(text).into_iter();
            servers.map(|at| at.to_string()).collect()
        };
        let text = "# nameserver 1.1.1.1\nsearch x\nnameserver 10.0.0.2\n nameserver\t::1 \n";
        assert_eq!(servers(text), ["10.0.0.2:53", "[::1]:53"]);
        assert_eq!(servers(""), ["127.0.0.1:53"]);
    }
}
