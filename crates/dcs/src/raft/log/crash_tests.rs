//! What a crash may do to the files, and what it may not.

use std::fs;
use std::path::Path;

use raft::Storage as _;
use raft::eraftpb::{Entry, HardState, Snapshot};
use tempfile::TempDir;

use super::{Directory, Disk, Meta};
use crate::raft::error::RaftError;
use crate::raft::ident::Address;

fn address() -> Address {
    Address::parse("127.0.0.1:1").unwrap()
}

fn first() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let meta = snapshot.mut_metadata();
    meta.index = 1;
    meta.term = 1;
    meta.mut_conf_state().voters = vec![1, 2, 3];
    snapshot
}

fn create(path: &Path) -> Disk {
    let directory = Directory::open(path).unwrap();
    assert_eq!(directory.load_meta(&address()).unwrap(), None);
    let meta = Meta::new(1, address(), 7, false);
    Disk::create(directory, meta, Some(first())).unwrap()
}

fn open(path: &Path) -> Result<Disk, RaftError> {
    let directory = Directory::open(path)?;
    let meta = directory.load_meta(&address())?.unwrap();
    Disk::open(directory, meta)
}

fn entry(index: u64, term: u64, size: usize) -> Entry {
    Entry {
        index,
        term,
        data: vec![b'x'; size].into(),
        ..Entry::default()
    }
}

fn vote(term: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote: 1,
        commit,
        ..HardState::default()
    }
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let mut disk = create(directory.path());
    disk.append(&[entry(2, 1, 10), entry(3, 1, 10)], Some(&vote(1, 1)))
        .unwrap();
    disk.append(&[entry(3, 2, 20)], Some(&vote(2, 2))).unwrap();
    drop(disk);
    let disk = open(directory.path()).unwrap();
    assert_eq!(disk.last_index().unwrap(), 3);
    assert_eq!(
        disk.term(3).unwrap(),
        2,
        "an entry replaces those behind it"
    );
    assert_eq!(disk.initial_state().unwrap().hard_state, vote(2, 2));
    assert_eq!(disk.initial_state().unwrap().conf_state.voters, [1, 2, 3]);
}

#[test]
fn a_cut_at_every_byte_of_the_last_record_keeps_all_before_it() {
    let directory = TempDir::new().unwrap();
    let mut disk = create(directory.path());
    disk.append(&[entry(2, 1, 100)], Some(&vote(1, 1))).unwrap();
    let log = directory.path().join("log");
    let before = used(&fs::read(&log).unwrap());
    disk.append(&[entry(3, 1, 700), entry(4, 1, 9)], Some(&vote(1, 2)))
        .unwrap();
    drop(disk);
    let whole = fs::read(&log).unwrap();
    let end = used(&whole);
    let before = before.next_multiple_of(16);
    for cut in before..end {
        fs::write(&log, &whole[..cut]).unwrap();
        let mut disk = open(directory.path()).unwrap_or_else(|e| panic!("{cut}: {e}"));
        assert_eq!(disk.last_index().unwrap(), 2, "{cut}");
        if cut % 97 == 0 {
            disk.append(&[entry(3, 5, 5)], Some(&vote(5, 2))).unwrap();
            drop(disk);
            let disk = open(directory.path()).unwrap();
            assert_eq!(disk.term(3).unwrap(), 5, "goes on after a cut at {cut}");
        }
    }
}

#[test]
fn damage_before_the_end_refuses_to_start_and_says_where() {
    let directory = TempDir::new().unwrap();
    let mut disk = create(directory.path());
    for index in 2..6 {
        disk.append(&[entry(index, 1, 50)], Some(&vote(1, 1)))
            .unwrap();
    }
    drop(disk);
    let log = directory.path().join("log");
    let whole = fs::read(&log).unwrap();
    for at in (0..used(&whole) - 200).step_by(13) {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        fs::write(&log, &broken).unwrap();
        match open(directory.path()) {
            Err(RaftError::Damaged { path, offset, .. }) => {
                assert_eq!(path, log);
                assert!(offset <= at as u64, "{offset} {at}");
            }
            Err(other) => panic!("{other}"),
            // Padding between records means nothing.
            Ok(disk) => assert_eq!(disk.last_index().unwrap(), 5, "{at}"),
        }
    }
}

#[test]
fn compaction_bounds_the_file_and_keeps_a_tail() {
    let directory = TempDir::new().unwrap();
    let mut disk = create(directory.path());
    for index in 2..=400 {
        disk.append(&[entry(index, 1, 2000)], Some(&vote(1, index - 1)))
            .unwrap();
    }
    let grown = fs::metadata(directory.path().join("log")).unwrap().len();
    let conf = disk.initial_state().unwrap().conf_state;
    assert!(disk.is_compaction_due(390, 100, u64::MAX));
    disk.compact(390, &conf, b"state".to_vec(), 20, u64::MAX)
        .unwrap();
    assert!(fs::metadata(directory.path().join("log")).unwrap().len() < grown / 2);
    drop(disk);
    let disk = open(directory.path()).unwrap();
    assert_eq!(disk.first_index().unwrap(), 371);
    assert_eq!(disk.last_index().unwrap(), 400);
    assert_eq!(disk.snapshot(0, 1).unwrap().get_metadata().index, 390);
    assert!(disk.snapshot(0, 9).is_err(), "a stranger needs a newer one");
}

#[test]
fn a_crash_between_snapshot_and_log_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let mut disk = create(directory.path());
    disk.append(&[entry(2, 1, 5)], Some(&vote(1, 1))).unwrap();
    let old_log = fs::read(&log).unwrap();
    let mut newer = first();
    newer.mut_metadata().index = 50;
    newer.mut_metadata().term = 3;
    disk.install(newer).unwrap();
    drop(disk);
    fs::write(&log, &old_log).unwrap();
    for _ in 0..2 {
        let mut disk = open(directory.path()).unwrap();
        assert_eq!(disk.first_index().unwrap(), 51);
        let next = disk.last_index().unwrap() + 1;
        disk.append(&[entry(next, 4, 5)], Some(&vote(4, 50)))
            .unwrap();
    }
    assert_eq!(open(directory.path()).unwrap().last_index().unwrap(), 52);
}

#[test]
fn a_lost_meta_file_is_not_an_empty_directory() {
    let directory = TempDir::new().unwrap();
    drop(create(directory.path()));
    fs::remove_file(directory.path().join("meta")).unwrap();
    drop(create(directory.path())); // an unfinished founding, begun again
    let mut disk = open(directory.path()).unwrap();
    disk.append(&[entry(2, 1, 5)], Some(&vote(1, 1))).unwrap();
    drop(disk);
    fs::remove_file(directory.path().join("meta")).unwrap();
    let directory = Directory::open(directory.path()).unwrap();
    assert!(matches!(
        directory.load_meta(&address()),
        Err(RaftError::Damaged { .. })
    ));
}

#[test]
fn a_snapshot_with_a_flipped_bit_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(create(directory.path()));
    let path = directory.path().join("snapshot");
    let whole = fs::read(&path).unwrap();
    for at in (0..28).chain(32..whole.len()) {
        let mut broken = whole.clone();
        broken[at] ^= 1;
        fs::write(&path, &broken).unwrap();
        assert!(open(directory.path()).is_err(), "{at}");
    }
}

/// Where the last byte that is not zero ends.
fn used(file: &[u8]) -> usize {
    file.iter().rposition(|byte| *byte != 0).unwrap() + 1
}
