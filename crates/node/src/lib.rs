//! Room for `node`.
