//! Parts of a world that most moves leave alone.

use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::Serialize;

/// A value that copies of a world share until one of them changes it, and whose fingerprint is
/// taken once.
#[derive(Clone, Debug)]
pub(super) struct Shared<T> {
    value: Arc<T>,
    print: OnceCell<Print>,
}

/// A value as 128 bits.
pub(super) type Print = (u64, u64);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
        Self {
            value: Arc::new(value),
            print: OnceCell::new(),
        }
    }
}

impl<T: Serialize> Shared<T> {
    pub(super) fn print(&self) -> Print {
        *self.print.get_or_init(|| print(self.value.as_ref()))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.print.take();
        Arc::make_mut(&mut self.value)
    }
}

/// The fingerprint of anything.
pub(super) fn print(value: &impl Serialize) -> Print {
    let mut sink = Sink(DefaultHasher::new(), DefaultHasher::new());
    sink.1.write_u8(1);
    let written = serde_json::to_writer(&mut sink, value);
    written.unwrap_or_else(|_| unreachable!("a world has text keys, and a hash takes everything"));
    (sink.0.finish(), sink.1.finish())
}

struct Sink(DefaultHasher, DefaultHasher);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        self.1.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
