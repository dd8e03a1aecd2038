//! The announcement of a primary without a store (HA contract 15, REST contract 10.9).

use patroni_core::{MemberName, Role, State};

/// Why a member does not consent that another one leads on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailsafeRefusal {
    /// It leads itself.
    #[error("Running as a leader")]
    RunningAsLeader,
    /// The store, which it can read, has another leader.
    #[error("The leader is {0}")]
    OtherLeader(MemberName),
}

/// Whether this node consents that `announced` leads on without the store. `leader` is who leads
/// by this node's own view of it; `None` where nobody does or the store cannot be read.
///
/// A server that crashed as a primary leads nobody while it is down, whatever it was. The
/// reference consents also where the store has another leader: two lead then.
///
/// # Errors
/// The refusal, as it is answered.
pub fn consent_to_failsafe(
    (state, role): (State, Role),
    leader: Option<&MemberName>,
    announced: &MemberName,
) -> Result<(), FailsafeRefusal> {
    if state == State::Running && matches!(role, Role::Primary | Role::Promoted) {
        return Err(FailsafeRefusal::RunningAsLeader);
    }
    match leader {
        Some(other) if other != announced => Err(FailsafeRefusal::OtherLeader(other.clone())),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_leader_refuses() {
        for (state, role, consents) in [
            (State::Running, Role::Primary, false),
            (State::Running, Role::Promoted, false),
            (State::Crashed, Role::Primary, true),
            (State::Running, Role::Replica, true),
        ] {
            let consent = consent_to_failsafe((state, role), None, &MemberName::new("a"));
            assert_eq!(consent.is_ok(), consents, "{state} {role}");
        }
    }

    #[test]
    fn who_sees_another_leader_in_the_store_refuses() {
        let (replica, announced) = ((State::Running, Role::Replica), MemberName::new("a"));
        for (leader, consents) in [("a", true), ("b", false)] {
            let leader = MemberName::new(leader);
            let consent = consent_to_failsafe(replica, Some(&leader), &announced);
            assert_eq!(consent.is_ok(), consents, "{leader}");
        }
    }
}
