//! Who we are: service accounts, files, and what is missing.

use patroni_core::MemberData;
use patroni_dcs::kubernetes::{Environment, Kubernetes};
use patroni_dcs::{Store, StoreErrorKind};
use serde_json::json;
use tempfile::TempDir;

use super::support::{Api, TIMINGS, eventually, identity, options, show_logs};

/// A Pod's environment with this token.
fn pod(api: &Api, folder: &TempDir, token: &str) -> Environment {
    std::fs::copy(api.ca(), folder.path().join("ca.crt")).unwrap();
    std::fs::write(folder.path().join("token"), token).unwrap();
    Environment {
        service_host: Some("127.0.0.1".to_owned()),
        service_port: Some(api.port.to_string()),
        service_account: folder.path().to_owned(),
        kubeconfig: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_token_is_used_without_a_restart() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let mut options = api.options("account");
    options.environment = pod(api, &folder, "expired");
    let store = api.store(options, Some("a")).await.unwrap();
    let refused = store.acquire_leader().await.unwrap_err();
    assert!(
        matches!(refused.kind, StoreErrorKind::Denied(_)),
        "{refused}"
    );
    assert!(!refused.to_string().contains("expired"), "{refused}");

    std::fs::write(folder.path().join("token"), "admin").unwrap();
    eventually("the new token to be used", || async {
        store.acquire_leader().await.ok()
    })
    .await;
    assert!(store.load().await.unwrap().leader.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_explained_and_a_granted_one_is_used() {
    show_logs();
    let Some(api) = Api::shared() else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let mut options = api.options("rbac");
    options.environment = pod(api, &folder, "nobody");
    options.bypass_api_service = true; // which needs a permission of its own, and goes without
    let store = api.store(options, Some("a")).await.unwrap();
    let refused = store.load().await.unwrap_err();
    let text = refused.to_string();
    assert!(
        matches!(refused.kind, StoreErrorKind::Denied(_)),
        "{refused}"
    );
    assert!(text.contains("User \"nobody\" cannot list"), "{text}");
    assert!(text.contains("verbs: [list]"), "{text}");
    let touched = store.touch_member(&MemberData::default(), None).await;
    let text = touched.unwrap_err().to_string();
    assert!(text.contains("resources: [pods], verbs: [patch]"), "{text}");

    // What the documentation asks for is enough.
    let verbs = ["create", "get", "list", "patch", "update", "watch"];
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["pods"], "verbs": &verbs[1..]},
    ]);
    let admin = api.admin().await;
    let base = "/apis/rbac.authorization.k8s.io/v1/namespaces/rbac";
    let role = json!({"metadata": {"name": "demo"}, "rules": rules});
    admin.make(&format!("{base}/roles"), &role).await;
    let binding = json!({
        "metadata": {"name": "demo"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "demo"},
        "subjects": [{"kind": "User", "name": "nobody"}],
    });
    admin.make(&format!("{base}/rolebindings"), &binding).await;
    eventually("the load", || async { store.load().await.ok() }).await;
    store.acquire_leader().await.unwrap();
    store
        .touch_member(&MemberData::default(), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_way_to_the_api_there_is_no_store() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config");
    let refused = async |context: Option<&str>| {
        let mut options = options("default", &file);
        options.context = context.map(str::to_owned);
        let store = Kubernetes::connect(options, identity(Some("a")), TIMINGS).await;
        let error = store.err().unwrap();
        assert!(error.is_final(), "{error}");
        error.to_string()
    };
    assert!(refused(None).await.contains("config"));
    let text = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n";
    std::fs::write(&file, text).unwrap();
    assert!(refused(Some("kind-kind")).await.contains("kind-kind"));
}
