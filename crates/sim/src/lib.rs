//! Room for `sim`.
