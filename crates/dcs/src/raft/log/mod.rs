//! What a member keeps on disk, and when it is safe there.
//!
//! A directory belongs to one member (an exclusive lock on the file `lock` says so) and holds:
//!
//! | file | content | replaced |
//! |---|---|---|
//! | `meta` | who this member is, one line of JSON, its checksum on a second line | as a whole |
//! | `snapshot` | 32 byte header (`PRSRAFTS`, version 1, length, checksum), then a snapshot with the whole state | as a whole |
//! | `log` | what came after: 32 byte header (`PRSRAFTL`, version 1, salt, checksum), then records | appended to; as a whole when it is cut |
//!
//! "As a whole" means: written to `NAME.new`, synced, renamed, directory synced.
//!
//! **Records** begin at multiples of 16 bytes, so that no header crosses a sector: payload length,
//! payload checksum, number of the record, checksum of these and the file's salt (4 bytes each,
//! little endian); then the payload, one end mark that is not zero, and zeros up to the next
//! multiple. All numbers are little endian, checksums are CRC-32. A payload is a run of items:
//! one byte of kind (1 base, 2 hard state, 3 entry), 4 bytes of length, and the bytes. The first record of a
//! file holds the base, that is index and term of the entry before the first one.
//!
//! One call of [`disk::Disk::append`] writes one record and syncs it before it returns, into space
//! that was filled with zeros before. So at start the last record, and no other, can be torn, and
//! a torn one shows: the file ends too early, or zeros stand where its header, its end mark or
//! a whole sector of it should be. That is cut off. Anything else that does not check out (also an
//! intact record behind a broken one) is damage of what was acknowledged once, and the member
//! refuses to start: forgetting an acknowledged entry can lose the data of the whole cluster.
//!
//! **Disk use is bounded**: after some thousand entries the state is written to `snapshot`, and
//! `log` is rewritten with the few entries that late members may still want.

mod directory;
pub(crate) mod disk;
mod file;
mod record;
mod snapshot;

pub(crate) use directory::{Directory, Meta};
pub(crate) use disk::Disk;

#[cfg(test)]
mod crash_tests;
