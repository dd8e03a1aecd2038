//! The command line: commands, arguments, options.

use std::path::PathBuf;

use clap::{
    Args, Command as Grammar, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    ValueEnum,
};

use crate::output::Format;
use crate::select::RoleFilter;

/// Look at and steer a PostgreSQL cluster.
#[derive(Debug, Parser)]
#[command(
    name = "patronictl",
    bin_name = "patronictl",
    args_override_self = true
)]
#[command(disable_help_subcommand = true, subcommand_required = true)]
#[command(override_usage = "patronictl [OPTIONS] COMMAND [ARGS]...")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line as data, for man pages and completions.
pub fn command_line() -> Grammar {
    with_greedy_options(Cli::command())
}

/// Reads the words behind the program's name.
pub(crate) fn parse(words: &[String]) -> Result<Cli, clap::Error> {
    let words = std::iter::once("patronictl").chain(words.iter().map(String::as_str));
    let matches = command_line().try_get_matches_from(words)?;
    Cli::from_arg_matches(&matches)
}

/// An option takes the next word, whatever that begins with: `--timeout -5`, `-c '-- comment'`.
fn with_greedy_options(command: Grammar) -> Grammar {
    command
        .mut_args(|arg| {
            let greedy = !arg.is_positional() && arg.get_action().takes_values();
            arg.allow_hyphen_values(greedy)
        })
        .mut_subcommands(with_greedy_options)
}

/// Reads a whole number; blanks around it do no harm. The error says what was expected.
fn integer(text: &str) -> Result<i64, String> {
    text.trim()
        .parse()
        .map_err(|_| "a valid integer".to_owned())
}

/// Reads a number. The error says what was expected.
fn float(text: &str) -> Result<f64, String> {
    text.trim().parse().map_err(|_| "a valid float".to_owned())
}

/// Reads a period. The error says what was expected.
fn seconds(text: &str) -> Result<f64, String> {
    Some(float(text)?)
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "a number of seconds from 0 on".to_owned())
}

/// Options in front of the command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Configuration file, or a directory of them [env: `PATRONICTL_CONFIG_FILE`]
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// The store, as [SCHEME://][HOST][:PORT][/NAMESPACE] [env: `DCS_URL`]
    #[arg(short = 'd', long, visible_alias = "dcs", value_name = "URL")]
    pub dcs_url: Option<String>,
    /// Do not check certificates of members
    #[arg(short = 'k', long)]
    pub insecure: bool,
}

