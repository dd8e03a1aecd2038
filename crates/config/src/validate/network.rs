//! Checks of addresses: free to bind, reachable, meaningful to others.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kinds of a JSON value that are not named are all alike here"
)]

use patroni_core::value;
use serde_json::Value;

use super::ListenPorts;
use super::engine::Report;
use crate::file::address::{self, Listen};

/// Port of an address that names none.
const NO_PORT: u16 = 1;
const WRONG: &str = "contains a wrong value";

/// One host, not in use.
pub(super) fn bindable(report: &mut Report<'_>, path: &str, given: &Value) {
    listen(report, path, given, Hosts::One);
}

/// A comma list of hosts on one port, not in use; `*` alone.
pub(super) fn all_bindable(report: &mut Report<'_>, path: &str, given: &Value) {
    listen(report, path, given, Hosts::Several);
}

/// Something that other machines can make use of.
pub(super) fn not_loopback(report: &mut Report<'_>, path: &str, given: &Value) {
    const LOCAL: [&str; 5] = ["127.0.0.1", "0.0.0.0", "*", "::1", "localhost"];
    let Value::String(text) = given else {
        return report.line(path, &value::text(given), "is not a string");
    };
    match address::split(text, Some(NO_PORT)) {
        Err(_) => report.refuse(path, given, WRONG),
        Ok((host, _)) if LOCAL.contains(&host.as_str()) => report.refuse(
            path,
            given,
            "must not contain \"127.0.0.1\", \"0.0.0.0\", \"*\", \"::1\", \"localhost\"",
        ),
        Ok(_) => {}
    }
}

/// One server that answers.
pub(super) fn reachable(report: &mut Report<'_>, path: &str, given: &Value) {
    match given {
        Value::String(text) => all_reachable(report, path, given, std::slice::from_ref(text)),
        _ => report.line(path, &value::text(given), "is not a string"),
    }
}

/// A list of servers, or a text with commas; each answers.
pub(super) fn servers(report: &mut Report<'_>, path: &str, given: &Value) {
    match given {
        Value::String(text) => {
            let hosts: Vec<String> = text.split(',').map(|host| host.trim().to_owned()).collect();
            all_reachable(report, path, given, &hosts);
        }
        Value::Array(items) if !items.is_empty() => each_reachable(report, path, items),
        Value::Array(_) => report.line(path, &value::text(given), "is an empty list"),
        _ => {
            report.line(path, &value::text(given), "is not a string");
            report.line(path, &value::text(given), "is not a list");
        }
    }
}

/// A list of servers, each of which answers. The first node of a cluster has no partners.
pub(super) fn partners(report: &mut Report<'_>, path: &str, given: &Value) {
    match given {
        Value::Array(items) => {
            let partners: Vec<String> = items.iter().map(value::text).collect();
            all_reachable(report, path, given, &partners);
        }
        _ => report.line(path, &value::text(given), "is not an array"),
    }
}

fn each_reachable(report: &mut Report<'_>, path: &str, items: &[Value]) {
    for (number, item) in items.iter().enumerate() {
        reachable(report, &format!("{path}.{number}"), item);
    }
}

/// An address of either family.
pub(super) fn pod_ip(report: &mut Report<'_>, path: &str, given: &Value) {
    let text = value::text(given);
    if text.parse::<std::net::IpAddr>().is_err() {
        report.refuse(path, given, "Is not a valid ipv4 address");
        report.refuse(path, given, "Is not a valid ipv6 address");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hosts {
    One,
    Several,
}

fn listen(report: &mut Report<'_>, path: &str, given: &Value, hosts: Hosts) {
    let Value::String(text) = given else {
        return report.line(path, &value::text(given), "is not a string");
    };
    let listen = match Listen::parse(text, Some(NO_PORT)) {
        Ok(listen) if !text.is_empty() => listen,
        Ok(_) | Err(_) => return report.refuse(path, given, WRONG),
    };
    if listen.hosts.len() > 1 && listen.hosts.iter().any(|host| host == "*") {
        return report.refuse(path, given, "expecting '*' alone");
    }
    if hosts == Hosts::One && listen.hosts.len() > 1 {
        return report.refuse(path, given, WRONG);
    }
    if report.ports == ListenPorts::Ignored {
        return;
    }
    for host in &listen.hosts {
        let probed = match host.as_str() {
            "*" | "" => report.probe.connects("localhost", listen.port),
            host => report.probe.connects(host, listen.port),
        };
        match probed {
            Err(unknown) => return report.refuse(path, given, &unknown),
            Ok(true) => {
                let message = format!("Port {} is already in use.", listen.port);
                return report.refuse(path, given, &message);
            }
            Ok(false) => {}
        }
    }
}

fn all_reachable(report: &mut Report<'_>, path: &str, given: &Value, servers: &[String]) {
    for server in servers {
        let Ok((host, port)) = address::split(server, Some(NO_PORT)) else {
            return report.refuse(path, given, WRONG);
        };
        match report.probe.connects(&host, port) {
            Err(unknown) => return report.refuse(path, given, &unknown),
            Ok(false) => {
                let message = format!("{server} is not reachable");
                return report.refuse(path, given, &message);
            }
            Ok(true) => {}
        }
    }
}
