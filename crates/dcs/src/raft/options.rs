//! What a member is told: the `raft` section of the configuration, and the pace of the protocol.

use std::path::PathBuf;
use std::time::Duration;

use patroni_core::Secret;

/// The settings of one member or observer.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Our own `host:port`, exactly as the partners write it; without one we only observe.
    pub self_addr: Option<String>,
    /// Where to listen, default `self_addr`.
    pub bind_addr: Option<String>,
    /// The other members.
    pub partner_addrs: Vec<String>,
    /// Where log and snapshot live; belongs to one member alone.
    pub data_dir: PathBuf,
    /// Common to all members; without it the traffic is neither hidden nor authenticated.
    pub password: Option<Secret>,
}

/// The pace and the bounds of the protocol. The defaults give a new leader about a second after
/// the old one was lost.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The beat everything is counted in.
    pub tick: Duration,
    /// Beats between heartbeats of the leader.
    pub heartbeat_ticks: usize,
    /// Fewest silent beats before an election.
    pub election_ticks: usize,
    /// One more than the most silent beats before an election.
    pub election_ticks_end: usize,
    /// A snapshot is taken and the log is cut after this many entries.
    pub snapshot_entries: u64,
    /// The same, counted in bytes of the log.
    pub snapshot_bytes: u64,
    /// Entries kept behind the snapshot for members that are a little late.
    pub keep_entries: u64,
    /// Most bytes of such entries.
    pub keep_bytes: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            // A short beat spreads the candidates: two that stand up in the same one split the vote.
            tick: Duration::from_millis(50),
            heartbeat_ticks: 4,
            election_ticks: 16,
            election_ticks_end: 28,
            snapshot_entries: 4096,
            snapshot_bytes: 4 << 20,
            keep_entries: 512,
            keep_bytes: 1 << 20,
        }
    }
}

impl Tuning {
    /// The longest time a healthy cluster is silent before somebody stands for election.
    pub fn election_timeout(&self) -> Duration {
        self.tick * u32::try_from(self.election_ticks_end).unwrap_or(u32::MAX)
    }
}
