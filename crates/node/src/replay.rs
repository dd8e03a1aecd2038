//! `patroni --replay FILE`: the decisions of a journal, made again.

use patroni_core::Causes;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use patroni_ha::journal::{self, Difference, Line, LineError};

/// Why a journal did not replay to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("{}: cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is no record.
    #[error("{}:{line}: failed to {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A decision came out otherwise.
    #[error("{}:{line}: record {number} of {member} at {at} does not replay: {difference}", .path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The number of the record in its journal.
        number: u64,
        /// Whose journal it is.
        member: String,
        /// When the decision began.
        at: String,
        /// What differs.
        difference: Box<Difference>,
    },
    /// There is nothing to replay.
    #[error("{}: no record", .0.display())]
    Empty(PathBuf),
}

/// Runs every record of a file through the core again and gives their number. An unfinished last
/// line, which a crash or a running daemon leaves, is no fault when it does not end the line.
///
/// # Errors
/// The first thing that does not fit.
pub fn file(path: &Path) -> Result<usize, ReplayError> {
    let read = |source| ReplayError::Read {
        path: path.to_owned(),
        source,
    };
    let mut reader = std::io::BufReader::new(std::fs::File::open(path).map_err(read)?);
    let mut count = 0;
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        if reader.read_line(&mut text).map_err(read)? == 0 {
            break;
        }
        match one(&text) {
            Ok(()) => count += 1,
            Err(Fault::Line(LineError::Form(_))) if !text.ends_with('\n') && count > 0 => break,
            Err(fault) => return Err(fault.at(path, line)),
        }
    }
    if count == 0 {
        return Err(ReplayError::Empty(path.to_owned()));
    }
    Ok(count)
}

/// What is wrong with one line.
enum Fault {
    Line(LineError),
    Differs(Box<Line>, Box<Difference>),
}

fn one(text: &str) -> Result<(), Fault> {
    let line = Line::parse(text.trim_end()).map_err(Fault::Line)?;
    let record = line.record().map_err(Fault::Line)?;
    journal::replay(&record).map_err(|difference| Fault::Differs(Box::new(line), difference))
}

impl Fault {
    fn at(self, path: &Path, line: usize) -> ReplayError {
        let path = path.to_owned();
        match self {
            Self::Line(error) => ReplayError::Line {
                path,
                line,
                problem: Causes(&error).to_string(),
            },
            Self::Differs(text, difference) => ReplayError::Differs {
                path,
                line,
                number: text.account.number,
                member: text.account.member.to_string(),
                at: text.account.at.to_string(),
                difference,
            },
        }
    }
}
