//! Kubernetes objects as a store: annotations of Endpoints or ConfigMaps, and Pods as members.
//!
//! Objects, annotations, labels and conditions are those of every other member of a cluster,
//! whatever software it runs; source: store contract, section 13. Two things are unlike all other
//! stores. Nothing ends by itself: each member takes the lock for free when it has not seen the
//! leader's record change for the recorded ttl, by its own monotonic clock (`record`). And a
//! member is a Pod, which has to exist and which nobody here removes.
//!
//! From the bottom up:
//!
//! - `options`, `environment`, `access`: where the API is and who we are there;
//! - `request`, `object`, `names`: what is sent, what comes back, how things are called;
//! - `servers`: the API servers and the connections to them; `call`: one request within its time,
//!   the only layer that repeats; `failure`: what an answer asks of it; `bypass`: finding the
//!   servers behind the service;
//! - `record`, `judgement`, `subsets`, `labels`: the leader's record and what was judged by it,
//!   the addresses in its Endpoints, the labels of a Pod; `view`: from objects to the snapshot;
//! - `cache`, `follow`: the watched copy that a daemon reads, and what wakes it; `shared`: what
//!   both sides have in common;
//! - `write`: the writes; `lock`, `store`: the operations of [`Store`](crate::Store).

mod access;
mod bypass;
mod cache;
mod call;
mod environment;
mod failure;
mod follow;
mod judgement;
mod labels;
mod lock;
mod names;
mod object;
mod options;
mod record;
mod request;
mod servers;
mod shared;
mod store;
mod subsets;
mod view;
mod write;

pub use environment::Environment;
pub use options::{Labels, Mode, Options, Port};
pub use store::Kubernetes;
