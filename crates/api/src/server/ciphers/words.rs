//! The words of a list: names of suites, and of what several suites have in common.

use super::suite::Suite;

/// Whether a suite is meant.
pub(super) type Meaning = Box<dyn Fn(&Suite) -> bool>;

/// What a word says of a suite; `None` for a word that OpenSSL does not know either.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    if Suite::all().any(|suite| suite.name == word) {
        let name = word.to_owned();
        return Some(Box::new(move |suite| suite.name == name));
    }
    property(word).map(|property| Box::new(property) as _)
}

/// Words that older versions knew, and that choose nothing any more. Files are full of them
/// (`!RC4:!EXPORT`), and nobody needs to hear of it.
pub(super) fn is_history(word: &str) -> bool {
    const PARTS: [&str; 8] = ["DES", "RC2", "RC4", "IDEA", "SEED", "EXP", "KRB5", "GOST"];
    const WORDS: [&str; 11] = [
        "LOW", "MEDIUM", "SSLv2", "kDHr", "kDHd", "kDH", "aDH", "kECDHr", "kECDHe", "kECDH",
        "aECDH",
    ];
    WORDS.contains(&word) || PARTS.iter().any(|part| word.contains(part))
}

fn property(word: &str) -> Option<fn(&Suite) -> bool> {
    Some(match word {
        "ALL" | "HIGH" => encrypts,
        "COMPLEMENTOFALL" | "eNULL" | "NULL" => |suite| !encrypts(suite),
        "COMPLEMENTOFDEFAULT" => |suite| encrypts(suite) && !is_default(suite),
        "FIPS" => |suite| encrypts_by(suite, &["AES", "AESGCM"]) && suite.key_exchange != "SRP",

        "kRSA" | "RSA" => |suite| suite.key_exchange == "RSA",
        "kDHE" | "kEDH" | "DH" => |suite| suite.key_exchange == "DH",
        "DHE" | "EDH" => |suite| suite.key_exchange == "DH" && is_authenticated(suite),
        "ADH" => |suite| suite.key_exchange == "DH" && !is_authenticated(suite),
        "kECDHE" | "kEECDH" | "ECDH" => |suite| suite.key_exchange == "ECDH",
        "ECDHE" | "EECDH" => |suite| suite.key_exchange == "ECDH" && is_authenticated(suite),
        "AECDH" => |suite| suite.key_exchange == "ECDH" && !is_authenticated(suite),
        "PSK" => |suite| suite.key_exchange.ends_with("PSK"),
        "kPSK" => |suite| suite.key_exchange == "PSK",
        "kRSAPSK" => |suite| suite.key_exchange == "RSAPSK",
        "kDHEPSK" => |suite| suite.key_exchange == "DHEPSK",
        "kECDHEPSK" => |suite| suite.key_exchange == "ECDHEPSK",
        "SRP" | "kSRP" => |suite| suite.key_exchange == "SRP",

        "aNULL" => |suite| !is_authenticated(suite),
        "aRSA" => |suite| suite.authentication == "RSA",
        "aECDSA" | "ECDSA" => |suite| suite.authentication == "ECDSA",
        "aDSS" | "DSS" => |suite| suite.authentication == "DSS",
        "aPSK" => |suite| suite.authentication == "PSK",
        "aSRP" => |suite| suite.authentication == "SRP",

        "AES" => is_aes,
        "AES128" => |suite| is_aes(suite) && suite.bits() == 128,
        "AES256" => |suite| is_aes(suite) && suite.bits() == 256,
        "AESGCM" => |suite| encrypts_by(suite, &["AESGCM"]),
        "AESCCM" => |suite| encrypts_by(suite, &["AESCCM", "AESCCM8"]),
        "AESCCM8" => |suite| encrypts_by(suite, &["AESCCM8"]),
        "ARIA" | "ARIAGCM" => |suite| encrypts_by(suite, &["ARIAGCM"]),
        "ARIA128" => |suite| suite.encryption == "ARIAGCM(128)",
        "ARIA256" => |suite| suite.encryption == "ARIAGCM(256)",
        "CAMELLIA" => |suite| encrypts_by(suite, &["Camellia"]),
        "CAMELLIA128" => |suite| suite.encryption == "Camellia(128)",
        "CAMELLIA256" => |suite| suite.encryption == "Camellia(256)",
        "CHACHA20" => |suite| encrypts_by(suite, &["CHACHA20/POLY1305"]),
        "CBC" => |suite| encrypts_by(suite, &["AES", "Camellia"]),

        "MD5" => |suite| suite.mac == "MD5",
        "SHA1" | "SHA" => |suite| suite.mac == "SHA1",
        "SHA256" => |suite| suite.mac == "SHA256",
        "SHA384" => |suite| suite.mac == "SHA384",

        "SSLv3" => |suite| suite.protocol == "SSLv3",
        "TLSv1" | "TLSv1.0" => |suite| suite.protocol == "TLSv1",
        "TLSv1.2" => |suite| suite.protocol == "TLSv1.2",
        _ => return None,
    })
}

fn encrypts(suite: &Suite) -> bool {
    suite.encryption != "None"
}

fn is_authenticated(suite: &Suite) -> bool {
    suite.authentication != "None"
}

fn is_default(suite: &Suite) -> bool {
    is_authenticated(suite)
        && suite.authentication != "DSS"
        && encrypts_by(suite, &["AES", "AESGCM", "CHACHA20/POLY1305"])
}

fn is_aes(suite: &Suite) -> bool {
    encrypts_by(suite, &["AES", "AESGCM", "AESCCM", "AESCCM8"])
}

/// By one of these algorithms, with a key of any length.
fn encrypts_by(suite: &Suite, algorithms: &[&str]) -> bool {
    let algorithm = suite.encryption.split('(').next();
    algorithm.is_some_and(|algorithm| algorithms.contains(&algorithm))
}
