//! Reads and writes of single objects, and what they tell the cache.
//!
//! Source: store contract, section 13 (paths, conditions).

use serde_json::{Map, Value, json};

use super::cache::Side;
use super::failure::Failure;
use super::names::Part;
use super::object::{Object, Subset};
use super::request::{Kind, Request};
use super::shared::Shared;
use crate::retry::Effort;

/// What is written to an object: annotations, of which null takes one away, and for the leader's
/// Endpoints its addresses, when they change.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) annotations: Map<String, Value>,
    pub(super) subsets: Option<Vec<Subset>>,
}

impl Content {
    /// One annotation.
    pub(super) fn one(name: &str, value: impl Into<Value>) -> Self {
        let mut annotations = Map::new();
        annotations.insert(name.to_owned(), value.into());
        annotations.into()
    }

    /// Whether an object holds this already.
    pub(super) fn is_in(&self, object: &Object) -> bool {
        let mut all = self.annotations.iter();
        all.all(|(name, value)| object.annotation(name) == value.as_str())
    }
}

impl From<Map<String, Value>> for Content {
    fn from(annotations: Map<String, Value>) -> Self {
        Self {
            annotations,
            subsets: None,
        }
    }
}

impl Shared {
    /// Reads an object anew, past the cache. `None` when there is none.
    pub(super) async fn get(&self, part: Part, effort: Effort) -> Result<Option<Object>, Failure> {
        let name = self.names.name(part);
        let request = Request::get(self.names.kind(), &self.names.namespace, &name);
        match self.servers.call::<Object>(effort, &request).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::Absent(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Changes an object, if it still has the given version.
    pub(super) async fn patch(
        &self,
        part: Part,
        content: &Content,
        version: Option<&str>,
        effort: Effort,
    ) -> Result<Object, Failure> {
        let name = self.names.name(part);
        let mut body = self.body(&name, content);
        if let Some(version) = version {
            body["metadata"]["resourceVersion"] = version.into();
        }
        let request = Request::patch(self.names.kind(), &self.names.namespace, &name, body);
        self.write(request, effort).await
    }

    /// Makes an object, if there is none.
    pub(super) async fn create(
        &self,
        part: Part,
        content: &Content,
        effort: Effort,
    ) -> Result<Object, Failure> {
        let filled = Content {
            annotations: filled(&content.annotations),
            subsets: content.subsets.clone(),
        };
        let body = self.body(&self.names.name(part), &filled);
        let request = Request::create(self.names.kind(), &self.names.namespace, body);
        self.write(request, effort).await
    }

    /// Changes an object, or makes it, whatever is there.
    pub(super) async fn put(
        &self,
        part: Part,
        content: &Content,
        effort: Effort,
    ) -> Result<Object, Failure> {
        match self.patch(part, content, None, effort).await {
            Err(Failure::Absent(_)) => {}
            other => return other,
        }
        match self.create(part, content, effort).await {
            Err(Failure::Conflict(_)) => self.patch(part, content, None, effort).await,
            other => other,
        }
    }

    /// Changes our own Pod.
    pub(super) async fn patch_pod(
        &self,
        name: &str,
        labels: Map<String, Value>,
        status: String,
    ) -> Result<(), Failure> {
        let namespace = &self.names.namespace;
        let body = json!({"metadata": {
            "namespace": namespace,
            "name": name,
            "labels": labels,
            "annotations": {"status": status},
        }});
        let request = Request::patch(Kind::Pods, namespace, name, body);
        let pod = self.servers.call(Effort::Once, &request).await?;
        self.wrote(Side::Pods, pod);
        Ok(())
    }

    /// Makes the Service that keeps the control plane from collecting our Endpoints.
    pub(super) async fn create_config_service(&self, effort: Effort) -> Result<(), Failure> {
        let namespace = &self.names.namespace;
        let body = json!({
            "metadata": {
                "namespace": namespace,
                "name": self.names.name(Part::Config),
                "labels": self.names.labels(),
            },
            "spec": {"clusterIP": "None"},
        });
        let request = Request::create(Kind::Services, namespace, body);
        self.servers.call::<Value>(effort, &request).await.map(drop)
    }

    async fn write(&self, request: Request, effort: Effort) -> Result<Object, Failure> {
        let written = self.servers.call::<Object>(effort, &request).await;
        match &written {
            Ok(object) => self.wrote(Side::Objects, object.clone()),
            Err(Failure::Conflict(_)) => self.distrust_cache(),
            Err(
                Failure::Node(_)
                | Failure::Busy { .. }
                | Failure::Unauthorized(_)
                | Failure::Forbidden(_)
                | Failure::Absent(_)
                | Failure::Rejected(_)
                | Failure::Nonsense(_),
            ) => {}
        }
        written
    }

    fn body(&self, name: &str, content: &Content) -> Value {
        let mut body = json!({"metadata": {
            "namespace": self.names.namespace,
            "name": name,
            "labels": self.names.labels(),
            "annotations": content.annotations,
        }});
        if let Some(subsets) = &content.subsets {
            body["subsets"] = json!(subsets);
        }
        body
    }
}

/// A new object has no annotations to take away.
fn filled(annotations: &Map<String, Value>) -> Map<String, Value> {
    let all = annotations.iter().filter(|(_, value)| !value.is_null());
    all.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
