//! What members tell each other.

use std::time::Duration;

use patroni_core::{Lsn, MemberData, MemberName, Role, State};
use patroni_ha::Command;
use patroni_ha::command::Peer;
use patroni_ha::intent;
use patroni_ha::lease::consent;
use patroni_ha::observation::{FailsafeLeader, PeerAnswer, PeerStatus};
use serde_json::{Map, Value};

use super::observe::{api_url, conn_url};
use crate::network::Traffic;
use crate::world::World;

impl World {
    /// Whether a member's REST interface answers `node`.
    pub(crate) fn answers(&self, node: usize, name: &MemberName) -> bool {
        self.node_named(name).is_some_and(|there| {
            let peer = &self.nodes[there];
            self.network.reaches(Traffic::Rest, node, there)
                && peer.daemon.alive
                && !peer.daemon_stands_still()
        })
    }

    /// The status of each peer.
    pub(crate) fn ask(&mut self, node: usize, peers: &[Peer]) -> Vec<PeerAnswer> {
        let one = |peer: &Peer| {
            let reply = self.status_of(node, &peer.name);
            PeerAnswer {
                name: peer.name.clone(),
                stands_aside: reply.is_err() && self.stands_aside(node, &peer.name),
                reply,
            }
        };
        peers.iter().map(one).collect()
    }

    fn stands_aside(&self, node: usize, name: &MemberName) -> bool {
        let there = self.node_named(name).filter(|_| self.answers(node, name));
        there.is_some_and(|there| {
            let supervised = &self.nodes[there].daemon.supervised;
            match supervised.role {
                Role::Demoted => true,
                Role::Replica => supervised.state == State::Starting,
                _ => false,
            }
        })
    }

    fn status_of(&self, node: usize, name: &MemberName) -> Result<PeerStatus, String> {
        if !self.answers(node, name) {
            return Err("timeout".to_owned());
        }
        let there = self.node_named(name).unwrap_or(node);
        let Some(position) = self.position(there) else {
            return Err("no position in the answer".to_owned());
        };
        let watchdog = &self.nodes[there].traits;
        let role = self.nodes[there].daemon.supervised.role;
        let primary =
            matches!(role, Role::Primary | Role::Promoted) || self.nodes[there].server.is_primary();
        let tags = self.tags(there);
        let diverged = self.nodes[there].daemon.memory.has_diverged();
        Ok(PeerStatus {
            in_recovery: !primary,
            position,
            timeline: self.timeline(there),
            tags: if diverged { tags.diverged() } else { tags },
            watchdog_failed: watchdog.watchdog_required && !watchdog.has_watchdog,
            replays_own_wal: self.nodes[there].server.replays_until.is_some(),
            streams: self.nodes[there].server.receiving,
            may_stream: self.nodes[there].server.may_stream(),
            body: String::new(),
        })
    }

    /// A primary without a store announces itself; who accepts will not race for a ttl.
    pub(crate) fn announce(
        &mut self,
        node: usize,
        peers: &[Peer],
    ) -> Vec<(MemberName, Result<Option<Lsn>, String>)> {
        let name = self.nodes_name(node);
        let leader = FailsafeLeader {
            conn_url: conn_url(name.as_str()),
            api_url: api_url(name.as_str()),
            slots: std::collections::BTreeMap::new(),
            name,
        };
        let ttl = self.nodes[node].daemon.settings.ttl;
        let mut answers = Vec::new();
        for peer in peers {
            let answer = self.accept(node, &peer.name, leader.clone(), ttl);
            answers.push((peer.name.clone(), answer));
        }
        answers
    }

    fn accept(
        &mut self,
        node: usize,
        name: &MemberName,
        leader: FailsafeLeader,
        ttl: Duration,
    ) -> Result<Option<Lsn>, String> {
        let timeout = || "timeout".to_owned();
        let there = self.node_named(name).ok_or_else(timeout)?;
        let peer = &self.nodes[there];
        let up = peer.daemon.alive && !peer.daemon_stands_still();
        if !up || !self.network.arrives(Traffic::Rest, node, there) {
            return Err(timeout());
        }
        let position = self.position(there);
        let peer = &mut self.nodes[there];
        if !peer.daemon.settings.failsafe_mode {
            return Err("502".to_owned());
        }
        let supervised = (peer.daemon.supervised.state, peer.daemon.supervised.role);
        let readable = peer.daemon.view_until > peer.clock.read(self.now);
        let view = peer.daemon.view.as_ref().filter(|_| readable);
        let sees = view.and_then(|cluster| cluster.leader_name());
        intent::consent_to_failsafe(supervised, sees, &leader.name)
            .map_err(|why| why.to_string())?;
        let lasts = consent(peer.daemon.settings.ttl, Some(ttl));
        let until = peer.clock.read(self.now) + lasts;
        peer.daemon.failsafe = Some((leader, until));
        // The consent is given, whether or not its answer arrives.
        if self.answers(node, name) {
            Ok(position)
        } else {
            Err(timeout())
        }
    }

    /// The member object, from the newest facts.
    pub(crate) fn member_data(&self, node: usize, command: &Command) -> MemberData {
        let Command::TouchMember(notes) = command else {
            return MemberData::default();
        };
        let here = &self.nodes[node];
        let supervised = &here.daemon.supervised;
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("conn_url", conn_url(here.name.as_str()).into());
        put("api_url", api_url(here.name.as_str()).into());
        put("state", supervised.state.as_str().into());
        put("role", supervised.role.as_str().into());
        put("version", "4.1.5".into());
        let tags = notes.overlay(&self.tags(node));
        if !tags.is_empty() {
            put("tags", Value::Object(tags.as_map().clone()));
        }
        if let Some(position) = self.position(node) {
            put("xlog_location", position.bytes().into());
        }
        if let Some(timeline) = self.timeline(node) {
            put("timeline", timeline.number().into());
        }
        if notes.awaits_checkpoint {
            put("checkpoint_after_promote", Value::Bool(false));
        }
        if notes.paused {
            put("pause", Value::Bool(true));
        }
        MemberData::new(map)
    }
}
