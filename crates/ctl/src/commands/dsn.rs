//! `dsn`: the address of the first member that fits.

use patroni_core::ConnUrl;

use crate::cli::Dsn;
use crate::context::Context;
use crate::exit::Failure;
use crate::select::RoleFilter;
use crate::view::View;

pub(super) async fn run(context: &mut Context, args: Dsn) -> Result<(), Failure> {
    let choice = Choice::of(args.role, args.member)?;
    let scope = context.scope("dsn", args.one.cluster.as_ref())?;
    let group = Context::group(args.one.group)?;
    let view = context.view(&scope, group).await?;
    let address = choice
        .addresses(&view)
        .into_iter()
        .next()
        .ok_or_else(|| Failure::refused("Can not find a suitable member"))?;
    context.print(&format!("host={} port={}", address.host, address.port))
}

/// Who is meant by `-r` and `-m`, which exclude each other.
pub(super) enum Choice {
    Role(RoleFilter),
    Member(String),
}

impl Choice {
    pub(super) fn of(role: Option<RoleFilter>, member: Option<String>) -> Result<Self, Failure> {
        match (role, member) {
            (Some(_), Some(_)) => Err(Failure::refused(
                "--role and --member are mutually exclusive options",
            )),
            (_, Some(member)) => Ok(Self::Member(member)),
            (role, None) => Ok(Self::Role(role.unwrap_or(RoleFilter::Leader))),
        }
    }

    /// The addresses of the members that fit, in the order of the store.
    pub(super) fn addresses(&self, view: &View) -> Vec<ConnUrl> {
        view.members()
            .filter(|(cluster, member)| match self {
                Self::Role(role) => role.matches(cluster, member),
                Self::Member(name) => name == member.name.as_str(),
            })
            .filter_map(|(_, member)| ConnUrl::parse(&member.data.conn_url()?))
            .collect()
    }
}
