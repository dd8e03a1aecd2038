//! Beside what OpenSSL makes of the same lists.

use super::Offer;
use super::list::Selection;
use super::suite::Suite;

fn refusal(list: &str) -> String {
    Offer::of(list).unwrap_err().to_string()
}

/// Each line holds a list, how many suites of TLS 1.2 and older `openssl ciphers` (3.0) prints for it, or
/// why it does not, and those of them that this server has.
#[test]
fn lists_mean_what_they_mean_to_openssl() {
    let lines = include_str!("openssl_lists.txt").lines();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [list, count, spoken] = fields[..] else {
            panic!("{line}");
        };
        let seen = match Selection::of(list) {
            Ok(selection) if selection.suites.is_empty() => ("nothing".to_owned(), String::new()),
            Ok(selection) => {
                let names = selection.suites.iter().map(|suite| suite.name);
                let spoken: Vec<_> = names.filter(|name| super::offer::is_spoken(name)).collect();
                (selection.suites.len().to_string(), spoken.join(" "))
            }
            Err(_) => ("unreadable".to_owned(), String::new()),
        };
        assert_eq!(seen, (count.to_owned(), spoken.to_owned()), "{list}");
    }
}

#[test]
fn the_table_is_whole() {
    assert_eq!(Suite::all().count(), 155);
}

#[test]
fn what_has_no_effect_is_told() {
    let remarks = |list| Offer::of(list).unwrap().remarks;
    assert_eq!(remarks("HIGH:!aNULL:!RC4:!EXPORT:!3DES"), [""; 0]);
    let unknown = "restapi.ciphers: !AES-128, TLS_AES_128_GCM_SHA256 have no effect, as OpenSSL does not know them";
    assert_eq!(remarks("ECDHE:!AES-128:TLS_AES_128_GCM_SHA256"), [unknown]);
    let [left] = &remarks("AES256-SHA")[..] else {
        panic!("one remark");
    };
    assert!(left.ends_with("clients need TLS 1.3"), "{left}");
    assert_eq!(remarks("AES128:@SECLEVEL=5").len(), 1);
}

#[test]
fn refusals_tell_why() {
    for (list, why) in [
        ("ECDHE:%", "it cannot be read from \"%\" on"),
        ("ECDHE:AES+:x", "it cannot be read from \"AES+:x\" on"),
        (
            "@SECLEVEL=6",
            "there is no \"@SECLEVEL=6\", only @STRENGTH and @SECLEVEL=0 to @SECLEVEL=5",
        ),
    ] {
        assert_eq!(refusal(list), why);
    }
    let nothing = refusal("HIGH:!HIGH");
    assert!(
        nothing.ends_with("ECDHE-RSA-AES128-GCM-SHA256"),
        "{nothing}"
    );
}
