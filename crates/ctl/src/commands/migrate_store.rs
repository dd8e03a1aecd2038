//! `migrate-store`: a running cluster changes its store, while PostgreSQL runs on.
//!
//! The cluster is paused, its objects are copied, and the daemons are restarted one by one with
//! the section of the new store, by whoever may do that; this command watches them, closes the old
//! store as soon as the leader is in the new one, and ends the pause when everybody is. It may end
//! or be interrupted at any point: what is to be done next is read from both stores every time.
//!
//! Never two leaders: both stores stay paused, so nobody is promoted. The primary alone may take a
//! free lock, and it has one daemon, which reads one store. When the pause ends in the new store,
//! the old one is closed: see [`mark::NOBODY`].

mod check;
mod copy;
pub(super) mod mark;
mod progress;
mod side;

use std::time::Duration;

use patroni_core::{Member, MemberName, Scope, SystemId};

use crate::cli::MigrateStore;
use crate::context::{Context, dynamic};
use crate::exit::Failure;
use crate::rehearsal::Rehearsal;
use crate::settings;
use mark::{Arriving, Leaving, Mark, NOBODY};
use progress::Progress;
use side::Side;

/// How often `--wait` looks.
const PAUSE: Duration = Duration::from_secs(2);

/// How often a write of the configuration is tried when others change it at the same time.
const TRIES: usize = 5;

pub(super) async fn run(context: &mut Context, args: MigrateStore) -> Result<(), Failure> {
    let scope = context.scope("migrate-store", args.one.cluster.as_ref())?;
    let group = context.own_group(args.one.group)?;
    let elsewhere = settings::of_file(&args.to, &context.settings, &scope)?;
    let here = context.settings.clone();
    let new = Side::open(context, &elsewhere, &scope, group).await?;
    let begun = match new.mark()? {
        Some(Mark::Arriving(mark)) => Some(mark),
        Some(Mark::Leaving(_)) | None => None,
    };
    let old = match &begun {
        // It may be switched off by now.
        Some(mark) if mark.closed => None,
        _ => match (Side::open(context, &here, &scope, group).await, &begun) {
            (Ok(old), _) => Some(old),
            (Err(failure), Some(_)) if !new.cluster.is_unlocked() => {
                context.warn(&failure.to_string());
                None
            }
            (Err(failure), _) => return Err(failure),
        },
    };
    let mut relocation = Relocation {
        scope,
        old,
        new,
        without: args.without.iter().map(MemberName::new).collect(),
    };
    if args.cancel {
        return relocation.cancel(context, begun).await;
    }
    if begun.is_none() && relocation.is_over()? {
        return relocation.tell_end(context);
    }
    if args.dry_run {
        return relocation.rehearse(context, begun, &args).await;
    }
    let mark = match begun {
        Some(mark) => mark,
        None => relocation.begin(context, args.force).await?,
    };
    relocation.follow(context, mark, &args).await
}

/// A cluster between two stores.
struct Relocation {
    scope: Scope,
    /// `None` when it is closed, or gone, and not needed any more.
    old: Option<Side>,
    new: Side,
    without: Vec<MemberName>,
}

impl Relocation {
    /// The cluster left the old store and lives in the new one.
    fn is_over(&self) -> Result<bool, Failure> {
        let Some(Mark::Leaving(mark)) = self.old().and_then(Side::mark)? else {
            return Ok(false);
        };
        let lives = self.new.cluster.system_id() == Some(mark.system_id);
        Ok(mark.closed && lives && self.new.mark()?.is_none())
    }

    fn old(&self) -> Result<&Side, Failure> {
        self.old.as_ref().ok_or_else(gone)
    }

    /// Checks, asks, pauses and copies. Gives the mark of the new store.
    async fn begin(&mut self, context: &mut Context, forced: bool) -> Result<Arriving, Failure> {
        let objections = self.objections(context).await?;
        if !objections.is_empty() {
            return Err(Failure::refused(objections.join("\nError: ")));
        }
        let (from, to) = (self.old()?.place(), self.new.place());
        let question = format!(
            "Are you sure you want to pause cluster {} and move it from {from} to {to}?",
            self.scope
        );
        if !forced && !context.confirm(&question).await? {
            return Err(Failure::Aborted);
        }
        let leaving = self.pause(context, to).await?;
        self.wait_paused(context).await?;
        let old = self.old()?;
        let Some(leader) = old.cluster.leader_name().cloned() else {
            return Err(Failure::refused("This cluster has no leader any more"));
        };
        let members = check::expected(&old.cluster, &self.without);
        let address =
            |member: Member| Some((member.name.clone(), member.data.api_url()?.to_owned()));
        let mark = Arriving {
            from,
            system_id: leaving.system_id,
            resume: leaving.resume,
            closed: false,
            leader,
            members: members.into_iter().filter_map(address).collect(),
        };
        copy::copy(self.old.as_ref().ok_or_else(gone)?, &mut self.new, &mark).await?;
        context.print(&format!("copied the cluster to {}", self.new.place()))?;
        Ok(mark)
    }

