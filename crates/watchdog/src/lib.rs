//! Room for `watchdog`.
