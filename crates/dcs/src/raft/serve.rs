//! Requests of clients, answered by any member.

use std::time::Duration;

use patroni_core::MemberName;
use tokio::time::timeout;

use super::ident::Address;
use super::input::{Handle, Membership, NoAnswer};
use super::marks::Marks;
use super::roster::Standing;
use super::transport::wire::{Reply, Request};

/// Nobody may ask to wait longer.
const LONGEST: Duration = Duration::from_secs(50);
/// For one step of a change of membership.
const STEP: Duration = Duration::from_secs(2);

/// Answers one request.
pub(crate) async fn answer(handle: &Handle, request: Request) -> Reply {
    let budget = |ms| Duration::from_millis(ms).min(LONGEST);
    let answered = match request {
        Request::Read { prefix, budget_ms } => {
            let read = handle.read(budget(budget_ms)).await;
            read.map(|machine| {
                let below = format!("{prefix}/");
                let items = machine.items.range(below.clone()..);
                let items = items.take_while(|(key, _)| key.starts_with(&below));
                Reply::Items(items.map(|(k, item)| (k.clone(), item.clone())).collect())
            })
        }
        Request::Write {
            origin,
            write,
            budget_ms,
        } => handle
            .write(origin, write, budget(budget_ms))
            .await
            .map(Reply::Outcome),
        Request::Watch {
            prefix,
            seen,
            member,
            budget_ms,
        } => changed(handle, &prefix, &seen, member.as_ref(), budget(budget_ms))
            .await
            .map(Reply::Changed),
        Request::Join { id, address } => join(handle, id, address).await,
        Request::Remove { address } => handle.remove(address, STEP).await.map(Reply::Membership),
        Request::Standing => Ok(Reply::Standing(Standing::of(&handle.view().borrow()))),
    };
    answered.unwrap_or_else(|error| Reply::Failed(error.to_string()))
}

/// Waits until the keys differ from `seen` for an observer.
async fn changed(
    handle: &Handle,
    prefix: &str,
    seen: &Marks,
    me: Option<&MemberName>,
    budget: Duration,
) -> Result<bool, NoAnswer> {
    let mut view = handle.view();
    let differs = view.wait_for(|view| seen.wakes(&Marks::of(&view.machine.items, prefix), me));
    match timeout(budget, differs).await {
        Ok(Ok(_)) => Ok(true),
        Ok(Err(_)) => Err(NoAnswer::Gone),
        Err(_) => Ok(false),
    }
}

async fn join(handle: &Handle, id: u64, address: Address) -> Result<Reply, NoAnswer> {
    let name = address.to_string();
    let answer = handle.join(id, address, STEP).await?;
    if let Membership::Refused(why) = &answer {
        tracing::debug!("refused raft member {name}: {why}"); // the member itself says it aloud
    }
    Ok(Reply::Membership(answer))
}
