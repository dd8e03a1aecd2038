//! The guardian's own process: listen, count, act.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::duty::Duty;
use super::order::Order;
use super::since_boot;

/// The first argument of a process that is to be a guardian. Never written by people.
pub const ARGUMENT: &str = "--guardian";

/// The longest wait between two looks at the clock, which poll does not count on while the
/// machine is suspended.
const LOOK: Duration = Duration::from_secs(1);

/// An order is far shorter; more without the end of a line is no order.
const LONGEST: usize = 16 * 1024;

/// A guardian's name and the file that says who is on duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub(super) name: String,
    pub(super) file: PathBuf,
}

impl Post {
    /// The post that the arguments of a process (without its own name) speak of; `None` for a
    /// process that is no guardian.
    pub fn of_arguments(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter();
        if arguments.next()? != ARGUMENT {
            return None;
        }
        Some(Self {
            name: arguments.next()?.into_string().ok()?,
            file: arguments.next()?.into(),
        })
    }
}

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was to be done.
    Home,
    /// The time came, and it acted.
    Acted,
}

/// The life of a guardian: it listens on its standard input until it may go home or has acted.
/// `act` gets the text of the last order. Blocks; uses no runtime and next to no memory.
///
/// # Errors
/// The standard input cannot be waited for.
pub fn watch(post: &Post, act: impl FnOnce(&str)) -> io::Result<()> {
    // Signals to the daemon's session must not reach us. It fails only for the leader of a
    // process group, which has nothing to fear from that.
    let _ = rustix::process::setsid();
    listen(post, io::stdin(), act).map(|_| ())
}

pub(super) fn listen(
    post: &Post,
    mut orders: impl Read + AsFd,
    act: impl FnOnce(&str),
) -> io::Result<End> {
    let duty = Duty::new(&post.file);
    let mut heard = Heard::default();
    loop {
        let left = heard.left();
        let Some(left) = left.or_else(|| (!heard.ended).then_some(LOOK)) else {
            return Ok(End::Home);
        };
        if left.is_zero() {
            if heard.ended && duty.is_relieved(&post.name) {
                return Ok(End::Home);
            }
            act(&heard.what);
            return Ok(End::Acted);
        }
        if ready(&orders, &heard, left.min(LOOK))? {
            heard.listen(&mut orders)?;
        } else if heard.ended && duty.is_relieved(&post.name) {
            return Ok(End::Home);
        }
        if heard.rest {
            return Ok(End::Home);
        }
    }
}

/// Waits for something to read; a daemon that is gone says nothing any more.
fn ready(orders: &impl AsFd, heard: &Heard, at_most: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(orders, PollFlags::IN)];
    let fds = if heard.ended {
        &mut fds[..0]
    } else {
        &mut fds[..]
    };
    let at_most = Timespec::try_from(at_most).map_err(io::Error::other)?;
    match poll(fds, Some(&at_most)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What was heard so far.
#[derive(Debug, Default)]
struct Heard {
    at: Option<Duration>,
    what: String,
    rest: bool,
    /// The daemon is gone.
    ended: bool,
    /// The beginning of a line.
    begun: Vec<u8>,
}

impl Heard {
    /// The time until something is to be done, if anything is.
    fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_sub(since_boot()))
    }

    /// Reads what is there; the last order counts.
    fn listen(&mut self, orders: &mut impl Read) -> io::Result<()> {
        let mut piece = [0; 4096];
        match orders.read(&mut piece) {
            Ok(0) => self.ended = true,
            Ok(count) => self.begun.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            match Order::read(&line) {
                Some(Order::Rest) => self.rest = true,
                Some(Order::Until { at, what }) => {
                    self.at = Some(at);
                    self.what = what;
                }
                None => {}
            }
        }
        if self.begun.len() > LONGEST {
            self.begun.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// What a guardian does that hears these lines; then its daemon is gone, or silent.
    fn heard(lines: &[String], gone: bool, on_duty: Option<&str>) -> (End, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("guardian");
        if let Some(name) = on_duty {
            Duty::new(&file).take(name).unwrap();
        }
        let post = Post {
            name: "me".to_owned(),
            file,
        };
        let (mut daemon, guardian) = UnixStream::pair().unwrap();
        for line in lines {
            daemon.write_all(line.as_bytes()).unwrap();
        }
        let daemon = (!gone).then_some(daemon);
        let mut acted = None;
        let end = listen(&post, guardian, |what| acted = Some(what.to_owned())).unwrap();
        drop(daemon);
        (end, acted)
    }

    fn until(millis: u64, what: &str) -> String {
        let at = since_boot() + Duration::from_millis(millis);
        let what = what.to_owned();
        Order::Until { at, what }.line().unwrap()
    }

    #[test]
    fn it_acts_when_its_daemon_is_silent_or_gone() {
        for gone in [false, true] {
            let begun = since_boot();
            let told = [until(50, "first"), until(300, "a b")];
            let (end, acted) = heard(&told, gone, Some("me"));
            assert_eq!((end, acted.as_deref()), (End::Acted, Some("a b")));
            assert!(since_boot().saturating_sub(begun) >= Duration::from_millis(290));
        }
    }

    #[test]
    fn it_goes_home_when_told_so_or_never_asked() {
        let told = [until(100, "x"), Order::Rest.line().unwrap()];
        assert_eq!(heard(&told, false, Some("me")).0, End::Home);
        assert_eq!(heard(&[], true, Some("me")).0, End::Home);
    }

    #[test]
    fn one_without_a_daemon_goes_home_when_it_was_relieved() {
        for on_duty in [None, Some("other")] {
            assert_eq!(heard(&[until(100, "x")], true, on_duty).0, End::Home);
        }
        // As long as its own daemon lives only that one can send it home.
        assert_eq!(heard(&[until(100, "x")], false, None).0, End::Acted);
    }

    #[test]
    fn only_the_hidden_argument_makes_a_guardian() {
        let of = |text: &str| Post::of_arguments(text.split(' ').map(OsString::from));
        assert_eq!(of("patroni.yml"), None);
        assert_eq!(of("--guardian me"), None);
        assert_eq!(
            of("--guardian me /d/f").unwrap().file,
            PathBuf::from("/d/f")
        );
    }
}