#[derive(Debug, Subcommand)]
#[command(rename_all = "kebab-case")]
pub(crate) enum Command {
    /// List the members of clusters
    #[command(override_usage = "patronictl list [OPTIONS] [CLUSTER_NAMES]...")]
    List(List),
    /// Show who replicates from whom
    #[command(override_usage = "patronictl topology [OPTIONS] [CLUSTER_NAMES]...")]
    Topology(Topology),
    /// Watch a cluster on the whole screen
    ///
    /// Shows members, lag and its trend, history and what is scheduled, and reads the store anew once
    /// in a while. It only reads. Keys: q quits, arrows select, s sorts, r reads now, ? helps.
    #[command(override_usage = "patronictl top [OPTIONS] [CLUSTER_NAME]")]
    Top(Top),
    /// Print the address of a member
    #[command(override_usage = "patronictl dsn [OPTIONS] [CLUSTER_NAME]")]
    Dsn(Dsn),
    /// Run a statement on a member
    #[command(override_usage = "patronictl query [OPTIONS] [CLUSTER_NAME]")]
    Query(Query),
    /// Show versions
    #[command(override_usage = "patronictl version [OPTIONS] [CLUSTER_NAME] [MEMBER_NAMES]...")]
    Version(Version),
    /// Show the changes of timeline
    #[command(override_usage = "patronictl history [OPTIONS] [CLUSTER_NAME]")]
    History(History),
    /// Tell why the leader changed, stepped down or was refused
    ///
    /// Asks every member that can be reached for its journal and tells, in the order of time, what
    /// happened and why: without options the last failover, demotion and refusal.
    #[command(override_usage = "patronictl explain [OPTIONS] [MEMBER]")]
    Explain(Explain),
    /// Tell what would prevent a safe failover or switchover now
    ///
    /// Reads the store once and asks every member once. Exit status: 0 nothing or notes, 1 warnings,
    /// 2 problems, 3 the cluster could not be examined.
    #[command(override_usage = "patronictl doctor [OPTIONS] [CLUSTER_NAME]")]
    Doctor(Doctor),
    /// Print the dynamic configuration
    #[command(override_usage = "patronictl show-config [OPTIONS] [CLUSTER_NAME]")]
    ShowConfig(One),
    /// Change the dynamic configuration
    #[command(override_usage = "patronictl edit-config [OPTIONS] [CLUSTER_NAME]")]
    EditConfig(EditConfig),
    /// Let members read their files again
    #[command(override_usage = "patronictl reload [OPTIONS] CLUSTER_NAME [MEMBER_NAMES]...")]
    Reload(Reload),
    /// Restart PostgreSQL of members
    #[command(override_usage = "patronictl restart [OPTIONS] CLUSTER_NAME [MEMBER_NAMES]...")]
    Restart(Restart),
    /// Copy the data of replicas anew
    #[command(override_usage = "patronictl reinit [OPTIONS] CLUSTER_NAME [MEMBER_NAMES]...")]
    Reinit(Reinit),
    /// Drop scheduled restarts or switchovers
    #[command(
        override_usage = "patronictl flush [OPTIONS] CLUSTER_NAME [MEMBER_NAMES]...\n                        {restart|switchover}"
    )]
    Flush(Flush),
    /// Make a member the leader, also without one
    #[command(override_usage = "patronictl failover [OPTIONS] [CLUSTER_NAME]")]
    Failover(Failover),
    /// Hand leadership to another member
    #[command(override_usage = "patronictl switchover [OPTIONS] [CLUSTER_NAME]")]
    Switchover(Switchover),
    /// Enter maintenance mode
    #[command(override_usage = "patronictl pause [OPTIONS] [CLUSTER_NAME]")]
    Pause(Pause),
    /// Leave maintenance mode
    #[command(override_usage = "patronictl resume [OPTIONS] [CLUSTER_NAME]")]
    Resume(Pause),
    /// Remove a cluster from the store
    #[command(override_usage = "patronictl remove [OPTIONS] CLUSTER_NAME")]
    Remove(Remove),
    /// Make a cluster a standby of another one
    #[command(override_usage = "patronictl demote-cluster [OPTIONS] [CLUSTER_NAME]")]
    DemoteCluster(DemoteCluster),
    /// Make a standby cluster independent
    #[command(override_usage = "patronictl promote-cluster [OPTIONS] [CLUSTER_NAME]")]
    PromoteCluster(PromoteCluster),
    /// Move a running cluster to another store
    ///
    /// Pauses the cluster, copies its objects, watches the daemons being restarted with the section
    /// of the new store, and ends the pause when all are there. PostgreSQL runs on. Run again, it
    /// goes on where it was.
    #[command(override_usage = "patronictl migrate-store --to FILE [OPTIONS] [CLUSTER_NAME]")]
    MigrateStore(MigrateStore),
    /// Look at the keys in the store
    #[command(override_usage = "patronictl dcs {ls|get} [OPTIONS] ...")]
    #[command(subcommand, disable_help_subcommand = true)]
    Dcs(Dcs),
    /// List the voters of the embedded Raft store
    #[command(override_usage = "patronictl raft-members [OPTIONS]")]
    RaftMembers(RaftMembers),
    /// Take the vote of a member of the embedded Raft store away
    #[command(override_usage = "patronictl raft-remove [OPTIONS] ADDRESS")]
    RaftRemove(RaftRemove),
}

