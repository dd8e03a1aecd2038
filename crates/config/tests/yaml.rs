//! Reading and writing of YAML, compared with what the reference's library made of the same.

use patroni_config::yaml::{Options, parse_value, to_block, to_flow};
use serde_json::Value;

#[test]
fn texts_are_written_byte_for_byte() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/yaml/written.json")).unwrap();
    for case in cases {
        let value = &case["value"];
        assert_eq!(
            to_block(value, Options::default()),
            case["block"].as_str().unwrap()
        );
        assert_eq!(
            to_block(value, Options::WIDE),
            case["wide"].as_str().unwrap()
        );
        assert_eq!(to_flow(value), case["flow"].as_str().unwrap().trim_end());
    }
}

#[test]
fn texts_are_read_alike() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/yaml/read.json")).unwrap();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        // Null in place of a value: both refuse the text, or both find nothing.
        let ours = parse_value(text).unwrap_or_default();
        assert_eq!(ours, case["value"], "{text}");
    }
}
