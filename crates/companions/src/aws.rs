//! `patroni_aws`: a callback that tags the EC2 instance and its volumes with the role of the
//! member. Source: the configuration contract, section 16.7.

mod credentials;
mod ec2;
mod metadata;
mod signature;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};
use patroni_core::Causes;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use self::credentials::Credentials;
use self::ec2::{Ec2, Ec2Error, Tags};
use self::metadata::Metadata;
use crate::program;

/// Tags the EC2 instance with the role of the member, and its volumes with cluster, role and
/// instance. A callback: what AWS refuses is logged, and the exit status is 0.
#[derive(Clone, Debug, Parser)]
#[command(name = "patroni_aws")]
pub struct Options {
    /// The callback.
    pub action: Action,
    /// The role of the member.
    pub role: String,
    /// Name of the cluster.
    pub name: String,
}

/// The callbacks that change tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Action {
    /// PostgreSQL was started.
    OnStart,
    /// PostgreSQL was stopped.
    OnStop,
    /// The role has changed.
    OnRoleChange,
}

/// How long AWS is asked again.
const PATIENCE: Duration = Duration::from_mins(5);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The command line, for manual pages and completions.
pub fn command_line() -> clap::Command {
    Options::command()
}

/// Runs the program with its arguments, the name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match Options::try_parse_from(&args) {
        Ok(options) => program::run(None, async {
            tag(&options, &Addresses::of_process()).await;
            0
        }),
        Err(asked) if asked.kind() == ErrorKind::DisplayHelp => asked.exit(),
        Err(_) => {
            let program = args.first().map(|name| name.to_string_lossy());
            eprintln!(
                "Usage: {} action role name",
                program.as_deref().unwrap_or("patroni_aws")
            );
            ExitCode::FAILURE
        }
    }
}

/// Where AWS is; other places by the variables that the tools of AWS know.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses {
    metadata: String,
    /// Instead of the one of the region.
    ec2: Option<String>,
}

impl Addresses {
    fn of_process() -> Self {
        Self {
            metadata: variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")
                .unwrap_or_else(|| "http://169.254.169.254".to_owned()),
            ec2: variable("AWS_ENDPOINT_URL_EC2").or_else(|| variable("AWS_ENDPOINT_URL")),
        }
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

async fn tag(options: &Options, addresses: &Addresses) {
    let metadata = Metadata::new(&addresses.metadata);
    let instance = match metadata.instance().await {
        Ok(instance) => instance,
        Err(reason) => {
            error!("cannot query AWS meta-data: {}", Causes(&reason));
            return;
        }
    };
    let ec2 = Ec2::new(&instance.region, addresses.ec2.as_deref());
    let tagged = insist(async || {
        let credentials = Credentials::find(&metadata).await?;
        tag_once(&ec2, &credentials, &instance.id, options).await
    });
    match tagged.await {
        Ok(volumes) => info!("tagged {} and {volumes} volumes", instance.id),
        Err(reason) => {
            warn!(
                "Unable to communicate to AWS when setting tags for the EC2 instance {} and \
                 attached EBS volumes: {}",
                instance.id,
                Causes(&reason)
            );
        }
    }
}

/// Returns the number of volumes.
async fn tag_once(
    ec2: &Ec2,
    credentials: &Credentials,
    instance: &str,
    options: &Options,
) -> Result<usize, Ec2Error> {
    let role = options.role.clone();
    let volumes = ec2.volumes_of(credentials, instance).await?;
    let tags: Tags = BTreeMap::from([
        ("Name", format!("spilo_{}", options.name)),
        ("Role", role.clone()),
        ("Instance", instance.to_owned()),
    ]);
    if !volumes.is_empty() {
        ec2.tag(credentials, &volumes, &tags).await?;
    }
    let instance = [instance.to_owned()];
    let tags = BTreeMap::from([("Role", role)]);
    ec2.tag(credentials, &instance, &tags).await?;
    Ok(volumes.len())
}

/// Tries again with growing pauses until the patience ends.
async fn insist<T>(mut attempt: impl AsyncFnMut() -> Result<T, Ec2Error>) -> Result<T, Ec2Error> {
    let begun = Instant::now();
    let mut pause = Duration::from_secs(1);
    loop {
        let failed = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failed) => failed,
        };
        if begun.elapsed() + pause > PATIENCE {
            return Err(failed);
        }
        info!("AWS: {}, trying again", Causes(&failed));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests;
