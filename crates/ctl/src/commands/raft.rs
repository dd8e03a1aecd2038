//! `raft-members` and `raft-remove`: who votes in the embedded store.

use patroni_dcs::error::StoreError;
use patroni_dcs::raft::RaftMember;
use serde_json::Value;

use crate::cli::{RaftMembers, RaftRemove};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::{Align, Column, Format, Table};

pub(super) async fn members(context: &mut Context, args: &RaftMembers) -> Result<(), Failure> {
    let members = load(context).await?;
    context.write(&table(&members).render(args.format))
}

pub(super) async fn remove(context: &mut Context, args: RaftRemove) -> Result<(), Failure> {
    let members = load(context).await?;
    let address = args.address.trim().to_ascii_lowercase();
    if !members.iter().any(|member| member.address == address) {
        let all: Vec<&str> = members.iter().map(|m| m.address.as_str()).collect();
        return Err(Failure::refused(format!(
            "{address} is no member of the raft group; its members are: {}",
            all.join(", ")
        )));
    }
    if !args.force {
        context.write(&table(&members).render(Format::Pretty))?;
        let question = format!(
            "Are you sure you want to remove the raft member {address}? It will not vote any more \
             and comes back only with an empty raft directory"
        );
        if !context.confirm(&question).await? {
            return Err(Failure::Aborted);
        }
    }
    let group = context.world.raft(&context.settings).await?;
    let removed = group.remove(&address).await;
    removed.map_err(|source| failure(context, source))?;
    context.print(&format!(
        "Success: raft member {address} was removed. Take it out of partner_addrs of the others"
    ))
}

async fn load(context: &Context) -> Result<Vec<RaftMember>, Failure> {
    let group = context.world.raft(&context.settings).await?;
    let members = group.members().await;
    members.map_err(|source| failure(context, source))
}

fn failure(context: &Context, source: StoreError) -> Failure {
    Failure::Store {
        kind: "raft".to_owned(),
        endpoint: context.world.endpoint(&context.settings),
        source,
    }
}

fn table(members: &[RaftMember]) -> Table {
    let row = |member: &RaftMember| {
        let (state, term, applied) = match member.progress {
            Some(progress) => ("running", progress.term.into(), progress.applied.into()),
            None => ("no answer", Value::from(""), Value::from("")),
        };
        vec![
            member.address.as_str().into(),
            member.role.as_str().into(),
            state.into(),
            term,
            applied,
        ]
    };
    Table {
        columns: vec![
            Column::new("Address", Align::Left),
            Column::new("Role", Align::Left),
            Column::new("State", Align::Left),
            Column::new("Term", Align::Right),
            Column::new("Applied", Align::Right),
        ],
        rows: members.iter().map(row).collect(),
        omit_empty: true,
        ..Table::default()
    }
}
