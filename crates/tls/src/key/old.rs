//! The form of before PKCS #8, which OpenSSL wrote by itself up to its version 1: the block says
//! in headers by what method it is encrypted, and the password becomes a key by MD5.
//!
//! Source: OpenSSL's manual, `EVP_BytesToKey(3)` and `PEM_read_bio_PrivateKey(3)` ("PEM encryption
//! format").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, KeyInit, KeyIvInit as _};
use md5::{Digest as _, Md5};
use patroni_core::Secret;
use pkcs8::LineEnding;
use pkcs8::der::SecretDocument;

use super::KeyError;

/// A block of this form has this line.
pub(super) const MARK: &str = "Proc-Type: 4,ENCRYPTED";

/// The kinds of keys.
const LABELS: [&str; 3] = ["RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY"];

/// The text with its one key of this form in the open.
pub(super) fn unlock(pem: &str, password: &Secret) -> Result<String, KeyError> {
    let refused = |why: &str| KeyError::Refused(why.to_owned());
    let found = LABELS
        .iter()
        .find_map(|label| Some((*label, cut(pem, label)?)));
    let (label, (before, block, after)) = found.ok_or_else(|| refused("it has no end"))?;
    let block = block.replace("\r\n", "\n");
    let (headers, body) = block
        .split_once("\n\n")
        .ok_or_else(|| refused("its headers have no end"))?;
    let method = headers
        .lines()
        .find_map(|line| line.strip_prefix("DEK-Info:"));
    let (method, iv) = method
        .and_then(|method| method.trim().split_once(','))
        .ok_or_else(|| refused("it does not say by what method it is encrypted"))?;
    let iv = hex(iv.trim()).ok_or_else(|| refused("its initialization vector cannot be read"))?;
    let body: String = body.split_whitespace().collect();
    let body = STANDARD
        .decode(body)
        .map_err(|error| refused(&error.to_string()))?;
    let decrypt = match method {
        "AES-128-CBC" => decrypt::<aes::Aes128>,
        "AES-192-CBC" => decrypt::<aes::Aes192>,
        "AES-256-CBC" => decrypt::<aes::Aes256>,
        "DES-EDE3-CBC" => decrypt::<des::TdesEde3>,
        _ => return Err(refused(&format!("its method {method} is not known"))),
    };
    let key = decrypt(password.expose().as_bytes(), &iv, &body)
        // By chance another password may leave a good end.
        .and_then(|key| SecretDocument::try_from(key).ok())
        .ok_or_else(|| refused("it is another password, or the file is damaged"))?;
    let open = key
        .to_pem(label, LineEnding::LF)
        .map_err(|error| refused(&error.to_string()))?;
    Ok(format!("{before}{}{after}", open.trim_end()))
}

/// What is before, in and after the block of this label that has the mark.
fn cut<'t>(pem: &'t str, label: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let start = pem.find(&begin)?;
    let block = start + begin.len();
    let length = pem[block..].find(&end)?;
    let inside = &pem[block..block + length];
    let after = &pem[block + length + end.len()..];
    inside
        .contains(MARK)
        .then_some((&pem[..start], inside, after))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let even = digits.len().is_multiple_of(2);
    even.then(|| digits.chunks(2).map(byte).collect()).flatten()
}

/// `None` for another password, as a rule, and for an initialization vector of a wrong length.
fn decrypt<C>(password: &[u8], iv: &[u8], text: &[u8]) -> Option<Vec<u8>>
where
    C: BlockDecryptMut + BlockCipher + KeyInit,
{
    let key = derive(password, iv.get(..8)?, C::key_size());
    let cipher = Decryptor::<C>::new_from_slices(&key, iv).ok()?;
    cipher.decrypt_padded_vec_mut::<Pkcs7>(text).ok()
}

