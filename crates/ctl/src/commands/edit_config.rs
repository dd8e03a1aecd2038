//! `edit-config`: changes the dynamic configuration in the store, by compare-and-set.

use patroni_config::Dynamic;
use patroni_core::Revision;
use patroni_core::config_doc::patch;
use patroni_core::exact::inexact_key;
use serde_json::{Map, Value};

use super::migrate_store::mark::refuse_while_moving;
use crate::cli::EditConfig;
use crate::context::Context;
use crate::exit::Failure;
use crate::rehearsal::Rehearsal;
use crate::{diff, editor, yaml};

pub(super) async fn run(context: &mut Context, args: EditConfig) -> Result<(), Failure> {
    let scope = context.scope("edit-config", args.one.cluster.as_ref())?;
    let group = context.own_group(args.one.group)?;
    let target = context.target(&scope, group).await?;
    let Some(config) = &target.cluster.config else {
        return Err(Failure::refused(format!(
            "The config key does not exist in the cluster {scope}"
        )));
    };
    let before = yaml::block(&Value::Object(config.data.as_ref().clone()));
    let after = match by_options(context, &args, &config.data).await? {
        Some(after) => after,
        None => by_hand(context, scope.as_str(), &before).await?,
    };
    require_short_numbers(&after)?;
    if config.data.get("pause") != after.get("pause") {
        refuse_while_moving(&target.cluster)?;
    }
    if same(
        &Value::Object(config.data.as_ref().clone()),
        &Value::Object(after.clone()),
    ) {
        return if args.quiet {
            Ok(())
        } else {
            context.print("Not changed")
        };
    }
    if !args.quiet {
        let now = yaml::block(&Value::Object(after.clone()));
        diff::show(context, &before, &now)?;
    }
    if args.dry_run {
        return rehearse(context, &after, &config.revision);
    }
    let piped = [&args.apply, &args.replace]
        .into_iter()
        .any(|file| file.as_deref() == Some("-"));
    if !args.force {
        if piped {
            return context.print("Use --force option to apply changes");
        }
        if !context.confirm("Apply these changes?").await? {
            return Ok(());
        }
    }
    match target
        .store
        .write_config(&after, Some(&config.revision))
        .await
    {
        Ok(()) => context.print("Configuration changed"),
        Err(error) if error.is_lost_race() => Err(Failure::refused(
            "Config modification aborted due to concurrent changes",
        )),
        Err(error) => Err(context.store_failure(target.store.as_ref(), error)),
    }
}

/// A number that was stored by others and is longer than 64 bits is not what it was any more
/// when it is written back.
fn require_short_numbers(config: &Map<String, Value>) -> Result<(), Failure> {
    match inexact_key(config) {
        Some(key) => Err(Failure::refused(format!(
            "The configuration has a number below {key} that does not fit into 64 bits and would be changed; set it as a text, in quotes"
        ))),
        None => Ok(()),
    }
}

fn rehearse(
    context: &mut Context,
    after: &Map<String, Value>,
    judged: &Revision,
) -> Result<(), Failure> {
    let mut rehearsal = Rehearsal::default();
    rehearsal.step(format!(
        "write the key config, if it still has the revision {judged}"
    ));
    match Dynamic::read(after) {
        Ok((_, corrections)) => {
            rehearsal.step("each node takes it over with its next cycle");
            for correction in corrections {
                rehearsal.step(format!("each node corrects it: {correction}"));
            }
        }
        Err(error) => rehearsal.refuse(format!(
            "each node would refuse the document: failed to {error}"
        )),
    }
    rehearsal.tell(context)
}

/// The document that the options make; `None` when there are none.
async fn by_options(
    context: &mut Context,
    args: &EditConfig,
    before: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>, Failure> {
    if args.apply.is_none() && args.replace.is_none() && args.set.is_empty() && args.pg.is_empty() {
        return Ok(None);
    }
    let mut after = before.clone();
    if let Some(file) = &args.replace {
        after = read(context, file).await?;
        after.retain(|_, value| !value.is_null());
    }
    if let Some(file) = &args.apply {
        let with = read(context, file).await?;
        patch(&mut after, &with);
    }
    for setting in &args.set {
        set(&mut after, setting, &[])?;
    }
    for setting in &args.pg {
        set(&mut after, setting, &["postgresql", "parameters"])?;
    }
    Ok(Some(after))
}

/// What the user makes of the document. On a terminal a slip in it costs no work: the text is
/// opened again as it was left.
async fn by_hand(
    context: &mut Context,
    scope: &str,
    before: &str,
) -> Result<Map<String, Value>, Failure> {
    const PLACE: &str = "the edited configuration";
    let mut text = before.to_owned();
    loop {
        text = editor::edit(&context.environment, scope, &text)?;
        let read = yaml::parse(&text, PLACE).and_then(|value| mapping(value, PLACE));
        match read {
            Err(slip) if context.console.is_terminal() => {
                context.console.err(&format!("{slip}\n"));
                if !context.confirm("Edit it again?").await? {
                    return Err(Failure::Aborted);
                }
            }
            decided => return decided,
        }
    }
}

async fn read(context: &mut Context, file: &str) -> Result<Map<String, Value>, Failure> {
    let text = if file == "-" {
        context.console.rest().await
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| Failure::io(format!("read {file}"), error))?;
    mapping(yaml::parse(&text, file)?, file)
}

fn mapping(value: Value, place: &str) -> Result<Map<String, Value>, Failure> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Failure::Yaml {
            place: place.to_owned(),
            why: "a mapping is expected".to_owned(),
        }),
    }
}

