//! Calls to other members.
