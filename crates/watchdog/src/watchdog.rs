//! Arming, feeding, disarming.

use std::time::Duration;

use crate::device::{self, Device};
use crate::error::DeviceError;
use crate::settings::{Mode, WatchdogSettings};
use crate::timing::Timing;

/// The watchdog of a node. All methods block only on small writes to the device.
#[derive(Debug)]
pub struct Watchdog {
    settings: WatchdogSettings,
    timing: Timing,
    /// Settings that an armed device takes over with the next keepalive.
    pending: Option<(WatchdogSettings, Timing)>,
    state: State,
}

#[derive(Debug)]
enum State {
    Disarmed,
    Armed(Armed),
    /// The last activation failed. It is not tried again until a setting or timing changes.
    Unusable,
}

#[derive(Debug)]
struct Armed {
    device: Box<dyn Device>,
    timeout: i64,
}

/// How an activation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The device is armed and fires in time.
    Armed,
    /// There is no device that fires in time, and none is required.
    Unprotected,
    /// One is required, and there is none.
    Refused,
}

impl Activation {
    /// Whether the node may go on to be primary.
    pub const fn may_promote(self) -> bool {
        matches!(self, Self::Armed | Self::Unprotected)
    }
}

/// Why an armed device is not good enough.
enum Unsafe {
    /// It would fire in normal operation.
    TooShort,
    /// It would fire after the lock has passed on.
    TooLong { actual: i64 },
}

impl Watchdog {
    /// A watchdog that is not armed.
    pub const fn new(settings: WatchdogSettings, timing: Timing) -> Self {
        Self {
            settings,
            timing,
            pending: None,
            state: State::Disarmed,
        }
    }

    /// Whether the device counts down.
    pub const fn is_armed(&self) -> bool {
        matches!(self.state, State::Armed(_))
    }

