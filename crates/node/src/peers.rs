//! Asking other members over REST, all at once.

use std::time::Duration;

use futures_util::future::join_all;
use patroni_api::client::{Client, FailsafeAnswer};
use patroni_api::wire::{FailsafeBody, PeerStatus as Wire};
use patroni_core::{Causes, Lsn, MemberName};
use patroni_ha::command::Peer;
use patroni_ha::observation::{PeerAnswer, PeerStatus};

/// How long a peer may take, as the contract says.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks every peer for its status. The answers have the order of the questions.
pub(crate) async fn ask(client: &Client, peers: &[Peer]) -> Vec<PeerAnswer> {
    join_all(peers.iter().map(|peer| ask_one(client, peer))).await
}

async fn ask_one(client: &Client, peer: &Peer) -> PeerAnswer {
    let request = client.request(http::Method::GET, &peer.url, None, PATIENCE);
    let mut stands_aside = false;
    let reply = match request.await {
        Ok(response) => match Wire::parse(&response.body) {
            Wire::Reachable(status) => Ok(PeerStatus {
                in_recovery: status.in_recovery,
                position: status.position,
                timeline: status.timeline,
                tags: status.tags,
                watchdog_failed: status.watchdog_failed,
                replays_own_wal: status.replays_own_wal,
                streams: status.streams,
                may_stream: status.may_stream,
                body: response.text(),
            }),
            Wire::Unreachable => {
                stands_aside = Wire::stands_aside(&response.body);
                Err(format!("no position in its answer: {}", response.text()))
            }
        },
        Err(error) => Err(Causes(&error).to_string()),
    };
    PeerAnswer {
        name: peer.name.clone(),
        reply,
        stands_aside,
    }
}

/// Announces this leader to every peer. Each accepts, with its position if it told one, or not.
pub(crate) async fn announce(
    client: &Client,
    peers: &[Peer],
    announcement: &FailsafeBody,
) -> Vec<(MemberName, Result<Option<Lsn>, String>)> {
    let announce_to = async |peer: &Peer| {
        let answer = match client.failsafe(&peer.url, announcement, PATIENCE).await {
            Ok(FailsafeAnswer::Accepted { position }) => Ok(position),
            Ok(FailsafeAnswer::Refused { code, text }) => {
                Err(format!("not accepted, it answered {code}: {text}"))
            }
            Err(error) => Err(Causes(&error).to_string()),
        };
        (peer.name.clone(), answer)
    };
    join_all(peers.iter().map(announce_to)).await
}