/// One round of MD5 after the other, each over the one before, the password and the salt.
fn derive(password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut round = Vec::new();
    while key.len() < length {
        let mut hash = Md5::new();
        hash.update(&round);
        hash.update(password);
        hash.update(salt);
        round = hash.finalize().to_vec();
        key.extend_from_slice(&round);
    }
    key.truncate(length);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By OpenSSL 3: `openssl ec -METHOD -passout pass:secret`, of the same key each.
    const KEY: [(&str, &str, &str); 4] = [
        (
            "AES-128-CBC",
            "8A86A209EA692CEDD866C9F32411B4DF",
            "4HN6ObwEa8gx4KrBZwynb0JgkqEzXdVlDRFX4unb5peexak7JhU/kEQtm24vBOzx\n\
             kJwPK+FKl6LTFRtlG0lZvA0uNxQ/9Q97LDFjasO7uZhh6H6H1HGUNwdjzJlmq1JD\n\
             ElsqKDblScGeOFiBDQeSzXQQjWcz/xk2pPKMCfxZM48=\n",
        ),
        (
            "AES-192-CBC",
            "73D1277E66938373E84851C38243B6D5",
            "LDdCNUSbjlnMNkOqnbUVnYe9ftNszuhH+GWytO8Y22T0ScSbzJciXMhgcPXdLCFA\n\
             nzQKIGQlsJFED05VUdXkVu4DDXgRmUAmu0gctqKvYHvoyagTc1sGYi+czUxRkR1l\n\
             3OTdrXtA6zp4OiJ5K1oI1JNBFNL/1MEiOKtxp7jSKzk=\n",
        ),
        (
            "AES-256-CBC",
            "895FA539E7A8B9CF3F964339BA2EF883",
            "CMGQ/QVlVduqTbcgfWA9WdUUfuCAWFssaVlMHP7nVO3SoMsQjSAIdqDrZgWEeGXg\n\
             6x3Ukgj6iaGyee6cnYpVAqeAKzYpFAgIFm29SnSt9uMfvYMcKXoNiaHi3cLBmzKL\n\
             g+QrnIFkfQPJnnVhHwmx1Swkyj6HC9sCLS/np5jxAy0=\n",
        ),
        (
            "DES-EDE3-CBC",
            "A9ACA46861FF7AD6",
            "qmEeNQTuRvh+/ZVuia7YqId03hlwius2UZHJYlyBQ+LHWxzNgv+tcWp6QCaCZ99K\n\
             OorCOK/SZOKH8gTNfGazQAl23XaEE5KTKA/Hqu/dBuHk6m0nAKJe+kkLGl1hOtaF\n\
             3SrjAmT+WCpIdPx4X3pr++pouwJPphTwQ3dH4icJuFQ=\n",
        ),
    ];
    const OPEN: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIBsevPw8zqCmGgXWrnTztdiesLxVH/5dk1lM4B/9aI96oAoGCCqGSM49
AwEHoUQDQgAEmRkhYoRz3FT0uTMH/ytEO9hY5Go3UIE+K8Rj3XjTZ6ONBdqU6Vi+
NMjXxOrAANKY/cD+/M9uIwccy0Nxq0JvDA==
-----END EC PRIVATE KEY-----
";

    fn block(method: &str, iv: &str, body: &str) -> String {
        format!(
            "-----BEGIN EC PRIVATE KEY-----\n{MARK}\nDEK-Info: {method},{iv}\n\n{body}\
             -----END EC PRIVATE KEY-----\n"
        )
    }

    #[test]
    fn keys_of_all_methods_are_opened_by_their_password() {
        for (method, iv, body) in KEY {
            let locked = format!("certificate\n{}more\n", block(method, iv, body));
            let open = unlock(&locked, &Secret::new("secret"));
            assert_eq!(open, Ok(format!("certificate\n{OPEN}more\n")), "{method}");
            let open = unlock(&locked.replace('\n', "\r\n"), &Secret::new("secret"));
            assert!(open.is_ok(), "{method}: {open:?}");
            let wrong = unlock(&locked, &Secret::new("another"));
            assert!(
                matches!(wrong, Err(KeyError::Refused(_))),
                "{method}: {wrong:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let (method, iv, body) = KEY[0];
        for (damaged, why) in [
            (block("RC2-CBC", iv, body), "RC2-CBC"),
            (block(method, &iv[1..], body), "vector"),
            (block(method, &iv[2..], body), "another password"),
            (block(method, iv, &body[4..]), "damaged"),
            (block(method, iv, "!!!!\n"), "symbol"),
            (
                format!("-----BEGIN EC PRIVATE KEY-----\n{MARK}\n"),
                "no end",
            ),
        ] {
            let refused = unlock(&damaged, &Secret::new("secret")).unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(why), "{why}: {text}");
        }
    }
}