/// The commands about one cluster with no options of their own.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct One {
    #[arg(value_name = "CLUSTER_NAME")]
    pub(crate) cluster: Option<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Repeat every 2 seconds
    #[arg(short = 'W')]
    pub(crate) watch_two: bool,
    /// Repeat every so many seconds
    #[arg(short = 'w', long, value_name = "FLOAT", value_parser = seconds)]
    pub(crate) watch: Option<f64>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct List {
    #[arg(value_name = "CLUSTER_NAMES")]
    pub(crate) clusters: Vec<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
    /// Show some more columns
    #[arg(short = 'e', long)]
    pub(crate) extended: bool,
    /// Print the time first
    #[arg(short = 't', long)]
    pub(crate) timestamp: bool,
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Topology {
    #[arg(value_name = "CLUSTER_NAMES")]
    pub(crate) clusters: Vec<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
    #[command(flatten)]
    pub(crate) watch: Watch,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) one: One,
    /// Read the store every so many seconds, 0.5 to 3600; 2 by default
    #[arg(short = 'w', long, value_name = "FLOAT", value_parser = float)]
    pub(crate) watch: Option<f64>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Dsn {
    #[command(flatten)]
    pub(crate) one: One,
    /// A member of this role
    #[arg(short = 'r', long)]
    pub(crate) role: Option<RoleFilter>,
    /// This member
    #[arg(short = 'm', long)]
    pub(crate) member: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) one: One,
    /// Output format
    #[arg(long, default_value = "tsv")]
    pub(crate) format: String,
    /// Read the statement from this file (- for standard input)
    #[arg(short = 'f', long)]
    pub(crate) file: Option<PathBuf>,
    /// Ask for the password
    #[arg(long)]
    pub(crate) password: bool,
    /// User
    #[arg(short = 'U', long)]
    pub(crate) username: Option<String>,
    #[command(flatten)]
    pub(crate) watch: Watch,
    /// A member of this role
    #[arg(short = 'r', long)]
    pub(crate) role: Option<RoleFilter>,
    /// This member
    #[arg(short = 'm', long)]
    pub(crate) member: Option<String>,
    /// Between columns of tsv
    #[arg(long, default_value = "\t", hide_default_value = true)]
    pub(crate) delimiter: String,
    /// The statement
    #[arg(short = 'c', long)]
    pub(crate) command: Option<String>,
    /// Database
    #[arg(short = 'd', long)]
    pub(crate) dbname: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Version {
    #[command(flatten)]
    pub(crate) one: One,
    #[arg(value_name = "MEMBER_NAMES")]
    pub(crate) members: Vec<String>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) one: One,
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Explain {
    /// Ask only this member
    #[arg(value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// The cluster, if not that of the configuration
    #[arg(long, value_name = "CLUSTER_NAME")]
    pub(crate) cluster: Option<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
    /// Only the last change of leader
    #[arg(long)]
    pub(crate) last_failover: bool,
    /// Everything since a time (2026-01-31 13:00, or 90s, 30m, 2h, 1d for so long ago)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Why this member was not chosen, and would not be now
    #[arg(long, value_name = "CANDIDATE")]
    pub(crate) why_not: Option<String>,
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: StoryFormat,
}

/// The formats of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoryFormat {
    /// Sentences, for people.
    Pretty,
    /// One line of JSON.
    Json,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) one: One,
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: ReportFormat,
}

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Sentences, for people.
    Pretty,
    /// One line of JSON.
    Json,
    /// A YAML document.
    Yaml,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct EditConfig {
    #[command(flatten)]
    pub(crate) one: One,
    /// Do not show the changes
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Set a value: path.to.key=YAML
    #[arg(short = 's', long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Set a parameter of PostgreSQL
    #[arg(short = 'p', long, value_name = "KEY=VALUE")]
    pub(crate) pg: Vec<String>,
    /// Merge the YAML of this file (- for standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) apply: Option<String>,
    /// Replace everything by the YAML of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) replace: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// Tell the steps, and what would refuse them; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A cluster that must be named, and members that may be.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Members {
    #[arg(value_name = "CLUSTER_NAME")]
    pub(crate) cluster: String,
    #[arg(value_name = "MEMBER_NAMES")]
    pub(crate) names: Vec<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Reload {
    #[command(flatten)]
    pub(crate) members: Members,
    /// Only members of this role
    #[arg(short = 'r', long, default_value = "any", hide_default_value = true)]
    pub(crate) role: RoleFilter,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) members: Members,
    /// Only members of this role
    #[arg(short = 'r', long, default_value = "any", hide_default_value = true)]
    pub(crate) role: RoleFilter,
    /// One of the members, at random
    #[arg(long = "any")]
    pub(crate) any_one: bool,
    /// When
    #[arg(long, value_name = "TIME")]
    pub(crate) scheduled: Option<String>,
    /// Only if PostgreSQL is older than this
    #[arg(long)]
    pub(crate) pg_version: Option<String>,
    /// Only if a restart is pending
    #[arg(long)]
    pub(crate) pending: bool,
    /// How long the start may take
    #[arg(long)]
    pub(crate) timeout: Option<String>,
    /// Tell the steps, and what would refuse them; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Reinit {
    #[command(flatten)]
    pub(crate) members: Members,
    /// Copy from the leader
    #[arg(long)]
    pub(crate) from_leader: bool,
    /// Wait until it is done
    #[arg(long)]
    pub(crate) wait: bool,
    /// Tell the steps, and what would refuse them; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Flush {
    /// The cluster, names of members, and what to flush
    #[arg(value_name = "ARGS")]
    pub(crate) words: Vec<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
    /// Only members of this role
    #[arg(short = 'r', long, default_value = "any", hide_default_value = true)]
    pub(crate) role: RoleFilter,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
}