    async fn objections(&self, context: &mut Context) -> Result<Vec<String>, Failure> {
        let (scope, old) = (&self.scope, self.old()?);
        check::objections(context, scope, old, &self.new, &self.without).await
    }

    /// Pauses the cluster where it is, and marks that store.
    async fn pause(&mut self, context: &mut Context, to: String) -> Result<Leaving, Failure> {
        let old = self.old.as_mut().ok_or_else(gone)?;
        let earlier = match old.mark()? {
            Some(Mark::Leaving(mark)) => Some(mark),
            Some(Mark::Arriving(_)) | None => None,
        };
        let Some(system_id) = old.cluster.system_id() else {
            return Err(Failure::refused("This cluster is not initialized"));
        };
        let mark = Leaving {
            to,
            system_id,
            // The pause that an interrupted run began is not the operator's.
            resume: earlier.map_or(!dynamic(&old.cluster).pause, |mark| mark.resume),
            closed: false,
        };
        let config = Mark::Leaving(mark.clone()).put(&old.config());
        old.write_config(&config).await?;
        context.print(&format!("paused the cluster in {}", old.place()))?;
        Ok(mark)
    }

    /// Waits until every member says that it is paused.
    async fn wait_paused(&mut self, context: &mut Context) -> Result<(), Failure> {
        let old = self.old.as_mut().ok_or_else(gone)?;
        let patience = dynamic(&old.cluster).loop_wait * 2 + Duration::from_secs(10);
        let begun = context.clock.elapsed();
        loop {
            let members = check::expected(&old.cluster, &self.without);
            let awake: Vec<&str> = members
                .iter()
                .filter(|member| !member.data.is_paused())
                .map(|member| member.name.as_str())
                .collect();
            if awake.is_empty() {
                return Ok(());
            }
            if context.clock.elapsed().saturating_sub(begun) >= patience {
                return Err(Failure::refused(format!(
                    "{} did not notice the pause within {} seconds; run the command again, or take it back with --cancel",
                    awake.join(", "),
                    patience.as_secs()
                )));
            }
            context.clock.clone().sleep(Duration::from_secs(1)).await;
            old.reload().await?;
        }
    }

    /// Watches the members come, and does what their coming allows.
    async fn follow(
        &mut self,
        context: &mut Context,
        mut mark: Arriving,
        args: &MigrateStore,
    ) -> Result<(), Failure> {
        let mut shown = None;
        loop {
            let look = Progress::look(context, &mark, &self.without, &self.new.cluster).await?;
            if look.leader().is_some() {
                self.close(context, &mut mark).await?;
            } else if let Some(old) = &mut self.old
                && self.new.cluster.is_unlocked()
            {
                // What changed in the old store meanwhile comes along.
                old.reload().await?;
                copy::copy(old, &mut self.new, &mark).await?;
            }
            if look.is_complete() && self.is_settled(&mark) {
                return self.finish(context, &mark).await;
            }
            if shown.as_ref() != Some(&look) {
                self.tell_progress(context, &look, &mark, args)?;
                shown = Some(look);
            }
            if !args.wait {
                return context
                    .print("Run the command again when that is done, or let it watch with --wait");
            }
            context.clock.clone().sleep(PAUSE).await;
            self.new.reload().await?;
        }
    }

    fn tell_progress(
        &self,
        context: &mut Context,
        look: &Progress,
        mark: &Arriving,
        args: &MigrateStore,
    ) -> Result<(), Failure> {
        context.write(&look.table())?;
        let to = self.new.store.kind();
        match look.next(&mark.leader) {
            Some(name) => context.print(&format!(
                "Next: on {name}, put the section {to} of {} in place of that of {}, and restart its daemon (not PostgreSQL)",
                args.to.display(),
                mark.from
            )),
            None => context.print(
                "Next: nothing to do until the leader has the lock and all that changed have joined",
            ),
        }
    }

    /// Leaves the old store to nobody, once: what still reads it stays paused, takes no lock, and
    /// would end if somebody ended the pause there.
    async fn close(&mut self, context: &mut Context, mark: &mut Arriving) -> Result<(), Failure> {
        if mark.closed {
            return Ok(());
        }
        match self.new.cluster.system_id() {
            Some(found) if found == mark.system_id => {}
            Some(found) => {
                return Err(Failure::refused(format!(
                    "the leader in {} has data of another cluster: {found}, not {}",
                    self.new.place(),
                    mark.system_id
                )));
            }
            // It writes its identity in the cycle after the one that took the lock.
            None => return Ok(()),
        }
        let Some(old) = &mut self.old else {
            return Ok(());
        };
        let closed = Leaving {
            to: self.new.place(),
            system_id: mark.system_id.clone(),
            resume: mark.resume,
            closed: true,
        };
        if let Some(nobody) = SystemId::parse(NOBODY) {
            old.told(old.store.set_system_id(&nobody).await)?;
        }
        old.reload().await?;
        let config = Mark::Leaving(closed).put(&old.config());
        old.write_config(&config).await?;
        mark.closed = true;
        self.write_new(|config| Mark::Arriving(mark.clone()).put(config))
            .await?;
        context.print(&format!("the leader has moved; closed {}", mark.from))?;
        self.old = None;
        Ok(())
    }

