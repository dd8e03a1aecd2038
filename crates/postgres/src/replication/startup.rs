//! A stream that asks for replication in the start-up packet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Protocol version 3.0 in the start-up packet.
const VERSION_3: u32 = 196_608;

/// The request for TLS, which comes before the start-up packet and has its form.
const TLS_REQUEST: u32 = 80_877_103;

/// The first byte of a TLS handshake. A start-up packet cannot begin with it: it would be longer
/// than the protocol allows.
const TLS_HANDSHAKE: u8 = 0x16;

/// No start-up packet is longer.
const LONGEST: usize = 10_000;

/// A TCP or Unix connection.
pub(super) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Adds `replication=true` to the start-up packet, and is transparent before and after it.
pub(super) struct Replicating<S> {
    inner: S,
    /// Bytes of the packet that is not complete, or of one that is on its way.
    packet: Vec<u8>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A packet is being collected.
    Collecting,
    /// A request for TLS is being sent; another packet follows.
    SendingRequest,
    /// The last collected bytes are being sent; everything after them passes.
    SendingLast,
    /// Everything passes.
    Passing,
}

impl<S> Replicating<S> {
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            packet: Vec::new(),
            phase: Phase::Collecting,
        }
    }

    /// Decides what the collected bytes are, as soon as that can be said.
    fn judge(&mut self) {
        let number = |from: usize| {
            let bytes = self.packet.get(from..from + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        if self.packet.first() == Some(&TLS_HANDSHAKE) {
            self.phase = Phase::SendingLast;
            return;
        }
        let (Some(length), Some(code)) = (number(0), number(4)) else {
            return;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match code {
            TLS_REQUEST => self.phase = Phase::SendingRequest,
            VERSION_3 if length <= LONGEST => {
                if self.packet.len() >= length {
                    self.ask_for_replication(length);
                    self.phase = Phase::SendingLast;
                }
            }
            _ => self.phase = Phase::SendingLast, // a cancel request, for example
        }
    }

    /// Puts the parameter in front of the zero byte that ends the packet.
    fn ask_for_replication(&mut self, length: usize) {
        const PARAMETER: &[u8] = b"replication\0true\0";
        let end = length - 1;
        self.packet.splice(end..end, PARAMETER.iter().copied());
        let length = u32::try_from(length + PARAMETER.len()).unwrap_or(u32::MAX);
        self.packet[..4].copy_from_slice(&length.to_be_bytes());
    }
}

impl<S: AsyncWrite + Unpin> Replicating<S> {
    /// Sends what was judged.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let next = match self.phase {
            Phase::Collecting | Phase::Passing => return Poll::Ready(Ok(())),
            Phase::SendingRequest => Phase::Collecting,
            Phase::SendingLast => Phase::Passing,
        };
        while !self.packet.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.packet))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.packet.drain(..sent);
        }
        self.phase = next;
        Poll::Ready(Ok(()))
    }

    /// Goes on with sending without waiting for it: who has written may read next without a
    /// flush, as one does with a socket.
    fn send_if_possible(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replicating<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        if self.phase == Phase::Passing {
            return Pin::new(&mut self.inner).poll_write(cx, bytes);
        }
        self.packet.extend_from_slice(bytes);
        self.judge();
        self.send_if_possible(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Replicating<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.send_if_possible(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Replicating<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}

/// TLS that puts the same layer on top of the encrypted stream, where the start-up packet then
/// passes in the clear.
pub(super) struct ReplicatingTls<T>(pub(super) T);

impl<S, T> TlsConnect<S> for ReplicatingTls<T>
where
    T: TlsConnect<S> + Send + 'static,
    T::Future: Send + 'static,
    T::Stream: 'static,
{
    type Stream = Replicating<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async { connecting.await.map(Replicating::new) })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn startup(parameters: &[u8]) -> Vec<u8> {
        let length = u32::try_from(parameters.len() + 9).unwrap();
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend(VERSION_3.to_be_bytes());
        packet.extend(parameters);
        packet.push(0);
        packet
    }

    /// Writes in pieces of a size, and returns what arrives.
    async fn sent(bytes: &[u8], piece: usize) -> Vec<u8> {
        let (near, mut far) = duplex(7); // smaller than any packet, to see partial writes
        let mut stream = Replicating::new(near);
        let bytes = bytes.to_vec();
        let write = async move {
            for part in bytes.chunks(piece) {
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
            }
            stream.shutdown().await.unwrap();
        };
        let mut arrived = Vec::new();
        let (read, ()) = tokio::join!(far.read_to_end(&mut arrived), write);
        read.unwrap();
        arrived
    }

    #[tokio::test]
    async fn the_parameter_is_added_once_and_the_rest_passes() {
        let mut before = 8_u32.to_be_bytes().to_vec();
        before.extend(TLS_REQUEST.to_be_bytes());
        let mut expected = before.clone();
        before.extend(startup(b"user\0u\0"));
        expected.extend(startup(b"user\0u\0replication\0true\0"));
        for bytes in [&mut before, &mut expected] {
            bytes.extend(startup(b"not a start-up packet any more"));
        }
        // The library writes packet by packet; a piece never spans two of them.
        for piece in [1, 2, 4, 8] {
            assert_eq!(sent(&before, piece).await, expected, "{piece}");
        }
    }

    #[tokio::test]
    async fn a_request_is_answered_without_a_flush() {
        let (near, mut far) = duplex(3);
        let mut stream = Replicating::new(near);
        let mut request = 8_u32.to_be_bytes().to_vec();
        request.extend(TLS_REQUEST.to_be_bytes());
        let server = async {
            let mut arrived = [0; 8];
            far.read_exact(&mut arrived).await.unwrap();
            far.write_all(b"S").await.unwrap();
            arrived
        };
        let client = async {
            stream.write_all(&request).await.unwrap();
            stream.read_u8().await.unwrap()
        };
        let (arrived, answer) = tokio::join!(server, client);
        assert_eq!((arrived.as_slice(), answer), (request.as_slice(), b'S'));
    }

    #[tokio::test]
    async fn a_handshake_passes() {
        let bytes = [&[TLS_HANDSHAKE, 3, 1][..], &startup(b"x")].concat();
        assert_eq!(sent(&bytes, 3).await, bytes);
    }
}
