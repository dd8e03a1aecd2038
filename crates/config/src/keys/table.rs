//! The rows.

use super::Kind::{
    Any, Choice, Flag, Int, Map, Maps, Named, Open, Options, Seconds, Section, Size, Text, TextMap,
    Texts,
};
use super::stores::{
    CITUS, CONSUL, ETCD, EXHIBITOR, IGNORED, KUBERNETES, RAFT, STANDBY_CLUSTER, ZOOKEEPER,
};
use super::{ANY_INT, COUNT, Key, Kind, POOL, key, old};

/// The top level. The order is that of warnings.
pub(crate) const TOP: &[Key] = &[
    key("scope", Text, "name of the cluster"),
    key("name", Text, "name of the member, unique in the cluster"),
    key(
        "namespace",
        Text,
        "beginning of all keys in the store; service by default",
    ),
    key("thread_pool_size", POOL, "accepted, at least 5"),
    key("thread_stack_size", Size, "accepted"),
    key("log", LOG, "where messages go, and in which form"),
    key("journal", JOURNAL, "what is kept of the decisions"),
    key("restapi", RESTAPI, "the REST server"),
    key(
        "ctl",
        CTL,
        "how patronictl and the members talk to REST servers",
    ),
    key("etcd", ETCD, "the store is etcd, by its version 2 API"),
    key("etcd3", ETCD, "the store is etcd"),
    key("consul", CONSUL, "the store is Consul"),
    key("zookeeper", ZOOKEEPER, "the store is ZooKeeper"),
    key(
        "exhibitor",
        EXHIBITOR,
        "the store is ZooKeeper, found through Exhibitor",
    ),
    key("raft", RAFT, "the members are the store"),
    key(
        "kubernetes",
        KUBERNETES,
        "the store is the API of Kubernetes",
    ),
    key(
        "guardian",
        GUARDIAN,
        "the process that ends a primary without its daemon",
    ),
    key("watchdog", WATCHDOG, "the device that resets the machine"),
    key("tags", TAGS, "what is special about this member"),
    key("citus", CITUS, "the cluster is a group of a Citus cluster"),
    key("bootstrap", BOOTSTRAP, "how a new cluster is made"),
    key("postgresql", POSTGRESQL, "the server of this member"),
    old(
        "ttl",
        IGNORED,
        "without effect here: it belongs to bootstrap.dcs",
    ),
    old(
        "loop_wait",
        IGNORED,
        "without effect here: it belongs to bootstrap.dcs",
    ),
    old(
        "retry_timeout",
        IGNORED,
        "without effect here: it belongs to bootstrap.dcs",
    ),
    old(
        "standby_cluster",
        Any,
        "without effect here: it belongs to bootstrap.dcs",
    ),
];

const LEVELS: &[&str] = &[
    "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL", "CRITICAL",
];

const LOG: Kind = Section(&[
    key("type", Choice(&["plain", "json"]), "form of a line"),
    key(
        "level",
        Choice(LEVELS),
        "the least important messages that are written",
    ),
    key(
        "traceback_level",
        Choice(LEVELS),
        "from which level on causes follow the message",
    ),
    key(
        "format",
        Any,
        "a text with %(field)s, or a list of fields for json",
    ),
    key("dateformat", Text, "form of times, as of strftime"),
    key("static_fields", Map, "fields that every line has, for json"),
    key(
        "max_queue_size",
        ANY_INT,
        "messages that may wait; 0 is no limit",
    ),
    key(
        "dir",
        Text,
        "folder of patroni.log; without it standard error",
    ),
    key("mode", COUNT, "permissions of the file"),
    key(
        "file_size",
        COUNT,
        "bytes after which another file is begun",
    ),
    key("file_num", COUNT, "files that are kept"),
    key("loggers", TextMap, "levels of single parts"),
    key(
        "deduplicate_heartbeat_logs",
        Flag,
        "write equal lines of the loop once",
    ),
]);

const JOURNAL: Kind = Section(&[
    key("enabled", Flag, "keep a journal"),
    key("dir", Text, "folder of its files, by default log.dir"),
    key("max_size", Size, "size after which another file is begun"),
    key("keep", COUNT, "files that are kept"),
    key("every_cycle", Flag, "keep also what changes nothing"),
]);

const LOGIN: Kind = Section(&[
    key("username", Text, "user"),
    key("password", Text, "password"),
]);

