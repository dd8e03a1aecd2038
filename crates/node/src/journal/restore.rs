//! What an earlier daemon has left.

use std::path::Path;

use patroni_core::Account;
use serde::Deserialize;

use super::files;

/// How much of the files is read at the start: enough for the accounts that are kept in memory.
const READ: u64 = 4 << 20;

/// The part of a line that every version of the software can read; records of other versions
/// may be unreadable, their accounts are not.
#[derive(Deserialize)]
struct Head {
    account: Account,
}

/// The newest accounts in the files, oldest first. Lines that cannot be read are passed over.
pub(super) fn accounts(path: &Path) -> Vec<Account> {
    let lines = files::newest_lines(path, READ);
    let heads = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    heads.map(|head: Head| head.account).collect()
}
