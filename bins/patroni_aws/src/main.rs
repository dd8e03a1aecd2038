//! Tags the EC2 instance and its volumes.

use std::process::ExitCode;

fn main() -> ExitCode {
    patroni_companions::aws::main(std::env::args_os())
}
