//! The whole terminal as a screen, as a trait so that live views run in memory.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// A terminal that is taken over as a whole. It is given back when this is dropped.
#[async_trait]
pub trait Screen: Send {
    /// Columns and rows.
    fn size(&self) -> (u16, u16);

    /// Writes text with its escape sequences.
    ///
    /// # Errors
    /// The terminal is gone.
    fn draw(&mut self, text: &str) -> io::Result<()>;

    /// The next thing that happens to the screen. Cancel safe.
    async fn input(&mut self) -> Input;
}

/// What happens to a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The size is another one.
    Resized,
    /// A signal asks for the end, with this exit status.
    End(u8),
}

/// The keys that views know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// To the first one.
    Home,
    /// To the last one.
    End,
    /// Ctrl-C, which is no signal on a screen.
    Interrupt,
    /// A letter.
    Char(char),
}

/// Keys that wait for a view at most; nobody types that far ahead.
const MOST_KEYS: usize = 64;

/// The terminal of the process.
pub(crate) struct Terminal {
    keys: mpsc::Receiver<Key>,
    resized: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Terminal {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// Standard input or output is no terminal, or it cannot be set up.
    pub(crate) fn open() -> io::Result<Self> {
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let terminal = Self {
            resized: signal(SignalKind::window_change())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            keys: listen(),
        };
        give_back_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        // From here on the drop gives back whatever was taken.
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(terminal)
    }
}

#[async_trait]
impl Screen for Terminal {
    fn size(&self) -> (u16, u16) {
        known_or_usual(size().ok())
    }

    fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    async fn input(&mut self) -> Input {
        tokio::select! {
            Some(key) = self.keys.recv() => Input::Key(key),
            Some(()) = self.resized.recv() => Input::Resized,
            Some(()) = self.terminate.recv() => Input::End(128 + 15),
            Some(()) = self.hangup.recv() => Input::End(128 + 1),
            else => std::future::pending().await,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that nobody has told its size (a serial line, one that a program has made) says
/// 0; it is drawn on as one of the usual size.
fn known_or_usual(size: Option<(u16, u16)>) -> (u16, u16) {
    match size {
        Some((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (80, 24),
    }
}

/// Whether the terminal is not as we found it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Makes the terminal what it was. Failures are of no interest: it is gone then.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
        disable_raw_mode().ok();
    }
}

/// A panic tells its story on the terminal that people see afterwards.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            tell(panic);
        }));
    });
}

/// Reads keys on a thread of its own until the process ends: a read of a terminal cannot be
/// taken back.
fn listen() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(MOST_KEYS);
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        loop {
            let count = match io::stdin().read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            for key in decode(&bytes[..count]) {
                // When nobody takes them, keys are dropped.
                if let Err(mpsc::error::TrySendError::Closed(_)) = sender.try_send(key) {
                    return;
                }
            }
        }
    });
    keys
}

/// The keys in what a terminal sends at once (ECMA-48; both forms of the cursor keys). What is
/// not known is left out as a whole, so that no part of it is taken for a letter.
fn decode(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match first {
            0x03 => keys.push(Key::Interrupt),
            0x1b => {
                let (sequence, rest) = bytes.split_at(sequence_length(bytes));
                bytes = rest;
                keys.extend(match sequence {
                    b"[A" | b"OA" => Some(Key::Up),
                    b"[B" | b"OB" => Some(Key::Down),
                    b"[H" | b"OH" | b"[1~" => Some(Key::Home),
                    b"[F" | b"OF" | b"[4~" => Some(Key::End),
                    _ => None,
                });
            }
            letter if letter.is_ascii_graphic() || *letter == b' ' => {
                keys.push(Key::Char(char::from(*letter)));
            }
            _ => {}
        }
    }
    keys
}

/// How long a sequence is behind its escape.
fn sequence_length(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'[') => {
            let end = bytes[1..]
                .iter()
                .position(|byte| (0x40..0x7f).contains(byte));
            end.map_or(bytes.len(), |end| end + 2)
        }
        Some(b'O') => bytes.len().min(2),
        Some(_) => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_size_is_a_usual_one() {
        assert_eq!(known_or_usual(Some((132, 50))), (132, 50));
        assert_eq!(known_or_usual(Some((0, 0))), (80, 24));
        assert_eq!(known_or_usual(None), (80, 24));
    }

    #[test]
    fn keys_are_told_from_sequences() {
        for (bytes, keys) in [
            (&b"q"[..], vec![Key::Char('q')]),
            (b"\x1b[A\x1bOBj", vec![Key::Up, Key::Down, Key::Char('j')]),
            (b"\x1b[H\x1b[4~", vec![Key::Home, Key::End]),
            (b"\x03", vec![Key::Interrupt]),
            // Alt-q, F5, an arrow with Shift, a lone and a torn escape: nothing of it is a q.
            (b"\x1bq\x1b[15~\x1b[1;2A\x1b", vec![]),
            (b"\x1b[", vec![]),
            (b"\x1bO", vec![]),
            ("é".as_bytes(), vec![]),
            (b"", vec![]),
        ] {
            assert_eq!(decode(bytes), keys, "{bytes:?}");
        }
    }
}
