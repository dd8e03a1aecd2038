//! Room for `api`.
