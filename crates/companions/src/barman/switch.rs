//! Switching the configuration of a server.

use std::time::Duration;

use patroni_core::Causes;
use serde_json::{Value, json};
use tracing::{error, info};

use super::api::Api;
use super::{ConfigSwitch, Role, SwitchWhen};

const DONE: u8 = 0;

/// This role change does not call for a switch.
const SKIPPED: u8 = 1;

/// Barman could not switch.
const FAILED: u8 = 2;

/// No useful answer.
const NO_ANSWER: u8 = 3;

/// How often it is asked how far the switch is.
const PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(api: &Api, wanted: &ConfigSwitch) -> u8 {
    if !is_called_for(wanted.switch_when, wanted.role) {
        info!("no switch after a change to this role");
        return SKIPPED;
    }
    let body = body(wanted);
    match api.complete(&wanted.barman_server, &body, PAUSE).await {
        Ok(true) => {
            info!("the switch is done");
            DONE
        }
        Ok(false) => {
            error!("the switch has failed: the log of Barman says why");
            FAILED
        }
        Err(reason) => {
            error!("failed to {}", Causes(&reason));
            reason.code(NO_ANSWER)
        }
    }
}

fn is_called_for(when: SwitchWhen, role: Role) -> bool {
    match when {
        SwitchWhen::Always => true,
        SwitchWhen::Promoted => matches!(role, Role::Primary | Role::Promoted),
        SwitchWhen::Demoted => matches!(role, Role::Replica | Role::Demoted),
    }
}

fn body(wanted: &ConfigSwitch) -> Value {
    match &wanted.barman_model {
        Some(model) => json!({"type": "config_switch", "model_name": model}),
        None => json!({"type": "config_switch", "reset": true}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_leader_is_neither_promoted_nor_demoted() {
        use SwitchWhen::{Always, Demoted, Promoted};
        for (role, expected) in [
            (Role::Primary, [true, false, true]),
            (Role::Promoted, [true, false, true]),
            (Role::StandbyLeader, [false, false, true]),
            (Role::Replica, [false, true, true]),
            (Role::Demoted, [false, true, true]),
        ] {
            let called = [Promoted, Demoted, Always].map(|when| is_called_for(when, role));
            assert_eq!(called, expected, "{role:?}");
        }
    }
}
