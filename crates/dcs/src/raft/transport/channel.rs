//! One connection: handshake and frames.

use std::io;
use std::time::Duration;

use snow::{Builder, TransportState};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::key::Key;
use crate::raft::ident::Address;

const MAGIC: &[u8; 4] = b"PRSR";
const VERSION: u8 = 1;
const NOISE: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// Largest Noise message.
const LARGEST: usize = 65_535;
const TAG: usize = 16;
/// Plain bytes in one piece, after the byte that says whether more follows.
const PIECE: usize = LARGEST - TAG - 1;

/// Largest frame: a snapshot of the largest state, as JSON, fits.
pub(crate) const MAX_FRAME: usize = 128 << 20;
/// Largest frame before the other side has said who it is.
pub(crate) const MAX_HELLO: usize = 64 << 10;
/// For the whole way up to a usable connection.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(3);

/// What the called side says to the preamble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Welcome = 0,
    OtherVersion = 1,
    PasswordNeeded = 2,
    NoPasswordHere = 3,
    WrongPassword = 4,
}

impl Status {
    fn check(byte: u8) -> io::Result<()> {
        let why = match byte {
            0 => return Ok(()),
            1 => "the other side speaks another version of the protocol",
            2 => "the other side wants a password",
            3 => "the other side has no password set",
            4 => "the other side has another password",
            _ => "the other side is no raft member",
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

/// An open connection. Sending and receiving are not cancel safe: after a dropped call the
/// connection must be dropped too.
pub(crate) struct Channel {
    stream: BufReader<TcpStream>,
    noise: Option<Box<TransportState>>,
}

impl Channel {
    /// Calls somebody.
    pub(crate) async fn call(address: &Address, key: Option<&Key>) -> io::Result<Self> {
        let stream = TcpStream::connect(address.as_str()).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let preamble = preamble(key.is_some());
        stream.write_all(&preamble).await?;
        Status::check(stream.read_u8().await?)?;
        let Some(key) = key else {
            return Ok(Self {
                stream,
                noise: None,
            });
        };
        let mut noise = builder(&preamble, key)?
            .build_initiator()
            .map_err(io::Error::other)?;
        let mut buffer = vec![0; LARGEST];
        let length = noise
            .write_message(&[], &mut buffer)
            .map_err(io::Error::other)?;
        write_piece(&mut stream, &buffer[..length]).await?;
        Status::check(stream.read_u8().await?)?;
        let answer = read_piece(&mut stream).await?;
        noise
            .read_message(&answer, &mut buffer)
            .map_err(io::Error::other)?;
        let noise = noise.into_transport_mode().map_err(io::Error::other)?;
        Ok(Self {
            stream,
            noise: Some(Box::new(noise)),
        })
    }

    /// Answers a call.
    pub(crate) async fn answer(stream: TcpStream, key: Option<&Key>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut said = [0; 6];
        stream.read_exact(&mut said).await?;
        if !said.starts_with(MAGIC) {
            return Err(io::Error::other("the caller is no raft member"));
        }
        let status = match (said[4], said[5], key) {
            (VERSION, 0, None) | (VERSION, 1, Some(_)) => Status::Welcome,
            (VERSION, 1, None) => Status::NoPasswordHere,
            (VERSION, _, Some(_)) => Status::PasswordNeeded,
            (_, _, _) => Status::OtherVersion,
        };
        stream.write_u8(status as u8).await?;
        Status::check(status as u8)
            .map_err(|_| io::Error::other(format!("caller refused: {status:?}")))?;
        let Some(key) = key else {
            return Ok(Self {
                stream,
                noise: None,
            });
        };
        let mut noise = builder(&said, key)?
            .build_responder()
            .map_err(io::Error::other)?;
        let mut buffer = vec![0; LARGEST];
        let first = read_piece(&mut stream).await?;
        if noise.read_message(&first, &mut buffer).is_err() {
            stream.write_u8(Status::WrongPassword as u8).await?;
            return Err(io::Error::other("the caller has another password"));
        }
        stream.write_u8(Status::Welcome as u8).await?;
        let length = noise
            .write_message(&[], &mut buffer)
            .map_err(io::Error::other)?;
        write_piece(&mut stream, &buffer[..length]).await?;
        let noise = noise.into_transport_mode().map_err(io::Error::other)?;
        Ok(Self {
            stream,
            noise: Some(Box::new(noise)),
        })
    }

    /// Sends one frame within `limit`.
    pub(crate) async fn send(&mut self, frame: &[u8], limit: Duration) -> io::Result<()> {
        let bytes = self.seal(frame)?;
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        timeout(limit, sent).await?
    }

    /// Receives one frame of at most `most` bytes; `None` when the other side has closed.
    pub(crate) async fn receive(&mut self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let mut frame = Vec::new();
        loop {
            let piece = match read_piece(&mut self.stream).await {
                Ok(piece) => self.open(piece)?,
                Err(error) if frame.is_empty() && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let Some((more, body)) = piece.split_first() else {
                return Err(io::Error::other("an empty piece"));
            };
            if frame.len() + body.len() > most {
                return Err(io::Error::other("a frame that is too long"));
            }
            frame.extend_from_slice(body);
            if *more == 0 {
                return Ok(Some(frame));
            }
        }
    }

    /// Returns when the other side, which is expected to stay silent, has closed or said
    /// something. Cancel safe.
    pub(crate) async fn closed(&mut self) {
        let _ = self.stream.fill_buf().await; // whatever comes ends the connection
    }

    fn seal(&mut self, frame: &[u8]) -> io::Result<Vec<u8>> {
        if frame.len() > MAX_FRAME {
            return Err(io::Error::other("a frame that is too long to be sent"));
        }
        let mut bytes = Vec::with_capacity(frame.len() + 64);
        let mut pieces = frame.chunks(PIECE).peekable();
        loop {
            let body = pieces.next().unwrap_or_default();
            let more = u8::from(pieces.peek().is_some());
            let mut piece = Vec::with_capacity(body.len() + 1);
            piece.push(more);
            piece.extend_from_slice(body);
            if let Some(noise) = &mut self.noise {
                let mut sealed = vec![0; piece.len() + TAG];
                let length = noise
                    .write_message(&piece, &mut sealed)
                    .map_err(io::Error::other)?;
                sealed.truncate(length);
                piece = sealed;
            }
            let length = u16::try_from(piece.len()).map_err(io::Error::other)?;
            bytes.extend(length.to_be_bytes());
            bytes.extend(piece);
            if more == 0 {
                return Ok(bytes);
            }
        }
    }

    fn open(&mut self, piece: Vec<u8>) -> io::Result<Vec<u8>> {
        let Some(noise) = &mut self.noise else {
            return Ok(piece);
        };
        let mut plain = vec![0; piece.len()];
        let length = noise
            .read_message(&piece, &mut plain)
            .map_err(io::Error::other)?;
        plain.truncate(length);
        Ok(plain)
    }
}

fn preamble(with_password: bool) -> [u8; 6] {
    let [a, b, c, d] = *MAGIC;
    [a, b, c, d, VERSION, u8::from(with_password)]
}

fn builder<'a>(preamble: &'a [u8], key: &'a Key) -> io::Result<Builder<'a>> {
    let params = NOISE.parse().map_err(io::Error::other)?;
    Builder::new(params)
        .prologue(preamble)
        .and_then(|builder| builder.psk(0, key.bytes()))
        .map_err(io::Error::other)
}

async fn write_piece(stream: &mut BufReader<TcpStream>, piece: &[u8]) -> io::Result<()> {
    let length = u16::try_from(piece.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(piece).await
}

async fn read_piece(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut piece = vec![0; usize::from(length)];
    stream.read_exact(&mut piece).await?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use patroni_core::Secret;
    use tokio::net::TcpListener;

    use super::*;

    async fn both(
        inside: Option<&str>,
        outside: Option<&str>,
    ) -> (io::Result<Channel>, io::Result<Channel>) {
        let key = |text: Option<&str>| text.and_then(|text| Key::derive(&Secret::new(text)));
        let (inside, outside) = (key(inside), key(outside));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let answer = async {
            let (stream, _) = listener.accept().await.unwrap();
            Channel::answer(stream, inside.as_ref()).await
        };
        tokio::join!(answer, Channel::call(&address, outside.as_ref()))
    }

    #[tokio::test]
    async fn frames_of_any_size_go_through_both_ways() {
        for password in [None, Some("geheim")] {
            let (answered, called) = both(password, password).await;
            let (mut answered, mut called) = (answered.unwrap(), called.unwrap());
            for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
                let frame = vec![7; size];
                let limit = Duration::from_secs(5);
                let (sent, got) =
                    tokio::join!(called.send(&frame, limit), answered.receive(MAX_FRAME));
                sent.unwrap();
                assert_eq!(got.unwrap(), Some(frame.clone()));
                let (sent, got) = tokio::join!(
                    answered.send(&frame, limit),
                    called.receive(size.max(1) - 1)
                );
                sent.unwrap();
                assert!(size == 0 || got.is_err(), "too long for what was asked");
                if size > 0 {
                    break;
                }
            }
            drop(called);
            assert_eq!(answered.receive(10).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn passwords_must_agree() {
        for (inside, outside, words) in [
            (Some("a"), Some("b"), "another password"),
            (Some("a"), None, "wants a password"),
            (None, Some("b"), "no password set"),
        ] {
            let (answered, called) = both(inside, outside).await;
            assert!(answered.is_err());
            let error = called.err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
