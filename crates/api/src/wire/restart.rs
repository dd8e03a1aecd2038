//! `POST /restart`.

use std::time::Duration;

use hyper::StatusCode;
use jiff::Zoned;
use patroni_core::{RestartConditions, Role, value};
use serde_json::{Map, Value};

use super::answer::Answer;
use super::schedule::{ScheduleFault, Scheduled};

/// What a restart request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartRequest {
    /// When, if not now.
    pub schedule: Option<Scheduled>,
    /// Under which conditions.
    pub conditions: RestartConditions,
    /// The published form: `schedule` as ISO 8601, then the filters in the order of the request.
    pub document: Map<String, Value>,
}

impl RestartRequest {
    /// Reads the body. The first fault in the order of the keys is the answer.
    ///
    /// # Errors
    /// The refusal to send.
    pub fn parse(body: &Map<String, Value>, paused: bool, now: &Zoned) -> Result<Self, Answer> {
        if paused && body.contains_key("schedule") {
            return Err(Answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Can't schedule restart in the paused state",
            ));
        }
        let mut request = Self {
            schedule: None,
            conditions: RestartConditions::default(),
            document: Map::new(),
        };
        for (key, given) in body {
            let shown = request.take(key, given, now)?;
            request.document.insert(key.clone(), shown);
        }
        Ok(request)
    }

    fn take(&mut self, key: &str, given: &Value, now: &Zoned) -> Result<Value, Answer> {
        match key {
            "schedule" => {
                let at = given
                    .as_str()
                    .ok_or(ScheduleFault::Unreadable)
                    .and_then(|text| Scheduled::parse(text, now))
                    .map_err(|fault| fault.refuse("restart", given))?;
                self.schedule = Some(at);
                return Ok(at.to_iso().into());
            }
            "role" => self.conditions.role = Some(role(given)?),
            "postgres_version" => self.conditions.older_than = Some(version(given)?),
            "timeout" => {
                let timeout = timeout(given)?;
                self.conditions.timeout = Some(timeout);
                return Ok(timeout.as_secs().into());
            }
            "restart_pending" => self.conditions.only_if_pending = true,
            _ => {
                return Err(bad(format!(
                    "Unknown filter for the scheduled restart: {key}"
                )));
            }
        }
        Ok(given.clone())
    }
}

fn role(given: &Value) -> Result<Role, Answer> {
    match given.as_str() {
        Some("primary") => Ok(Role::Primary),
        Some("standby_leader") => Ok(Role::StandbyLeader),
        Some("replica") => Ok(Role::Replica),
        Some(_) | None => Err(bad(
            "PostgreSQL role should be either primary, standby_leader, or replica",
        )),
    }
}

fn version(given: &Value) -> Result<u32, Answer> {
    let text = given
        .as_str()
        .ok_or_else(|| VersionFault::Format(value::text(given)));
    text.and_then(server_version)
        .map_err(|fault| bad(fault.to_string()))
}

/// Why a text is no version of PostgreSQL, in the contract's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionFault {
    /// A part is no number.
    #[error("Invalid PostgreSQL version: {0}")]
    Number(String),
    /// Too few or too many parts.
    #[error("Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: {0}")]
    Format(String),
}

/// A version as the server's own number: `X.Y` from 10 on, or `X.Y.Z`.
///
/// # Errors
/// See [`VersionFault`].
pub fn server_version(text: &str) -> Result<u32, VersionFault> {
    let number = || VersionFault::Number(text.to_owned());
    let parts: Option<Vec<i64>> = text
        .split('.')
        .map(|part| part.trim().parse().ok())
        .collect();
    let (major, minor, patch) = match parts.ok_or_else(number)?[..] {
        [major, minor] if major >= 10 => (major, 0, minor),
        [major, minor, patch] => (major, minor, patch),
        _ => return Err(VersionFault::Format(text.to_owned())),
    };
    let part = |part: i64| u32::try_from(part).map_err(|_| number());
    let (major, minor, patch) = (part(major)?, part(minor)?, part(patch)?);
    Ok(major
        .saturating_mul(10_000)
        .saturating_add(minor.saturating_mul(100))
        .saturating_add(patch))
}

fn timeout(given: &Value) -> Result<Duration, Answer> {
    value::parse_seconds(given)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| bad("Timeout should be a positive number of seconds"))
}

fn bad(text: impl Into<String>) -> Answer {
    Answer::text(StatusCode::BAD_REQUEST, text)
}

/// The outcomes of `POST /restart` and `DELETE /restart`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartOutcome {
    /// Restarted.
    Done,
    /// The filters do not match.
    ConditionsNotMet,
    /// Another long task runs; its name, such as `bootstrap from leader 'node1'`.
    Busy(String),
    /// Not up yet at the time limit.
    StillStarting,
    /// The server did not come up.
    Failed,
    /// The restart broke off with an error of our own.
    Broken,
    /// Noted for later.
    Scheduled,
    /// Another one is noted already.
    AlreadyScheduled,
    /// The noted one was dropped.
    Deleted,
    /// None was noted.
    NoneScheduled,
}

