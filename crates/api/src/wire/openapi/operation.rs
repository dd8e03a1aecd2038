//! What each route takes and answers.

use super::super::health::{Filters, HealthCheck};
use super::super::route::{Act, Read};

/// The description of one method of one path.
pub(super) struct Operation {
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) body: Option<Body>,
    pub(super) guard: Guard,
    pub(super) answers: Vec<Answer>,
}

/// A key of the query string.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) about: &'static str,
}

/// A JSON body.
#[derive(Clone, Copy)]
pub(super) struct Body {
    pub(super) schema: &'static str,
    pub(super) is_required: bool,
}

/// Whether access is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    Open,
    Guarded,
}

/// An answer by its code.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) form: Form,
    pub(super) meaning: &'static str,
}

/// What an answer carries.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Nothing,
    /// JSON of this schema.
    Json(&'static str),
    /// A sentence, or a small page.
    Sentence,
    Metrics,
    Events,
    /// A page for people.
    Page,
}

const LAG: Parameter = Parameter {
    name: "lag",
    kind: "string",
    about: "the most a replica may be behind: bytes, or a number with a unit such as 16MB",
};
const REPLICATION_STATE: Parameter = Parameter {
    name: "replication_state",
    kind: "string",
    about: "the state a replica must be in, such as streaming",
};
const TAG: Parameter = Parameter {
    name: "tag_NAME",
    kind: "string",
    about: "the value that the configured tag NAME must have; may be given for several tags",
};
const MODE: Parameter = Parameter {
    name: "mode",
    kind: "string",
    about: "write compares the received position, anything else the replayed one",
};
const SINCE: Parameter = Parameter {
    name: "since",
    kind: "string",
    about: "the number of a record, or a time such as 2026-01-31T13:00:00Z",
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    kind: "integer",
    about: "the most records to answer, 1 to 1000",
};

const fn json(schema: &'static str) -> Answer {
    Answer {
        code: 200,
        form: Form::Json(schema),
        meaning: "the document",
    }
}

const fn sentence(code: u16, meaning: &'static str) -> Answer {
    Answer {
        code,
        form: Form::Sentence,
        meaning,
    }
}

const fn bare(code: u16, meaning: &'static str) -> Answer {
    Answer {
        code,
        form: Form::Nothing,
        meaning,
    }
}

const STORE_SILENT: Answer = sentence(503, "the store does not answer");

impl From<Read> for Operation {
    fn from(read: Read) -> Self {
        let (summary, parameters, answers): (_, &[Parameter], &[Answer]) = match read {
            Read::Status => ("Status of this node", &[], &[json("Status")]),
            Read::Cluster => (
                "Members of the cluster",
                &[],
                &[json("Cluster"), STORE_SILENT],
            ),
            Read::History => (
                "Switches of timelines",
                &[],
                &[json("History"), STORE_SILENT],
            ),
            Read::Config => (
                "Dynamic configuration",
                &[],
                &[
                    json("Configuration"),
                    sentence(502, "there is none"),
                    STORE_SILENT,
                ],
            ),
            Read::Metrics => (
                "Metrics in the Prometheus text format",
                &[],
                &[Answer {
                    code: 200,
                    form: Form::Metrics,
                    meaning: "the metrics",
                }],
            ),
            Read::Journal => (
                "What this node decided, and why",
                &[SINCE, LIMIT],
                &[json("Journal"), sentence(400, "a parameter makes no sense")],
            ),
            Read::Events => (
                "Changes of this node as server-sent events",
                &[],
                &[
                    Answer {
                        code: 200,
                        form: Form::Events,
                        meaning: "events, until the daemon ends: first one named snapshot with the \
                            schema Snapshot as data, then one per change, named after its part \
                            and with the schema Change as data",
                    },
                    sentence(503, "too many subscribers"),
                ],
            ),
            Read::FailsafeMembers => (
                "Members that a leader asks when the store is silent",
                &[],
                &[json("FailsafeMembers"), sentence(502, "there are none")],
            ),
            Read::Liveness => (
                "Whether the loop is alive",
                &[],
                &[bare(200, "it is"), bare(503, "it is not")],
            ),
            Read::Readiness => (
                "Whether this node leads, or streams without too much lag",
                &[LAG, MODE],
                &[bare(200, "it does"), bare(503, "it does not")],
            ),
            Read::OpenApi => ("This description", &[], &[json("Description")]),
            Read::Ui => (
                "A page for people that shows the cluster; it only reads",
                &[],
                &[
                    Answer {
                        code: 200,
                        form: Form::Page,
                        meaning: "the page",
                    },
                    sentence(503, "it is switched off"),
                ],
            ),
        };
        Self {
            summary,
            parameters,
            body: None,
            guard: Guard::Open,
            answers: answers.to_vec(),
        }
    }
}

