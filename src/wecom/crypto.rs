//! Signatures and encryption of callbacks (WeCom document 90968).
//!
//! It knows bytes and shared secrets, nothing of XML, JSON or HTTP. A message travels as
//! `base64(AES-256-CBC(random[16] + length[4] + message + receiveid + padding))`, with a signature beside it that covers
//! the base64 text. Whatever is wrong with a callback, the answer is the same `Forged`, so that nobody learns from it
//! how far a forgery came.

use aes::cipher::array::Array;
use aes::cipher::{Block, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use aes::{Aes256Dec, Aes256Enc};
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// WeCom pads to twice AES's own block, which is why no library's unpadding fits.
const PADDED_TO: usize = 32;
const KEY_CHARACTERS: usize = 43;
const RANDOM_BYTES: usize = 16;
const HEADER_BYTES: usize = RANDOM_BYTES + 4;

/// 43 characters carry 258 bits, and WeCom's key generator does not clear the last two: the key of its own worked
/// example is one that a strict decoder refuses.
const KEY_ENGINE: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Why a callback is not WeCom's. All of them look alike from outside: 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the callback is not genuine")]
pub struct Forged;

/// A token or key in the settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKey(pub &'static str);

/// What one app's callbacks are signed and encrypted with. The key schedule is computed once, here.
#[derive(Clone)]
pub struct CallbackKeys {
    token: SecretString,
    encrypt: Aes256Enc,
    decrypt: Aes256Dec,
    iv: [u8; RANDOM_BYTES],
    receive_id: String,
}

impl CallbackKeys {
    /// Reads the app's token and 43-character key.
    ///
    /// `receive_id` is whom its callbacks are for: the corp's id for every app of the company's own, empty for an AI bot.
    ///
    /// # Errors
    /// When the key is not 43 characters of base64.
    pub fn new(token: &SecretString, aes_key: &SecretString, receive_id: &str) -> Result<Self, InvalidKey> {
        let text = aes_key.expose_secret();
        if text.len() != KEY_CHARACTERS || text.contains('=') {
            return Err(InvalidKey("the callback key must be 43 letters and digits"));
        }
        let key = KEY_ENGINE.decode(format!("{text}="));
        let Some(key) = key.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
            return Err(InvalidKey("the callback key is not base64"));
        };
        let (iv, _) = key.split_first_chunk().expect("32 bytes have a first half");
        let schedule = Array::from(key);
        Ok(Self {
            token: token.clone(),
            encrypt: Aes256Enc::new(&schedule),
            decrypt: Aes256Dec::new(&schedule),
            iv: *iv,
            receive_id: receive_id.to_owned(),
        })
    }

    /// Verifies and decrypts; gives the message inside.
    ///
    /// The four texts are the values as received, after URL-decoding; `timestamp` is not read as a number. The
    /// signature is compared in constant time and stands before everything else.
    ///
    /// # Errors
    /// Signature, padding and receiveid alike.
    pub fn open(&self, signature: &str, timestamp: &str, nonce: &str, encrypted: &str) -> Result<Vec<u8>, Forged> {
        let expected = self.digest(timestamp, nonce, encrypted);
        let mut hex = [0; 40];
        HEXLOWER.encode_mut(&expected, &mut hex);
        if !bool::from(signature.as_bytes().ct_eq(&hex)) {
            return Err(Forged);
        }
        self.decrypted(encrypted).ok_or(Forged)
    }

    /// Encrypts a message as WeCom would; `random` is its 16 leading bytes.
    ///
    /// # Panics
    /// For a message of 4 GiB or more, which its length field cannot state.
    #[must_use]
    pub fn seal(&self, message: &[u8], random: [u8; 16]) -> String {
        let length = u32::try_from(message.len()).expect("a message is shorter than 4 GiB");
        let mut buffer = Vec::with_capacity(HEADER_BYTES + message.len() + self.receive_id.len() + PADDED_TO);
        buffer.extend_from_slice(&random);
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(message);
        buffer.extend_from_slice(self.receive_id.as_bytes());
        let padding = PADDED_TO - buffer.len() % PADDED_TO;
        buffer.resize(buffer.len() + padding, u8::try_from(padding).expect("padding is at most 32"));
        let (blocks, _) = Block::<Aes256Enc>::slice_as_chunks_mut(&mut buffer);
        cbc::Encryptor::inner_iv_init(&self.encrypt, &Array::from(self.iv)).encrypt_blocks(blocks);
        STANDARD.encode(&buffer)
    }

    /// Signs as WeCom would.
    #[must_use]
    pub fn sign(&self, timestamp: &str, nonce: &str, encrypted: &str) -> String {
        HEXLOWER.encode(&self.digest(timestamp, nonce, encrypted))
    }

    fn digest(&self, timestamp: &str, nonce: &str, encrypted: &str) -> [u8; 20] {
        let mut parts = [self.token.expose_secret(), timestamp, nonce, encrypted];
        parts.sort_unstable();
        let mut hash = Sha1::new();
        for part in parts {
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    fn decrypted(&self, encrypted: &str) -> Option<Vec<u8>> {
        let mut buffer = STANDARD.decode(encrypted).ok()?;
        let (blocks, rest) = Block::<Aes256Dec>::slice_as_chunks_mut(&mut buffer);
        if !rest.is_empty() {
            return None;
        }
        cbc::Decryptor::inner_iv_init(&self.decrypt, &Array::from(self.iv)).decrypt_blocks(blocks);
        let plain = unpadded(&buffer)?;
        let (length, rest) = plain.get(RANDOM_BYTES..)?.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (_, receive_id) = rest.split_at_checked(length)?;
        if receive_id != self.receive_id.as_bytes() {
            return None;
        }
        // The buffer itself becomes the message: one allocation per callback.
        buffer.truncate(HEADER_BYTES + length);
        buffer.drain(..HEADER_BYTES);
        Some(buffer)
    }
}

/// The plaintext without its last 1 to 32 bytes, each of which must be their number.
fn unpadded(buffer: &[u8]) -> Option<&[u8]> {
    let last = *buffer.last()?;
    let padding = usize::from(last);
    if !(1..=PADDED_TO).contains(&padding) {
        return None;
    }
    let (plain, padded) = buffer.split_at_checked(buffer.len().checked_sub(padding)?)?;
    padded.iter().all(|byte| *byte == last).then_some(plain)
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
