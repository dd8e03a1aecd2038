//! The live view of `patronictl top`.
//!
//! [`Board`] is what is known and chosen, [`draw`](draw::draw) makes a [`Frame`] of it: a plain
//! function of its arguments. Asking the store and the keyboard is the command's part.

mod board;
mod detail;
mod draw;
mod frame;
mod table;
mod trend;

pub(crate) use board::{Board, Step};
pub(crate) use draw::{Moment, draw};
pub(crate) use frame::Paint;
