//! The programs beside the daemon that come with the reference: `patroni_wale_restore` (a replica
//! method for WAL-E), `patroni_barman` (restores and configuration switches through the API of
//! Barman) and `patroni_aws` (a callback that tags an EC2 instance and its volumes).
//!
//! The daemon starts them by its configuration like any other script; nothing here knows of stores,
//! decisions or members. Each room has a `main`, which takes the command line and gives the exit
//! code; the binaries add nothing. Source of the rules: the configuration contract, sections 16.6
//! to 16.8.
//!
//! To read first: [`wale`], [`barman`], [`aws`].
//!
//! ```
//! let program = patroni_companions::wale::command_line();
//! let options = program.get_arguments().filter_map(|option| option.get_long());
//! assert!(options.into_iter().any(|option| option == "threshold_megabytes"));
//! ```

pub mod aws;
pub mod barman;
mod program;
#[cfg(test)]
mod stand_in;
pub mod wale;