    /// The leader wrote the identity, and the old store is closed or gone.
    fn is_settled(&self, mark: &Arriving) -> bool {
        let known = self.new.cluster.system_id().as_ref() == Some(&mark.system_id);
        known && (mark.closed || self.old.is_none())
    }

    /// Ends the move, and the pause with it.
    async fn finish(&mut self, context: &mut Context, mark: &Arriving) -> Result<(), Failure> {
        if !mark.closed {
            context.warn(&format!(
                "{} could not be closed: switch it off, or see to it that no file names it and that nobody ends the pause there",
                mark.from
            ));
        }
        let resume = mark.resume;
        self.write_new(|config| mark::removed(config, resume))
            .await?;
        self.tell_end(context)?;
        if !resume {
            return context.print("The cluster was paused before, and stays so");
        }
        Ok(())
    }

    fn tell_end(&self, context: &mut Context) -> Result<(), Failure> {
        let (scope, place) = (&self.scope, self.new.place());
        context.print(&format!("Success: cluster {scope} lives in {place}"))?;
        context.print(
            "The old store keeps a paused copy that nobody can lead. When no file names it any more, \
             patronictl remove takes it away there",
        )
    }

    /// Changes the configuration in the new store, again when somebody else did at the same time.
    async fn write_new(
        &mut self,
        change: impl Fn(
            &serde_json::Map<String, serde_json::Value>,
        ) -> serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            let config = change(&self.new.config());
            match self.new.write_config(&config).await {
                Err(Failure::Store { source, .. }) if source.is_lost_race() && tries < TRIES => {
                    tries += 1;
                    self.new.reload().await?;
                }
                result => return result,
            }
        }
    }

    /// Takes a move back that nobody has followed yet.
    async fn cancel(
        &mut self,
        context: &mut Context,
        begun: Option<Arriving>,
    ) -> Result<(), Failure> {
        if let Some(mark) = &begun {
            let look = Progress::look(context, mark, &self.without, &self.new.cluster).await?;
            if mark.closed || look.has_begun() {
                context.write(&look.table())?;
                return Err(Failure::refused(format!(
                    "members have moved already; finish the move, then move back with --to naming {}",
                    mark.from
                )));
            }
        }
        let old = self.old.as_mut().ok_or_else(gone)?;
        let Some(Mark::Leaving(leaving)) = old.mark()? else {
            return Err(Failure::refused("This cluster is not moving"));
        };
        if leaving.closed {
            return Err(Failure::refused("This cluster has moved already"));
        }
        if begun.is_some() {
            self.new.told(self.new.store.delete_cluster().await)?;
        }
        let config = mark::removed(&old.config(), leaving.resume);
        old.write_config(&config).await?;
        context.print(&format!("Success: the cluster stays in {}", old.place()))
    }

    /// Tells what would be done, and what would refuse it.
    async fn rehearse(
        &self,
        context: &mut Context,
        begun: Option<Arriving>,
        args: &MigrateStore,
    ) -> Result<(), Failure> {
        let mut rehearsal = Rehearsal::default();
        let to = self.new.place();
        let Some(mark) = begun else {
            let from = self.old()?.place();
            for objection in self.objections(context).await? {
                rehearsal.refuse(objection);
            }
            rehearsal.step(format!(
                "pause the cluster in {from} and wait until all members know"
            ));
            rehearsal.step(format!(
                "copy config, history, sync, status and failsafe to {to}"
            ));
            for step in remaining(&from, &to) {
                rehearsal.step(step);
            }
            return rehearsal.tell(context);
        };
        let look = Progress::look(context, &mark, &self.without, &self.new.cluster).await?;
        self.tell_progress(context, &look, &mark, args)?;
        for step in remaining(&mark.from, &to) {
            rehearsal.step(step);
        }
        rehearsal.tell(context)
    }
}

/// The steps after the copy.
fn remaining(from: &str, to: &str) -> [String; 3] {
    [
        format!(
            "wait until the daemons read {to}: its leader first, then the others (you restart them)"
        ),
        format!("close {from} when the leader has the lock in {to}"),
        "end the pause when all members have joined".to_owned(),
    ]
}

fn gone() -> Failure {
    Failure::refused("The old store cannot be reached, and nobody leads in the new one")
}
