//! The way of quorum commit: as recorded, and safe and short from wherever it begins.

use patroni_core::MemberName;
use patroni_ha::quorum::{Emission, Names, State, reset, resolve};
use proptest::prelude::*;
use serde_json::{Value, json};

fn names(list: &Value) -> Names {
    let list = list.as_array().expect("a list").iter();
    list.map(|name| MemberName::new(name.as_str().expect("a name")))
        .collect()
}

fn state(case: &Value) -> State {
    let number =
        |key: &str| usize::try_from(case[key].as_u64().expect("a number")).expect("a small one");
    let name = |key: &str| MemberName::new(case[key].as_str().expect("a name"));
    State {
        leader: name("leader"),
        quorum: number("quorum"),
        voters: names(&case["voters"]),
        numsync: number("numsync"),
        sync: names(&case["sync"]),
        confirmed: number("numsync_confirmed"),
        active: names(&case["active"]),
        wanted: number("sync_wanted"),
        me: name("leader_wanted"),
    }
}

fn shown(emission: &Emission) -> Value {
    match emission {
        Emission::Sync {
            leader,
            numsync,
            sync,
        } => json!(["sync", leader, numsync, sync]),
        Emission::Quorum {
            leader,
            quorum,
            voters,
        } => json!(["quorum", leader, quorum, voters]),
        Emission::Restart { leader } => json!(["restart", leader, 0, []]),
    }
}

#[test]
fn every_recorded_case_takes_the_steps_of_the_reference() {
    let text = include_str!("golden/quorum-cases.jsonl");
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        let ours = match resolve(state(&record["in"])) {
            Ok(done) => done.emissions.iter().map(shown).collect(),
            Err(_) => json!("error"),
        };
        if ours != record["out"] {
            wrong.push(format!("{}: {ours} for {line}", number + 1));
        }
    }
    assert_eq!(text.lines().count(), 900);
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

fn apply(state: &mut State, emission: &Emission) {
    match emission.clone() {
        Emission::Sync { numsync, sync, .. } => {
            state.numsync = numsync;
            state.sync = sync;
        }
        Emission::Quorum {
            leader,
            quorum,
            voters,
        } => {
            state.leader = leader;
            state.quorum = quorum;
            state.voters = voters;
        }
        Emission::Restart { .. } => {}
    }
}

/// The steps that the rules of the primary would take.
fn steps(state: &State) -> Vec<Emission> {
    match resolve(state.clone()) {
        Ok(done) => done.emissions,
        Err(_) => reset(state).to_vec(),
    }
}

fn is_target(state: &State) -> bool {
    state.leader == state.me
        && state.voters == state.active
        && state.sync == state.active
        && state.numsync == state.wanted.min(state.active.len())
        && state.quorum == state.active.len() - state.numsync
}

fn some_of(pool: &'static [&'static str]) -> impl Strategy<Value = Names> {
    proptest::sample::subsequence(pool, 0..=pool.len())
        .prop_map(|list| list.into_iter().map(MemberName::new).collect())
}

const OTHERS: &[&str] = &["b", "c", "d", "e", "f"];

prop_compose! {
    fn any_state()(
        leader in proptest::sample::select(vec!["a", "b"]),
        voters in some_of(OTHERS),
        sync in some_of(OTHERS),
        active in some_of(OTHERS),
        same in any::<bool>(),
        numbers in any::<[u8; 3]>(),
        wanted in 1..5_usize,
    ) -> State {
        let leader = MemberName::new(leader);
        let mut voters = if same { sync.clone() } else { voters };
        if voters.remove(&leader) {
            voters.insert(MemberName::new("a"));
        }
        let of = |number: u8, most: usize| usize::from(number) % (most + 1);
        State {
            quorum: of(numbers[0], voters.len().saturating_sub(1)),
            numsync: if sync.is_empty() { 0 } else { 1 + of(numbers[1], sync.len() - 1) },
            confirmed: of(numbers[2], (&sync & &active).len()),
            leader,
            voters,
            sync,
            active,
            wanted,
            me: MemberName::new("a"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_rule_holds_after_every_step(begun in any_state()) {
        let sound = begun.check().is_ok();
        let mut state = begun;
        for (number, step) in steps(&state).iter().enumerate() {
            apply(&mut state, step);
            // A broken rule is mended by the first step, and never broken again.
            let holds = state.check();
            prop_assert!(holds.is_ok() || (number == 0 && !sound), "{number}: {holds:?}");
        }
    }

    #[test]
    fn whatever_the_beginning_a_few_rounds_reach_the_target(begun in any_state()) {
        let mut state = begun;
        for _ in 0..8 {
            let steps = steps(&state);
            prop_assert!(steps.len() <= 12, "{steps:?}");
            for step in &steps {
                apply(&mut state, step);
            }
            // Time for everybody to catch up.
            state.confirmed = (&state.sync & &state.active).len();
            if is_target(&state) {
                break;
            }
        }
        prop_assert!(is_target(&state), "{state:?}");
        let rest: Vec<Emission> = steps(&state)
            .into_iter()
            .filter(|step| !matches!(step, Emission::Restart { .. }))
            .collect();
        prop_assert!(rest.iter().all(|step| { let mut same = state.clone(); apply(&mut same, step); same == state }), "{rest:?}");
    }

    #[test]
    fn a_plan_that_is_broken_off_anywhere_is_taken_up_again(
        begun in any_state(),
        cuts in proptest::collection::vec((0..6_usize, some_of(OTHERS), 0..6_usize), 1..6),
    ) {
        let mut state = State { leader: begun.me.clone(), voters: Names::new(), quorum: 0, ..begun };
        for (cut, active, confirmed) in cuts {
            state.active = active;
            state.confirmed = confirmed.min((&state.sync & &state.active).len());
            for step in steps(&state).iter().take(cut) {
                apply(&mut state, step);
                prop_assert!(state.check().is_ok(), "{state:?}");
            }
        }
    }
}
