//! When the log tells how far a copy is.

use std::time::Duration;

use patroni_core::CopyProgress;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct Milestones {
    tenths: u8,
    at: Duration,
}

/// The longest silence.
const SILENCE: Duration = Duration::from_secs(30);

impl Milestones {
    /// Logs at each tenth of the whole, and after half a minute at the latest.
    pub(crate) fn tell(&mut self, progress: &CopyProgress) {
        if self.is_due(progress) {
            tracing::info!("copied {}", sentence(progress));
        }
    }

    fn is_due(&mut self, progress: &CopyProgress) -> bool {
        let tenths = progress.percent().unwrap_or(0) / 10;
        let due = tenths > self.tenths || progress.elapsed >= self.at + SILENCE;
        if due {
            (self.tenths, self.at) = (tenths, progress.elapsed);
        }
        due
    }
}

fn sentence(progress: &CopyProgress) -> String {
    let bytes = progress.bytes;
    // The source tells the size of its databases; the WAL that comes with them is not in it.
    let total = progress.total.filter(|total| *total >= bytes);
    let (Some(total), Some(percent)) = (total, progress.percent()) else {
        return format!("{bytes} bytes");
    };
    let left = progress.left().map_or_else(String::new, |left| {
        format!(", about {} s left", left.as_secs())
    });
    format!("{percent} % ({bytes} of about {total} bytes){left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, bytes: u64, total: Option<u64>) -> CopyProgress {
        CopyProgress {
            bytes,
            total,
            elapsed: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn each_tenth_and_each_half_minute_is_told() {
        let mut told = Milestones::default();
        let due: Vec<bool> = [
            (1, 5),
            (2, 10),
            (3, 19),
            (4, 35),
            (20, 36),
            (34, 37),
            (40, 40),
        ]
        .into_iter()
        .map(|(seconds, bytes)| told.is_due(&at(seconds, bytes, Some(100))))
        .collect();
        assert_eq!(due, [false, true, false, true, false, true, true]);
        let mut told = Milestones::default();
        let due = [29, 30, 59, 60].map(|seconds| told.is_due(&at(seconds, 1, None)));
        assert_eq!(due, [false, true, false, true]);
    }

    #[test]
    fn sentences_say_what_is_known() {
        assert_eq!(sentence(&at(9, 7, None)), "7 bytes");
        assert_eq!(
            sentence(&at(10, 25, Some(100))),
            "25 % (25 of about 100 bytes), about 30 s left"
        );
        let more = at(10, 150, Some(100));
        assert_eq!(sentence(&more), "150 bytes", "WAL came with it");
    }
}