const RESTAPI: Kind = Section(&[
    key("listen", Text, "host:port"),
    key(
        "connect_address",
        Text,
        "host:port by which others reach it",
    ),
    key("authentication", LOGIN, "who may change something"),
    old("auth", Text, "write authentication"),
    key("certfile", Text, "file with the certificate; encrypts"),
    key("keyfile", Text, "file with the key of that certificate"),
    key("keyfile_password", Text, "password of that file"),
    key("cafile", Text, "file with authorities of clients"),
    key("ciphers", Text, "allowed ciphers, as OpenSSL names them"),
    key(
        "verify_client",
        Choice(&["none", "optional", "required"]),
        "which requests need a certificate",
    ),
    key(
        "allowlist",
        Texts,
        "addresses, networks and hosts that may change something",
    ),
    key("allowlist_include_members", Flag, "members may, too"),
    key("http_extra_headers", TextMap, "headers of every answer"),
    key(
        "https_extra_headers",
        TextMap,
        "headers of encrypted answers",
    ),
    key("request_queue_size", COUNT, "connections that may wait"),
    key("thread_pool_size", POOL, "accepted, at least 5"),
    key(
        "server_tokens",
        Choice(&["minimal", "productonly", "original"]),
        "what the header Server tells",
    ),
    key("ui", Flag, "the page for people at /ui"),
]);

const CTL: Kind = Section(&[
    key(
        "authentication",
        LOGIN,
        "user of REST servers, by default restapi's",
    ),
    old("auth", Text, "write authentication"),
    key("insecure", Flag, "verify no certificates"),
    key(
        "cacert",
        Text,
        "file with authorities, by default restapi.cafile",
    ),
    key("certfile", Text, "file with the certificate of the client"),
    key("keyfile", Text, "file with the key of that certificate"),
    key("keyfile_password", Text, "password of that file"),
]);

const GUARDIAN: Kind = Section(&[key("mode", Flag, "on or off")]);

const WATCHDOG: Kind = Section(&[
    key(
        "mode",
        Choice(&["off", "automatic", "required"]),
        "whether it is used, and whether a leader needs it",
    ),
    key("device", Text, "the device"),
    key(
        "safety_margin",
        ANY_INT,
        "seconds between the reset and the end of the ttl",
    ),
    key("driver", Text, "accepted"),
]);

const TAGS: Kind = Open(&[
    key("nofailover", Flag, "never lead"),
    key("failover_priority", ANY_INT, "who leads first; 0 is never"),
    key("clonefrom", Flag, "copies are made of this member"),
    key("noloadbalance", Flag, "GET /replica says no"),
    key("replicatefrom", Text, "the member to follow"),
    key("nosync", Flag, "never a synchronous standby"),
    key(
        "sync_priority",
        ANY_INT,
        "who is synchronous first; 0 is never",
    ),
    key("nostream", Flag, "restore WAL and stream nothing"),
]);

const BOOTSTRAP: Kind = Named(&[
    key("dcs", DCS, "the first configuration of the whole cluster"),
    key(
        "method",
        Text,
        "the section with the command that makes the cluster",
    ),
    key("initdb", Options, "options of initdb"),
    key("pg_hba", Texts, "lines for pg_hba.conf after initdb"),
    key(
        "post_bootstrap",
        Text,
        "command that is run in the new cluster",
    ),
    key(
        "post_init",
        Text,
        "the same, unless post_bootstrap is there",
    ),
    old("users", Any, "no users are made: write post_bootstrap"),
]);

const DCS: Kind = Section(&[
    key(
        "ttl",
        Int(0, i64::MAX),
        "seconds that a lock lives without renewal",
    ),
    key("loop_wait", Int(0, i64::MAX), "seconds between two cycles"),
    key(
        "retry_timeout",
        Int(0, i64::MAX),
        "seconds that store and server may take",
    ),
    key(
        "maximum_lag_on_failover",
        ANY_INT,
        "bytes that a new leader may be behind",
    ),
    key(
        "maximum_lag_on_syncnode",
        ANY_INT,
        "bytes that a synchronous standby may be behind",
    ),
    key(
        "max_timelines_history",
        ANY_INT,
        "timelines that are kept in the store; 0 is all",
    ),
    key(
        "check_timeline",
        Flag,
        "a new leader must be on the latest timeline",
    ),
    key(
        "primary_start_timeout",
        ANY_INT,
        "seconds that a primary may take to start again",
    ),
    key(
        "primary_stop_timeout",
        ANY_INT,
        "seconds that a primary may take to stop",
    ),
    old(
        "master_start_timeout",
        ANY_INT,
        "write primary_start_timeout",
    ),
    old("master_stop_timeout", ANY_INT, "write primary_stop_timeout"),
    key("synchronous_mode", Any, "on, off or quorum"),
    key(
        "synchronous_mode_strict",
        Flag,
        "no commits without a synchronous standby",
    ),
    key("synchronous_node_count", ANY_INT, "synchronous standbys"),
    key(
        "failsafe_mode",
        Flag,
        "lead on without a store while all members agree",
    ),
    key("pause", Flag, "maintenance"),
    key(
        "standby_cluster",
        STANDBY_CLUSTER,
        "the cluster follows another one",
    ),
    key("slots", Map, "permanent replication slots"),
    old("permanent_slots", Map, "write slots"),
    old("permanent_replication_slots", Map, "write slots"),
    key("ignore_slots", Maps, "slots to leave alone"),
    key(
        "member_slots_ttl",
        Seconds,
        "how long slots of members that are gone are kept",
    ),
    key("postgresql", SHARED_POSTGRESQL, "settings of all servers"),
    key("primary_race_backoff", Any, "accepted"),
]);

