//! A device, whatever it is.

use std::fmt;

use nix::unistd::{AccessFlags, access};

use crate::error::DeviceError;
#[cfg(target_os = "linux")]
use crate::linux::LinuxDevice;
#[cfg(not(target_os = "linux"))]
use crate::no_device::LinuxDevice;
use crate::settings::{Driver, WatchdogSettings};
use crate::testing::TestingDevice;

/// An open device: it counts down from the moment it was opened.
pub(crate) trait Device: fmt::Debug + Send {
    /// Who it is, for the log.
    fn identity(&self) -> String;
    /// Whether it takes a timeout.
    fn has_settable_timeout(&self) -> bool;
    /// Whether closing can stop it.
    fn can_be_disabled(&self) -> bool;
    /// Sets the timeout in seconds.
    fn set_timeout(&mut self, seconds: i32) -> Result<(), DeviceError>;
    /// The timeout in seconds.
    fn timeout(&self) -> Result<i32, DeviceError>;
    /// Begins the countdown anew.
    fn keepalive(&mut self) -> Result<(), DeviceError>;
    /// Stops the countdown for good. The device is closed when the value is dropped.
    fn stop(&mut self) -> Result<(), DeviceError>;
}

/// Opens the device, which arms it.
pub(crate) fn open(settings: &WatchdogSettings) -> Result<Box<dyn Device>, DeviceError> {
    Ok(match settings.driver {
        Driver::Linux => Box::new(LinuxDevice::open(&settings.device)?),
        Driver::Testing => Box::new(TestingDevice::open(&settings.device)?),
    })
}

/// Whether the device exists and may be written to. It is not opened: that would arm it.
pub(crate) fn is_accessible(settings: &WatchdogSettings) -> bool {
    access(&settings.device, AccessFlags::W_OK).is_ok()
}
