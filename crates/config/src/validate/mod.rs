//! `patroni --validate-config`: the local configuration against a schema.
//!
//! One line per problem, in the order of the schema: `<dotted.path> <value> <message>`. The rules
//! are stricter than those of a start, and a start does not run them. Unknown keys are no problem
//! here. What the machine looks like comes in through [`Probe`].

mod engine;
mod network;
mod probe;
mod schema;
mod server;
mod system;

pub use probe::{PathKind, Probe};
pub use system::SystemProbe;

use crate::load::Local;

/// Whether `listen` addresses may be in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenPorts {
    /// A port that answers is a problem.
    #[default]
    MustBeFree,
    /// `--ignore-listen-port`.
    Ignored,
}

/// Checks a local configuration (files and environment merged). No line means no problem.
pub fn validate(local: &Local, ports: ListenPorts, probe: &dyn Probe) -> Vec<String> {
    let mut report = engine::Report::new(local, ports, probe);
    report.section("", &local.settings, schema::TOP);
    report.into_lines()
}