/// What all members share; the daemon ignores the rest there.
const SHARED_POSTGRESQL: Kind = Open(SERVER);

const POSTGRESQL: Kind = Named(SERVER);

const USER: Kind = Section(&[
    key("username", Text, "user"),
    key("password", Text, "password"),
    key("sslmode", Text, "as of libpq"),
    key("sslcert", Text, "file with the certificate of the client"),
    key("sslkey", Text, "file with the key of that certificate"),
    key("sslpassword", Text, "password of that file"),
    key("sslrootcert", Text, "file with authorities"),
    key("sslcrl", Text, "file with revoked certificates"),
    key("sslcrldir", Text, "folder with revoked certificates"),
    key("gssencmode", Text, "as of libpq"),
    key("channel_binding", Text, "as of libpq"),
    key("sslnegotiation", Text, "as of libpq"),
]);

pub(super) const SERVER: &[Key] = &[
    key("listen", Text, "host[,host..]:port"),
    key(
        "connect_address",
        Text,
        "host:port by which others reach it",
    ),
    key(
        "proxy_address",
        Text,
        "host:port of a pooler or proxy before it",
    ),
    key("data_dir", Text, "the data directory"),
    key(
        "config_dir",
        Text,
        "folder of the configuration, by default data_dir",
    ),
    key(
        "config_base_name",
        Text,
        "the name before .conf; postgresql by default",
    ),
    key(
        "custom_conf",
        Text,
        "file to include instead of postgresql.base.conf",
    ),
    key("bin_dir", Text, "folder of the programs, by default PATH"),
    key(
        "bin_name",
        Section(&[
            key("pg_ctl", Text, "another name"),
            key("initdb", Text, "another name"),
            key("pg_controldata", Text, "another name"),
            key("pg_basebackup", Text, "another name"),
            key("postgres", Text, "another name"),
            key("pg_isready", Text, "another name"),
            key("pg_rewind", Text, "another name"),
        ]),
        "programs with other names",
    ),
    key("pgpass", Text, "password file that is written"),
    key("database", Text, "database of local connections"),
    key(
        "authentication",
        Section(&[
            key("superuser", USER, "for everything on this machine"),
            key("replication", USER, "for standbys"),
            key("rewind", USER, "for pg_rewind; superuser by default"),
        ]),
        "users",
    ),
    key("parameters", Map, "parameters of the server"),
    key("pg_hba", Texts, "all lines of pg_hba.conf"),
    key("pg_ident", Texts, "all lines of pg_ident.conf"),
    key("recovery_conf", Map, "recovery parameters of standbys"),
    key(
        "callbacks",
        Section(&[
            key("on_start", Text, "command after a start"),
            key("on_stop", Text, "command after a stop"),
            key("on_restart", Text, "command after a restart"),
            key("on_reload", Text, "command after a reload"),
            key("on_role_change", Text, "command after a change of the role"),
        ]),
        "commands that are told of changes",
    ),
    key(
        "pre_promote",
        Text,
        "command before a promotion; refuses by its status",
    ),
    key("before_stop", Text, "command before a stop"),
    key(
        "create_replica_methods",
        Texts,
        "how copies are made; basebackup by default",
    ),
    old("create_replica_method", Any, "write create_replica_methods"),
    key("basebackup", Options, "options of pg_basebackup"),
    key(
        "use_unix_socket",
        Flag,
        "local connections through the socket",
    ),
    key(
        "use_unix_socket_repl",
        Flag,
        "local replication connections through the socket",
    ),
    key("use_pg_rewind", Flag, "rewind a former primary"),
    key(
        "remove_data_directory_on_rewind_failure",
        Flag,
        "copy a member anew that cannot be rewound",
    ),
    key(
        "remove_data_directory_on_diverged_timelines",
        Flag,
        "copy a member anew whose history forked",
    ),
    key(
        "use_slots",
        Flag,
        "replication slots for members; counts in the dynamic configuration",
    ),
    key("pg_ctl_timeout", Seconds, "how long a start is waited for"),
    key("krbsrvname", Text, "name of the Kerberos service"),
    key(
        "probe",
        Section(&[
            key(
                "mode",
                Choice(&["off", "report", "failover"]),
                "what follows when new connections have no answer",
            ),
            key("after", COUNT, "seconds without an answer"),
        ]),
        "asks the server for new connections",
    ),
    old(
        "name",
        Any,
        "without effect: the one of the top level counts",
    ),
    old(
        "scope",
        Any,
        "without effect: the one of the top level counts",
    ),
    old("retry_timeout", Any, "without effect"),
    old(
        "citus",
        Any,
        "without effect: the one of the top level counts",
    ),
    old("superuser", Any, "write authentication.superuser"),
    old("replication", Any, "write authentication.replication"),
    old("pg_rewind", Any, "write authentication.rewind"),
];
