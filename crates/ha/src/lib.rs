//! Room for `ha`.