    /// After how long without being fed the armed device fires.
    pub fn timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Armed(armed) => u64::try_from(armed.timeout).ok().map(Duration::from_secs),
            State::Disarmed | State::Unusable => None,
        }
    }

    /// Whether this node could be primary as far as the watchdog goes: it is not required, or it
    /// is armed, or it could be. The node publishes the contrary as `watchdog_failed`.
    pub fn is_usable(&self) -> bool {
        match self.state {
            _ if self.settings.mode != Mode::Required => true,
            State::Armed(_) => true,
            State::Unusable => false,
            State::Disarmed => {
                let timeout = self.timing.timeout(&self.settings);
                self.timing.slack(timeout) >= 0 && device::is_accessible(&self.settings)
            }
        }
    }

    /// Takes other settings or timings. An armed device follows with the next keepalive; a
    /// failed one may be tried again.
    pub fn reload(&mut self, settings: WatchdogSettings, timing: Timing) {
        if settings == self.settings && timing == self.timing {
            self.pending = None;
            return;
        }
        if self.is_armed() {
            self.pending = Some((settings, timing));
        } else {
            (self.settings, self.timing) = (settings, timing);
            self.state = State::Disarmed;
        }
    }

    /// Arms the device, if it is used and not armed yet. Called before a promotion, and by a
    /// leader in each cycle.
    pub fn activate(&mut self) -> Activation {
        let required = self.settings.mode == Mode::Required;
        match self.state {
            _ if self.settings.mode == Mode::Off => return Activation::Unprotected,
            State::Armed(_) => return Activation::Armed,
            State::Unusable if required => {
                tracing::error!(
                    "Configuration requires watchdog, but watchdog could not be activated"
                );
                return Activation::Refused;
            }
            State::Unusable => return Activation::Unprotected,
            State::Disarmed => {}
        }
        let outcome = self.arm();
        if outcome != Activation::Armed && !self.is_armed() {
            self.state = State::Unusable;
        }
        outcome
    }

    /// Begins the countdown anew. Called right after a renewal of the lock has succeeded, and
    /// only then.
    pub fn keepalive(&mut self) {
        self.take_over_pending();
        if let State::Armed(armed) = &mut self.state
            && let Err(error) = armed.device.keepalive()
        {
            tracing::error!("Error while sending keepalive: {error}");
        }
    }

    /// Disarms the device. Called when PostgreSQL cannot take writes any more.
    pub fn disable(&mut self) {
        if let Some((settings, timing)) = self.pending.take() {
            (self.settings, self.timing) = (settings, timing);
        }
        if let State::Armed(armed) = std::mem::replace(&mut self.state, State::Disarmed) {
            armed.disarm();
        }
    }

    fn arm(&mut self) -> Activation {
        let wanted = self.timing.timeout(&self.settings);
        if self.timing.slack(wanted) < 0 {
            let Timing { ttl, loop_wait } = self.timing;
            tracing::warn!(
                "Watchdog not supported because leader TTL {ttl} is less than 2x loop_wait {loop_wait}"
            );
            return self.without("watchdog could not be configured.");
        }
        let armed = match self.open(wanted) {
            Ok(armed) => armed,
            Err(error) => {
                let device = self.settings.device.display();
                if self.settings.mode == Mode::Required {
                    tracing::warn!("Could not activate {device}: {error}");
                } else {
                    tracing::debug!("Could not activate {device}: {error}");
                }
                return self.without("watchdog could not be activated");
            }
        };
        match self.judge(&armed, wanted) {
            Err(Unsafe::TooShort) if armed.device.can_be_disabled() => {
                tracing::info!("Disabling watchdog due to unsafe timeout.");
                armed.disarm();
                return self.without("watchdog could not be configured.");
            }
            Err(Unsafe::TooLong { actual }) if self.settings.mode == Mode::Required => {
                armed.disarm();
                return self.without(&format!(
                    "a safe watchdog timeout {wanted} could not be configured. Watchdog timeout is {actual}."
                ));
            }
            Err(Unsafe::TooLong { actual }) => tracing::warn!(
                "Watchdog timeout {actual} seconds does not ensure safe termination within {} seconds",
                self.timing.ttl
            ),
            Err(Unsafe::TooShort) | Ok(()) => {}
        }
        self.announce(&armed, "activated");
        self.state = State::Armed(armed);
        Activation::Armed
    }

    /// The end of an activation that left no device armed.
    fn without(&self, what: &str) -> Activation {
        if self.settings.mode == Mode::Required {
            tracing::error!("Configuration requires watchdog, but {what}");
            Activation::Refused
        } else {
            Activation::Unprotected
        }
    }

    fn open(&self, wanted: i64) -> Result<Armed, DeviceError> {
        let timeout = checked(wanted)?;
        let device = device::open(&self.settings)?;
        let mut armed = Armed {
            device,
            timeout: wanted,
        };
        if !armed.device.can_be_disabled() {
            tracing::warn!(
                "Watchdog implementation can't be disabled. Watchdog will trigger after Patroni loses leader key."
            );
        }
        match armed.set_timeout(timeout) {
            Ok(()) => Ok(armed),
            Err(error) => {
                armed.disarm();
                Err(error)
            }
        }
    }

    fn judge(&self, armed: &Armed, wanted: i64) -> Result<(), Unsafe> {
        let (actual, loop_wait) = (armed.timeout, self.timing.loop_wait);
        if actual < loop_wait {
            tracing::error!(
                "loop_wait of {loop_wait} seconds is too long for watchdog {actual} second timeout"
            );
            return Err(Unsafe::TooShort);
        }
        if actual > wanted {
            return Err(Unsafe::TooLong { actual });
        }
        Ok(())
    }

    fn announce(&self, armed: &Armed, what: &str) {
        let device = &self.settings.device;
        let place = if *device == WatchdogSettings::default().device {
            String::new()
        } else {
            format!(" at {}", device.display())
        };
        tracing::info!(
            "{}{place} {what} with {} second timeout, timing slack {} seconds",
            armed.device.identity(),
            armed.timeout,
            self.timing.slack(armed.timeout)
        );
    }

    fn take_over_pending(&mut self) {
        let Some((settings, timing)) = self.pending.take() else {
            return;
        };
        let same_device = settings.mode == self.settings.mode
            && settings.device == self.settings.device
            && settings.driver == self.settings.driver;
        let wanted = timing.timeout(&settings);
        let possible = timing.slack(wanted) >= 0;
        if same_device && possible {
            let before = self.timing.timeout(&self.settings);
            (self.settings, self.timing) = (settings, timing);
            if wanted != before {
                self.change_timeout(wanted);
            }
            return;
        }
        // Another device, another mode or impossible timings: from the beginning.
        self.disable();
        (self.settings, self.timing) = (settings, timing);
        if self.settings.mode != Mode::Off {
            self.activate();
        }
    }

    fn change_timeout(&mut self, wanted: i64) {
        let State::Armed(armed) = &mut self.state else {
            return;
        };
        if let Err(error) = checked(wanted).and_then(|timeout| armed.set_timeout(timeout)) {
            tracing::error!("Error while sending keepalive: {error}");
            return;
        }
        if let State::Armed(armed) = &self.state {
            if let Err(Unsafe::TooLong { actual }) = self.judge(armed, wanted) {
                tracing::warn!(
                    "Watchdog timeout {actual} seconds does not ensure safe termination within {} seconds",
                    self.timing.ttl
                );
            }
            self.announce(armed, "updated");
        }
    }
}

impl Armed {
    /// Sets the timeout where the device can do that, and reads back what it has become.
    fn set_timeout(&mut self, seconds: i32) -> Result<(), DeviceError> {
        if self.device.has_settable_timeout() {
            self.device.set_timeout(seconds)?;
        }
        self.timeout = i64::from(self.device.timeout()?);
        Ok(())
    }

