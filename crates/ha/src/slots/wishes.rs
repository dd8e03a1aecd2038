//! The wish list: every slot that shall be on this node, and why it may move.

use std::collections::BTreeMap;

use patroni_core::{Lsn, Member, Role, SlotName, Tags, Version, value};
use serde_json::Value;

use super::permanent::{self, ClusterType, Permanent};
use super::{cascade, retained};
use crate::command::LogicalSlot;
use crate::context::Cx;
use crate::sentence::{NameList, Text};

/// A wished slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A slot for a standby, or for somebody else who reads WAL.
    Physical {
        /// Whether a reader is expected here; `None` for slots that are only kept, of members
        /// that are away.
        expected_active: Option<bool>,
        /// How far it may move while nobody reads here.
        known: Option<Lsn>,
    },
    /// A slot for logical decoding.
    Logical {
        /// What it decodes.
        slot: LogicalSlot,
        /// The confirmed position that the leader published.
        published: Option<Lsn>,
    },
}

/// All wished slots, by name.
pub(super) type Wishes = BTreeMap<SlotName, Wish>;

/// The version that brought advancing, and with it slots on standbys.
const SINCE: u32 = 110_000;

/// The wish list of this node.
pub(super) fn of(cx: &mut Cx<'_>) -> Wishes {
    report_shared_names(cx);
    let place = Place::of(cx);
    let mut wishes = Wishes::new();
    for member in &cx.view.members {
        if let Some(wish) = place.member_wish(cx, member) {
            wishes.insert(SlotName::of_member(&member.name), wish);
        }
    }
    for (name, wish) in place.permanent(cx) {
        wishes.entry(name).or_insert(wish);
    }
    for name in place.retained(cx) {
        wishes.entry(name).or_insert(Wish::Physical {
            expected_active: None,
            known: None,
        });
    }
    wishes
}

/// Whether the member `name` with these tags keeps logical slots of this configuration.
pub(super) fn holds_logical(cx: &Cx<'_>, name: &patroni_core::MemberName, tags: &Tags) -> bool {
    let modern = cx.server.major_version.is_some_and(|v| v >= SINCE);
    let streams = !tags.nostream()
        && cascade::parents(cx, name, tags)
            .iter()
            .all(|parent| !parent.data.tags().nostream());
    modern
        && streams
        && !tags.nofailover()
        && !cx.in_standby_cluster()
        && cx.settings.permanent_slots.iter().any(|(name, given)| {
            let name = SlotName::new(name.as_str());
            let logical = matches!(permanent::read(&name, given), Some(Permanent::Logical(_)));
            logical && name.is_valid() && !belongs_to_a_member(cx, &name)
        })
}

/// Where this node stands among the others.
struct Place {
    leads: bool,
    keeps_all: bool,
    modern: bool,
}

impl Place {
    fn of(cx: &Cx<'_>) -> Self {
        let modern = cx.server.major_version.is_some_and(|v| v >= SINCE);
        let primary = cx.status().is_some_and(|status| !status.in_recovery());
        Self {
            leads: primary || cx.server.role == Role::StandbyLeader,
            keeps_all: modern && !cx.settings.member_slots_ttl.is_zero(),
            modern,
        }
    }

    fn member_wish(&self, cx: &Cx<'_>, member: &Member) -> Option<Wish> {
        let tags = member.data.tags();
        if cx.is_me(&member.name) || tags.nostream() {
            return None;
        }
        let source = tags.replicatefrom();
        let from_me = source.as_ref().is_some_and(|name| cx.is_me(name));
        let active = if self.leads {
            source
                .as_ref()
                .is_none_or(|name| from_me || cx.view.member(name).is_none())
        } else {
            from_me && cx.view.leader_name() != Some(&member.name)
        };
        let wanted = if self.keeps_all {
            !cx.node.tags.nofailover() || self.leads || from_me
        } else {
            active
        };
        let published = published(cx, &SlotName::of_member(&member.name));
        wanted.then(|| Wish::Physical {
            expected_active: Some(active),
            known: if source.is_some() || old_leader(cx) {
                published.max(told(cx, member))
            } else {
                published
            },
        })
    }

