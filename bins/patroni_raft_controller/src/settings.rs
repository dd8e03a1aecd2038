//! Where the settings come from.

use std::path::{Path, PathBuf};

use anyhow::bail;
use patroni_core::Secret;
use patroni_dcs::raft::Options;

/// Reads the variables `PATRONI_RAFT_*`.
///
/// # Errors
/// No `self_addr` is set: a witness must be a member.
pub(crate) fn read(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Options> {
    if let Some(file) = file {
        bail!("cannot read {}: set PATRONI_RAFT_* instead", file.display());
    }
    let value = |name: &str| variable(&format!("PATRONI_RAFT_{name}")).filter(|v| !v.is_empty());
    let Some(self_addr) = value("SELF_ADDR") else {
        bail!("no raft section with self_addr in the configuration");
    };
    Ok(Options {
        self_addr: Some(self_addr),
        bind_addr: value("BIND_ADDR"),
        partner_addrs: value("PARTNER_ADDRS").map_or_else(Vec::new, |text| list(&text)),
        data_dir: value("DATA_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
        password: value("PASSWORD").map(Secret::new),
    })
}

/// Items between commas, in quotes or not, in brackets or not.
fn list(text: &str) -> Vec<String> {
    text.trim_matches(|letter: char| letter.is_whitespace() || "[]".contains(letter))
        .split(',')
        .map(|item| {
            item.trim_matches(|letter: char| letter.is_whitespace() || "'\"".contains(letter))
        })
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_describes_a_member() {
        let options = read(None, |name| match name {
            "PATRONI_RAFT_SELF_ADDR" => Some("10.0.0.3:2222".to_owned()),
            "PATRONI_RAFT_PARTNER_ADDRS" => Some("'10.0.0.1:2222', 10.0.0.2:2222".to_owned()),
            _ => None,
        })
        .unwrap();
        assert_eq!(options.partner_addrs, ["10.0.0.1:2222", "10.0.0.2:2222"]);
        assert_eq!(options.data_dir, Path::new("."));
        assert!(read(None, |_| None).is_err());
    }
}
