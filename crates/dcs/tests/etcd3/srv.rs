//! Nodes that are named by SRV records.

use patroni_core::MemberName;
use patroni_dcs::etcd3::{Etcd3, Options, Srv};
use patroni_dcs::{Identity, Store};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::server::Etcd;
use crate::shared::{TIMINGS, is_unreachable, lock_of, show_logs, within_budget};

/// A stand-in for a name server: it knows one SRV record, of one name, and no other name.
struct NameServer {
    socket: std::net::SocketAddr,
    _task: JoinSet<()>,
}

impl NameServer {
    async fn knowing(name: &str, port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let labels = name.split('.').map(|label| {
            let length = u8::try_from(label.len()).unwrap();
            [&[length], label.as_bytes()].concat()
        });
        let known: Vec<u8> = labels.flatten().chain([0]).collect();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let answer = answer(&buffer[..length], &known, port);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self {
            socket: address,
            _task: task,
        }
    }

    fn options(&self) -> Options {
        let mut srv = Srv::new("example.org");
        srv.suffix = Some("blue".to_owned());
        srv.name_servers = vec![self.socket];
        let mut options = Options::new::<&str>([]);
        options.srv = Some(srv);
        options
    }
}

fn answer(question: &[u8], known: &[u8], port: u16) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] = 0x81;
    if !question[12..].starts_with(known) {
        answer[3] = 0x83;
        return answer;
    }
    answer[3] = 0x80;
    answer[7] = 1;
    let target = b"\x09localhost\x00";
    answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 17, 0, 0, 0, 0]);
    answer.extend(port.to_be_bytes());
    answer.extend(target);
    answer
}

async fn connect(options: Options) -> Result<Etcd3, patroni_dcs::StoreError> {
    let identity = Identity {
        base_path: "/service/demo".to_owned(),
        group: None,
        member: Some(MemberName::new("a")),
    };
    Etcd3::connect(options, identity, TIMINGS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_found_by_srv_records() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let port = etcd.url.rsplit(':').next().unwrap().parse().unwrap();
    let name = "_etcd-client-blue._tcp.example.org";
    let names = NameServer::knowing(name, port).await;
    let store = connect(names.options()).await.unwrap();
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;

    // As they are, where they are proxies.
    let mut options = names.options();
    options.use_proxies = true;
    lock_of(&connect(options).await.unwrap(), "a").await;
}

/// The records that etcd itself is found by name the addresses for its peers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_tell_the_addresses_for_clients() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let members = etcd.ask("POST", "/v3/cluster/member/list", "{}").unwrap();
    let peer = members["members"][0]["peerURLs"][0].as_str().unwrap();
    let port = peer.rsplit(':').next().unwrap().parse().unwrap();
    let names = NameServer::knowing("_etcd-server-blue._tcp.example.org", port).await;
    let store = connect(names.options()).await.unwrap();
    store.acquire_leader().await.unwrap();
    lock_of(&store, "a").await;

    // Nobody there: what else is configured counts.
    let names = NameServer::knowing("_etcd-server-blue._tcp.example.org", 1).await;
    let mut options = names.options();
    assert!(is_unreachable(&connect(options.clone()).await.map(drop)));
    options.hosts = vec![etcd.url.clone()];
    connect(options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_records_the_hosts_count() {
    show_logs();
    let Some(etcd) = Etcd::single().await else {
        return;
    };
    let names = NameServer::knowing("_other._tcp.example.org", 1).await;
    let mut options = names.options();
    let found = connect(options.clone()).await;
    assert!(is_unreachable(&found.map(drop)));
    options.hosts = vec![etcd.url.clone()];
    connect(options.clone()).await.unwrap();

    // A name server that is silent takes no more than its share of the time.
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let silent = vec![silent.local_addr().unwrap(); 3];
    options.srv.as_mut().unwrap().name_servers = silent;
    let connected = within_budget("connect", connect(options)).await;
    connected.unwrap();
}
