//! The announcement of a primary without a store (HA contract 15, REST contract 10.9).

use patroni_core::{Role, State};

/// Whether this node consents that another one leads on: it does not lead itself. A server that
/// crashed as a primary leads nobody while it is down, whatever it was.
pub fn consents_to_failsafe(state: State, role: Role) -> bool {
    !(state == State::Running && matches!(role, Role::Primary | Role::Promoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_running_leader_refuses() {
        for (state, role, consents) in [
            (State::Running, Role::Primary, false),
            (State::Running, Role::Promoted, false),
            (State::Crashed, Role::Primary, true),
            (State::Running, Role::Replica, true),
        ] {
            assert_eq!(
                consents_to_failsafe(state, role),
                consents,
                "{state} {role}"
            );
        }
    }
}
