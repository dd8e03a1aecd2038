//! The section `kubernetes`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use patroni_core::value;
use serde_json::Value;

use crate::error::ConfigError;
use crate::section::Section;

/// Kubernetes objects as a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    /// `labels`: selector, and labels of created objects.
    pub labels: BTreeMap<String, String>,
    /// `scope_label`.
    pub scope_label: String,
    /// `role_label`.
    pub role_label: String,
    /// `leader_label_value`.
    pub leader_label_value: String,
    /// `follower_label_value`.
    pub follower_label_value: String,
    /// `standby_leader_label_value`.
    pub standby_leader_label_value: String,
    /// `tmp_role_label`.
    pub tmp_role_label: Option<String>,
    /// `bootstrap_labels` of a Pod until it has data.
    pub bootstrap_labels: BTreeMap<String, String>,
    /// `namespace` of the objects.
    pub namespace: String,
    /// `use_endpoints` in place of config maps.
    pub use_endpoints: bool,
    /// `pod_ip`, needed with endpoints; may be empty.
    pub pod_ip: String,
    /// `ports` of the endpoints.
    pub ports: Vec<EndpointPort>,
    /// `cacert` of the API server.
    pub cacert: Option<PathBuf>,
    /// `context` of the client's file, outside a Pod. Given but empty: that file's current one.
    pub context: Option<String>,
    /// `bypass_api_service`.
    pub bypass_api_service: bool,
    /// `retriable_http_codes`, beside 500, 503 and 504.
    pub retriable_http_codes: Vec<u16>,
}

/// A port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// `name`
    pub name: Option<String>,
    /// `port`
    pub port: u16,
    /// `protocol`
    pub protocol: String,
}

impl Kubernetes {
    pub(crate) fn read(
        section: &Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let labels = section.texts("labels")?;
        if labels.is_empty() {
            return Err(section.fail("labels", "is not defined"));
        }
        let context = match section.get("context") {
            None => "kind-kind".to_owned(),
            Some(_) => section.text_or("context", "")?,
        };
        Ok(Self {
            labels,
            scope_label: section.text_or("scope_label", "cluster-name")?,
            role_label: section.text_or("role_label", "role")?,
            leader_label_value: section.text_or("leader_label_value", "primary")?,
            follower_label_value: section.text_or("follower_label_value", "replica")?,
            standby_leader_label_value: section.text_or("standby_leader_label_value", "primary")?,
            tmp_role_label: section.text("tmp_role_label")?,
            bootstrap_labels: section.texts("bootstrap_labels")?,
            namespace: section.text_or("namespace", "default")?,
            use_endpoints: section.flag("use_endpoints", false),
            pod_ip: section.text_or("pod_ip", "")?,
            ports: ports(section)?,
            cacert: section.path("cacert")?,
            context: Some(context).filter(|context| !context.is_empty()),
            bypass_api_service: section.flag("bypass_api_service", false),
            retriable_http_codes: codes(section, warnings),
        })
    }
}

fn ports(section: &Section<'_>) -> Result<Vec<EndpointPort>, ConfigError> {
    let wrong = |problem: &str| section.fail("ports", problem);
    let given = match section.filled("ports") {
        None => return Ok(vec![default_port()]),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong("is not a list")),
    };
    let ports = given
        .iter()
        .map(|item| endpoint_port(item).ok_or_else(|| wrong("has an item without a usable port")));
    ports.collect()
}

fn default_port() -> EndpointPort {
    EndpointPort {
        name: None,
        port: 5432,
        protocol: "TCP".to_owned(),
    }
}

fn endpoint_port(item: &Value) -> Option<EndpointPort> {
    let filled = |key: &str| item.get(key).filter(|given| value::is_truthy(given));
    let port = match filled("port") {
        None => 5432,
        Some(port) => u16::try_from(value::parse_int(port)?).ok()?,
    };
    Some(EndpointPort {
        name: filled("name").map(value::text),
        port,
        protocol: filled("protocol").map_or_else(|| "TCP".to_owned(), value::text),
    })
}

/// An integer, a list, or a text with commas. A bad one is no reason to be without a store: then
/// there are none.
fn codes(section: &Section<'_>, warnings: &mut Vec<String>) -> Vec<u16> {
    const KEY: &str = "retriable_http_codes";
    let texts = match section.filled(KEY) {
        Some(number @ Value::Number(_)) => Ok(vec![value::text(number)]),
        Some(_) | None => section.list_or_commas(KEY),
    };
    let codes = texts
        .map_err(|_| "is not a list".to_owned())
        .and_then(|texts| {
            let codes = texts.iter().map(|text| {
                let code = text.trim().parse::<u16>();
                code.map_err(|_| format!("{text} is not an HTTP code"))
            });
            codes.collect()
        });
    codes.unwrap_or_else(|problem| {
        let given = section.get(KEY).map(value::text).unwrap_or_default();
        warnings.push(format!("Invalid value of {KEY} = {given}: {problem}"));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::dcs::tests::read_with;
    use serde_json::json;

    fn read(given: &Value) -> Result<(Kubernetes, Vec<String>), ConfigError> {
        read_with(given, |section| {
            let mut warnings = Vec::new();
            let kubernetes = Kubernetes::read(section, &mut warnings)?;
            Ok((kubernetes, warnings))
        })
    }

    #[test]
    fn bad_codes_are_none() {
        for (given, problem) in [
            (json!("401,x"), "401,x: x is not an HTTP code"),
            (json!([401, "y"]), "[401, 'y']: y is not an HTTP code"),
            (json!(70_000), "70000: 70000 is not an HTTP code"),
            (json!({"a": 1}), "{'a': 1}: is not a list"),
        ] {
            let given = json!({"labels": {"a": "b"}, "retriable_http_codes": given});
            let (kubernetes, warnings) = read(&given).unwrap();
            assert!(kubernetes.retriable_http_codes.is_empty());
            let text = format!("Invalid value of retriable_http_codes = {problem}");
            assert_eq!(warnings, [text]);
        }
    }

    #[test]
    fn defaults_and_lists_are_read() {
        let given = json!({"labels": {"app": "p", "x": 1}, "retriable_http_codes": "401, 429"});
        let (kubernetes, _) = read(&given).unwrap();
        assert_eq!(kubernetes.labels["x"], "1");
        assert_eq!(kubernetes.retriable_http_codes, [401, 429]);
        assert_eq!(kubernetes.ports, [default_port()]);
        assert_eq!(kubernetes.context.as_deref(), Some("kind-kind"));
        let given = json!({"labels": {"a": "b"}, "retriable_http_codes": 401, "context": "",
            "ports": [{"name": "pg", "port": "5433"}, {}]});
        let (kubernetes, _) = read(&given).unwrap();
        assert_eq!(kubernetes.retriable_http_codes, [401]);
        assert_eq!(kubernetes.ports[0].port, 5433);
        assert_eq!(kubernetes.context, None);
        assert!(read(&json!({})).is_err());
    }
}
