//! A body without PostgreSQL, at a store in memory.

use std::sync::Arc;
use std::time::Duration;

use patroni_api::client::Client;
use patroni_config::Environment;
use patroni_core::server::Answer;
use patroni_core::{Role, State, Timeline};
use patroni_dcs::Identity;
use patroni_dcs::memory::Server;
use patroni_postgres::{Ask, Clock, Supervisor};
use patroni_watchdog::Watchdog;

use super::{Body, LOOK, Parts};
use crate::adapt;
use crate::configuration::{Configuration, timings};

const SOON: Duration = Duration::from_secs(10);

struct Bench {
    body: Body,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.yml");
        let data = dir.path().join("data");
        let text = format!(
            "{{scope: demo, name: a, etcd3: {{host: 'h:1'}}, \
             restapi: {{listen: 'h:1', connect_address: 'h:1'}}, \
             postgresql: {{listen: 'h:1', connect_address: 'h:1', data_dir: '{}', \
             authentication: {{replication: {{username: r}}}}}}}}",
            data.display()
        );
        std::fs::write(&file, text).unwrap();
        let configuration = Configuration::load(Some(&file), Environment::default()).unwrap();
        let settings = configuration.settings();
        let clock = Clock::start();
        let supervisor = Supervisor::adopt(settings.postgresql.clone(), clock)
            .await
            .unwrap();
        let identity = Identity::new("service", &settings.scope, Some(settings.name.clone()));
        let store = Server::new().store(&identity, timings(&settings.dynamic));
        let (watchdog, timing) = adapt::watchdog(&settings);
        let body = Body::new(Parts {
            clock,
            store: Arc::new(store),
            server: supervisor.observe(Ask::default(), LOOK).await,
            supervisor,
            rest: Client::new(&adapt::client(&settings)).unwrap(),
            watchdog: Watchdog::new(watchdog, timing),
            settings,
        });
        Self { body, _dir: dir }
    }
}

#[tokio::test]
async fn state_role_and_timeline_are_published_as_they_change() {
    let bench = Bench::new().await;
    let body = &bench.body;
    let mut snapshots = body.snapshots();
    let watching = async {
        body.supervisor.set_role(Role::Promoted);
        body.supervisor.set_state(State::Running);
        let promoted = |snapshot: &Arc<patroni_api::wire::Snapshot>| {
            (snapshot.server_role, snapshot.server_state) == (Role::Promoted, State::Running)
        };
        snapshots.wait_for(promoted).await.unwrap();
        let mut server = body.facts().server.clone();
        server.status = Answer::Known(patroni_core::server::ServerStatus {
            primary_timeline: Timeline::new(4),
            ..Default::default()
        });
        body.note_server(&server);
        assert_eq!(body.snapshot().timeline, Timeline::new(4));
        server.status = Answer::NotAsked;
        body.note_server(&server);
        assert_eq!(body.snapshot().timeline, Timeline::new(4));
    };
    tokio::select! {
        () = body.publish_server() => {}
        ended = tokio::time::timeout(SOON, watching) => ended.unwrap(),
    }
}
