//! Decisions of a run as lines of a journal.
//!
//! The lines are those of the node: what the simulator lived through can be replayed by the same
//! program, and explained in the same words.

use patroni_ha::journal::{Asked, Line, Record, account};
use patroni_ha::{JobStep, Rule, Step};

use crate::daemon::Round;
use crate::daemon::observe::wall;
use crate::world::World;

impl World {
    /// Notes a step of a cycle, and writes the whole cycle down at its end.
    pub(crate) fn record_cycle(&mut self, node: usize, rule: Rule, step: &Step) {
        if !self.options.journal {
            return;
        }
        let Some(program) = self.nodes[node].daemon.cycle.as_mut() else {
            return;
        };
        match step {
            Step::Do { say, command } => program.asked.push(Asked {
                rule,
                say: say.clone(),
                command: command.clone(),
            }),
            Step::Done {
                say,
                verdict,
                memory,
            } => {
                let Round::Running(cycle) = &program.run else {
                    return;
                };
                let asked = std::mem::take(&mut program.asked);
                let (cycle, say) = ((**cycle).clone(), say.clone());
                let record = Record::of_cycle(cycle, asked, say, verdict.clone(), memory);
                self.write_down(&record);
            }
        }
    }

    /// The same for a long task.
    pub(crate) fn record_job(&mut self, node: usize, step: &JobStep) {
        if !self.options.journal {
            return;
        }
        let here = &mut self.nodes[node];
        let now = here.clock.read(self.now);
        let Some(program) = here.daemon.job.as_mut() else {
            return;
        };
        match step {
            JobStep::Do { say, command } => program.asked.push(Asked {
                rule: Rule::J,
                say: say.clone(),
                command: command.clone(),
            }),
            JobStep::Done { say, report } => {
                let asked = std::mem::take(&mut program.asked);
                let took = now.since(program.run.begun());
                let began = self.now - took;
                let began = wall(began, here.wall_ahead_millis);
                let run = program.run.clone();
                let record = Record::of_job(began, run, asked, say.clone(), report.clone());
                self.write_down(&record);
            }
        }
    }

    fn write_down(&mut self, record: &Record) {
        let number = self.journal.len() as u64 + 1;
        // A value that JSON cannot hold is none that a record has.
        if let Ok(line) = Line::new(&account(record, number), record) {
            self.journal.push(line.to_text());
        }
    }
}
