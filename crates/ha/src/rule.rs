//! The rows of the decision tables: which rule spoke.
//!
//! Rows with a number in the HA contract keep it (A, B, R); the tables without numbers get a
//! letter each. A program notes the row when it decides by it; see [`crate::context::Cx`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares the rows: name and sentence.
macro_rules! rows {
    ($( $row:ident => $text:literal; )+) => {
        /// One row of the decision tables.
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum Rule {
            /// No row has been reached yet.
            #[default]
            Start,
            $(
                #[doc = $text]
                $row,
            )+
        }

        impl Rule {
            /// Every row, in the order of decision.
            pub const ALL: &[Self] = &[$( Self::$row, )+];

            /// Its short name: `L2`.
            pub const fn id(self) -> &'static str {
                match self {
                    Self::Start => "start",
                    $( Self::$row => stringify!($row), )+
                }
            }

            /// What it is about.
            pub const fn text(self) -> &'static str {
                match self {
                    Self::Start => "no rule has been reached yet",
                    $( Self::$row => $text, )+
                }
            }
        }
    };
}

rows! {
    A1 => "the store cannot be read";
    A3 => "the cluster is paused";
    A4 => "the first cycle after a pause";
    A5 => "this member is not in the store";
    A6 => "the leader restores what the store lost";
    A10 => "a new cluster is being bootstrapped here";
    A11 => "a start was ordered and is judged";
    A12 => "there are no data to run on";
    A13 => "the identity of the data cannot be read";
    A14 => "the data belong to another cluster";
    A15 => "nobody has announced the identity of the cluster";
    A16 => "PostgreSQL does not run";
    A18 => "the lease ran out while this daemon did not run";
    A19 => "slots and the first callback follow the decision";
    B1 => "nobody has bootstrapped the cluster";
    B2 => "there is a member to copy from";
    B3 => "a copy can be made without a leader";
    B4 => "there is nothing to copy from yet";
    R1 => "a crashed primary hands over instead of starting";
    R2 => "a crashed primary starts again";
    R4 => "a crash has to be finished before the data can follow";
    R6 => "the lock is ours and the server starts read-only first";
    R7 => "the data may have to be rewound before the start";
    R8 => "the lock of a standby cluster is ours and the server starts as its leader";
    R9 => "nobody leads the standby cluster and the server follows the remote";
    R10 => "the server starts as a standby";
    R12 => "a rewind did not end and its data must not be started";
    S1 => "the lock was lost while PostgreSQL was starting";
    S2 => "PostgreSQL takes too long to start and somebody else can lead";
    S3 => "PostgreSQL takes too long to start and nobody else can lead";
    S4 => "PostgreSQL is starting and has time left";
    X1 => "crash recovery takes too long and somebody else can lead";
    X2 => "a long task runs and the lock is kept for it";
    X3 => "the lock was lost before the promotion began";
    X4 => "the lock was lost while a long task ran on a primary";
    X5 => "a long task runs";
    T1 => "nobody leads and this node must not take the lock";
    T2 => "nobody leads and somebody else took the lock first";
    T3 => "nobody led and this node took the lock";
    H => "nobody leads: is this node fit to lead?";
    L1 => "the lock is on a node that is no primary, in a pause";
    L2 => "the lock is ours and was extended";
    L3 => "the lock is ours and the store refused to extend it";
    L4 => "somebody else holds the lock";
    L5 => "the lock is ours and PostgreSQL leaves new connections without an answer";
    F1 => "following while paused";
    F2 => "a primary without the lock steps down";
    F3 => "the data have to be rewound or copied before they can follow";
    F4 => "the settings of the server do not follow the right member";
    F5 => "following the right member";
    P1 => "something forbids to lead although the lock is ours";
    P2 => "the lock is ours and PostgreSQL runs as primary";
    P3 => "the lock is ours and the promotion is not over";
    P4 => "the lock is ours and PostgreSQL has to be promoted";
    D1 => "the store is away: paused, or PostgreSQL does not run";
    D2 => "the store is away and this node is a standby";
    D3 => "the store is away and every member accepts this primary";
    D4 => "the store is away and this primary steps down";
    D5 => "the store is away and the lease lasts";
    M1 => "a change of leader is scheduled";
    M2 => "the asked change of leader makes no sense";
    M3 => "a change of leader was asked for and nobody can take over";
    M4 => "a change of leader was asked for and somebody can take over";
    C1 => "a restart is scheduled";
    I => "a decision would have broken a safety rule";
    J => "the program of a long task";
    Z => "what follows every decision";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id(), self.text())
    }
}
