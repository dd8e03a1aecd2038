//! Durations in buckets, as `GET /metrics` shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets in milliseconds, from a round trip on one machine to a
/// promotion that takes its time. A last bucket without a bound follows.
pub const BOUNDS_MS: [f64; 14] = [
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
    30_000.0,
];

/// How long something took, each time. Recording takes no lock.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MS.len() + 1],
    nanos: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How many took at most as long as the bound of the same place; the last is the count of
    /// all.
    pub up_to: [u64; BOUNDS_MS.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

impl Histogram {
    /// Records one duration.
    pub fn record(&self, took: Duration) {
        let took_ms = took.as_secs_f64() * 1000.0;
        let place = BOUNDS_MS.partition_point(|bound| *bound < took_ms);
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The present numbers. The count always fits the buckets; the sum may be a record ahead or
    /// behind.
    pub fn read(&self) -> Reading {
        let mut count = 0;
        let up_to = std::array::from_fn(|place| {
            count += self.buckets[place].load(Ordering::Relaxed);
            count
        });
        Reading {
            up_to,
            sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Reading {
    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.up_to[BOUNDS_MS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_bucket_and_all_above() {
        let histogram = Histogram::default();
        for micros in [0, 1000, 1001, 2500, 29_999_999, 30_000_000, 30_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let reading = histogram.read();
        assert_eq!(reading.up_to[..4], [2, 4, 4, 4]);
        assert_eq!(reading.up_to[12..], [4, 6, 7]);
        assert_eq!(reading.count(), 7);
        assert_eq!(reading.sum, Duration::from_micros(90_004_501));
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_MS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn records_of_many_threads_are_all_counted() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for millis in 0..1000 {
                        histogram.record(Duration::from_millis(millis));
                    }
                });
            }
        });
        let reading = histogram.read();
        assert_eq!(reading.count(), 4000);
        assert_eq!(reading.up_to[0], 8);
        assert_eq!(reading.sum, Duration::from_secs(1998));
    }
}
