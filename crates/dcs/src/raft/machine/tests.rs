use proptest::prelude::*;

use super::*;

fn condition() -> impl Strategy<Value = Condition> {
    let value = proptest::option::of("[ab]");
    let index = proptest::option::of(1_u64..20);
    (proptest::option::of(any::<bool>()), value, index).prop_map(|(exists, value, index)| {
        Condition {
            exists,
            value,
            index,
        }
    })
}

fn write() -> impl Strategy<Value = Write> {
    let key = || "(/s/[ab](/m)?|/t)";
    prop_oneof![
        4 => (key(), "[ab]", proptest::option::of(1_u64..9), condition()).prop_map(
            |(key, value, ttl_ms, condition)| Write::Set { key, value, ttl_ms, condition }
        ),
        2 => (key(), condition()).prop_map(|(key, condition)| Write::Delete { key, condition }),
        1 => "(/s|/s/a)".prop_map(|key| Write::DeleteTree { key }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let origin = (1_u64..4, 1_u64..80).prop_map(|(client, sequence)| Origin { client, sequence });
    prop_oneof![
        8 => (origin, write()).prop_map(|(origin, write)| Command::Write { origin, write }),
        1 => proptest::collection::vec(("/s/[ab]", 1_u64..40), 1..3)
            .prop_map(|keys| Command::Expire { keys }),
        1 => (1_u64..5).prop_map(|cluster| Command::Found { cluster }),
    ]
}

proptest! {
    #[test]
    fn the_same_log_gives_the_same_state_through_bytes_and_snapshots(
        commands in proptest::collection::vec(command(), 1..120),
        cut in 0_usize..120,
    ) {
        let mut straight = Machine::default();
        let mut copied = Machine::default();
        for (place, command) in commands.iter().enumerate() {
            let index = place as u64 + 2;
            let bytes = command.encode();
            let first = straight.apply(index, command.clone());
            let second = copied.apply(index, Command::decode(&bytes).unwrap());
            prop_assert_eq!(first, second);
            if place == cut {
                copied = Machine::from_snapshot(&copied.to_snapshot()).unwrap();
            }
        }
        prop_assert_eq!(straight, copied);
    }

    #[test]
    fn a_repeated_request_changes_nothing_and_is_answered_alike(
        writes in proptest::collection::vec(write(), 1..30),
    ) {
        let mut machine = Machine::default();
        let mut index = 1;
        for (sequence, write) in (1..).zip(writes) {
            let origin = Origin { client: 9, sequence };
            let command = Command::Write { origin, write };
            index += 1;
            let first = machine.apply(index, command.clone());
            let before = machine.items.clone();
            index += 1;
            let again = machine.apply(index, command);
            prop_assert_eq!(first, again);
            prop_assert_eq!(&before, &machine.items);
        }
    }
}

fn set(sequence: u64, value: &str, condition: Condition) -> Command {
    Command::Write {
        origin: Origin {
            client: 1,
            sequence,
        },
        write: Write::set("/s/leader".to_owned(), value.to_owned(), condition),
    }
}

#[test]
fn the_lock_goes_to_the_first() {
    let mut machine = Machine::default();
    assert_eq!(
        machine.apply(2, set(1, "a", Condition::absent())),
        Outcome::Done { index: 2 }
    );
    assert_eq!(
        machine.apply(3, set(2, "b", Condition::absent())),
        Outcome::Refused { exists: true }
    );
    assert_eq!(
        machine.apply(4, set(3, "a", Condition::value("a"))),
        Outcome::Done { index: 4 }
    );
    assert_eq!(
        machine.apply(5, set(4, "b", Condition::value("b"))),
        Outcome::Refused { exists: true }
    );
}

#[test]
fn an_expiry_that_comes_after_a_renewal_does_nothing() {
    let mut machine = Machine::default();
    machine.apply(2, set(1, "a", Condition::absent()));
    machine.apply(3, set(2, "a", Condition::value("a")));
    let keys = vec![("/s/leader".to_owned(), 2)];
    machine.apply(4, Command::Expire { keys });
    assert!(machine.items.contains_key("/s/leader"));
    let keys = vec![("/s/leader".to_owned(), 3)];
    machine.apply(5, Command::Expire { keys });
    assert!(machine.items.is_empty());
}

#[test]
fn a_very_late_copy_is_never_carried_out() {
    let mut machine = Machine::default();
    for sequence in 1..=100 {
        machine.apply(sequence + 1, set(sequence, "new", Condition::none()));
    }
    let late = machine.apply(200, set(1, "old", Condition::none()));
    assert_eq!(late, Outcome::Forgotten);
    assert_eq!(machine.items["/s/leader"].value, "new");
}

#[test]
fn values_have_a_largest_size() {
    let mut machine = Machine::default();
    let huge = "x".repeat(MAX_VALUE + 1);
    assert_eq!(
        machine.apply(2, set(1, &huge, Condition::none())),
        Outcome::TooLarge
    );
}
