//! The command line of the daemon. `cargo xtask man` takes this file in, too.

use std::path::PathBuf;

use clap::Parser;
use patroni_core::version;

/// High availability for PostgreSQL: one daemon beside each server.
#[derive(Parser)]
#[command(name = "patroni", version = version::COMPATIBLE_TEXT, infer_long_args = true)]
pub(crate) struct Cli {
    /// The configuration: a YAML file or a folder of them. Without one, the environment. With
    /// --generate-config and --generate-sample-config: the file to write.
    pub(crate) configfile: Option<PathBuf>,
    /// Check the configuration, print one line per fault, and exit with 1 if there is any.
    #[arg(long)]
    pub(crate) validate_config: bool,
    /// Print a JSON Schema of the configuration, for editors and checks.
    #[arg(long, conflicts_with_all = ["validate_config", "generate_config", "generate_sample_config"])]
    pub(crate) json_schema: bool,
    /// Write a configuration to begin with to the file, or print it without one.
    #[arg(long, conflicts_with_all = ["validate_config", "generate_config"])]
    pub(crate) generate_sample_config: bool,
    /// Write a configuration that describes a running server of this machine to the file, or
    /// print it without one.
    #[arg(long, conflicts_with = "validate_config")]
    pub(crate) generate_config: bool,
    /// With --generate-config: how to reach the server as a superuser. Without it the variables
    /// PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE count.
    #[arg(long)]
    pub(crate) dsn: Option<String>,
    /// Run the decisions of a journal through the core again: print how many came out as
    /// recorded, or exit with 1 at the first that did not.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["validate_config", "generate_config", "generate_sample_config", "configfile"])]
    pub(crate) replay: Option<PathBuf>,
    /// With --validate-config: ports may be in use.
    #[arg(short, long)]
    pub(crate) ignore_listen_port: bool,
    /// With --validate-config: print the merged local configuration when it is valid.
    #[arg(short, long)]
    pub(crate) print: bool,
}
