//! The subscribers of `GET /events`.
//!
//! One task follows what the node publishes and hands each change to every subscriber. It waits
//! for nobody: a subscriber whose queue is full has stopped reading, and its connection is ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};

use super::connections::Ender;
use crate::wire::events::{HEARTBEAT, Present, Seen};
use crate::wire::{Answer, Snapshot};

/// The pause between two heartbeats.
pub(super) const HEARTBEAT_TIME: Duration = Duration::from_secs(15);

/// Events that wait for a subscriber at most. A failover makes about ten.
const MOST_WAITING: usize = 64;

/// What subscribers know, and who they are.
#[derive(Debug)]
pub(super) struct Events {
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    present: Present,
    /// The number of the last change.
    number: u64,
    subscribers: Vec<Subscriber>,
    is_open: bool,
}

#[derive(Debug)]
struct Subscriber {
    frames: mpsc::Sender<Bytes>,
    connection: Ender,
}

/// The frames for one subscriber, in order. They end when the server does.
#[derive(Debug)]
pub(super) struct Frames(mpsc::Receiver<Bytes>);

impl Events {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self {
            desk: Mutex::new(Desk {
                present: Present::of(snapshot, Instant::now(), None),
                number: 0,
                subscribers: Vec::new(),
                is_open: true,
            }),
        }
    }

    /// Follows what is published until `ended`; then every subscriber has seen the last event.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        heartbeat: Duration,
        ended: impl Future<Output = ()>,
    ) {
        let mut ended = std::pin::pin!(ended);
        let mut beats = interval_at(tokio::time::Instant::now() + heartbeat, heartbeat);
        // After a freeze one heartbeat says as much as all that were missed.
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            let now = Instant::now();
            self.desk().take(&snapshot, now);
            let change = Present::changes_at(&snapshot, now);
            let by_itself = async {
                match change {
                    Some(moment) => sleep_until(moment.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                published = snapshots.changed() => if published.is_err() { break },
                () = by_itself => {}
                _ = beats.tick() => self.desk().send(&Bytes::from_static(HEARTBEAT.as_bytes())),
                () = &mut ended => break,
            }
        }
        self.desk().close();
    }

    /// One more subscriber, unless there are `most` already. Its first frame waits for it.
    pub(super) fn subscribe(&self, connection: Ender, most: usize) -> Result<Frames, Answer> {
        self.desk().subscribe(connection, most)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn take(&mut self, snapshot: &Snapshot, now: Instant) {
        let present = Present::of(snapshot, now, Some(&self.present));
        let at = Timestamp::now();
        for what in present.changes_since(&self.present) {
            self.number += 1;
            let name = what.name();
            let frame = Seen { at, what }.frame(self.number, name);
            self.send(&frame.into());
        }
        self.present = present;
    }

    fn send(&mut self, frame: &Bytes) {
        self.subscribers.retain(|subscriber| {
            let sent = subscriber.frames.try_send(frame.clone());
            if matches!(sent, Err(mpsc::error::TrySendError::Full(_))) {
                tracing::warn!("a subscriber of REST events does not read, ending its connection");
                subscriber.connection.end();
            }
            sent.is_ok()
        });
    }

    fn subscribe(&mut self, connection: Ender, most: usize) -> Result<Frames, Answer> {
        if !self.is_open {
            return Err(refusal("the server is being shut down".to_owned()));
        }
        self.subscribers
            .retain(|subscriber| !subscriber.frames.is_closed());
        if self.subscribers.len() >= most {
            return Err(refusal(format!(
                "there are {most} subscribers already, which is the most"
            )));
        }
        let first = Seen {
            at: Timestamp::now(),
            what: &self.present,
        };
        let first = first.frame(self.number, "snapshot");
        let (frames, waiting) = mpsc::channel(MOST_WAITING);
        // The queue is new and has room.
        let _ = frames.try_send(first.into());
        self.subscribers.push(Subscriber { frames, connection });
        Ok(Frames(waiting))
    }

    fn close(&mut self) {
        self.is_open = false;
        self.subscribers.clear();
    }
}

fn refusal(why: String) -> Answer {
    Answer::text(StatusCode::SERVICE_UNAVAILABLE, why)
}

impl Frames {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use patroni_core::{MemberName, Role, Scope};
    use tokio::time::timeout;

    use super::super::connections::Connections;
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_hours(1);

    /// Ends nothing: there is no such connection.
    fn nobody() -> Ender {
        Arc::new(Connections::new()).enter(1, 1).unwrap().ender()
    }

    struct Bench {
        events: Arc<Events>,
        snapshots: watch::Sender<Arc<Snapshot>>,
    }

    impl Bench {
        fn new() -> Self {
            let snapshot = Snapshot::new(Scope::new("demo"), MemberName::new("a"));
            Self {
                events: Arc::new(Events::new(&snapshot)),
                snapshots: watch::Sender::new(Arc::new(snapshot)),
            }
        }

        fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
            self.snapshots
                .send_modify(|snapshot| change(Arc::make_mut(snapshot)));
        }

        async fn follow(&self, heartbeat: Duration, ended: impl Future<Output = ()>) {
            let events = self.events.clone();
            let snapshots = self.snapshots.subscribe();
            timeout(SOON, events.follow(snapshots, heartbeat, ended))
                .await
                .unwrap();
        }

        fn subscribe(&self) -> Frames {
            self.events.subscribe(nobody(), 9).unwrap()
        }
    }

    async fn next(frames: &mut Frames) -> Option<String> {
        let frame = timeout(SOON, frames.0.recv()).await.unwrap()?;
        Some(String::from_utf8(frame.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_subscriber_sees_the_present_each_change_and_the_end() {
        let bench = Bench::new();
        let mut frames = bench.subscribe();
        let reading = async {
            let first = next(&mut frames).await.unwrap();
            assert!(first.starts_with("id: 0\nevent: snapshot\n"), "{first}");
            bench.publish(|snapshot| snapshot.paused = true);
            let change = next(&mut frames).await.unwrap();
            assert!(change.starts_with("id: 1\nevent: pause\n"), "{change}");
            bench.publish(|snapshot| snapshot.server_role = Role::Primary);
            let change = next(&mut frames).await.unwrap();
            assert!(change.starts_with("id: 2\nevent: role\n"), "{change}");
            let mut late = bench.subscribe();
            let first = next(&mut late).await.unwrap();
            assert!(first.starts_with("id: 2\nevent: snapshot\n"), "{first}");
            assert!(first.contains(r#""role": "primary""#), "{first}");
        };
        bench.follow(NEVER, reading).await;
        assert_eq!(next(&mut frames).await, None);
        assert!(bench.events.subscribe(nobody(), 9).is_err());
    }

    #[tokio::test]
    async fn a_claim_that_runs_out_is_a_change() {
        let bench = Bench::new();
        let until = Instant::now() + Duration::from_millis(30);
        bench.publish(|snapshot| snapshot.lock_until = Some(until));
        let mut frames = bench.subscribe();
        let reading = async {
            for expected in ["snapshot", r#""leader": "a""#, r#""leader": null"#] {
                let frame = next(&mut frames).await.unwrap();
                assert!(frame.contains(expected), "{frame}");
            }
            assert!(Instant::now() >= until);
        };
        bench.follow(NEVER, reading).await;
    }

    #[tokio::test]
    async fn silence_is_broken_by_heartbeats() {
        let bench = Bench::new();
        let mut frames = bench.subscribe();
        let reading = async {
            next(&mut frames).await;
            for _ in 0..3 {
                assert_eq!(next(&mut frames).await.as_deref(), Some(HEARTBEAT));
            }
        };
        bench.follow(Duration::from_millis(5), reading).await;
    }

    #[test]
    fn who_does_not_read_is_dropped_and_its_place_is_free() {
        let bench = Bench::new();
        let mut slow = bench.events.subscribe(nobody(), 1).unwrap();
        let refused = bench.events.subscribe(nobody(), 1).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        for _ in 0..MOST_WAITING {
            bench.events.desk().send(&Bytes::from_static(b"x"));
        }
        assert!(bench.events.subscribe(nobody(), 1).is_ok());
        let mut waiting = 0;
        while slow.0.try_recv().is_ok() {
            waiting += 1;
        }
        assert_eq!(waiting, MOST_WAITING);
    }
}
