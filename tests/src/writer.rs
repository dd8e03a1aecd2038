//! A client that writes all the time and remembers what was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A row that the server acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// Its number.
    pub number: i64,
    /// When it was sent.
    pub sent: Instant,
    /// When the acknowledgement came.
    pub at: Instant,
    /// The timeline that the server wrote it to.
    pub timeline: u32,
}

/// How often a client writes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The pause after each acknowledged write.
    pub between: Duration,
    /// The pause after an attempt that failed.
    pub retry: Duration,
}

/// The writing client. It ends when it is dropped.
#[derive(Debug)]
pub struct Writer {
    story: Arc<Story>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a client lived through.
#[derive(Debug, Default)]
struct Story {
    acks: Mutex<Vec<Ack>>,
    failures: Mutex<Vec<Instant>>,
}

impl Story {
    fn add(&self, ack: Option<Ack>) {
        match ack {
            Some(ack) => lock(&self.acks).push(ack),
            None => lock(&self.failures).push(Instant::now()),
        }
    }
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// Starts to write to whichever of these loopback ports takes writes. The table
    /// `written (n bigint)` must exist there.
    ///
    /// # Panics
    /// The writing thread does when it cannot make a runtime.
    pub fn start(ports: Vec<u16>) -> Self {
        Self::start_every(Duration::from_millis(1), ports)
    }

    /// The same with a pause of this length after each acknowledged write, for tests that take
    /// long and measure nothing.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_every(pause: Duration, ports: Vec<u16>) -> Self {
        let pace = Pace {
            between: pause,
            retry: pause.max(Duration::from_millis(2)),
        };
        Self::start_after(0, pace, ports)
    }

    /// The same at a pace of the caller's, with numbers that begin after this one, for several
    /// clients on one table.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_after(number: i64, pace: Pace, ports: Vec<u16>) -> Self {
        let (story, stop) = (Arc::<Story>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (story, stop) = (Arc::clone(&story), Arc::clone(&stop));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime for one thread");
                runtime.block_on(write(number, &ports, pace, &story, &stop));
            })
        };
        Self {
            story,
            stop,
            thread: Some(thread),
        }
    }

    /// Everything acknowledged so far.
    pub fn acknowledged(&self) -> Vec<Ack> {
        lock(&self.story.acks).clone()
    }

    /// When an attempt failed, whether it came to a write or not.
    pub fn failures(&self) -> Vec<Instant> {
        lock(&self.story.failures).clone()
    }

    /// The longest time without an acknowledgement since a moment, up to the last one.
    pub fn longest_gap_since(&self, since: Instant) -> Duration {
        let acks = self.acknowledged();
        let first = acks.partition_point(|ack| ack.at < since).saturating_sub(1);
        acks[first..]
            .windows(2)
            .map(|pair| pair[1].at - pair[0].at)
            .max()
            .unwrap_or_default()
    }

    /// Waits until a write is acknowledged that was sent after this call.
    ///
    /// # Errors
    /// None is in time.
    pub fn wait_write(&self, at_most: Duration) -> Result<()> {
        let before = self.acknowledged().len();
        crate::wait::until("an acknowledged write", at_most, || {
            ensure!(self.acknowledged().len() > before + 1, "none");
            Ok(())
        })
    }

    /// Checks that every acknowledged row is on the server at this port.
    ///
    /// # Errors
    /// The server does not answer, or a row is missing.
    pub fn check_nothing_lost(&self, port: u16) -> Result<usize> {
        let acknowledged = self.acknowledged();
        let rows = crate::sql::query(port, "select n from written", Duration::from_secs(20))?;
        let rows: std::collections::HashSet<&str> = rows.iter().map(String::as_str).collect();
        let missing: Vec<i64> = acknowledged
            .iter()
            .map(|ack| ack.number)
            .filter(|n| !rows.contains(n.to_string().as_str()))
            .collect();
        ensure!(
            missing.is_empty(),
            "{} acknowledged rows are missing, first {:?}",
            missing.len(),
            missing.first()
        );
        Ok(acknowledged.len())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn write(mut number: i64, ports: &[u16], pace: Pace, story: &Story, stop: &AtomicBool) {
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let ack = insert(&mut client, ports, number).await.ok();
        story.add(ack);
        if ack.is_some() {
            tokio::time::sleep(pace.between).await;
        } else {
            client = None;
            tokio::time::sleep(pace.retry).await;
        }
    }
}

/// A connection with the task that drives it.
type Session = (Client, tokio::task::JoinSet<()>);

async fn insert(session: &mut Option<Session>, ports: &[u16], number: i64) -> Result<Ack> {
    if session.is_none() {
        *session = Some(connect(ports).await?);
    }
    let (client, _) = session.as_ref().context("just connected")?;
    let statement = format!("insert into written values ({number}) returning {TIMELINE}");
    let sent = Instant::now();
    let query = client.simple_query(&statement);
    let answer = tokio::time::timeout(Duration::from_secs(3), query).await??;
    let timeline = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(Ack {
        number,
        sent,
        at: Instant::now(),
        timeline: timeline.context("no timeline")?,
    })
}

/// The timeline that a primary writes to: the first part of the name of its WAL file.
const TIMELINE: &str = "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";

async fn connect(ports: &[u16]) -> Result<Session> {
    let hosts = vec!["127.0.0.1"; ports.len()].join(",");
    let ports = ports
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let config = format!(
        "host={hosts} port={ports} user=postgres password=supersecret dbname=postgres connect_timeout=1 \
         target_session_attrs=read-write"
    );
    let attempt = tokio_postgres::connect(&config, NoTls);
    let (client, connection) = tokio::time::timeout(Duration::from_secs(2), attempt).await??;
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    Ok((client, driver))
}
