//! Makes a replica from a backup of WAL-E.

use std::process::ExitCode;

fn main() -> ExitCode {
    patroni_companions::wale::main(std::env::args_os())
}
