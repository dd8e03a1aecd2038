//! What stores, other members and people write is read without a panic, whatever it is; and what
//! was understood is written so that it is understood in the same way again.

use patroni_core::{
    ConnUrl, FailoverRequest, History, MemberData, Status, SyncNames, SyncState, SystemId, Version,
    value,
};
use proptest::prelude::*;
use proptest::string::string_regex;
use serde_json::Value;

fn like(pattern: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(pattern).expect("a pattern of this file")
}

/// Values of keys: objects with the fields that mean something, broken objects, and anything else.
fn stored() -> impl Strategy<Value = String> {
    let field = "\"(optime|slots|retain_slots|leader|member|scheduled_at|sync_standby|quorum|conn_url|xlog_location|tags)\"";
    let item = "(null|true|-?[0-9]{1,25}|[0-9]{1,4}\\.[0-9]{1,3}e[0-9]{1,3}|\"[a-zA-Z0-9:/@.,-]{0,20}\"|\\[[0-9,]{0,6}\\]|\\{\\})";
    prop_oneof![
        3 => like(&format!("\\{{({field}: ?{item})?(, {field}: {item}){{0,3}}\\}}")),
        1 => like(&format!("[\\[{{\"]{{0,3}}{item}[}}\\],]{{0,3}}")),
        1 => "-?[0-9]{1,25}",
        1 => "\\PC{0,40}",
    ]
}

/// Addresses that are nearly right.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "postgres(ql)?://([a-z]{0,4}(:[a-z%0-9]{0,4})?@)?(\\[[0-9a-f:]{0,8}\\]?|[a-z0-9.-]{0,8})(:[0-9]{0,6})?(/[a-z]{0,5})?(\\?[a-z=&]{0,8})?",
        "\\PC{0,30}",
    ]
}

/// Values of `synchronous_standby_names`, right and wrong.
fn names() -> impl Strategy<Value = String> {
    let one = "(\\*|[a-z_][a-z0-9_$]{0,5}|\"[^\"]{0,4}(\"\"[^\"]{0,3})?\"?)";
    prop_oneof![
        like(&format!(
            "((FIRST|ANY|any)? ?[0-9]{{0,11}} ?\\()?{one}( ?, ?{one}){{0,3}}\\)?"
        )),
        "\\PC{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn keys_of_the_store(text in stored()) {
        let again = |written: &str| serde_json::from_str::<Value>(written).is_ok();
        let status = Status::parse(&text);
        prop_assert_eq!(&Status::parse(&status.to_json()), &status);
        let sync = SyncState::parse(&text, None);
        prop_assert_eq!(&SyncState::parse(&sync.to_json(), None), &sync);
        let request = FailoverRequest::parse(&text);
        prop_assert_eq!(&FailoverRequest::parse(&request.to_json()), &request);
        prop_assert!(again(&MemberData::parse(&text).to_json()));
        if let Some(history) = History::parse(&text) {
            let _lines = history.timeline();
            prop_assert!(again(&history.to_json()));
        }
        let _read = (SystemId::parse(&text), Version::parse(&text));
    }

    #[test]
    fn addresses(text in address()) {
        if let Some(url) = ConnUrl::parse(&text) {
            prop_assert_eq!(ConnUrl::parse(&url.to_string()), Some(url));
        }
    }

    #[test]
    fn synchronous_standby_names(text in names()) {
        if let Ok(names) = SyncNames::parse(&text) {
            let written = names.to_string();
            let again = SyncNames::parse(&written).ok();
            // A star stands for all, and nobody waits for none or for more than there are.
            let bounded = !names.star && (1..=names.names.len()).contains(&names.count);
            let same = again.as_ref().is_some_and(|again| {
                again.star == names.star
                    && (names.star || again.names == names.names)
                    && (!bounded || *again == names)
            });
            prop_assert!(same, "{names:?}, {written}, {again:?}");
        }
    }

    #[test]
    fn values_of_people(text in "(-?[0-9]{1,25}(\\.[0-9]{0,3})?(e[0-9]{1,3})? ?(B|kB|MB|GB|TB|ms|s|min|h|d)?|on|off|yes|tru|\\PC{0,12})") {
        let given = Value::from(text);
        let _read = (
            value::parse_bool(&given),
            value::parse_int(&given),
            value::parse_seconds(&given),
            value::parse_bytes(&given),
        );
    }
}
