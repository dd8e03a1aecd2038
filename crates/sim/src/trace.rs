//! One line for each event, in fixed columns, when somebody wants to read a run.

use patroni_ha::{Command, Outcome, Sentence, Verdict};

use crate::daemon::Lane;
use crate::daemon::act::command_name;
use crate::world::World;

impl World {
    /// A line about a machine.
    pub(crate) fn note(&mut self, node: usize, what: &str, text: impl FnOnce() -> String) {
        if self.options.trace {
            let name = self.names[node].clone();
            self.trace(&name, what, text);
        }
    }

    /// A line about anything.
    pub(crate) fn trace(&mut self, who: &str, what: &str, text: impl FnOnce() -> String) {
        if self.options.trace {
            let millis = self.now.since_origin().as_millis();
            let text = text();
            self.trace
                .push(format!("{millis:>9} {who:<4} {what:<9} {text}"));
        }
    }

    pub(crate) fn say(&mut self, node: usize, said: &[Sentence]) {
        if self.options.trace {
            for sentence in said {
                self.note(node, "log", || format!("{:?}: {sentence}", sentence.level));
            }
        }
    }

    pub(crate) fn note_command(&mut self, node: usize, lane: Lane, command: &Command) {
        self.note(node, lane_name(lane), || match command {
            Command::Schedule(_) | Command::TouchMember(_) => {
                format!("> {}", command_name(command))
            }
            _ => format!("> {command:?}"),
        });
    }

    pub(crate) fn note_outcome(&mut self, node: usize, lane: Lane, outcome: &Outcome) {
        self.note(node, lane_name(lane), || match outcome {
            Outcome::Cluster(Ok(view)) => format!(
                "< leader {:?}, optime {}, sync {:?}, failover {:?}",
                view.leader_name().map(ToString::to_string),
                view.status.optime,
                view.sync.standbys,
                view.failover_request().map(|key| &key.request),
            ),
            Outcome::Server(server) => {
                format!("< {} {} {:?}", server.role, server.state, server.status)
            }
            _ => format!("< {outcome:?}"),
        });
    }

    pub(crate) fn count_verdict(&mut self, verdict: &Verdict) {
        self.coverage.count("verdict", verdict.result.name());
    }
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Cycle => "cycle",
        Lane::Job => "task",
    }
}
