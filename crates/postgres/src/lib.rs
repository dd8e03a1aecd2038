//! Room for `postgres`.
