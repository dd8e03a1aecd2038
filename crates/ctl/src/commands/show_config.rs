//! `show-config`: the dynamic configuration as YAML.

use serde_json::Value;

use crate::cli::One;
use crate::context::Context;
use crate::exit::Failure;
use crate::yaml;

pub(super) async fn run(context: &mut Context, args: One) -> Result<(), Failure> {
    let scope = context.scope("show-config", args.cluster.as_ref())?;
    let group = context.own_group(args.group)?;
    let target = context.target(&scope, group).await?;
    match target.cluster.config {
        Some(config) => {
            let text = yaml::block(&Value::Object(config.data.as_ref().clone()));
            context.print(&text)
        }
        None => Ok(()),
    }
}
