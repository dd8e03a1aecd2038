//! Standard input, output and error, as a trait so that commands run in memory.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use async_trait::async_trait;

use crate::screen::{Screen, Terminal};

/// The three streams of the tool. Reading is cancel safe in the sense that the tool never reads
/// again after an interrupt.
#[async_trait]
pub trait Console: Send {
    /// Writes to standard output as it is.
    ///
    /// # Errors
    /// The stream is closed.
    fn out(&mut self, text: &str) -> io::Result<()>;

    /// Writes to standard error as it is. Failures are of no interest: there is nobody to tell.
    fn err(&mut self, text: &str);

    /// Reads one line without its line break; `None` at the end of input.
    ///
    /// # Errors
    /// Input cannot be read or is not UTF-8.
    async fn line(&mut self) -> io::Result<Option<String>>;

    /// Reads one line without showing it when input is a terminal.
    ///
    /// # Errors
    /// As [`Console::line`].
    async fn hidden_line(&mut self) -> io::Result<Option<String>>;

    /// Reads all the rest of the input.
    ///
    /// # Errors
    /// As [`Console::line`].
    async fn rest(&mut self) -> io::Result<String>;

    /// Whether standard output is a terminal.
    fn is_terminal(&self) -> bool;

    /// Takes the whole terminal over, until the screen is dropped.
    ///
    /// # Errors
    /// `Unsupported` when there is no terminal, else it cannot be set up.
    fn screen(&mut self) -> io::Result<Box<dyn Screen>>;
}

/// The streams of the process.
#[derive(Debug, Default)]
pub struct Stdio;

#[async_trait]
impl Console for Stdio {
    fn out(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn err(&mut self, text: &str) {
        io::stderr().lock().write_all(text.as_bytes()).ok();
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        blocking(read_line).await
    }

    async fn hidden_line(&mut self) -> io::Result<Option<String>> {
        if !io::stdin().is_terminal() {
            return self.line().await;
        }
        let echo = EchoOff::switch()?;
        let line = blocking(read_line).await;
        drop(echo);
        self.err("\n");
        line
    }

    async fn rest(&mut self) -> io::Result<String> {
        blocking(|| {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text)?;
            Ok(text)
        })
        .await
    }

    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    fn screen(&mut self) -> io::Result<Box<dyn Screen>> {
        Ok(Box::new(Terminal::open()?))
    }
}

/// Reads on another thread, so that Ctrl-C is noticed while a question is open.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(read)
        .await
        .map_err(io::Error::other)?
}

fn read_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Holds the terminal's echo off and puts it back when dropped, also when the command is
/// interrupted meanwhile.
struct EchoOff(nix::sys::termios::Termios);

impl EchoOff {
    fn switch() -> io::Result<Self> {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0).ok();
    }
}
