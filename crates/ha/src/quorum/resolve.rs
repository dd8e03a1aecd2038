//! The algorithm of HA contract 19, step by step and under its numbers.

use patroni_core::MemberName;

use super::emission::Emission;
use super::state::{Names, State, Violation};

/// The steps, and what was found wrong at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What to do, in order.
    pub emissions: Vec<Emission>,
    /// The rule that key and setting broke before; the first steps mend it.
    pub repaired: Option<Violation>,
}

/// The steps from `state` towards `voters = sync = active`, `numsync = min(wanted, |active|)`,
/// `quorum = |active| - numsync`. They may end before that when others have to catch up first.
///
/// # Errors
/// A step on the way would break the rule: none of the steps may be taken. See [`reset`].
pub fn resolve(state: State) -> Result<Resolution, Violation> {
    let mut run = Run {
        state,
        emissions: Vec::new(),
        repaired: None,
    };
    match run.all_steps() {
        Ok(()) | Err(Stop::Enough) => Ok(Resolution {
            emissions: run.emissions,
            repaired: run.repaired,
        }),
        Err(Stop::Broken(violation)) => Err(violation),
    }
}

/// The way out of a state that [`resolve`] has no steps for: nobody but the leader is electable
/// without its vote, then the setting is as wanted, and the next round announces voters anew.
/// Source: the reference has none and tries the same for ever.
pub fn reset(state: &State) -> [Emission; 2] {
    [
        Emission::Quorum {
            leader: state.me.clone(),
            quorum: 0,
            voters: Names::new(),
        },
        Emission::Sync {
            leader: state.me.clone(),
            numsync: state.wanted.min(state.active.len()),
            sync: state.active.clone(),
        },
    ]
}

/// Why the steps end early.
enum Stop {
    /// The rest has to wait for others.
    Enough,
    /// A rule would be broken.
    Broken(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

type Step = Result<(), Stop>;

/// Whether fewer confirmed standbys than commits wait for raise the number of votes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Adjust {
    Yes,
    No,
}

impl Adjust {
    fn only_if(condition: bool) -> Self {
        if condition { Self::Yes } else { Self::No }
    }
}

struct Run {
    state: State,
    emissions: Vec<Emission>,
    repaired: Option<Violation>,
}

// ---- emitting --------------------------------------------------------------------------------

impl Run {
    fn emit(&mut self, emission: Emission) {
        if self
            .emissions
            .last()
            .is_some_and(|before| emission.supersedes(before))
        {
            self.emissions.pop();
        }
        self.emissions.push(emission);
    }

    fn sync(&mut self, numsync: i64, sync: Names) -> Step {
        self.state.numsync = within(numsync, sync.len())?;
        self.state.sync = sync;
        self.emit(Emission::Sync {
            leader: self.state.leader.clone(),
            numsync: self.state.numsync,
            sync: self.state.sync.clone(),
        });
        Ok(self.state.check()?)
    }

    fn quorum(&mut self, quorum: i64, voters: Names, adjust: Adjust) -> Step {
        let most = voters.len().saturating_sub(1);
        let mut quorum = within(quorum, most)?;
        let mut voters = voters;
        if self.state.confirmed == 0 && self.state.voters.is_empty() {
            // Nobody is announced before somebody has confirmed something.
            quorum = 0;
            voters = Names::new();
        } else if adjust == Adjust::Yes {
            quorum += self.state.numsync.saturating_sub(self.state.confirmed);
        }
        if quorum != self.state.quorum || voters != self.state.voters {
            return self.announce(self.state.leader.clone(), quorum, voters);
        }
        if !self.state.voters.is_empty() {
            return Ok(());
        }
        self.emit(Emission::Restart {
            leader: self.state.leader.clone(),
        });
        Err(Stop::Enough)
    }

