//! What the leader of a Citus coordinator group writes into `pg_dist_node`, decided as plain values.
//!
//! Every group of a Citus cluster is an HA cluster of its own. The leader of group 0 alone keeps
//! the table of nodes, for all groups: it compares what each group should look like ([`rows`]) with
//! what the table says, takes the steps between them ([`steps`]), and does so one group after the
//! other ([`queue`]), also inside the transactions by which a worker's switchover makes writes to
//! its shards wait. Source: Citus contract, sections 5 to 10.
//!
//! Like everything in this crate it touches nothing: the body gives it views and outcomes, and
//! carries out one [`Act`] at a time.

pub mod queue;
pub mod rows;
pub mod steps;

pub use queue::{Act, Added, Queue, Run, Ticket};
pub use rows::{Address, BadUrl, COORDINATOR, Event, Group, NodeRole, Row, Task, Told};
pub use steps::{Plan, Step};
