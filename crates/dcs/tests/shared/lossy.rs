//! A connection that loses an answer at the worst moment: the request has arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is between the store and a server.
pub(crate) struct Link {
    pub(crate) url: String,
    lose_next: Arc<AtomicBool>,
    _tasks: JoinSet<()>,
}

impl Link {
    /// Loses answers to requests that begin with `only`.
    pub(crate) async fn to(server: &str, only: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = server.trim_start_matches("http://").to_owned();
        let lose_next = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let lose = Arc::clone(&lose_next);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (from, _) = listener.accept().await.unwrap();
                let to = TcpStream::connect(&target).await.unwrap();
                connections.spawn(carry(from, to, only, Arc::clone(&lose)));
            }
        });
        Self {
            url,
            lose_next,
            _tasks: tasks,
        }
    }

    pub(crate) fn lose_next_answer(&self) {
        self.lose_next.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.lose_next.load(Ordering::SeqCst)
    }
}

async fn carry(mut from: TcpStream, mut to: TcpStream, only: &str, lose: Arc<AtomicBool>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut matches = false;
    loop {
        tokio::select! {
            read = from.read(&mut up) => match read {
                Ok(count) if count > 0 => {
                    matches = up[..count].starts_with(only.as_bytes());
                    to.write_all(&up[..count]).await.unwrap();
                }
                Ok(_) | Err(_) => return,
            },
            read = to.read(&mut down) => match read {
                Ok(count) if count > 0 => {
                    if matches && lose.swap(false, Ordering::SeqCst) {
                        return;
                    }
                    if from.write_all(&down[..count]).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            },
        }
    }
}
