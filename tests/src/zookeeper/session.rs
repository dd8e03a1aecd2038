//! A session with ZooKeeper by its wire protocol: as much as it takes to end somebody else's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const EXISTS: i32 = 3;
const CLOSE: i32 = -11;

/// A session on a connection of its own.
pub(super) struct Session(TcpStream);

impl Session {
    /// A new one.
    pub(super) fn open(port: u16) -> Result<Self> {
        Self::connect(port, 0, [0; 16])
    }

    /// An existing one, whoever has it.
    pub(super) fn steal(port: u16, id: i64) -> Result<Self> {
        Self::connect(port, id, password_of(id))
    }

    fn connect(port: u16, id: i64, password: [u8; 16]) -> Result<Self> {
        const TIMEOUT_MILLIS: i32 = 4000;
        let limit = Duration::from_secs(4);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        let mut session = Self(stream);
        let (version, seen) = (0_i32.to_be_bytes(), 0_i64.to_be_bytes());
        let request = [
            &version[..],
            &seen,
            &TIMEOUT_MILLIS.to_be_bytes(),
            &id.to_be_bytes(),
            &16_i32.to_be_bytes(),
            &password,
            &[0],
        ];
        session.send(&request.concat())?;
        let answer = session.answer()?;
        let granted = answer.get(8..16).context("a short answer")?;
        ensure!(granted != [0; 8], "the session is gone");
        Ok(session)
    }

    /// The session that an ephemeral node belongs to.
    pub(super) fn owner_of(&mut self, path: &str) -> Result<i64> {
        let length = i32::try_from(path.len())?.to_be_bytes();
        self.ask(EXISTS, &[&length, path.as_bytes(), &[0]].concat())?;
        let answer = self.answer()?;
        // Behind the header and four numbers of 8 and three of 4 bytes.
        let owner = answer.get(60..68).context("no such node")?;
        let owner = i64::from_be_bytes(owner.try_into()?);
        ensure!(owner != 0, "{path} belongs to no session");
        Ok(owner)
    }

    /// Closes it.
    pub(super) fn close(mut self) -> Result<()> {
        self.ask(CLOSE, &[])?;
        // The answer to a thief may be cut off with the connection of the client before.
        self.0.read_to_end(&mut Vec::new())?;
        Ok(())
    }

    fn ask(&mut self, kind: i32, body: &[u8]) -> Result<()> {
        let number = 1_i32.to_be_bytes();
        self.send(&[&number, &kind.to_be_bytes(), body].concat())
    }

    fn send(&mut self, request: &[u8]) -> Result<()> {
        let length = i32::try_from(request.len())?.to_be_bytes();
        Ok(self.0.write_all(&[&length, request].concat())?)
    }

    fn answer(&mut self) -> Result<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).context("no answer")?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length))?];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// The password of a session. The server derives it from the number by `java.util.Random`.
fn password_of(id: i64) -> [u8; 16] {
    const SECRET: i64 = 0xB341_5C00;
    const FACTOR: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((id ^ SECRET).cast_unsigned() ^ FACTOR) & MASK;
    let mut password = [0; 16];
    for four in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(FACTOR).wrapping_add(0xB) & MASK;
        four.copy_from_slice(&(state >> 16).to_le_bytes()[..4]);
    }
    password
}
