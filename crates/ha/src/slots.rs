//! Which physical replication slots shall be on this node (HA contract 21, PostgreSQL contract
//! 13.3).

use std::collections::{BTreeMap, BTreeSet};

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::{Member, Role, SlotName, Version, value};
use serde_json::Value;

use crate::command::{SlotPlan, SlotWish};
use crate::context::Cx;
use crate::replay::Asked;
use crate::sentence::Text;

/// Notes which members are present, for the time that their slots outlive them.
pub(crate) fn note_present(cx: &mut Cx<'_>) {
    let now = cx.now();
    let present: Vec<SlotName> = cx
        .view
        .members
        .iter()
        .filter(|member| !member.data.tags().nostream())
        .map(|member| SlotName::of_member(&member.name))
        .collect();
    for slot in present {
        cx.memory.last_seen.insert(slot, now);
    }
    let ttl = cx.settings.member_slots_ttl;
    let leads = cx.view.leader_name().is_some_and(|name| cx.is_me(name));
    let expired: Vec<SlotName> = cx
        .memory
        .last_seen
        .iter()
        .filter(|(_, seen)| now.since(**seen) > ttl)
        .map(|(slot, _)| slot.clone())
        .collect();
    for slot in expired {
        cx.memory.last_seen.remove(&slot);
        if leads {
            cx.say(Text::SlotExpired {
                slot,
                seconds: ttl.as_secs(),
            });
        }
    }
}

/// On taking the lock the clock of every retained name starts anew.
pub(crate) fn restart_retention(cx: &mut Cx<'_>) {
    let now = cx.now();
    for slot in cx.view.status.retain_slots.clone() {
        cx.memory.last_seen.insert(slot, now);
    }
}

/// The names that the leader publishes to be kept, sorted.
pub(crate) fn retained(cx: &Cx<'_>) -> Vec<SlotName> {
    if cx.settings.member_slots_ttl.is_zero() {
        return Vec::new();
    }
    cx.memory
        .last_seen
        .keys()
        .filter(|slot| !cx.settings.permanent_slots.contains_key(slot.as_str()))
        .cloned()
        .collect()
}

/// Makes the slots as they should be.
pub(crate) fn sync_slots(cx: &mut Cx<'_>) -> Asked<()> {
    let configured = cx
        .view
        .config
        .as_ref()
        .is_some_and(patroni_core::ConfigDoc::is_valid);
    let able = cx.server.major_version.is_some_and(|v| v >= 90_400);
    if !cx.settings.use_slots || !configured || !able || cx.status().is_none() {
        return Ok(());
    }
    let plan = plan(cx);
    cx.sync_slots(plan)
}

/// The whole wish list.
pub(crate) fn plan(cx: &mut Cx<'_>) -> SlotPlan {
    let place = Place::of(cx);
    let mut wishes: BTreeMap<SlotName, SlotWish> = BTreeMap::new();
    report_shared_names(cx);
    for member in &cx.view.members {
        if let Some(wish) = place.member_wish(cx, member) {
            wishes.insert(wish.name.clone(), wish);
        }
    }
    for wish in place.permanent(cx) {
        wishes.entry(wish.name.clone()).or_insert(wish);
    }
    if !cx.node.tags.nofailover() {
        let mine = SlotName::of_member(cx.me());
        let kept = if place.leads {
            retained(cx)
        } else {
            cx.view.status.retain_slots.clone()
        };
        for name in kept.into_iter().filter(|name| *name != mine) {
            wishes.entry(name.clone()).or_insert(SlotWish {
                name,
                expected_active: None,
                advance_to: None,
            });
        }
    }
    let owner = cx.view.leader_name();
    let other_leads = owner.is_some_and(|name| !cx.is_me(name));
    SlotPlan {
        wishes: wishes.into_values().collect(),
        drop_unknown: !cx.paused(),
        ignored: ignored(cx),
        may_drop_for_xmin: owner.is_some() && (other_leads || place.primary),
    }
}

/// Where this node stands among the others.
struct Place {
    leads: bool,
    primary: bool,
    keeps_all: bool,
    modern: bool,
}

impl Place {
    fn of(cx: &Cx<'_>) -> Self {
        let modern = cx.server.major_version.is_some_and(|v| v >= 110_000);
        let primary = cx.status().is_some_and(|status| !status.in_recovery());
        Self {
            leads: primary || cx.server.role == Role::StandbyLeader,
            primary,
            keeps_all: modern && !cx.settings.member_slots_ttl.is_zero(),
            modern,
        }
    }

