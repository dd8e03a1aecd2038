//! What the log carries.

use serde::{Deserialize, Serialize};

/// A replicated command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Names the cluster: the first command of the first leader. Later ones do nothing.
    Found {
        /// A random number.
        cluster: u64,
    },
    /// A write that somebody asked for.
    Write {
        /// Who asked, so that a repeated request is carried out once.
        origin: Origin,
        /// What.
        write: Write,
    },
    /// Removes keys whose time is over by the leader's clock, unless they were written since.
    Expire {
        /// Keys with the index of the write that the clock was about.
        keys: Vec<(String, u64)>,
    },
}

/// A client and its request. A request that is repeated keeps its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// A random number, new for every start of a process.
    pub(crate) client: u64,
    /// Counts the requests, from 1.
    pub(crate) sequence: u64,
}

/// A conditional write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Write {
    /// Sets one key.
    Set {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// How long it lives without being set again, by the leader's clock.
        ttl_ms: Option<u64>,
        /// When the write is allowed.
        condition: Condition,
    },
    /// Removes one key.
    Delete {
        /// The key.
        key: String,
        /// When the removal is allowed.
        condition: Condition,
    },
    /// Removes a key and all below it.
    DeleteTree {
        /// The key without a slash at the end.
        key: String,
    },
}

/// What must hold for a write. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The key exists, or does not.
    pub(crate) exists: Option<bool>,
    /// The key exists with this value.
    pub(crate) value: Option<String>,
    /// The key exists and was last set by the entry with this index.
    pub(crate) index: Option<u64>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Carried out; the index is the new revision of the key.
    Done {
        /// Of the log entry.
        index: u64,
    },
    /// The condition does not hold.
    Refused {
        /// Whether the key exists.
        exists: bool,
    },
    /// Too large: key, value, or everything together.
    TooLarge,
    /// A late copy of a request that is long forgotten; nothing was done now.
    Forgotten,
}

/// First byte of every command in the log. A member that does not know the version stops: members
/// that applied different things would be worse than one member less.
const VERSION: u8 = 1;

impl Command {
    /// The bytes in the log.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).expect("plain data, written to memory");
        bytes
    }

    /// Reads the bytes; `None` when a newer version wrote them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, body) = bytes.split_first()?;
        (*version == VERSION)
            .then(|| serde_json::from_slice(body).ok())
            .flatten()
    }
}

impl Write {
    /// Sets a key for ever.
    pub(crate) fn set(key: String, value: String, condition: Condition) -> Self {
        Self::Set {
            key,
            value,
            ttl_ms: None,
            condition,
        }
    }
}

impl Condition {
    /// No condition.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The key must not exist.
    pub(crate) fn absent() -> Self {
        Self {
            exists: Some(false),
            ..Self::default()
        }
    }

    /// The key must have this value.
    pub(crate) fn value(value: &str) -> Self {
        Self {
            value: Some(value.to_owned()),
            ..Self::default()
        }
    }
}
