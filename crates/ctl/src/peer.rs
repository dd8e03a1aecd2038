//! What a member says of itself, in the terms of the rules.

use patroni_api::wire::PeerStatus as Wire;
use patroni_core::MemberName;
use patroni_ha::observation::{PeerAnswer, PeerStatus};

use crate::rest::Heard;

/// What became of the question to a member.
pub(crate) fn heard(name: &MemberName, heard: &Heard) -> PeerAnswer {
    let body = heard.answer.as_ref().map(|answer| answer.body.as_str());
    answer(name, body.map_err(ToString::to_string))
}

/// The answer to `GET /patroni`, or why there is none, as members look at it before a promotion.
pub(crate) fn answer(name: &MemberName, body: Result<&str, String>) -> PeerAnswer {
    let aside = |body: &&str| Wire::stands_aside(body.as_bytes());
    let stands_aside = body.as_ref().is_ok_and(aside);
    let reply = body.and_then(|body| match Wire::parse(body.as_bytes()) {
        Wire::Reachable(peer) => Ok(PeerStatus {
            in_recovery: peer.in_recovery,
            position: peer.position,
            timeline: peer.timeline,
            tags: peer.tags,
            watchdog_failed: peer.watchdog_failed,
            replays_own_wal: peer.replays_own_wal,
            streams: peer.streams,
            may_stream: peer.may_stream,
            body: body.to_owned(),
        }),
        Wire::Unreachable => Err("its PostgreSQL tells no position".to_owned()),
    });
    PeerAnswer {
        name: name.clone(),
        stands_aside: stands_aside && reply.is_err(),
        reply,
    }
}
