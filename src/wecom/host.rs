//! One request to WeCom's host, and what came back, before anybody asks what it means.
//!
//! Access tokens and secrets travel in the query (WeCom document 90664). So an error of the HTTP client is never kept or
//! shown: only its kind is, and no address.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::breaker::Breaker;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// The most bytes of an answer that are read; the longest answer there is, 10,000 tags, is far below.
const LONGEST_ANSWER: usize = 16 << 20;

/// WeCom's host.
#[derive(Debug)]
pub(crate) struct Host {
    client: reqwest::Client,
    base: String,
    /// Open while the host cannot be reached.
    pub(crate) breaker: Breaker,
}

/// A request.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Below `/cgi-bin/`.
    pub(crate) path: &'a str,
    /// What the query holds, secrets too.
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// A JSON body; none makes it a GET.
    pub(crate) body: Option<&'a Value>,
    /// How long to wait for the whole answer.
    pub(crate) patience: Duration,
}

/// An answer of WeCom's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    /// 0 is fine.
    pub(crate) errcode: i64,
    /// For people; may repeat what was sent.
    pub(crate) errmsg: String,
    /// Everything else.
    pub(crate) fields: Map<String, Value>,
}

/// No answer of WeCom's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoReply {
    /// Nothing is attempted for so long.
    Closed(Duration),
    /// Not sent: no connection came about.
    Unsent,
    /// Sent, and nobody knows what became of it.
    Unanswered,
    /// Something that is not WeCom's API answered with this status.
    NotWecom(u16),
}

impl Host {
    /// The host below `base`.
    ///
    /// No redirects: a token must not follow one. No proxy from the environment: the address WeCom sees must be the
    /// trusted one on purpose.
    pub(crate) fn new(base: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("touchpoint/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), breaker: Breaker::default() })
    }

    /// Makes one request, unless the breaker is open.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Reply, NoReply> {
        let pass = self.breaker.admit(Instant::now()).map_err(NoReply::Closed)?;
        let answer = self.exchange(request).await;
        match &answer {
            Ok(_) => pass.answered(),
            Err(NoReply::Unsent | NoReply::Unanswered) => pass.failed(Instant::now()),
            Err(NoReply::Closed(_) | NoReply::NotWecom(_)) => {}
        }
        let (status, body) = answer?;
        read(status, &body)
    }

    async fn exchange(&self, request: Request<'_>) -> Result<(u16, Vec<u8>), NoReply> {
        let address = format!("{}/cgi-bin/{}", self.base, request.path);
        let mut call = match request.body {
            // Serialised here, not by the client, so that it is certain to be raw UTF-8.
            Some(body) => self
                .client
                .post(address)
                .header("content-type", "application/json; charset=utf-8")
                .body(body.to_string()),
            None => self.client.get(address),
        };
        call = call.query(request.query).timeout(request.patience);
        let mut response = call.send().await.map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(NoReply::Unanswered);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}

fn lost(error: &reqwest::Error) -> NoReply {
    if error.is_connect() || error.is_builder() { NoReply::Unsent } else { NoReply::Unanswered }
}

/// What an answer says. `errcode` missing or 0 is fine (WeCom document 90664); a wrong path answers 404 and nothing.
pub(crate) fn read(status: u16, body: &[u8]) -> Result<Reply, NoReply> {
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Some(fields),
        Ok(_) | Err(_) => None,
    };
    match fields {
        Some(mut fields) if status == 200 || fields.contains_key("errcode") => {
            let errcode = fields.remove("errcode").and_then(|code| code.as_i64()).unwrap_or(0);
            let errmsg = match fields.remove("errmsg") {
                Some(Value::String(text)) => text,
                Some(_) | None => String::new(),
            };
            Ok(Reply { errcode, errmsg, fields })
        }
        Some(_) | None if status == 200 || status >= 500 => Err(NoReply::Unanswered),
        Some(_) | None => Err(NoReply::NotWecom(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_errcode_or_with_0_is_fine() {
        for body in [r#"{"errcode":0,"errmsg":"ok","msgid":"m"}"#, r#"{"msgid":"m"}"#] {
            let reply = read(200, body.as_bytes()).unwrap();
            assert_eq!((reply.errcode, reply.fields["msgid"].as_str()), (0, Some("m")));
        }
        let reply = read(200, br#"{"errcode":-1,"errmsg":"system busy"}"#).unwrap();
        assert_eq!((reply.errcode, reply.errmsg.as_str()), (-1, "system busy"));
    }

    #[test]
    fn half_an_answer_or_a_page_of_a_gateway_leaves_it_open_what_happened() {
        for (status, body) in [(200, r#"{"errcode":0,"msg"#), (200, "<html>"), (200, "[]"), (200, ""), (502, "<html>")]
        {
            assert_eq!(read(status, body.as_bytes()), Err(NoReply::Unanswered), "{status} {body}");
        }
        assert_eq!(read(500, b"{}"), Err(NoReply::Unanswered));
    }

    #[test]
    fn a_wrong_address_or_a_redirect_is_not_wecom() {
        for status in [404, 301, 403, 413] {
            assert_eq!(read(status, b""), Err(NoReply::NotWecom(status)));
        }
        assert_eq!(read(403, br#"{"errcode":60020}"#).unwrap().errcode, 60020);
    }
}
