//! Restores and configuration switches through the API of Barman.

use std::process::ExitCode;

fn main() -> ExitCode {
    patroni_companions::barman::main(std::env::args_os())
}
