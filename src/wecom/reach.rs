//! How far a request comes: the host's name, the connection, the encryption, an answer. For `touchpoint doctor`.
//!
//! What an HTTP client calls "error sending request" has four causes with four different fixes, so the way is gone step by
//! step.

use std::error::Error as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use secrecy::SecretString;

use crate::domain::ids::AppId;

use super::crypto::{CallbackKeys, InvalidKey};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The most of an answer that is looked at.
const LONGEST: usize = 64 << 10;

/// Where a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It is no address.
    NoAddress,
    /// Nobody knows a host of that name.
    NoName(String),
    /// The host refuses connections at this port.
    Refused(String),
    /// The host does not answer at this port.
    Silent(String),
    /// Connected, but the encryption does not come about; why.
    NoTls(String),
    /// Connected and sent, but no answer came.
    NoAnswer,
    /// An answer.
    Answered(Answered),
}

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// How far the clock over there is ahead of this machine's, to the second.
    pub ahead: Option<TimeDelta>,
    /// What it says.
    pub body: Vec<u8>,
}

/// Asks with GET; no redirects and no proxy, as every call of Touchpoint.
///
/// # Errors
/// When the HTTP client cannot be built.
pub async fn get(address: &str, query: &[(&str, &str)]) -> Result<Reach, reqwest::Error> {
    let Some((url, host, port)) = parts(address) else { return Ok(Reach::NoAddress) };
    let place = format!("{host}:{port}");
    let Ok(found) = tokio::net::lookup_host((host.as_str(), port)).await else { return Ok(Reach::NoName(host)) };
    let mut missed = Reach::NoName(host.clone());
    for address in found {
        match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return ask(url, query).await,
            Ok(Err(_)) => missed = Reach::Refused(place.clone()),
            Err(_) => missed = Reach::Silent(place.clone()),
        }
    }
    Ok(missed)
}

fn parts(address: &str) -> Option<(Url, String, u16)> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    Some((url, host, port))
}

async fn ask(url: Url, query: &[(&str, &str)]) -> Result<Reach, reqwest::Error> {
    let is_encrypted = url.scheme() == "https";
    let client = reqwest::Client::builder()
        .user_agent(concat!("touchpoint/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let mut response = match client.get(url).query(query).send().await {
        Ok(response) => response,
        Err(error) if is_encrypted && error.is_connect() => return Ok(Reach::NoTls(deepest(&error))),
        Err(_) => return Ok(Reach::NoAnswer),
    };
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    // The header has whole seconds, cut off.
    let ahead = date.map(|date| date.to_utc() + TimeDelta::milliseconds(500) - Utc::now());
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST {
            break;
        }
    }
    Ok(Reach::Answered(Answered { status, ahead, body }))
}

/// The innermost cause; it names no address.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = "the handshake failed".to_owned();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

/// Whether a public address leads nowhere but to the machine itself.
#[must_use]
pub fn is_loopback(address: &str) -> bool {
    let Some((_, host, _)) = parts(address) else { return false };
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// WeCom's host, asked as it is before a token is there (WeCom document 92520): it says 41001, and what time it is.
///
/// # Errors
/// When the HTTP client cannot be built.
pub async fn wecom(api_base: &str) -> Result<Reach, reqwest::Error> {
    get(&format!("{api_base}/cgi-bin/get_api_domain_ip"), &[]).await
}

/// Whether an answer is one of WeCom's API: JSON with an errcode.
#[must_use]
pub fn is_wecom(answered: &Answered) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(&answered.body).ok();
    value.is_some_and(|value| value.get("errcode").is_some())
}

/// An app's callback as WeCom checks it when the address is saved (WeCom document 90968), from this machine.
pub struct CallbackTrial {
    /// The address that was asked.
    pub address: String,
    /// Where the request ended.
    pub reach: Reach,
    /// The answer is the text that was encrypted.
    pub is_ours: bool,
}

/// Signs and encrypts a text of chance with the app's keys, and asks for it below `public_url`.
///
/// # Errors
/// When the HTTP client cannot be built, or a key of the settings cannot be used.
pub async fn callback(
    public_url: &str,
    app: &AppId,
    (token, aes_key, corp_id): (&SecretString, &SecretString, &str),
) -> Result<CallbackTrial, CallbackError> {
    let keys = CallbackKeys::new(token, aes_key, corp_id)?;
    let plain = format!("{}", rand::random::<u64>());
    let echo = keys.seal(plain.as_bytes(), rand::random());
    let (timestamp, nonce) = (Utc::now().timestamp().to_string(), rand::random::<u32>().to_string());
    let signature = keys.sign(&timestamp, &nonce, &echo);
    let query = [("msg_signature", &signature), ("timestamp", &timestamp), ("nonce", &nonce), ("echostr", &echo)];
    let query = query.map(|(name, value)| (name, value.as_str()));
    let address = format!("{public_url}/wecom/callback/{app}");
    let reach = get(&address, &query).await?;
    let is_ours = matches!(&reach, Reach::Answered(answer) if answer.status == 200 && answer.body == plain.as_bytes());
    Ok(CallbackTrial { address, reach, is_ours })
}

/// Why a callback could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_only_the_machine_itself_reaches_is_known() {
        for near in ["http://localhost:8080", "http://127.0.0.1", "https://[::1]:8443", "http://0.0.0.0:1"] {
            assert!(is_loopback(near), "{near}");
        }
        for far in ["https://touchpoint.example.com", "http://10.0.0.1", "no address"] {
            assert!(!is_loopback(far), "{far}");
        }
    }

    #[tokio::test]
    async fn how_far_a_request_comes_is_told_apart() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
        // Whoever takes the connection and hangs up speaks no TLS.
        let second = get(&format!("https://{place}/"), &[]).await.unwrap();
        assert!(matches!(second, Reach::NoTls(_) | Reach::Refused(_)), "{second:?}");
        accepting.await.unwrap().unwrap();
        assert_eq!(get(&format!("http://{place}/"), &[]).await.unwrap(), Reach::Refused(place));
        assert!(matches!(get("http://nobody.invalid/", &[]).await.unwrap(), Reach::NoName(_)));
        assert_eq!(get("nonsense", &[]).await.unwrap(), Reach::NoAddress);
    }
}
