//! `server.key`: 32 bytes that encrypt what is stored; with a private Redis they are made once.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::settings::{RedisUrl, Settings};
use crate::wecom::client::ServerKey;

const LENGTH: usize = 32;

/// The key of the settings; with `embedded:DIR` and none there, the one in DIR, made at the first start (mode 0600).
///
/// # Errors
/// When it is not 32 bytes of base64, cannot be read or made, or is missing where it is needed.
pub fn of(settings: &Settings) -> anyhow::Result<ServerKey> {
    match (&settings.server.key, &settings.redis.url) {
        (Some(key), _) => parse(key).context("server.key in touchpoint.yaml"),
        (None, RedisUrl::Embedded(dir)) => made_once(&dir.join("server.key")),
        (None, RedisUrl::Single(_) | RedisUrl::Cluster(_) | RedisUrl::Sentinel(_)) => {
            anyhow::bail!("server.key is needed with a Redis of your own; make one with `openssl rand -base64 32`")
        }
    }
}

fn parse(text: &SecretString) -> anyhow::Result<ServerKey> {
    // The decoder's error would quote a byte of the key, so it is not kept.
    let bytes = STANDARD.decode(text.expose_secret().trim()).ok().filter(|bytes| bytes.len() == LENGTH);
    let bytes = bytes.context("it is not 32 bytes in base64; make one with `openssl rand -base64 32`")?;
    Ok(ServerKey(SecretSlice::from(bytes)))
}

fn made_once(path: &Path) -> anyhow::Result<ServerKey> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(mut file) => {
            let fresh = STANDARD.encode(rand::random::<[u8; LENGTH]>());
            file.write_all(fresh.as_bytes()).and_then(|()| file.sync_all()).with_context(|| write_error(path))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| write_error(path)),
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&SecretString::from(text)).with_context(|| path.display().to_string())
}

fn write_error(path: &Path) -> String {
    format!("making {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.key");
        let (first, second) = (made_once(&path).unwrap(), made_once(&path).unwrap());
        assert_eq!(first.0.expose_secret(), second.0.expose_secret());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_cannot_be_used_is_not_shown() {
        let error = parse(&SecretString::from("not-the-key")).err().unwrap();
        assert!(!format!("{error:#}").contains("not-the-key"));
    }
}