impl From<RestartOutcome> for Answer {
    fn from(outcome: RestartOutcome) -> Self {
        use RestartOutcome as O;
        let (status, text) = match outcome {
            O::Done => (StatusCode::OK, "restarted successfully"),
            O::ConditionsNotMet => (
                StatusCode::SERVICE_UNAVAILABLE,
                "restart conditions are not satisfied",
            ),
            O::Busy(task) => return busy(&task),
            O::StillStarting => (
                StatusCode::SERVICE_UNAVAILABLE,
                "postgres is still starting",
            ),
            O::Failed => (StatusCode::SERVICE_UNAVAILABLE, "restart failed"),
            O::Broken => (StatusCode::BAD_REQUEST, "restart failed"),
            O::Scheduled => (StatusCode::ACCEPTED, "Restart scheduled"),
            O::AlreadyScheduled => (StatusCode::CONFLICT, "Another restart is already scheduled"),
            O::Deleted => (StatusCode::OK, "scheduled restart deleted"),
            O::NoneScheduled => (StatusCode::NOT_FOUND, "no restarts are scheduled"),
        };
        Self::text(status, text)
    }
}

/// The refusal while another long task runs.
pub(super) fn busy(task: &str) -> Answer {
    Answer::text(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{task} already in progress"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: &Value) -> Result<RestartRequest, (u16, String)> {
        let now = "2026-11-21T10:00:00+00:00[UTC]".parse().unwrap();
        RestartRequest::parse(body.as_object().unwrap(), false, &now).map_err(|answer| {
            let super::super::Content::Text(text) = answer.content else {
                panic!("refusals are sentences")
            };
            (
                answer.status.as_u16(),
                String::from_utf8(text.to_vec()).unwrap(),
            )
        })
    }

    #[test]
    fn a_schedule_is_published_in_the_order_of_the_request() {
        let request = parse(&json!({
            "role": "replica", "schedule": "2099-01-01 10:00 +02", "timeout": "1min",
            "restart_pending": false, "postgres_version": "15.3",
        }))
        .unwrap();
        assert_eq!(
            request.conditions,
            RestartConditions {
                role: Some(Role::Replica),
                older_than: Some(150_003),
                timeout: Some(Duration::from_mins(1)),
                only_if_pending: true,
            }
        );
        assert_eq!(
            serde_json::to_string(&request.document).unwrap(),
            r#"{"role":"replica","schedule":"2099-01-01T10:00:00+02:00","timeout":60,"restart_pending":false,"postgres_version":"15.3"}"#
        );
    }

    #[test]
    fn the_first_fault_answers() {
        let role = "PostgreSQL role should be either primary, standby_leader, or replica";
        let timeout = "Timeout should be a positive number of seconds";
        for (body, code, text) in [
            (
                json!({"bogus": 1, "role": 5}),
                400,
                "Unknown filter for the scheduled restart: bogus",
            ),
            (json!({"role": "master", "bogus": 1}), 400, role),
            (
                json!({"postgres_version": "14"}),
                400,
                "Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: 14",
            ),
            (
                json!({"postgres_version": "9.6"}),
                400,
                "Invalid PostgreSQL version format: X.Y or X.Y.Z is accepted: 9.6",
            ),
            (
                json!({"postgres_version": "x.y.z"}),
                400,
                "Invalid PostgreSQL version: x.y.z",
            ),
            (json!({"timeout": 0}), 400, timeout),
            (json!({"timeout": "abc"}), 400, timeout),
            (json!({"timeout": null}), 400, timeout),
            (
                json!({"schedule": "2099-01-01T00:00:00"}),
                400,
                "Timezone information is mandatory for the scheduled restart",
            ),
            (
                json!({"schedule": "2001-01-01T00:00:00Z"}),
                422,
                "Cannot schedule restart in the past",
            ),
        ] {
            assert_eq!(parse(&body), Err((code, text.to_owned())), "{body}");
        }
    }

    #[test]
    fn versions_have_two_parts_from_10_on_or_three() {
        for (text, expected) in [
            ("9.6.1", 90_601),
            ("14.1", 140_001),
            (" 14.1 ", 140_001),
            ("10.0.0", 100_000),
            ("14.1.1", 140_101),
            ("14.99999", 239_999),
            ("4294967295.1", u32::MAX),
        ] {
            assert_eq!(server_version(text), Ok(expected), "{text:?}");
        }
        for text in ["", "bogus", "14.", "14.0x1", "14.-1", "-14.1.1"] {
            let fault = VersionFault::Number(text.to_owned());
            assert_eq!(server_version(text), Err(fault), "{text:?}");
        }
        for text in ["14", "9.6", "-1.2", "1.2.3.4"] {
            let fault = VersionFault::Format(text.to_owned());
            assert_eq!(server_version(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn a_schedule_is_refused_in_the_paused_state_before_all_else() {
        let body = json!({"bogus": 1, "schedule": "x"});
        let refusal =
            RestartRequest::parse(body.as_object().unwrap(), true, &Zoned::default()).unwrap_err();
        assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
