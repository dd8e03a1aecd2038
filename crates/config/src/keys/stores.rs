//! The sections of the stores.

use super::Kind::{Commas, Flag, Int, Map, Section, Sections, Text, TextMap, Texts};
use super::{ANY_INT, COUNT, Key, Kind, PORT, key, old};

pub(super) const ETCD: Kind = Section(&[
    key(
        "host",
        Text,
        "host:port of a server; all its addresses are used",
    ),
    key("hosts", Commas, "host:port of the servers"),
    key("url", Text, "scheme, host, port, user and password in one"),
    key("proxy", Text, "URL of a proxy; members are not looked for"),
    key("srv", Text, "domain of SRV records"),
    old("discovery_srv", Text, "write srv"),
    old("srv_domain", Text, "write srv"),
    key("srv_suffix", Text, "suffix of the names of SRV records"),
    key("port", PORT, "port for host, and for hosts without one"),
    key(
        "protocol",
        Kind::Choice(&["http", "https"]),
        "plain or encrypted",
    ),
    key("use_proxies", Flag, "use the addresses as given"),
    key("username", Text, "user"),
    key("password", Text, "password"),
    key("cacert", Text, "file with authorities"),
    key("cert", Text, "file with the certificate of the client"),
    key("key", Text, "file with the key of that certificate"),
    key("version_prefix", Text, "beginning of the paths of the API"),
]);

pub(super) const CONSUL: Kind = Section(&[
    key("url", Text, "address of the agent; goes before host"),
    key("host", Text, "host:port of the agent"),
    key("port", PORT, "port of the agent"),
    key(
        "scheme",
        Kind::Choice(&["http", "https"]),
        "plain or encrypted",
    ),
    key("token", Text, "token of the access rules"),
    key(
        "verify",
        Flag,
        "whether the certificate of the agent is verified",
    ),
    key("cacert", Text, "file with authorities"),
    key("cert", Text, "file with the certificate of the client"),
    key("key", Text, "file with the key of that certificate"),
    key("dc", Text, "datacenter"),
    key(
        "consistency",
        Kind::Choice(&["default", "consistent", "stale"]),
        "how fresh answers must be",
    ),
    key("checks", Texts, "checks of the session"),
    key(
        "register_service",
        Flag,
        "register a service for each member",
    ),
    key("service_tags", Texts, "tags of that service"),
    key(
        "service_check_interval",
        Text,
        "how often it is checked, with a unit",
    ),
    key(
        "service_check_tls_server_name",
        Text,
        "name in the certificate of the member",
    ),
]);

const USE_SSL: Key = key("use_ssl", Flag, "encrypt");
const VERIFY: Key = key(
    "verify",
    Flag,
    "whether certificates of the servers are verified",
);
const CACERT: Key = key("cacert", Text, "file with authorities");
const CERT: Key = key("cert", Text, "file with the certificate of the client");
const KEY: Key = key("key", Text, "file with the key of that certificate");
const KEY_PASSWORD: Key = key("key_password", Text, "password of that file");
const SET_ACLS: Key = key(
    "set_acls",
    Map,
    "principals of certificates, and their permissions",
);
const AUTH_DATA: Key = key("auth_data", TextMap, "schemes, and what to log in with");

pub(super) const ZOOKEEPER: Kind = Section(&[
    key(
        "hosts",
        Commas,
        "host:port of the servers, with a root behind the last",
    ),
    USE_SSL,
    VERIFY,
    CACERT,
    CERT,
    KEY,
    KEY_PASSWORD,
    SET_ACLS,
    AUTH_DATA,
    old("exhibitor", Map, "write it at the top level"),
]);

pub(super) const EXHIBITOR: Kind = Section(&[
    key("hosts", Commas, "the servers of Exhibitor"),
    key("port", PORT, "their port"),
    key(
        "poll_interval",
        COUNT,
        "seconds between two questions for the list of servers",
    ),
    USE_SSL,
    VERIFY,
    CACERT,
    CERT,
    KEY,
    KEY_PASSWORD,
    SET_ACLS,
    AUTH_DATA,
]);

pub(super) const RAFT: Kind = Section(&[
    key("self_addr", Text, "host:port of this member"),
    key(
        "bind_addr",
        Text,
        "host:port to listen on, by default self_addr",
    ),
    key("partner_addrs", Commas, "host:port of the other members"),
    key("data_dir", Text, "folder of the log"),
    key("password", Text, "encrypts what members say to each other"),
    old("min_timeout", Kind::Any, "without effect"),
    old("max_timeout", Kind::Any, "without effect"),
    old("connection_timeout", Kind::Any, "without effect"),
    old("append_entries_period", Kind::Any, "without effect"),
    old("connection_retry_time", Kind::Any, "without effect"),
    old("leader_fallback_timeout", Kind::Any, "without effect"),
]);

pub(super) const KUBERNETES: Kind = Section(&[
    key(
        "labels",
        TextMap,
        "labels by which the objects of the cluster are found",
    ),
    key("scope_label", Text, "label with the name of the cluster"),
    key("role_label", Text, "label with the role"),
    key("leader_label_value", Text, "the role of a leader"),
    key("follower_label_value", Text, "the role of a replica"),
    key(
        "standby_leader_label_value",
        Text,
        "the role of a standby leader",
    ),
    key("tmp_role_label", Text, "another label with the role"),
    key(
        "bootstrap_labels",
        TextMap,
        "labels while the cluster is made",
    ),
    key("namespace", Text, "namespace of the objects"),
    key("use_endpoints", Flag, "Endpoints instead of ConfigMaps"),
    key("pod_ip", Text, "address of the pod, for Endpoints"),
    key(
        "ports",
        Sections(&[
            key("name", Text, "name of the port"),
            key("port", PORT, "its number"),
            key("protocol", Text, "TCP, mostly"),
        ]),
        "ports of the Endpoints",
    ),
    key("cacert", Text, "file with authorities of the API server"),
    key(
        "context",
        Text,
        "context of the kubeconfig, outside of a pod",
    ),
    key(
        "bypass_api_service",
        Flag,
        "talk to the API servers and not to their service",
    ),
    key(
        "retriable_http_codes",
        Kind::Any,
        "more statuses after which to try again: a number, a list, or a text with commas",
    ),
]);

pub(super) const CITUS: Kind = Section(&[
    key(
        "group",
        Int(0, i64::MAX),
        "number of the group; 0 is the coordinator",
    ),
    key("database", Text, "the distributed database"),
]);

pub(super) const STANDBY_CLUSTER: Kind = Section(&[
    key(
        "host",
        Text,
        "host, or hosts with commas, of the cluster to follow",
    ),
    key("port", Kind::Any, "port, or ports with commas"),
    key("primary_slot_name", Text, "replication slot there"),
    key("restore_command", Text, "command that fetches WAL"),
    key(
        "archive_cleanup_command",
        Text,
        "command that removes WAL which is not needed",
    ),
    key(
        "recovery_min_apply_delay",
        Kind::Seconds,
        "how far to stay behind",
    ),
    key(
        "create_replica_methods",
        Texts,
        "how copies are made, instead of postgresql's",
    ),
]);

/// The file may hold dynamic configuration where it does nothing.
pub(super) const IGNORED: Kind = ANY_INT;
