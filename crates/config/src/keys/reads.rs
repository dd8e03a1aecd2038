//! The table against what is really read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Key, Kind, TOP};
use crate::file::postgresql::{BINARIES, CREDENTIAL_KEYS};
use crate::{Effective, Environment, Local, Settings};

thread_local! {
    static READ: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// A key was looked for.
pub(crate) fn note(path: String) {
    READ.with_borrow_mut(|read| read.insert(path));
}

/// Keys that are accepted for the sake of files that have them, or that others read: the
/// dynamic configuration, the choice of a bootstrap method, credentials that are given to other
/// sections or brought into another form first, what is passed on as it is, items of lists and of
/// open mappings.
const READ_ELSEWHERE: &[&str] = &[
    "bootstrap.dcs.",
    "bootstrap.method",
    "ctl.authentication",
    "kubernetes.ports.",
    "postgresql.bin_name.",
    "postgresql.callbacks.",
    "postgresql.use_slots",
    "restapi.authentication",
    "tags.",
    "watchdog.driver",
];

/// One document for each store, which names all sections.
fn read_all() -> BTreeSet<String> {
    READ.with_borrow_mut(BTreeSet::clear);
    let stores = json!({
        "etcd": {"host": "h"}, "etcd3": {"host": "h"}, "consul": {"host": "h"},
        "zookeeper": {"hosts": ["h"]}, "exhibitor": {"hosts": ["h"], "port": 1},
        "raft": {"self_addr": "h:1"}, "kubernetes": {"labels": {"a": "b"}},
    });
    for (name, section) in stores.as_object().unwrap() {
        let user = json!({"username": "u"});
        let login = json!({"username": "u", "password": "p"});
        let mut document = json!({
            "scope": "s", "name": "n", "citus": {"group": 1, "database": "d"},
            "restapi": {"listen": "h:1", "authentication": login},
            "ctl": {"authentication": login},
            "bootstrap": {"method": "m"},
            "postgresql": {
                "listen": "h:1", "data_dir": "/d",
                "authentication": {"superuser": user, "replication": user, "rewind": user},
            },
        });
        document[name] = section.clone();
        let variables = [("PATRONI_CONFIGURATION".to_owned(), document.to_string())];
        let local = Local::load(None, &Environment::read(variables)).unwrap();
        let effective = Effective::compute(&Map::new(), &local.require().unwrap()).unwrap();
        Settings::read(&effective).unwrap();
    }
    READ.take()
}

/// One row with its whole path.
struct Row {
    path: String,
    is_old: bool,
    /// What is below is not in the table.
    is_leaf: bool,
}

fn rows(keys: &[Key], path: &str, found: &mut Vec<Row>) {
    for key in keys {
        let path = format!("{path}{}", key.name);
        let inner = if let Kind::Sections(keys) = key.kind {
            keys
        } else {
            key.kind.keys()
        };
        rows(inner, &format!("{path}."), found);
        found.push(Row {
            path,
            is_old: key.is_old,
            is_leaf: inner.is_empty(),
        });
    }
}

#[test]
fn what_is_read_is_in_the_table_and_the_other_way_round() {
    let mut table = Vec::new();
    rows(TOP, "", &mut table);
    let read = read_all();
    let is_known = |path: &String| {
        table.iter().any(|row| {
            let below = path.strip_prefix(&row.path);
            below.is_some_and(|rest| rest.is_empty() || (row.is_leaf && rest.starts_with('.')))
        })
    };
    let missing: Vec<_> = read.iter().filter(|path| !is_known(path)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let is_elsewhere = |path: &str| {
        let mut beginnings = READ_ELSEWHERE.iter();
        beginnings.any(|beginning| path.starts_with(beginning))
    };
    let unread: Vec<_> = table
        .iter()
        .filter(|row| !row.is_old && !is_elsewhere(&row.path) && !read.contains(&row.path))
        .map(|row| &row.path)
        .collect();
    assert!(unread.is_empty(), "nobody reads: {unread:?}");
}

#[test]
fn lists_of_names_elsewhere_are_those_of_the_table() {
    let keys = |path: &[&str]| {
        let found = path.iter().fold(TOP, |keys, name| {
            keys.iter()
                .find(|key| key.name == *name)
                .unwrap()
                .kind
                .keys()
        });
        found.iter().map(|key| key.name).collect::<Vec<_>>()
    };
    assert_eq!(keys(&["postgresql", "bin_name"]), BINARIES);
    let superuser = ["postgresql", "authentication", "superuser"];
    assert_eq!(keys(&superuser), CREDENTIAL_KEYS);
}

#[test]
fn unknown_keys_are_refused_by_the_schema() {
    let schema = super::json_schema::json_schema();
    let closed = |path: &str| schema.pointer(path).unwrap()["additionalProperties"].clone();
    assert_eq!(closed(""), Value::Bool(false));
    assert_eq!(closed("/properties/restapi"), Value::Bool(false));
    assert_eq!(closed("/properties/tags"), Value::Bool(true));
}