impl From<Act> for Operation {
    fn from(act: Act) -> Self {
        const CONFLICT: Answer = sentence(409, "somebody else changed it meanwhile");
        const REFUSED: Answer = sentence(412, "the cluster does not allow it now");
        const BAD_TIME: Answer = sentence(422, "the time is past or cannot be read");
        const OK: Answer = sentence(200, "done");
        const SCHEDULED: Answer = sentence(202, "scheduled");
        let (summary, body, answers): (_, _, &[Answer]) = match act {
            Act::PatchConfig => (
                "Merge into the dynamic configuration; null removes a key",
                Some(required("ConfigurationChange")),
                &[json("Configuration"), CONFLICT, STORE_SILENT],
            ),
            Act::PutConfig => (
                "Replace the dynamic configuration",
                Some(required("ConfigurationChange")),
                &[json("Configuration"), CONFLICT, STORE_SILENT],
            ),
            Act::Reload => ("Read the configuration file again", None, &[SCHEDULED]),
            Act::Restart => (
                "Restart PostgreSQL, now or later",
                Some(optional("Restart")),
                &[
                    OK,
                    SCHEDULED,
                    sentence(409, "one is scheduled already"),
                    BAD_TIME,
                    sentence(500, "nothing can be scheduled in a pause"),
                    sentence(503, "not restarted, or the store does not answer"),
                ],
            ),
            Act::CancelRestart => (
                "Forget the scheduled restart",
                None,
                &[OK, sentence(404, "none is scheduled")],
            ),
            Act::Reinitialize => (
                "Throw the data away and make a new copy",
                Some(optional("Reinitialize")),
                &[
                    sentence(200, "begun"),
                    sentence(503, "refused, or the store does not answer"),
                ],
            ),
            Act::Switchover => (
                "Hand over to another node, now or later",
                Some(required("Switchover")),
                &[
                    OK,
                    SCHEDULED,
                    REFUSED,
                    BAD_TIME,
                    sentence(
                        503,
                        "failed, not known to be done, or the store does not answer",
                    ),
                ],
            ),
            Act::Failover => (
                "Promote a candidate, with or without a leader",
                Some(required("Failover")),
                &[
                    OK,
                    REFUSED,
                    sentence(
                        503,
                        "failed, not known to be done, or the store does not answer",
                    ),
                ],
            ),
            Act::CancelSwitchover => (
                "Forget the scheduled switchover",
                None,
                &[
                    OK,
                    sentence(404, "none is scheduled"),
                    CONFLICT,
                    STORE_SILENT,
                ],
            ),
            Act::Failsafe => (
                "A leader asks for leave to go on without the store",
                Some(required("FailsafeAnnouncement")),
                &[
                    sentence(200, "granted; the header lsn has the position of this node"),
                    sentence(
                        500,
                        "this node runs as a leader, or sees another one in the store",
                    ),
                    sentence(502, "the failsafe mode is off"),
                ],
            ),
            Act::Sigterm => ("Do nothing; an aid for tests", None, &[SCHEDULED]),
            Act::Mpp => (
                "A worker leader tells the coordinator what it is about to do",
                Some(required("MppEvent")),
                &[OK, STORE_SILENT],
            ),
        };
        Self::guarded(summary, body, answers)
    }
}

impl Operation {
    /// With the answers of the door and of the body.
    fn guarded(summary: &'static str, body: Option<Body>, answers: &[Answer]) -> Self {
        let mut answers = answers.to_vec();
        answers.push(sentence(401, "the password is missing or wrong"));
        answers.push(sentence(403, "the address or certificate is not allowed"));
        answers.push(sentence(504, "not finished in time"));
        if let Some(Body { is_required, .. }) = body {
            answers.push(sentence(400, "the body makes no sense"));
            answers.push(sentence(408, "the body did not arrive in time"));
            answers.push(sentence(413, "the body is too large"));
            if is_required {
                answers.push(sentence(411, "the length of the body is missing"));
            }
        }
        answers.sort_by_key(|answer| answer.code);
        Self {
            summary,
            parameters: &[],
            body,
            guard: Guard::Guarded,
            answers,
        }
    }

    pub(super) fn health(check: &HealthCheck) -> Self {
        Self::of_check(check, Form::Json("Status"))
    }

    /// The same without a body.
    pub(super) fn health_code(check: &HealthCheck) -> Self {
        Self::of_check(check, Form::Nothing)
    }

    fn of_check(check: &HealthCheck, form: Form) -> Self {
        let answer = |code, meaning| Answer {
            code,
            form,
            meaning,
        };
        Self {
            summary: check.up_when,
            parameters: match check.filters {
                Filters::None => &[],
                Filters::Tags => &[TAG],
                Filters::All => &[LAG, REPLICATION_STATE, TAG],
            },
            body: None,
            guard: Guard::Open,
            answers: vec![answer(200, "it is so"), answer(503, "it is not so")],
        }
    }
}

const fn required(schema: &'static str) -> Body {
    Body {
        schema,
        is_required: true,
    }
}

const fn optional(schema: &'static str) -> Body {
    Body {
        schema,
        is_required: false,
    }
}