    /// The permanent slots of the configuration that belong here. What cannot be used is named
    /// in every cycle, so that it is found in any piece of the log.
    fn permanent(&self, cx: &mut Cx<'_>) -> Vec<(SlotName, Wish)> {
        if cx.node.tags.nofailover() || !(self.leads || self.modern) {
            return Vec::new();
        }
        let logical_here = holds_logical(cx, cx.me(), &cx.node.tags);
        let mut too_old = Vec::new();
        let mut wishes = Vec::new();
        for (text, given) in cx.settings.permanent_slots.clone() {
            let name = SlotName::new(text.as_str());
            let Some(permanent) = permanent::read(&name, &given) else {
                cx.say(Text::BadSlot {
                    slot: text,
                    value: value::repr(&given),
                });
                continue;
            };
            if !name.is_valid() {
                cx.say(Text::BadSlotName { slot: text });
                cx.say(Text::SlotNameRule);
                continue;
            }
            match permanent {
                Permanent::Physical { only_in } => {
                    if let Some(wish) = self.permanent_physical(cx, &name, only_in) {
                        wishes.push((name, wish));
                    }
                }
                Permanent::Logical(_) if !self.modern => too_old.push(text),
                Permanent::Logical(_) if belongs_to_a_member(cx, &name) => {
                    let mut entry = serde_json::Map::new();
                    entry.insert(text, given);
                    cx.say(Text::SlotConflicts {
                        entry: value::repr(&Value::Object(entry)),
                    });
                }
                Permanent::Logical(slot) if logical_here => {
                    let published = published(cx, &name);
                    wishes.push((name, Wish::Logical { slot, published }));
                }
                Permanent::Logical(_) => {}
            }
        }
        if !too_old.is_empty() {
            cx.say(Text::LogicalSlotsNeed11 {
                slots: NameList(too_old),
            });
        }
        wishes
    }

    fn permanent_physical(
        &self,
        cx: &Cx<'_>,
        name: &SlotName,
        only_in: Option<ClusterType>,
    ) -> Option<Wish> {
        let elsewhere = match only_in {
            Some(ClusterType::Primary) => cx.in_standby_cluster(),
            Some(ClusterType::Standby) => !cx.in_standby_cluster(),
            None => false,
        };
        if elsewhere || *name == SlotName::of_member(cx.me()) {
            return None;
        }
        let cascading = cx.view.members.iter().find(|member| {
            SlotName::of_member(&member.name) == *name
                && member.data.tags().replicatefrom().is_some()
        });
        Some(Wish::Physical {
            expected_active: Some(self.leads && cascading.is_none()),
            known: published(cx, name).max(cascading.and_then(|member| told(cx, member))),
        })
    }

    /// Slots of members that are away for less than `member_slots_ttl`.
    fn retained(&self, cx: &Cx<'_>) -> Vec<SlotName> {
        if cx.node.tags.nofailover() {
            return Vec::new();
        }
        let mine = SlotName::of_member(cx.me());
        let mut names = if self.leads {
            retained(cx)
        } else {
            cx.view.status.retain_slots.clone()
        };
        names.retain(|name| *name != mine);
        names
    }
}

fn published(cx: &Cx<'_>, name: &SlotName) -> Option<Lsn> {
    cx.view.status.slots.get(name).copied()
}

/// The member's position by its own word, the newest one.
fn told(cx: &Cx<'_>, member: &Member) -> Option<Lsn> {
    let accepted = cx
        .memory
        .failsafe_positions
        .get(&SlotName::of_member(&member.name));
    member.data.position().max(accepted.copied())
}

/// Leaders before 4.0 publish no positions of member slots.
fn old_leader(cx: &Cx<'_>) -> bool {
    cx.view
        .leader_member()
        .and_then(|leader| leader.data.version())
        .is_some_and(|version| version < Version::new(4, 0, 0))
}

fn belongs_to_a_member(cx: &Cx<'_>, slot: &SlotName) -> bool {
    let mut members = cx.view.members.iter();
    members.any(|member| SlotName::of_member(&member.name) == *slot)
}

/// Two members with one slot name would take each other's WAL away.
fn report_shared_names(cx: &mut Cx<'_>) {
    let mut users: BTreeMap<SlotName, Vec<String>> = BTreeMap::new();
    for member in &cx.view.members {
        users
            .entry(SlotName::of_member(&member.name))
            .or_default()
            .push(member.name.to_string());
    }
    let shared: Vec<String> = users
        .into_iter()
        .filter(|(_, members)| members.len() > 1)
        .map(|(slot, members)| format!("{} map to {slot}", members.join(", ")))
        .collect();
    if !shared.is_empty() {
        cx.say(Text::SlotShared {
            what: shared.join("; "),
        });
    }
}
