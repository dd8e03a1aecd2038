//! The task that moves the bytes of a connection.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a connection may take to say good-bye. One whose server hangs is cut after it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Drives one connection. Dropped, after or with the connection's client, it ends the connection
/// in an orderly way: a server logs every client that only vanishes.
#[derive(Debug)]
pub(crate) struct Driver {
    task: JoinSet<()>,
    /// Its end tells the task that nobody asks any more.
    _in_use: oneshot::Sender<()>,
}

impl Driver {
    /// Begins to drive a connection.
    pub(crate) fn new(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        let (in_use, given_up) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connection = pin!(connection);
            tokio::select! {
                () = &mut connection => return,
                _ = given_up => {}
            }
            let _ = timeout(FAREWELL, connection).await;
        });
        Self {
            task,
            _in_use: in_use,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.detach_all(); // bounded by the farewell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_hangs_is_cut() {
        let (held, cut) = oneshot::channel::<()>();
        let driver = Driver::new(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(driver);
        let ended = timeout(FAREWELL * 5, cut).await;
        assert!(ended.expect("it is cut in time").is_err());
    }

    #[tokio::test]
    async fn a_connection_may_finish_what_it_has_to_say() {
        let (say, said) = oneshot::channel();
        let (client_is_gone, gone) = oneshot::channel::<()>();
        let driver = Driver::new(async move {
            let _ = gone.await;
            tokio::task::yield_now().await;
            let _ = say.send("good-bye");
        });
        drop(client_is_gone);
        drop(driver);
        assert_eq!(said.await.unwrap(), "good-bye");
    }
}
