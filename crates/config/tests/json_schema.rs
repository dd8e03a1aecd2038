//! The JSON Schema against every recorded configuration that a start reads without a warning.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use patroni_config::{Effective, Environment, Local, Settings, json_schema};
use serde_json::{Map, Value};

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", json_schema()).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn faults(&self, document: &Value) -> Option<String> {
        let checked = self.schemas.validate(document, self.index);
        checked.err().map(|error| error.to_string())
    }
}

fn golden(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(folder);
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|kind| kind == "yml"))
        .collect();
    files.sort();
    files
}

/// A recorded file with something where a place or a port was left out.
fn text(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let name = after.split_once('}').map(|(name, _)| name).filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b"_0123456789".contains(&b))
        });
        if let Some(name) = name {
            out.push_str(if name.contains("PORT") { "5432" } else { "/x" });
            rest = &after[name.len() + 1..];
        } else {
            out.push('{');
            rest = after;
        }
    }
    out + rest
}

/// The settings of a file and the warnings about them, if a start reads it.
fn read(file: &Path) -> Option<(Value, Vec<String>)> {
    let variables = [("PATRONI_CONFIGURATION".to_owned(), text(file))];
    let local = Local::load(None, &Environment::read(variables)).ok()?;
    let local = local.require().ok()?;
    let effective = Effective::compute(&Map::new(), &local).ok()?;
    let (_, warnings) = Settings::read(&effective).ok()?;
    Some((Value::Object(local.settings), warnings))
}

/// A start ignores the section `citus` of this file in silence, as the reference does. An editor
/// had better say why.
const IGNORED_SECTION: &str = "v45-citus-incomplete.input.yml";

#[test]
fn what_a_start_reads_in_silence_fits_and_unknown_keys_do_not() {
    let schema = Schema::new();
    let (mut fitting, mut unknown) = (0, 0);
    for file in golden("validate").into_iter().chain(golden("generate")) {
        let Some((settings, warnings)) = read(&file) else {
            continue;
        };
        let faults = schema.faults(&settings);
        let name = file.display();
        let is_unknown = |warning: &String| warning.contains("is an unknown key");
        if warnings.iter().any(is_unknown) {
            assert!(faults.is_some(), "{name} has unknown keys");
            unknown += 1;
        } else if warnings.is_empty() && !file.ends_with(IGNORED_SECTION) {
            assert_eq!(faults, None, "{name}");
            fitting += 1;
        }
    }
    assert!(
        fitting > 20 && unknown > 0,
        "{fitting} fit, {unknown} have unknown keys"
    );
}

#[test]
fn wrong_types_do_not_fit() {
    let schema = Schema::new();
    for document in [
        serde_json::json!({"scope": ["a"]}),
        serde_json::json!({"restapi": {"allowlist": "10.0.0.1"}}),
        serde_json::json!({"postgresql": {"parameters": []}}),
        serde_json::json!({"watchdog": {"mode": "sometimes"}}),
        serde_json::json!({"etcd3": {"port": 70000}}),
        serde_json::json!([]),
    ] {
        assert!(schema.faults(&document).is_some(), "{document}");
    }
    let anchors = serde_json::json!({"x-common": {"a": 1}, "scope": "s", "tags": {"mine": true}});
    assert_eq!(schema.faults(&anchors), None);
}