    /// Stops the countdown, or feeds the device a last time when it cannot be stopped.
    fn disarm(mut self) {
        let done = if self.device.can_be_disabled() {
            self.device.stop()
        } else {
            tracing::warn!(
                "Watchdog implementation can't be disabled. System will reboot after {} seconds when watchdog times out.",
                self.timeout
            );
            self.device.keepalive()
        };
        if let Err(error) = done {
            tracing::error!("Error while disabling watchdog: {error}");
        }
    }
}

/// Devices count up to 65535 seconds; the greatest value is left out by the reference, too.
fn checked(seconds: i64) -> Result<i32, DeviceError> {
    i32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..65535).contains(seconds))
        .ok_or(DeviceError::InvalidTimeout(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Driver;
    use std::path::Path;

    const TIMING: Timing = Timing {
        ttl: 30,
        loop_wait: 10,
    };

    fn settings(device: &Path, mode: Mode) -> WatchdogSettings {
        WatchdogSettings {
            mode,
            device: device.to_owned(),
            driver: Driver::Testing,
            ..WatchdogSettings::default()
        }
    }

    fn told(device: &Path) -> String {
        std::fs::read_to_string(device).unwrap()
    }

    #[test]
    fn a_primary_arms_feeds_and_disarms() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = Watchdog::new(settings(file.path(), Mode::Required), TIMING);
        assert!(watchdog.is_usable() && !watchdog.is_armed());
        watchdog.keepalive();
        assert_eq!(told(file.path()), "");
        assert_eq!(watchdog.activate(), Activation::Armed);
        assert_eq!(watchdog.activate(), Activation::Armed);
        watchdog.keepalive();
        watchdog.disable();
        watchdog.disable();
        assert_eq!(told(file.path()), "Ctimeout=251V");
        assert!(!watchdog.is_armed());
    }

    #[test]
    fn a_dropped_watchdog_stays_armed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = Watchdog::new(settings(file.path(), Mode::Automatic), TIMING);
        watchdog.activate();
        drop(watchdog);
        assert_eq!(told(file.path()), "Ctimeout=25");
    }

    #[test]
    fn changes_are_taken_over_with_the_next_keepalive() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = tempfile::NamedTempFile::new().unwrap();
        let mut watchdog = Watchdog::new(settings(file.path(), Mode::Automatic), TIMING);
        watchdog.activate();
        let longer = Timing { ttl: 60, ..TIMING };
        watchdog.reload(settings(file.path(), Mode::Automatic), longer);
        assert_eq!(told(file.path()), "Ctimeout=25");
        watchdog.keepalive();
        assert_eq!(told(file.path()), "Ctimeout=25Ctimeout=551");
        watchdog.reload(settings(other.path(), Mode::Automatic), longer);
        watchdog.keepalive();
        assert_eq!(told(file.path()), "Ctimeout=25Ctimeout=551V");
        assert_eq!(told(other.path()), "Ctimeout=551");
        watchdog.reload(settings(other.path(), Mode::Off), longer);
        watchdog.keepalive();
        assert_eq!(told(other.path()), "Ctimeout=551V");
        assert_eq!(watchdog.activate(), Activation::Unprotected);
    }

    #[test]
    fn a_missing_device_stops_only_those_who_require_it() {
        let nowhere = Path::new("/nowhere/at/all");
        let mut automatic = Watchdog::new(settings(nowhere, Mode::Automatic), TIMING);
        assert_eq!(automatic.activate(), Activation::Unprotected);
        assert!(automatic.is_usable());
        let mut required = Watchdog::new(settings(nowhere, Mode::Required), TIMING);
        assert!(!required.is_usable());
        assert_eq!(required.activate(), Activation::Refused);
        assert_eq!(required.activate(), Activation::Refused);
        // It stays so until something is changed, and then it works.
        let file = tempfile::NamedTempFile::new().unwrap();
        required.reload(settings(file.path(), Mode::Required), TIMING);
        assert!(required.is_usable());
        assert_eq!(required.activate(), Activation::Armed);
    }

    #[test]
    fn timings_without_slack_are_refused_and_tried_again_when_corrected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tight = Timing {
            ttl: 14,
            loop_wait: 10,
        };
        let mut watchdog = Watchdog::new(settings(file.path(), Mode::Required), tight);
        assert!(!watchdog.is_usable());
        assert_eq!(watchdog.activate(), Activation::Refused);
        watchdog.reload(settings(file.path(), Mode::Required), TIMING);
        assert_eq!(watchdog.activate(), Activation::Armed);
        // An armed one lets go when its timings become impossible.
        watchdog.reload(settings(file.path(), Mode::Required), tight);
        watchdog.keepalive();
        assert!(!watchdog.is_armed() && !watchdog.is_usable());
        assert_eq!(told(file.path()), "Ctimeout=25V");
    }

    #[test]
    fn absurd_timeouts_never_reach_the_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let absurd = Timing {
            ttl: 100_000,
            loop_wait: 10,
        };
        let mut watchdog = Watchdog::new(settings(file.path(), Mode::Automatic), absurd);
        assert_eq!(watchdog.activate(), Activation::Unprotected);
        assert_eq!(told(file.path()), "");
    }
}
