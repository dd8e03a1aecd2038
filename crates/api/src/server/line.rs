//! The socket of a connection, which is also watched while an endless answer goes out.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::wire::events::HEARTBEAT;

/// A socket with more than one holder: one reads and writes, others may ask how it is.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<TcpStream>);

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(stream))
    }

    /// Watches for the other side to go away.
    pub(super) fn departure(&self) -> Departure {
        let line = self.clone();
        Departure {
            asked: false,
            sign: Box::pin(async move { line.last_word().await }),
            line: self.clone(),
        }
    }

    /// Waits until the other side has said its last.
    async fn last_word(&self) {
        // an error of `ready` is one of a runtime that ends
        while let Ok(state) = self.0.ready(Interest::READABLE).await {
            if state.is_read_closed() {
                return;
            }
            let mut byte = [MaybeUninit::uninit()];
            let peeked = self.0.try_io(Interest::READABLE, || {
                SockRef::from(&*self.0).peek(&mut byte)
            });
            match peeked {
                Ok(0) => return,
                Ok(_) => sleep(LOOK_AGAIN).await,
                // with this the socket counts as not ready, until there is news
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Waits until the other side takes nothing any more.
    async fn last_hearing(&self) {
        while let Ok(state) = self.0.ready(Interest::WRITABLE).await {
            if state.is_write_closed() {
                return;
            }
            sleep(ECHO).await;
        }
    }
}

/// A client that sent more than its request is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A socket that can be written to says no more; it is looked at again so often.
const ECHO: Duration = Duration::from_millis(100);

/// Notices that a client has closed the connection. It may have closed one direction only and go
/// on reading, so it is sent a heartbeat: a socket that is closed altogether answers that with a
/// reset.
pub(super) struct Departure {
    asked: bool,
    sign: Pin<Box<dyn Future<Output = ()> + Send>>,
    line: Line,
}

impl Departure {
    /// The heartbeat to send, then `None` when nobody is there any more.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        ready!(self.sign.as_mut().poll(cx));
        if self.asked {
            return Poll::Ready(None);
        }
        self.asked = true;
        let line = self.line.clone();
        self.sign = Box::pin(async move { line.last_hearing().await });
        Poll::Ready(Some(Bytes::from_static(HEARTBEAT.as_bytes())))
    }
}

impl std::fmt::Debug for Departure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Departure")
            .field("asked", &self.asked)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(length) => {
                    buf.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written(cx, |stream| stream.try_write(data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written(cx, |stream| stream.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}

impl Line {
    fn written(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}