    fn announce(&mut self, leader: MemberName, quorum: usize, voters: Names) -> Step {
        self.state.leader = leader;
        self.state.quorum = quorum;
        self.state.voters = voters;
        self.emit(Emission::Quorum {
            leader: self.state.leader.clone(),
            quorum,
            voters: self.state.voters.clone(),
        });
        Ok(self.state.check()?)
    }
}

fn within(number: i64, most: usize) -> Result<usize, Violation> {
    match usize::try_from(number) {
        Ok(number) if number <= most => Ok(number),
        Ok(_) | Err(_) => Err(Violation::TooMany {
            needed: number,
            available: most,
        }),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn size(names: &Names) -> i64 {
    count(names.len())
}

fn plus(a: &Names, b: &Names) -> Names {
    a | b
}

fn minus(a: &Names, b: &Names) -> Names {
    a - b
}

fn both(a: &Names, b: &Names) -> Names {
    a & b
}

// ---- the steps -------------------------------------------------------------------------------

impl Run {
    fn all_steps(&mut self) -> Step {
        match self.take_over() {
            Err(Stop::Broken(violation)) => self.repair(violation)?,
            other => other?,
        }
        self.trust_the_key();
        if self.sync_is_part_of_voters() {
            self.finish_fewer_in_sync()?;
        } else if self.voters_are_part_of_sync() {
            self.finish_more_in_sync()?;
        }
        self.balance()?;
        self.remove_gone()?;
        self.add_new()?;
        self.change_number()
    }

    /// Step 0: after a failover the electorate stays the same, under the new leader.
    fn take_over(&mut self) -> Step {
        if self.state.leader == self.state.me {
            return Ok(self.state.check()?);
        }
        let mut voters = self.state.voters.clone();
        voters.remove(&self.state.me);
        voters.insert(self.state.leader.clone());
        if self.state.sync.is_empty() {
            let numsync = size(&voters) - count(self.state.quorum);
            self.sync(numsync, voters.clone())?;
        }
        let most = voters.len().saturating_sub(1);
        let quorum = within(count(self.state.quorum), most)?;
        self.announce(self.state.me.clone(), quorum, voters)?;
        if self.state.sync.is_disjoint(&self.state.active) {
            // Standbys have to find the new primary first.
            return Err(Stop::Enough);
        }
        Ok(())
    }

    fn repair(&mut self, violation: Violation) -> Step {
        self.repaired = Some(violation);
        let quorum = size(&self.state.sync) - count(self.state.numsync);
        self.quorum(quorum, self.state.sync.clone(), Adjust::Yes)
    }

    /// Step 0b: a leader that has just started knows nobody who confirmed, but the key does.
    fn trust_the_key(&mut self) {
        let connected = both(&self.state.sync, &self.state.active).len();
        if self.state.confirmed == 0 && connected > 0 {
            let promised = self.state.voters.len().saturating_sub(self.state.quorum);
            self.state.confirmed = connected.min(promised);
        }
    }

    fn sync_is_part_of_voters(&self) -> bool {
        self.state.sync != self.state.voters && self.state.sync.is_subset(&self.state.voters)
    }

    fn voters_are_part_of_sync(&self) -> bool {
        self.state.sync != self.state.voters && self.state.voters.is_subset(&self.state.sync)
    }

    /// Step 1a: an earlier round ended between the key and the setting.
    fn finish_fewer_in_sync(&mut self) -> Step {
        let known = plus(&self.state.sync, &self.state.active);
        let gone = minus(&self.state.voters, &known);
        if !gone.is_empty() {
            let voters = minus(&self.state.voters, &gone);
            let adjust = Adjust::only_if(self.state.sync.is_subset(&self.state.active));
            self.quorum(size(&voters) - count(self.state.numsync), voters, adjust)?;
        }
        let back = minus(
            &both(&self.state.voters, &self.state.active),
            &self.state.sync,
        );
        if !back.is_empty() {
            self.sync(count(self.state.numsync), plus(&self.state.sync, &back))?;
        }
        Ok(())
    }

    /// Step 1b: an earlier round ended between the setting and the key.
    fn finish_more_in_sync(&mut self) -> Step {
        let dead = minus(&self.state.sync, &self.state.active);
        let rest = minus(&self.state.sync, &dead);
        let fits = self.state.voters.is_empty() || !rest.is_disjoint(&self.state.voters);
        if !dead.is_empty() && !rest.is_empty() && fits {
            let numsync = self.state.numsync.min(rest.len());
            self.sync(count(numsync), rest)?;
        }
        let new = both(
            &minus(&self.state.sync, &self.state.voters),
            &self.state.active,
        );
        if !new.is_empty() {
            let voters = plus(&self.state.voters, &new);
            let quorum = size(&voters) - count(self.state.numsync);
            self.quorum(quorum, voters, Adjust::Yes)?;
        }
        let left = minus(&self.state.sync, &self.state.voters);
        if !left.is_empty() {
            let rest = minus(&self.state.sync, &left);
            let numsync = self.state.numsync.min(rest.len());
            self.sync(count(numsync), rest)?;
        }
        Ok(())
    }

    /// Step 1c: setting and key name the same nodes; more is asked for than the rule needs.
    fn balance(&mut self) -> Step {
        let State {
            quorum,
            numsync,
            confirmed,
            wanted,
            ..
        } = self.state;
        let (sync, voters) = (self.state.sync.clone(), self.state.voters.clone());
        let fewest = size(&sync) - count(numsync);
        if quorum + numsync.min(confirmed) > sync.len() {
            if numsync > wanted {
                let promised = voters.len().saturating_sub(quorum);
                return self.sync(count(wanted.max(promised)), sync);
            }
            return self.quorum(fewest, voters, Adjust::Yes);
        }
        if numsync == wanted && quorum + numsync > sync.len() && numsync > confirmed {
            return self.quorum(fewest, voters, Adjust::Yes);
        }
        Ok(())
    }

    /// Step 2: standbys that are not there any more.
    fn remove_gone(&mut self) -> Step {
        let gone = minus(&self.state.sync, &self.state.active);
        if gone.is_empty() {
            return Ok(());
        }
        if gone == self.state.sync {
            self.quorum(0, Names::new(), Adjust::No)?;
            return self.sync(0, Names::new());
        }
        let dispensable: Names = gone.iter().rev().take(self.state.quorum).cloned().collect();
        let rest = minus(&gone, &dispensable);
        if !dispensable.is_empty() {
            let sync = minus(&self.state.sync, &dispensable);
            let numsync = self.state.wanted.max(self.state.numsync).min(sync.len());
            self.sync(count(numsync), sync)?;
            let voters = minus(&self.state.voters, &dispensable);
            let quorum = size(&voters) - count(self.state.numsync);
            self.quorum(quorum, voters, Adjust::only_if(rest.is_empty()))?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        // No votes to give up: fewer confirmations, and for a while more votes.
        let sync = minus(&self.state.sync, &rest);
        let voters = minus(&self.state.voters, &rest);
        let numsync = count(self.state.numsync) - size(&rest);
        let surplus = numsync - count(self.state.wanted.min(sync.len()));
        let quorum = if surplus == 0 {
            0
        } else {
            surplus.min(size(&voters) - 1)
        };
        self.quorum(quorum, voters, Adjust::No)?;
        self.sync(numsync, sync)
    }

    /// Step 3: standbys that are new.
    fn add_new(&mut self) -> Step {
        let mut new = minus(&self.state.active, &self.state.sync);
        if new.is_empty() {
            return Ok(());
        }
        let all = plus(&self.state.sync, &new);
        let wanted = self.state.wanted.min(all.len());
        if wanted > self.state.numsync {
            let missing = wanted - self.state.numsync;
            let first: Names = if self.state.sync.is_empty() {
                new.clone()
            } else {
                new.iter().take(missing).cloned().collect()
            };
            let more = if self.state.sync.is_empty() {
                missing
            } else {
                first.len()
            };
            let numsync = count(self.state.numsync + more);
            self.sync(numsync, plus(&self.state.sync, &first))?;
            let voters = plus(&self.state.voters, &first);
            self.quorum(size(&voters) - count(wanted), voters, Adjust::Yes)?;
            new = minus(&new, &first);
        }
        if new.is_empty() {
            return Ok(());
        }
        let voters = plus(&self.state.voters, &new);
        let adjust = Adjust::only_if(wanted > self.state.confirmed);
        self.quorum(size(&voters) - count(wanted), voters, adjust)?;
        self.sync(count(wanted), plus(&self.state.sync, &new))
    }

    /// Step 4: another number of confirmations among the same standbys.
    fn change_number(&mut self) -> Step {
        let wanted = count(self.state.wanted.min(self.state.sync.len()));
        let more = wanted - count(self.state.numsync);
        let (sync, voters) = (self.state.sync.clone(), self.state.voters.clone());
        if more > 0 {
            self.sync(wanted, sync)?;
            let quorum = size(&voters) - count(self.state.numsync);
            return self.quorum(quorum, voters, Adjust::Yes);
        }
        if more == 0 {
            return Ok(());
        }
        if count(self.state.quorum) - more < size(&voters) {
            let quorum = size(&voters) - count(self.state.numsync) - more;
            let adjust = Adjust::only_if(self.state.wanted > self.state.confirmed);
            self.quorum(quorum, voters, adjust)?;
        }
        self.sync(wanted, sync)
    }
}
