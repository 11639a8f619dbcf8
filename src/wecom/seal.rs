//! Access tokens as they lie in Redis: encrypted and bound to their app.
//!
//! AES-256-GCM with a key derived from `server.key`, a random nonce, and the app's name as associated data, so that one
//! app's token cannot be passed off as another's.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::ids::AppId;

use super::client::ServerKey;

/// What the key is for; another purpose derives another key.
const PURPOSE: &[u8] = b"touchpoint: access tokens, 1";
/// The first byte of what is stored: how it is sealed.
const FORM: u8 = 1;
const NONCE_BYTES: usize = 12;

/// A token with its times, in milliseconds of real time.
#[derive(Clone)]
pub(crate) struct Opened {
    /// The token.
    pub(crate) token: SecretString,
    /// From here on it is to be replaced.
    pub(crate) refresh_at: i64,
    /// From here on WeCom refuses it.
    pub(crate) dies_at: i64,
}

#[derive(Serialize, Deserialize)]
struct Inside {
    token: String,
    refresh_at: i64,
    dies_at: i64,
}

/// Seals tokens and opens them.
pub(crate) struct Seal(Aes256Gcm);

/// What lies in Redis was not sealed with this key for this app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored access token cannot be opened with this server.key")]
pub(crate) struct Unopenable;

impl Seal {
    /// The seal of a server key.
    pub(crate) fn new(key: &ServerKey) -> Self {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.0.expose_secret())
            .expect("an HMAC takes a key of any length");
        mac.update(PURPOSE);
        Self(Aes256Gcm::new(&mac.finalize().into_bytes()))
    }

    /// Encrypts a token for one app.
    pub(crate) fn seal(&self, app: &AppId, opened: &Opened) -> Result<Vec<u8>, Unopenable> {
        let inside = Inside {
            token: opened.token.expose_secret().to_owned(),
            refresh_at: opened.refresh_at,
            dies_at: opened.dies_at,
        };
        let text = serde_json::to_vec(&inside).map_err(hide)?;
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: &text, aad: app.as_str().as_bytes() };
        let hidden = self.0.encrypt(&Nonce::from(nonce), payload).map_err(hide)?;
        Ok([&[FORM][..], &nonce, &hidden].concat())
    }

    /// Decrypts a token of one app.
    pub(crate) fn open(&self, app: &AppId, sealed: &[u8]) -> Result<Opened, Unopenable> {
        let Some((&FORM, rest)) = sealed.split_first() else { return Err(Unopenable) };
        let Some((nonce, hidden)) = rest.split_first_chunk::<NONCE_BYTES>() else { return Err(Unopenable) };
        let payload = Payload { msg: hidden, aad: app.as_str().as_bytes() };
        let text = self.0.decrypt(&Nonce::from(*nonce), payload).map_err(hide)?;
        let inside: Inside = serde_json::from_slice(&text).map_err(hide)?;
        Ok(Opened { token: inside.token.into(), refresh_at: inside.refresh_at, dies_at: inside.dies_at })
    }
}

/// The cause is dropped on purpose: it could quote what is being hidden.
fn hide<E>(_cause: E) -> Unopenable {
    Unopenable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(&ServerKey(vec![byte; 32].into()))
    }
    fn app(name: &str) -> AppId {
        AppId::parse(name).unwrap()
    }
    fn opened() -> Opened {
        Opened { token: "tok-distinctive".to_owned().into(), refresh_at: 5, dies_at: 6 }
    }

    #[test]
    fn a_token_comes_back_as_it_was_put_in() {
        let sealed = seal(1).seal(&app("assistant"), &opened()).unwrap();
        let back = seal(1).open(&app("assistant"), &sealed).unwrap();
        assert_eq!((back.token.expose_secret(), back.refresh_at, back.dies_at), ("tok-distinctive", 5, 6));
    }

    #[test]
    fn what_lies_in_redis_does_not_show_the_token_and_differs_each_time() {
        let first = seal(1).seal(&app("assistant"), &opened()).unwrap();
        let second = seal(1).seal(&app("assistant"), &opened()).unwrap();
        assert_ne!(first, second);
        assert!(!first.windows(4).any(|part| part == b"tok-"));
    }

    #[test]
    fn another_key_another_app_or_a_changed_byte_does_not_open_it() {
        let sealed = seal(1).seal(&app("assistant"), &opened()).unwrap();
        assert!(seal(2).open(&app("assistant"), &sealed).is_err());
        assert!(seal(1).open(&app("other"), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal(1).open(&app("assistant"), &changed).is_err(), "byte {at}");
            assert!(seal(1).open(&app("assistant"), &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
