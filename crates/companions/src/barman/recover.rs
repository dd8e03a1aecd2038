//! Restoring a backup.

use patroni_core::Causes;
use serde_json::json;
use tracing::{error, info};

use super::api::Api;
use super::{Recover, seconds};

/// The backup is restored.
const DONE: u8 = 0;

/// Barman could not restore it.
const FAILED: u8 = 1;

/// No useful answer.
const NO_ANSWER: u8 = 2;

pub(super) async fn run(api: &Api, wanted: &Recover) -> u8 {
    let body = json!({
        "type": "recovery",
        "backup_id": wanted.backup_id,
        "remote_ssh_command": wanted.ssh_command,
        "destination_directory": wanted.data_directory,
    });
    let pause = seconds(wanted.loop_wait);
    match api.complete(&wanted.barman_server, &body, pause).await {
        Ok(true) => {
            info!("the restore is done");
            DONE
        }
        Ok(false) => {
            error!("the restore has failed: the log of Barman says why");
            FAILED
        }
        Err(reason) => {
            error!("failed to {}", Causes(&reason));
            reason.code(NO_ANSWER)
        }
    }
}
