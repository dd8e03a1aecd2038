//! Private keys in PEM files, also those that a password protects.

mod old;

use std::borrow::Cow;

use patroni_core::Secret;
use pkcs8::der::SecretDocument;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding};

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// Why a key cannot be used. The texts go on after the name of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It has a password, and none is known.
    #[error("the private key is encrypted, and no password is set for it")]
    NoPassword,
    /// Another password, or a method of encryption that is not known here.
    #[error("the private key cannot be decrypted with the password that is set for it: {0}")]
    Refused(String),
}

/// The text with its private key in the open; what needs no password stays as it is. The password
/// is tried by the method that the key names, which may take a second on purpose.
///
/// # Errors
/// See [`KeyError`].
pub fn unlock<'a>(pem: &'a str, password: Option<&Secret>) -> Result<Cow<'a, str>, KeyError> {
    if pem.contains(old::MARK) {
        let password = password.ok_or(KeyError::NoPassword)?;
        return old::unlock(pem, password).map(Cow::Owned);
    }
    let Some((before, rest)) = pem.split_once(BEGIN) else {
        return Ok(Cow::Borrowed(pem));
    };
    let password = password.ok_or(KeyError::NoPassword)?;
    let refused = |why: &dyn std::fmt::Display| KeyError::Refused(why.to_string());
    let (body, after) = rest
        .split_once(END)
        .ok_or_else(|| refused(&"it has no end"))?;
    let locked = format!("{BEGIN}{body}{END}\n");
    let (_, locked) = SecretDocument::from_pem(&locked).map_err(|error| refused(&error))?;
    let locked = EncryptedPrivateKeyInfo::try_from(locked.as_bytes());
    let open = locked
        .map_err(|error| refused(&error))?
        .decrypt(password.expose())
        .map_err(|error| refused(&error))?;
    let open = open
        .to_pem("PRIVATE KEY", LineEnding::LF)
        .map_err(|error| refused(&error))?;
    Ok(Cow::Owned(format!("{before}{}{after}", open.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By OpenSSL 3, with the password `secret`: AES-256 by its default method, with the hash that
    /// versions before 1.1 took, and by scrypt; and Triple DES, which its `req` takes.
    const PLAIN: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGx68/DzOoKYaBdau
dPO12J6wvFUf/l2TWUzgH/1oj3qhRANCAASZGSFihHPcVPS5Mwf/K0Q72FjkajdQ
gT4rxGPdeNNno40F2pTpWL40yNfE6sAA0pj9wP78z24jBxzLQ3GrQm8M
-----END PRIVATE KEY-----
";
    const BY_PBKDF2: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgB9QiEiN0aDAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEECy6de7AFoKJYUyzPIVcpz4EgZBf
BmkOm1Ce9Qh7dnFqe9QiMyVbyYVoOs0cRBwzeYxJLlgSFvEppr3NYB3j8EH5wOhI
K+RUmNjR6zXIBRxhpt/RlLbA9vhxSeXtpVoEBuehnGiRYE2pTZo+7DAQnwUrZxmg
qtRX2SxSo97u2uNk5exwR5WY4uPD+ZrrXyEd7E99K+WbS3+7VbVTXog6xN2XwII=
-----END ENCRYPTED PRIVATE KEY-----
";
    const BY_SHA1: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHeMEkGCSqGSIb3DQEFDTA8MBsGCSqGSIb3DQEFDDAOBAhqSPON3t0w3AICCAAw
HQYJYIZIAWUDBAEqBBCWICV7npSTNBAoVBytrqlPBIGQVYEMxqZ55/mc/4oE9u0m
pJ9zHOHoWpxyYyxRyuP+I2X7/FV67ruSf5K3TJ/CPGRgAxdCSCyW3HxqJw7TUiyR
eS5e4UdWkvrKc59cv6Ur4MTJd1IZOZPg2I3cPL/VkgsAI7is9CpQ0g0/zW2qbI+V
jR1AnWzGiSKro8WPqYVHpZp5QEQbIkySKJ/WiPzTi0Wb
-----END ENCRYPTED PRIVATE KEY-----
";
    const BY_3DES: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHjME4GCSqGSIb3DQEFDTBBMCkGCSqGSIb3DQEFDDAcBAjbndqFj5ibDQICCAAw
DAYIKoZIhvcNAgkFADAUBggqhkiG9w0DBwQINoG0tsTYb3oEgZCd519yNaClb0A7
N6yYyUrcT2GRXBEG28UdOTu6TjViqH1AaXJ8WEgtbrxrENS4ISbfsWiX6QlD+nOi
OT3ozkoQKA8RbNEzNtX5sST0tLnx7HT9l5gAFKmdsGfUoYkupWQ4DAu0KO0ZRJis
2qLPVDuu5R9MhzhwZJi6Dj8AmG7FrDc9ZLIOB+OIyo4L/Abf0u8=
-----END ENCRYPTED PRIVATE KEY-----
";
    const BY_SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAjMyR8ZqxXlRgICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBDnwj9mqd56PmGU+rWxmXw7BIGQH1eTkz6ixKN9
MXTEGcNpzOW7PPaXm6pBoQ2fq+SFmXR4BYr3ThO9l07EIuCkbuGzKZ8GRsl1kjzn
4FxAE5NOPolBDc3fk0l0NuzF2ke7kwNyPUKlqJb78m3gH0/MV9p2TEUg3noY/9aj
k64FC0rZuuJ0s4IhDFXAENGS0gIbFXX45kTj6BFsb9w7dUEFR1kt
-----END ENCRYPTED PRIVATE KEY-----
";

    fn with(password: &str, pem: &str) -> Result<String, KeyError> {
        unlock(pem, Some(&Secret::new(password))).map(Cow::into_owned)
    }

    #[test]
    fn keys_of_openssl_are_opened_by_their_password() {
        for locked in [BY_PBKDF2, BY_SHA1, BY_3DES, BY_SCRYPT] {
            assert_eq!(with("secret", locked).as_deref(), Ok(PLAIN));
            assert_eq!(unlock(locked, None), Err(KeyError::NoPassword));
            let wrong = with("another", locked);
            assert!(matches!(wrong, Err(KeyError::Refused(_))), "{wrong:?}");
        }
    }

    #[test]
    fn what_stands_around_a_key_stays() {
        let around = |key: &str| format!("certificate\n{key}and more\n");
        assert_eq!(with("secret", &around(BY_PBKDF2)), Ok(around(PLAIN)));
        assert_eq!(with("secret", PLAIN).as_deref(), Ok(PLAIN));
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        for damaged in [BY_SCRYPT.replace("MI", "!!"), BY_SCRYPT.replace(END, "")] {
            let refused = with("secret", &damaged);
            assert!(matches!(refused, Err(KeyError::Refused(_))), "{refused:?}");
        }
    }
}
