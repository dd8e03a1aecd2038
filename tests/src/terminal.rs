//! A terminal for programs that take one over: a pseudo terminal, with an emulator that knows
//! what a person would see on it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::{proc, wait};

/// A program on a terminal. It is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// Keeps the terminal open when the program is gone, so that its settings can be looked at.
    device: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts a program on a terminal of so many columns and rows.
    ///
    /// # Errors
    /// There is no terminal, or the program cannot be started.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Result<Self> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).context("open a pseudo terminal")?;
        let child = command
            .env("TERM", "xterm-256color")
            .stdin(pair.slave.try_clone()?)
            .stdout(pair.slave.try_clone()?)
            .stderr(pair.slave.try_clone()?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let keyboard = File::from(pair.master);
        watch(keyboard.try_clone()?, Arc::clone(&screen));
        Ok(Self {
            child,
            keyboard,
            device: pair.slave,
            screen,
        })
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.screen().screen().contents()
    }

    /// Waits until this is on the screen.
    ///
    /// # Errors
    /// It does not come; the text says what is there instead.
    pub fn wait_for(&self, part: &str, at_most: Duration) -> Result<()> {
        wait::until(&format!("{part:?} on the screen"), at_most, || {
            let text = self.text();
            ensure!(text.contains(part), "{text}");
            Ok(())
        })
    }

    /// Types.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn type_keys(&mut self, keys: &str) -> Result<()> {
        Ok(self.keyboard.write_all(keys.as_bytes())?)
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        proc::signal(Pid::from_raw(i32::try_from(self.child.id())?), signal)
    }

    /// Whether a program has taken the screen over.
    pub fn is_taken(&self) -> bool {
        let screen = self.screen();
        screen.screen().alternate_screen() || screen.screen().hide_cursor()
    }

    /// Whether the terminal shows what is typed and hands it on in lines, as a shell needs it.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn is_usual(&self) -> Result<bool> {
        let settings = tcgetattr(&self.device)?;
        Ok(settings
            .local_flags
            .contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG))
    }

    /// Waits for the end of the program and gives its exit status.
    ///
    /// # Errors
    /// It does not end.
    pub fn wait_exit(&mut self, at_most: Duration) -> Result<Option<i32>> {
        wait::until("the end of the program", at_most, || {
            let status = self.child.try_wait()?.context("it still runs")?;
            Ok(status.code())
        })
    }

    /// The screen as a page, to take a picture of it.
    pub fn page(&self) -> String {
        let parser = self.screen();
        let screen = parser.screen();
        let (rows, columns) = screen.size();
        let mut page = String::from(
            "<!DOCTYPE html><meta charset=\"utf-8\"><style>body{margin:0;background:#10151b;color:#dfe6ee;\
             padding:14px;display:inline-block}pre{margin:0;font:14px/1.25 \"DejaVu Sans Mono\",monospace}\
             .b{font-weight:700}.d{opacity:.62}.i{background:#dfe6ee;color:#10151b}.c9{color:#ff8a80}.c10{color:#6bd69f}\
             .c11{color:#f2bd5a}.c14{color:#67cfe0}.i.c9{color:#a61b16}.i.c10{color:#17683f}.i.c11{color:#7d4e00}\
             .i.c14{color:#0b5d6b}</style><pre>",
        );
        for row in 0..rows {
            for cell in (0..columns).filter_map(|column| screen.cell(row, column)) {
                if cell.is_wide_continuation() {
                    continue;
                }
                let class = class_of(cell);
                let text = if cell.has_contents() {
                    cell.contents()
                } else {
                    " "
                };
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                // Writing to a string does not fail.
                let _ = write!(page, "<span class=\"{class}\">{text}</span>");
            }
            page.push('\n');
        }
        page + "</pre>"
    }
}

fn class_of(cell: &vt100::Cell) -> String {
    let mut class = String::new();
    for (has, letter) in [
        (cell.bold(), "b "),
        (cell.dim(), "d "),
        (cell.inverse(), "i "),
    ] {
        if has {
            class += letter;
        }
    }
    if let vt100::Color::Idx(number) = cell.fgcolor() {
        class.push('c');
        class += &number.to_string();
    }
    class
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shows what the program writes until nobody can write any more.
fn watch(mut output: File, screen: Arc<Mutex<vt100::Parser>>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            screen.process(&bytes[..count]);
        }
    });
}
