//! Linux watchdog devices (the kernel's watchdog API).
#![expect(
    unsafe_code,
    reason = "ioctl calls of the watchdog API have no safe form"
)]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use crate::device::Device;
use crate::error::DeviceError;

/// `struct watchdog_info` of `linux/watchdog.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct WatchdogInfo {
    options: u32,
    firmware_version: u32,
    identity: [u8; 32],
}

/// It takes a timeout.
const WDIOF_SETTIMEOUT: u32 = 0x0080;
/// Writing `V` before closing stops it.
const WDIOF_MAGICCLOSE: u32 = 0x0100;

nix::ioctl_read!(get_support, b'W', 0, WatchdogInfo);
nix::ioctl_readwrite!(set_timeout, b'W', 6, i32);
nix::ioctl_read!(get_timeout, b'W', 7, i32);

/// A device of the kernel.
#[derive(Debug)]
pub(crate) struct LinuxDevice {
    file: File,
    info: WatchdogInfo,
}

impl LinuxDevice {
    /// Opens the device and asks what it can do. When it does not answer it is told to stop:
    /// it has been armed by then.
    pub(crate) fn open(path: &Path) -> Result<Self, DeviceError> {
        let file = OpenOptions::new()
            .write(true)
            .open(path)
            .map_err(DeviceError::Open)?;
        let mut device = Self {
            file,
            info: WatchdogInfo::default(),
        };
        // SAFETY: the descriptor is open for the call, and the kernel writes at most the size of
        // `WatchdogInfo`, which is encoded in the request, into memory that we own exclusively.
        let asked = unsafe { get_support(device.file.as_raw_fd(), &raw mut device.info) };
        if let Err(errno) = asked {
            device.stop().ok();
            return Err(DeviceError::Information(errno));
        }
        Ok(device)
    }
}

impl Device for LinuxDevice {
    fn identity(&self) -> String {
        let text = self.info.identity.split(|byte| *byte == 0).next();
        let name = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
        match self.info.firmware_version {
            0 => name,
            version => format!("{name} (firmware {version})"),
        }
    }

    fn has_settable_timeout(&self) -> bool {
        self.info.options & WDIOF_SETTIMEOUT != 0
    }

    fn can_be_disabled(&self) -> bool {
        self.info.options & WDIOF_MAGICCLOSE != 0
    }

    fn set_timeout(&mut self, seconds: i32) -> Result<(), DeviceError> {
        let mut timeout = seconds;
        // SAFETY: the descriptor is open for the call, and the kernel reads and writes one `int`
        // in memory that we own exclusively.
        unsafe { set_timeout(self.file.as_raw_fd(), &raw mut timeout) }
            .map(drop)
            .map_err(|errno| DeviceError::SetTimeout(errno.into()))
    }

    fn timeout(&self) -> Result<i32, DeviceError> {
        let mut timeout = 0;
        // SAFETY: the descriptor is open for the call, and the kernel writes one `int` into
        // memory that we own exclusively.
        unsafe { get_timeout(self.file.as_raw_fd(), &raw mut timeout) }
            .map(|_| timeout)
            .map_err(DeviceError::GetTimeout)
    }

    fn keepalive(&mut self) -> Result<(), DeviceError> {
        self.file.write_all(b"1").map_err(DeviceError::Keepalive)
    }

    fn stop(&mut self) -> Result<(), DeviceError> {
        self.file.write_all(b"V").map_err(DeviceError::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        assert_eq!(size_of::<WatchdogInfo>(), 40);
        assert_eq!(
            nix::request_code_read!(b'W', 0, size_of::<WatchdogInfo>()),
            0x8028_5700
        );
        assert_eq!(
            nix::request_code_readwrite!(b'W', 6, size_of::<i32>()),
            0xc004_5706
        );
        assert_eq!(
            nix::request_code_read!(b'W', 7, size_of::<i32>()),
            0x8004_5707
        );
    }

    #[test]
    fn what_is_no_watchdog_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = LinuxDevice::open(file.path()).unwrap_err();
        assert!(matches!(refused, DeviceError::Information(_)), "{refused}");
        let refused = LinuxDevice::open(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(matches!(refused, DeviceError::Open(_)), "{refused}");
    }
}
