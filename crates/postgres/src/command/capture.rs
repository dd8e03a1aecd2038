//! Keeping what a command writes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;

/// How much of each stream is kept: enough for any message, little enough for any node.
const KEPT: usize = 1 << 20;

/// How long to wait for the rest of a stream after its command has ended. A descendant may hold
/// the stream open for ever.
const REST: Duration = Duration::from_secs(1);

/// The streams of one command, read by tasks that end with this value.
pub(crate) struct Capture {
    readers: JoinSet<()>,
    streams: Vec<Arc<Mutex<Vec<u8>>>>,
}

impl Capture {
    pub(crate) fn new() -> Self {
        Self {
            readers: JoinSet::new(),
            streams: Vec::new(),
        }
    }

    /// Begins to read a stream. Cut at the front, so that the last words are kept.
    pub(crate) fn read(&mut self, stream: impl AsyncRead + Send + Unpin + 'static) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        self.streams.push(Arc::clone(&kept));
        self.readers.spawn(read_all(stream, kept));
    }

    /// What was written, stream by stream in the order of [`Capture::read`].
    pub(crate) async fn finish(mut self) -> Vec<Vec<u8>> {
        let all = async { while self.readers.join_next().await.is_some() {} };
        let _open_streams_are_left_behind = tokio::time::timeout(REST, all).await;
        self.streams
            .iter()
            .map(|kept| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)))
            .collect()
    }
}

async fn read_all(mut stream: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = vec![0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * KEPT {
            let surplus = kept.len() - KEPT;
            kept.drain(..surplus);
        }
    }
}
