//! Devices of Linux on another system: there are none.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::device::Device;
use crate::error::DeviceError;

/// A device that cannot be.
#[derive(Debug)]
pub(crate) enum LinuxDevice {}

impl LinuxDevice {
    /// Says why there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, DeviceError> {
        let why = format!("{}: only Linux has such devices", path.display());
        Err(DeviceError::Open(io::Error::new(
            ErrorKind::Unsupported,
            why,
        )))
    }
}

impl Device for LinuxDevice {
    fn identity(&self) -> String {
        match *self {}
    }

    fn has_settable_timeout(&self) -> bool {
        match *self {}
    }

    fn can_be_disabled(&self) -> bool {
        match *self {}
    }

    fn set_timeout(&mut self, _seconds: i32) -> Result<(), DeviceError> {
        match *self {}
    }

    fn timeout(&self) -> Result<i32, DeviceError> {
        match *self {}
    }

    fn keepalive(&mut self) -> Result<(), DeviceError> {
        match *self {}
    }

    fn stop(&mut self) -> Result<(), DeviceError> {
        match *self {}
    }
}
