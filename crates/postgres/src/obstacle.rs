//! What stands in the way of a server, as far as its files, its disk and its port tell.
//!
//! PostgreSQL says most of it itself, but to wherever its own output goes, and a start that fails
//! tells nothing else. The texts name the thing, what is wrong with it, and the way out.

use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, User, access, geteuid};
use patroni_config::file::Postgresql;
use patroni_config::file::address::Listen;
use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    #[error(
        "{} belongs to {owner}, and this server runs as {user}: give it back with chown -R {user} {}",
        path.display(), path.display()
    )]
    Owner {
        path: PathBuf,
        owner: String,
        user: String,
    },
    #[error(
        "{} has permissions {mode:04o}, and PostgreSQL takes only 0700 or 0750: chmod 0700 {}",
        path.display(), path.display()
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "{} is missing: put it back (is a disk not mounted?), or make a new copy of this member \
         with patronictl reinit",
        path.display()
    )]
    Missing { path: PathBuf },
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("the file system of {} is read-only: mount it writable again", path.display())]
    ReadOnly { path: PathBuf },
    #[error(
        "the file system of {} is full ({free_bytes} bytes and {free_files} files left): make room, \
         and PostgreSQL goes on by itself",
        path.display()
    )]
    Full {
        path: PathBuf,
        free_bytes: u64,
        free_files: u64,
    },
    #[error(
        "the file system of {} has {free_bytes} bytes left, and the databases to copy have about \
         {needed_bytes} without their WAL: make room, and the copy is tried again",
        path.display()
    )]
    TooSmall {
        path: PathBuf,
        free_bytes: u64,
        needed_bytes: u64,
    },
    #[error(
        "port {port} of {host} is taken by another process: end it (ss -ltnp tells which one it \
         is), or change postgresql.listen"
    )]
    Port { host: String, port: u16 },
}

/// Everything that keeps a server from starting.
pub(crate) fn of_a_start(settings: &Postgresql) -> Vec<Obstacle> {
    let mut found = of_the_files(&settings.data_dir);
    found.extend(of_the_disk(&settings.data_dir));
    found.extend(of_the_port(&settings.listen));
    found
}

/// What is wrong with the data directory and the parts without which it is none. Source: what
/// the server checks at its start, and what `initdb` makes.
pub(crate) fn of_the_files(data_dir: &Path) -> Vec<Obstacle> {
    let path = data_dir.to_owned();
    let unusable = |error: &io::Error, path: PathBuf| Obstacle::Unusable {
        path,
        reason: error.to_string(),
    };
    let found = match fs::metadata(data_dir) {
        Ok(found) => found,
        Err(error) => return vec![unusable(&error, path)],
    };
    let user = geteuid();
    if found.uid() != user.as_raw() {
        return vec![Obstacle::Owner {
            path,
            owner: name_of(Uid::from_raw(found.uid())),
            user: name_of(user),
        }];
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o027 != 0 {
        return vec![Obstacle::Mode { path, mode }];
    }
    let look = |name: &&str| {
        // Their names before version 10.
        let old = match *name {
            "pg_wal" => "pg_xlog",
            "pg_xact" => "pg_clog",
            name => name,
        };
        let path = data_dir.join(name);
        if data_dir.join(old).exists() {
            return None;
        }
        match fs::metadata(&path) {
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(Obstacle::Missing { path })
            }
            Err(error) => Some(unusable(&error, path)),
        }
    };
    PARTS.iter().filter_map(look).collect()
}

/// A disk without room, or one that is not to be written to: of the data and of the WAL.
pub(crate) fn of_the_disk(data_dir: &Path) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for path in [data_dir.to_owned(), data_dir.join("pg_wal")] {
        if let Some(obstacle) = of_one_disk(&path)
            && found.is_empty()
        {
            found.push(obstacle);
        }
    }
    found
}

fn of_one_disk(path: &Path) -> Option<Obstacle> {
    let room = statvfs(path).ok()?;
    let path = path.to_owned();
    if room.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some(Obstacle::ReadOnly { path });
    }
    let free_bytes = free_bytes(&room);
    // Some file systems do not count files, and say 0 of 0.
    let no_files = room.f_files > 0 && room.f_favail == 0;
    (free_bytes < WAL_FILE || no_files).then_some(Obstacle::Full {
        path,
        free_bytes,
        free_files: room.f_favail,
    })
}

