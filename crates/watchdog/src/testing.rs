//! A device for tests: a file or pipe that shows what a real one would have been told.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::device::Device;
use crate::error::DeviceError;

/// Writes `Ctimeout=<n>`, `1` and `V`.
#[derive(Debug)]
pub(crate) struct TestingDevice {
    file: File,
    timeout: i32,
}

impl TestingDevice {
    pub(crate) fn open(path: &Path) -> Result<Self, DeviceError> {
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(DeviceError::Open)?;
        Ok(Self { file, timeout: 60 })
    }
}

impl Device for TestingDevice {
    fn identity(&self) -> String {
        "Testing watchdog".to_owned()
    }

    fn has_settable_timeout(&self) -> bool {
        true
    }

    fn can_be_disabled(&self) -> bool {
        true
    }

    fn set_timeout(&mut self, seconds: i32) -> Result<(), DeviceError> {
        write!(self.file, "Ctimeout={seconds}").map_err(DeviceError::SetTimeout)?;
        self.timeout = seconds;
        Ok(())
    }

    fn timeout(&self) -> Result<i32, DeviceError> {
        Ok(self.timeout)
    }

    fn keepalive(&mut self) -> Result<(), DeviceError> {
        self.file.write_all(b"1").map_err(DeviceError::Keepalive)
    }

    fn stop(&mut self) -> Result<(), DeviceError> {
        self.file.write_all(b"V").map_err(DeviceError::Close)
    }
}