    fn member_wish(&self, cx: &Cx<'_>, member: &Member) -> Option<SlotWish> {
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
        if !wanted {
            return None;
        }
        let name = SlotName::of_member(&member.name);
        let published = cx.view.status.slots.get(&name).copied();
        let told = member.data.position();
        let advance_to = if source.is_some() || old_leader(cx) {
            published.max(told)
        } else {
            published
        };
        Some(SlotWish {
            name,
            expected_active: Some(active),
            advance_to,
        })
    }

    /// The permanent physical slots of the configuration.
    fn permanent(&self, cx: &mut Cx<'_>) -> Vec<SlotWish> {
        if cx.node.tags.nofailover() || !(self.leads || self.modern) {
            return Vec::new();
        }
        let mine = SlotName::of_member(cx.me());
        let configured = cx.settings.permanent_slots.clone();
        let mut wishes = Vec::new();
        for (name, given) in &configured {
            let slot = SlotName::new(name.as_str());
            match physical(given, cx.in_standby_cluster()) {
                Ok(false) => continue,
                Ok(true) if slot == mine => continue,
                Ok(true) => {}
                Err(()) => {
                    cx.say(Text::BadSlot {
                        slot: name.clone(),
                        value: value::repr(given),
                    });
                    continue;
                }
            }
            if !slot.is_valid() {
                cx.say(Text::BadSlotName { slot: name.clone() });
                cx.say(Text::SlotNameRule);
                continue;
            }
            let cascading = cx.view.members.iter().find(|member| {
                SlotName::of_member(&member.name) == slot
                    && member.data.tags().replicatefrom().is_some()
            });
            let told = cascading.and_then(|member| member.data.position());
            wishes.push(SlotWish {
                expected_active: Some(self.leads && cascading.is_none()),
                advance_to: cx.view.status.slots.get(&slot).copied().max(told),
                name: slot,
            });
        }
        wishes
    }
}

/// Whether the entry is a physical slot that belongs here; an error for nonsense.
fn physical(given: &Value, in_standby_cluster: bool) -> Result<bool, ()> {
    let section = match given {
        Value::Null => return Ok(true),
        Value::Object(section) => section,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => return Err(()),
    };
    let text = |key: &str| section.get(key).and_then(Value::as_str);
    let kind = match text("type") {
        Some(kind) => kind,
        None if text("database").is_some() && text("plugin").is_some() => "logical",
        None => "physical",
    };
    let elsewhere = in_standby_cluster && text("cluster_type") == Some("primary");
    Ok(kind == "physical" && !elsewhere)
}

/// Leaders before 4.0 publish no positions of member slots.
fn old_leader(cx: &Cx<'_>) -> bool {
    cx.view
        .leader_member()
        .and_then(|leader| leader.data.version())
        .is_some_and(|version| version < Version::new(4, 0, 0))
}

/// Present slots that a matcher of `ignore_slots` protects.
fn ignored(cx: &Cx<'_>) -> BTreeSet<SlotName> {
    let rows = cx.status().and_then(|status| status.slots.as_ref());
    let matches = |row: &SlotRow, matcher: &Value| {
        let Some(fields) = matcher.as_object() else {
            return false;
        };
        let (kind, plugin, database) = match &row.kind {
            SlotKind::Physical => ("physical", "", ""),
            SlotKind::Logical { plugin, database } => {
                ("logical", plugin.as_str(), database.as_str())
            }
        };
        let fits = |key: &str, actual: &str| {
            fields
                .get(key)
                .is_none_or(|wanted| wanted.as_str() == Some(actual))
        };
        !fields.is_empty()
            && fits("name", row.name.as_str())
            && fits("type", kind)
            && fits("plugin", plugin)
            && fits("database", database)
    };
    // Configured logical slots are made elsewhere, and must not be taken for strangers here.
    let configured = |row: &SlotRow| cx.settings.permanent_slots.contains_key(row.name.as_str());
    rows.into_iter()
        .flatten()
        .filter(|row| {
            let logical = row.kind != SlotKind::Physical;
            let patterns = &cx.settings.ignore_slots;
            (logical && configured(row)) || patterns.iter().any(|matcher| matches(row, matcher))
        })
        .map(|row| row.name.clone())
        .collect()
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
