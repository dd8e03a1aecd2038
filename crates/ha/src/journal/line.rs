//! A record as one line of a file.

use patroni_core::Account;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::Record;
use super::secrets;

/// The version of the form. It changes when an old line cannot be read any more.
pub const VERSION: u32 = 1;

/// One line: the account for people and tools, and the record to replay, both without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The version of the form.
    pub version: u32,
    /// The version of the software that wrote it.
    pub written_by: String,
    /// What it came to.
    pub account: Account,
    /// The record, as [`Line::record`] reads it.
    record: Value,
}

/// A line that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no JSON object of the known form.
    #[error("read it as a line of a journal")]
    Form(#[source] serde_json::Error),
    /// It has a form that this version does not know.
    #[error("read version {0} of the form, this program knows version {VERSION}")]
    Version(u32),
    /// The record is not one that this version of the software knows.
    #[error("read the record that version {written_by} wrote")]
    Record {
        /// Who wrote it.
        written_by: String,
        /// What does not fit.
        source: serde_json::Error,
    },
}

/// What every version of a line has.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Line {
    /// A line of a record and its account.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    pub fn new(account: &Account, record: &Record) -> Result<Self, serde_json::Error> {
        let mut account = serde_json::to_value(account)?;
        let mut record = serde_json::to_value(record)?;
        secrets::mask(&mut account);
        secrets::mask(&mut record);
        Ok(Self {
            version: VERSION,
            written_by: env!("CARGO_PKG_VERSION").to_owned(),
            account: serde_json::from_value(account)?,
            record,
        })
    }

    /// Its text, without a line break.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let head: Head = serde_json::from_str(text).map_err(LineError::Form)?;
        if head.version != VERSION {
            return Err(LineError::Version(head.version));
        }
        serde_json::from_str(text).map_err(LineError::Form)
    }

    /// The record.
    ///
    /// # Errors
    /// Another version of the software wrote it.
    pub fn record(&self) -> Result<Record, LineError> {
        Record::deserialize(&self.record).map_err(|source| LineError::Record {
            written_by: self.written_by.clone(),
            source,
        })
    }
}