/// Sets `a.b.c=YAML` below `prefix`; null removes. Below `postgresql.parameters` the rest of the
/// path is one name.
fn set(config: &mut Map<String, Value>, setting: &str, prefix: &[&str]) -> Result<(), Failure> {
    let Some((path, text)) = setting.split_once('=') else {
        let place = [prefix, &[setting]].concat().join(".");
        return Err(Failure::refused(format!(
            "Invalid parameter setting {place}"
        )));
    };
    let path = path.trim();
    let value = yaml::parse(text, setting)?;
    let mut names: Vec<&str> = prefix.to_vec();
    if prefix.is_empty() {
        match path.strip_prefix("postgresql.parameters.") {
            Some(name) => names.extend(["postgresql", "parameters", name]),
            None => names.extend(path.split('.')),
        }
    } else {
        names.push(path);
    }
    put(config, &names, value);
    Ok(())
}

fn put(map: &mut Map<String, Value>, names: &[&str], value: Value) {
    let [name, rest @ ..] = names else {
        return;
    };
    if rest.is_empty() {
        if value.is_null() {
            map.remove(*name);
        } else {
            map.insert((*name).to_owned(), value);
        }
        return;
    }
    let child = map
        .entry((*name).to_owned())
        .or_insert_with(|| Value::Object(Map::new()));
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    if let Value::Object(child) = child {
        put(child, rest, value);
        if child.is_empty() {
            map.remove(*name);
        }
    }
}

/// Equality with types (`20` is not `"20"`), but `1`, `1.0` and `true` are one.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(x), Value::Number(y)) if x.is_i64() && y.is_i64() => x == y,
        _ => match (number(a), number(b)) {
            #[expect(clippy::float_cmp, reason = "equal values, not near ones")]
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(before: &Value, setting: &str) -> Value {
        let mut map = before.as_object().unwrap().clone();
        set(&mut map, setting, &[]).unwrap();
        Value::Object(map)
    }

    #[test]
    fn paths_make_and_remove_parents() {
        assert_eq!(after(&json!({}), "a.b=[1,2]"), json!({"a": {"b": [1, 2]}}));
        assert_eq!(after(&json!({"a": {"b": 1}}), "a.b="), json!({}));
        assert_eq!(
            after(&json!({"a": 1}), "a.b=\"007\""),
            json!({"a": {"b": "007"}})
        );
        assert_eq!(
            after(&json!({}), "postgresql.parameters.pg_stat_statements.max=5"),
            json!({"postgresql": {"parameters": {"pg_stat_statements.max": 5}}})
        );
        assert_eq!(
            set(&mut Map::new(), "bogus", &[]).unwrap_err().to_string(),
            "Error: Invalid parameter setting bogus"
        );
        let below = set(&mut Map::new(), "abc", &["postgresql", "parameters"]);
        assert_eq!(
            below.unwrap_err().to_string(),
            "Error: Invalid parameter setting postgresql.parameters.abc"
        );
    }

    #[test]
    fn blanks_around_a_path_are_no_part_of_it() {
        let mut config = Map::new();
        set(&mut config, " loop_wait =11", &[]).unwrap();
        set(&mut config, " work_mem = 5", &["postgresql", "parameters"]).unwrap();
        let expected = json!({"loop_wait": 11, "postgresql": {"parameters": {"work_mem": 5}}});
        assert_eq!(Value::Object(config), expected);
    }

    #[test]
    fn numbers_that_the_store_cannot_keep_are_refused() {
        for text in [
            "x=123456789012345678901234567890",
            "x=.inf",
            "a.b=[-.inf]",
            "x=.nan",
        ] {
            let error = set(&mut Map::new(), text, &[]).unwrap_err();
            assert!(error.to_string().contains("quote"), "{error}");
        }
        let stored = serde_json::from_str(r#"{"a": {"b": 123456789012345678901}}"#).unwrap();
        let error = require_short_numbers(&stored).unwrap_err();
        assert!(error.to_string().contains("below a"), "{error}");
    }

    #[test]
    fn sameness_looks_at_types_but_not_at_kinds_of_numbers() {
        assert!(same(&json!({"a": 1}), &json!({"a": 1.0})));
        assert!(same(&json!(1), &json!(true)));
        assert!(!same(&json!(20), &json!("20")));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }
}
