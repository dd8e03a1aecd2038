//! How members and clients talk: TCP, one port, frames of bounded size.
//!
//! A connection begins with a preamble of six bytes from the caller: `PRSR`, the version of the
//! protocol, and 1 when a password is used. The answer is one byte, see [`channel::Status`].
//! With a password a Noise handshake follows (`Noise_NNpsk0_25519_ChaChaPoly_SHA256`, the key
//! stretched from the password, both preambles mixed in), and everything after is encrypted and
//! authenticated; who does not know the password gets no further, and nothing of it is decoded.
//!
//! Then both sides say who they are ([`wire::Hello`], [`wire::Welcome`]). A **peer** connection
//! carries messages of the consensus protocol, one way: each member calls each other one. A
//! **client** connection carries one request and one answer at a time. A hung peer delays nobody:
//! every peer has its own task, its queue is bounded and what does not fit is dropped (the protocol
//! repeats itself), and every step has a deadline.

pub(crate) mod channel;
mod key;
mod listener;
mod peers;
pub(crate) mod wire;

pub(crate) use channel::Channel;
pub(crate) use key::Key;
pub(crate) use listener::{Listener, Standing};
pub(crate) use peers::{Caller, Peers, REMINDER};
