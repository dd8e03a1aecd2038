//! The requests to the API, before anything is sent.

use std::fmt;

use http::{Method, header};
use serde_json::Value;

/// The collections of the API that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ConfigMaps,
    Endpoints,
    Pods,
    Services,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMaps => "configmaps",
            Self::Endpoints => "endpoints",
            Self::Pods => "pods",
            Self::Services => "services",
        })
    }
}

/// What is done, in the words of a role's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Watch,
    Get,
    Create,
    Patch,
    DeleteCollection,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "list",
            Self::Watch => "watch",
            Self::Get => "get",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::DeleteCollection => "deletecollection",
        })
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) verb: Verb,
    pub(super) kind: Kind,
    pub(super) namespace: String,
    name: Option<String>,
    query: String,
    body: Option<Value>,
}

impl Request {
    fn new(verb: Verb, kind: Kind, namespace: &str) -> Self {
        Self {
            verb,
            kind,
            namespace: namespace.to_owned(),
            name: None,
            query: String::new(),
            body: None,
        }
    }

    /// All objects with these labels, as new as there are.
    pub(super) fn list(kind: Kind, namespace: &str, selector: &str) -> Self {
        Self {
            query: selected(selector),
            ..Self::new(Verb::List, kind, namespace)
        }
    }

    /// The changes of these objects after a version, for at most so many seconds.
    pub(super) fn watch(
        kind: Kind,
        namespace: &str,
        selector: &str,
        after: &str,
        seconds: u64,
    ) -> Self {
        let query = selected(selector);
        Self {
            query: format!("{query}&watch=true&resourceVersion={after}&timeoutSeconds={seconds}"),
            ..Self::new(Verb::Watch, kind, namespace)
        }
    }

    /// One object.
    pub(super) fn get(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..Self::new(Verb::Get, kind, namespace)
        }
    }

    /// A new object.
    pub(super) fn create(kind: Kind, namespace: &str, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Verb::Create, kind, namespace)
        }
    }

    /// A change of an object, under the condition of the version that the body names.
    pub(super) fn patch(kind: Kind, namespace: &str, name: &str, body: Value) -> Self {
        Self {
            name: Some(name.to_owned()),
            body: Some(body),
            ..Self::new(Verb::Patch, kind, namespace)
        }
    }

    /// The end of all objects with these labels.
    pub(super) fn delete_collection(kind: Kind, namespace: &str, selector: &str) -> Self {
        Self {
            query: selected(selector),
            ..Self::new(Verb::DeleteCollection, kind, namespace)
        }
    }

    fn path(&self) -> String {
        let (namespace, kind) = (percent_encoded(&self.namespace), self.kind);
        let mut path = format!("/api/v1/namespaces/{namespace}/{kind}");
        if let Some(name) = &self.name {
            path.push('/');
            path.push_str(&percent_encoded(name));
        }
        if !self.query.is_empty() {
            path.push('?');
            path.push_str(&self.query);
        }
        path
    }

    /// The request as it is sent.
    pub(super) fn to_http(&self) -> Result<http::Request<Vec<u8>>, http::Error> {
        let (method, content) = match self.verb {
            Verb::List | Verb::Watch | Verb::Get => (Method::GET, None),
            Verb::Create => (Method::POST, Some("application/json")),
            Verb::Patch => (
                Method::PATCH,
                Some("application/strategic-merge-patch+json"),
            ),
            Verb::DeleteCollection => (Method::DELETE, None),
        };
        let mut request = http::Request::builder()
            .method(method)
            .uri(self.path())
            .header(header::ACCEPT, "application/json");
        if let Some(content) = content {
            request = request.header(header::CONTENT_TYPE, content);
        }
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        request.body(body.into_bytes())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.kind)?;
        match &self.name {
            Some(name) => write!(f, " {name}"),
            None => Ok(()),
        }
    }
}

fn selected(selector: &str) -> String {
    format!("labelSelector={}", percent_encoded(selector))
}

/// All but the letters that mean themselves everywhere in a URL.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from_digit(u32::from(half), 16);
            let digits = [byte >> 4, byte & 15].into_iter().filter_map(digit);
            out.push('%');
            out.extend(digits.map(|digit| digit.to_ascii_uppercase()));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_paths_of_the_api() {
        let list = Request::list(
            Kind::Pods,
            "default",
            "application=patroni,cluster-name=demo",
        );
        assert_eq!(
            list.path(),
            "/api/v1/namespaces/default/pods\
             ?labelSelector=application%3Dpatroni%2Ccluster-name%3Ddemo"
        );
        let watch = Request::watch(Kind::ConfigMaps, "default", "a=b", "7", 300);
        assert!(
            watch
                .path()
                .ends_with("&watch=true&resourceVersion=7&timeoutSeconds=300")
        );
        let patch = Request::patch(Kind::Endpoints, "x", "demo", Value::Null);
        assert_eq!(patch.path(), "/api/v1/namespaces/x/endpoints/demo");
        let sent = patch.to_http().unwrap();
        assert_eq!(sent.method(), Method::PATCH);
        assert_eq!(
            sent.headers()[header::CONTENT_TYPE],
            "application/strategic-merge-patch+json"
        );
    }
}
