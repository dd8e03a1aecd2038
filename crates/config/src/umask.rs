//! The umask that the process was started with.

use std::sync::OnceLock;

/// The umask of the first call, which [`Environment::of_process`](crate::Environment::of_process)
/// makes: the daemon takes a stricter one for the data directory later, and files elsewhere keep
/// to that of the operator.
pub fn at_start() -> u32 {
    static AT_START: OnceLock<u32> = OnceLock::new();
    *AT_START.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        read(&status).unwrap_or(USUAL)
    })
}

/// The permissions of a new file under that umask.
pub fn file_mode() -> u32 {
    0o666 & !at_start()
}

/// Asking the system by the call would change the umask for a moment.
fn read(status: &str) -> Option<u32> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

const USUAL: u32 = 0o022;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umask_is_read_from_the_status() {
        assert_eq!(read("Name:\tx\nUmask:\t0027\nState:\tR\n"), Some(0o027));
        assert_eq!(read("Name:\tx\n"), None);
    }
}
