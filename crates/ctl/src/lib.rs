//! Room for `ctl`.
