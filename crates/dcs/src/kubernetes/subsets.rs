//! The address of the leader in its Endpoints, which a Service without a selector follows.
//!
//! Source: store contract, section 13 (subsets).

use super::object::{Address, Object, Subset, SubsetPort, TargetRef};
use super::options::Port;

const TCP: &str = "TCP";

/// What the leader's Endpoints should have. `None` as long as no address is known.
pub(super) fn of_leader(
    pod_ip: &str,
    ports: &[Port],
    namespace: &str,
    pod: Option<&Object>,
) -> Option<Vec<Subset>> {
    let of_pod = pod.and_then(|pod| pod.status.pod_ip.clone());
    let configured = Some(pod_ip.to_owned()).filter(|ip| !ip.is_empty());
    let address = Address {
        ip: configured.or(of_pod)?,
        hostname: pod.and_then(|pod| pod.spec.hostname.clone()),
        node_name: pod.and_then(|pod| pod.spec.node_name.clone()),
        target_ref: pod.map(|pod| target(pod, namespace)),
    };
    Some(vec![Subset {
        addresses: Some(vec![address]),
        ports: Some(ports.iter().map(port).collect()),
    }])
}

fn target(pod: &Object, namespace: &str) -> TargetRef {
    TargetRef {
        kind: Some("Pod".to_owned()),
        uid: pod.metadata.uid.clone(),
        namespace: Some(namespace.to_owned()),
        name: Some(pod.metadata.name.clone()),
        resource_version: Some(pod.metadata.resource_version.clone()),
    }
}

fn port(port: &Port) -> SubsetPort {
    SubsetPort {
        name: port.name.clone(),
        port: port.port,
        protocol: Some(port.protocol.clone()).filter(|protocol| protocol != TCP),
    }
}

/// Whether the object leads to the same place already: one address and the same ports, whatever
/// else is known about the Pod behind it.
pub(super) fn lead_to_same(object: &Object, wanted: &[Subset]) -> bool {
    let present = object.subsets.as_deref().unwrap_or_default();
    places(present) == places(wanted)
}

/// Where a subset leads: its addresses and ports.
#[derive(PartialEq)]
struct Place<'a> {
    addresses: Vec<&'a str>,
    ports: Vec<(Option<&'a str>, u16, &'a str)>,
}

fn places(subsets: &[Subset]) -> Vec<Place<'_>> {
    subsets.iter().map(Place::of).collect()
}

impl<'a> Place<'a> {
    fn of(subset: &'a Subset) -> Self {
        let addresses = subset.addresses.as_deref().unwrap_or_default();
        let ports = subset.ports.as_deref().unwrap_or_default();
        let port = |port: &'a SubsetPort| {
            let protocol = port.protocol.as_deref().unwrap_or(TCP);
            (port.name.as_deref(), port.port, protocol)
        };
        Self {
            addresses: addresses
                .iter()
                .map(|address| address.ip.as_str())
                .collect(),
            ports: ports.iter().map(port).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(version: &str) -> Object {
        let text = format!(
            r#"{{"metadata": {{"name": "n1", "uid": "u", "resourceVersion": "{version}"}},
                "spec": {{"hostname": "n1", "nodeName": "w1"}}, "status": {{"podIP": "10.0.0.1"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_address_is_the_configured_one_or_the_pods() {
        let ports = [Port {
            name: Some("postgresql".to_owned()),
            ..Port::default()
        }];
        assert_eq!(of_leader("", &ports, "default", None), None);
        let subsets = of_leader("", &ports, "default", Some(&pod("7"))).unwrap();
        assert_eq!(
            serde_json::to_string(&subsets).unwrap(),
            r#"[{"addresses":[{"ip":"10.0.0.1","hostname":"n1","nodeName":"w1","targetRef":{"kind":"Pod","uid":"u","namespace":"default","name":"n1","resourceVersion":"7"}}],"ports":[{"name":"postgresql","port":5432}]}]"#
        );
        let other = of_leader("10.0.0.9", &ports, "default", Some(&pod("7"))).unwrap();
        let mut object = Object {
            subsets: of_leader("", &ports, "default", Some(&pod("8"))),
            ..Object::default()
        };
        assert!(lead_to_same(&object, &subsets));
        assert!(!lead_to_same(&object, &other));
        if let Some(ports) = object
            .subsets
            .as_mut()
            .and_then(|all| all[0].ports.as_mut())
        {
            ports[0].protocol = Some(TCP.to_owned()); // as servers add it
        }
        assert!(lead_to_same(&object, &subsets));
        assert!(lead_to_same(&Object::default(), &[]));
    }
}