/// What keeps a copy of so many bytes from being made into a data directory that is empty or
/// missing. The size is an estimate, so this is for a copy that has failed.
pub(crate) fn of_a_copy(data_dir: &Path, size: Option<u64>) -> Option<Obstacle> {
    let place = data_dir.ancestors().find(|path| path.exists())?;
    if let Some(obstacle) = of_one_disk(place) {
        return Some(obstacle);
    }
    let path = place.to_owned();
    if let Err(error) = access(place, AccessFlags::W_OK | AccessFlags::X_OK) {
        let reason = error.desc().to_owned();
        return Some(Obstacle::Unusable { path, reason });
    }
    let (free_bytes, needed_bytes) = (free_bytes(&statvfs(place).ok()?), size?);
    // The segment in use, the next one, and one that is being filled meanwhile.
    let too_small = free_bytes < needed_bytes.saturating_add(3 * WAL_FILE);
    too_small.then_some(Obstacle::TooSmall {
        path,
        free_bytes,
        needed_bytes,
    })
}

fn free_bytes(room: &StatVfs) -> u64 {
    room.f_bavail.saturating_mul(room.f_frsize)
}

/// A port that somebody else has. Taking it is the only sure way to know; it is given back at once.
fn of_the_port(listen: &Listen) -> Option<Obstacle> {
    let port = listen.port;
    let taken = |host: &&String| {
        let any = matches!(host.as_str(), "*" | "");
        let name = if any { "0.0.0.0" } else { host.as_str() };
        let addresses = (name, port).to_socket_addrs();
        addresses.into_iter().flatten().any(|address| {
            TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        })
    };
    let host = listen.hosts.iter().find(taken)?.clone();
    Some(Obstacle::Port { host, port })
}

fn name_of(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

/// With less than this no WAL file can be added, and a server that cannot write WAL ends.
const WAL_FILE: u64 = 16 << 20;

/// What every data directory has.
const PARTS: [&str; 12] = [
    "PG_VERSION",
    "global/pg_control",
    "base",
    "pg_wal",
    "pg_xact",
    "pg_multixact",
    "pg_subtrans",
    "pg_twophase",
    "pg_tblspc",
    "pg_replslot",
    "pg_logical",
    "pg_notify",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn whole() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("global")).unwrap();
        for name in PARTS {
            fs::write(dir.path().join(name), "").unwrap();
        }
        set_mode(dir.path(), 0o750);
        dir
    }

    #[test]
    fn a_whole_directory_has_nothing_against_it() {
        assert_eq!(of_the_files(whole().path()), []);
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_out() {
        let dir = whole();
        fs::remove_file(dir.path().join("pg_wal")).unwrap();
        let found = of_the_files(dir.path());
        let told = found[0].to_string();
        assert!(told.contains("/pg_wal is missing: ") && told.contains("patronictl reinit"));
        fs::remove_dir_all(dir.path().join("global")).unwrap();
        assert_eq!(of_the_files(dir.path()).len(), 2);
    }

    #[test]
    fn permissions_are_told_before_everything_else() {
        let dir = whole();
        fs::remove_file(dir.path().join("pg_wal")).unwrap();
        set_mode(dir.path(), 0o755);
        let told = of_the_files(dir.path())[0].to_string();
        assert!(told.contains("has permissions 0755"), "{told}");
    }

    #[test]
    fn a_taken_port_is_told_and_a_free_one_is_not() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut listen = Listen {
            hosts: vec!["127.0.0.1".to_owned()],
            port: taken.local_addr().unwrap().port(),
        };
        assert!(
            of_the_port(&listen)
                .unwrap()
                .to_string()
                .contains("is taken by another process")
        );
        drop(taken);
        assert_eq!(of_the_port(&listen), None);
        listen.hosts.clear();
        assert_eq!(of_the_port(&listen), None);
    }
}