/// The words of `flush` that say what shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FlushTarget {
    Restart,
    Switchover,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Failover {
    #[command(flatten)]
    pub(crate) one: One,
    /// Who shall lead
    #[arg(long)]
    pub(crate) candidate: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// Tell the steps, and what would refuse them; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Switchover {
    #[command(flatten)]
    pub(crate) one: One,
    /// Who leads now
    #[arg(long, visible_alias = "primary")]
    pub(crate) leader: Option<String>,
    /// Who shall lead
    #[arg(long)]
    pub(crate) candidate: Option<String>,
    /// When
    #[arg(long, value_name = "TIME")]
    pub(crate) scheduled: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// Tell the steps, and what would refuse them; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Pause {
    #[command(flatten)]
    pub(crate) one: One,
    /// Wait until all members know
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Remove {
    #[arg(value_name = "CLUSTER_NAME")]
    pub(crate) cluster: String,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct DemoteCluster {
    #[arg(value_name = "CLUSTER_NAME")]
    pub(crate) cluster: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// Host of the remote
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Port of the remote
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) port: Option<i64>,
    /// Command that reads the remote's archive
    #[arg(long)]
    pub(crate) restore_command: Option<String>,
    /// Slot on the remote
    #[arg(long)]
    pub(crate) primary_slot_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct PromoteCluster {
    #[arg(value_name = "CLUSTER_NAME")]
    pub(crate) cluster: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct MigrateStore {
    #[command(flatten)]
    pub(crate) one: One,
    /// A configuration with the section of the new store: a member's new file, or that alone
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Watch the members until all have moved
    #[arg(long)]
    pub(crate) wait: bool,
    /// Do not wait for this member, whose daemon is off (may be repeated)
    #[arg(long, value_name = "MEMBER")]
    pub(crate) without: Vec<String>,
    /// Take a move back that no member has followed yet
    #[arg(long, conflicts_with_all = ["wait", "dry_run"])]
    pub(crate) cancel: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
    /// Tell the steps, and what would refuse them; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dcs {
    /// List the keys of a cluster
    #[command(override_usage = "patronictl dcs ls [OPTIONS] [PREFIX]")]
    Ls(DcsLs),
    /// Print the value of a key as it is
    #[command(override_usage = "patronictl dcs get [OPTIONS] KEY")]
    Get(DcsGet),
}

/// Whose keys.
#[derive(Debug, Args)]
pub(crate) struct DcsOf {
    /// The cluster, if not that of the configuration
    #[arg(long, value_name = "CLUSTER_NAME")]
    pub(crate) cluster: Option<String>,
    /// Citus group
    #[arg(long, value_name = "INTEGER", value_parser = integer)]
    pub(crate) group: Option<i64>,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct DcsLs {
    /// Only keys that begin so (members/)
    #[arg(value_name = "PREFIX")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) of: DcsOf,
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct DcsGet {
    /// The key, as dcs ls shows it
    #[arg(value_name = "KEY")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) of: DcsOf,
    /// Output format
    #[arg(short = 'f', long, default_value = "raw", hide_default_value = true)]
    pub(crate) format: RawFormat,
}

/// The formats of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RawFormat {
    /// As it is stored.
    Raw,
    /// One line of JSON; what is no object and no list becomes a text.
    Json,
    /// YAML, likewise.
    Yaml,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct RaftMembers {
    /// Output format
    #[arg(short = 'f', long, default_value = "pretty", hide_default_value = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct RaftRemove {
    /// host:port, as raft-members shows it
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) force: bool,
}
