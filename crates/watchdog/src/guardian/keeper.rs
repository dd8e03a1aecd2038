//! The daemon's side: putting a guardian on duty, telling it, sending it home.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::duty::Duty;
use super::order::Order;
use super::since_boot;
use super::watch::ARGUMENT;

/// The guardian of this daemon, if there is one at the moment.
#[derive(Debug, Default)]
pub struct Guardian {
    on_duty: Option<OnDuty>,
    /// Sent home, and not seen to have ended.
    sent_home: Vec<Child>,
    /// The last attempt to put one on duty failed, which was said.
    failing: bool,
    /// Nobody is on duty by the file either.
    at_rest: bool,
}

#[derive(Debug)]
struct OnDuty {
    child: Child,
    orders: ChildStdin,
    duty: Duty,
}

impl Guardian {
    /// Tells the guardian to do `what` at a time on the clock since boot, unless it hears
    /// otherwise before; puts one on duty when there is none. `file` says who is on duty: all
    /// daemons of one server must name the same.
    ///
    /// Blocks for the start of a small process at most. A failure is logged once: the node is
    /// then as safe as one without a guardian.
    pub fn tell(&mut self, at: Duration, what: &str, file: &Path) {
        self.bury();
        self.at_rest = false;
        let order = Order::Until {
            at,
            what: what.to_owned(),
        };
        let told = self.send(&order, file).or_else(|_| {
            // It died, or does not listen: the next one.
            self.dismiss();
            self.send(&order, file)
        });
        match told {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.dismiss();
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!("could not put a guardian on duty: {error}");
                }
            }
        }
    }

    /// Sends the guardian home, and one that an earlier daemon left behind as well.
    pub fn rest(&mut self, file: &Path) {
        self.bury();
        if let Some(mut on_duty) = self.on_duty.take() {
            let rest = Order::Rest.line().unwrap_or_default();
            // One that does not listen is dead or will be relieved by the file.
            let _ = on_duty.orders.write_all(rest.as_bytes());
            self.sent_home.push(on_duty.child);
        }
        if self.at_rest {
            return;
        }
        match Duty::new(file).leave() {
            Ok(()) => self.at_rest = true,
            Err(error) => tracing::warn!("could not note that no guardian is on duty: {error}"),
        }
    }

    fn send(&mut self, order: &Order, file: &Path) -> io::Result<()> {
        let unfit = || io::Error::other("a line break in a path");
        let line = order.line().ok_or_else(unfit)?;
        let fits = self
            .on_duty
            .as_ref()
            .is_some_and(|now| now.duty.file() == file);
        if fits && let Some(on_duty) = &mut self.on_duty {
            return on_duty.orders.write_all(line.as_bytes());
        }
        self.dismiss();
        self.on_duty = Some(OnDuty::begin(&line, file)?);
        Ok(())
    }

    /// Ends a guardian that cannot be trusted to listen.
    fn dismiss(&mut self) {
        if let Some(mut on_duty) = self.on_duty.take() {
            let _ = on_duty.child.kill();
            self.sent_home.push(on_duty.child);
        }
    }

    /// Takes note of the ends of those that were sent home.
    fn bury(&mut self) {
        self.sent_home
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

impl OnDuty {
    /// Starts one, which knows its order before it relieves whoever was on duty.
    fn begin(line: &str, file: &Path) -> io::Result<Self> {
        let name = format!("{}-{}", std::process::id(), since_boot().as_nanos());
        let mut child = Command::new(this_program()?)
            .arg(ARGUMENT)
            .arg(&name)
            .arg(file)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let orders = child.stdin.take();
        let begun = orders
            .ok_or_else(|| io::Error::other("no pipe"))
            .and_then(|mut orders| {
                // A guardian that does not read must never hold up the daemon.
                fcntl_setfl(&orders, fcntl_getfl(&orders)? | OFlags::NONBLOCK)?;
                orders.write_all(line.as_bytes())?;
                let duty = Duty::new(file);
                duty.take(&name)?;
                Ok((orders, duty))
            });
        match begun {
            Ok((orders, duty)) => Ok(Self {
                child,
                orders,
                duty,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }
}

/// The very program that runs, also when an upgrade has replaced its file.
#[cfg(target_os = "linux")]
#[expect(clippy::unnecessary_wraps, reason = "other systems may not know")]
fn this_program() -> io::Result<PathBuf> {
    Ok(PathBuf::from("/proc/self/exe"))
}

/// The program at the place where ours was started from.
#[cfg(not(target_os = "linux"))]
fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}
