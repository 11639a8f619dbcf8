//! A sandbox with two members and one app, a server that hears callbacks, and calls in WeCom's own words.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use touchpoint::clock::Clock;
use touchpoint::sandbox::{Adding, Confirm, Options, Sandbox, SandboxApp, Staff, World};
use touchpoint::wecom::crypto::CallbackKeys;

pub(crate) const CORP: &str = "ww0123456789abcdef";
pub(crate) const SECRET: &str = "the-secret-of-the-app";
pub(crate) const AGENT: i64 = 1_000_002;
const TOKEN: &str = "callbacktoken";
const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// Long enough for any machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Test {
    pub(crate) sandbox: Sandbox,
    pub(crate) world: World,
    pub(crate) clock: Clock,
    pub(crate) http: reqwest::Client,
    token: String,
}

impl Test {
    /// Members `lili` (confirms after 10 minutes) and `wangwei` (never); an app whose callbacks go nowhere.
    pub(crate) async fn start() -> Self {
        Self::with_callback(None).await
    }

    pub(crate) async fn with_callback(callback_url: Option<String>) -> Self {
        Self::with(callback_url, |_| ()).await
    }

    /// The same with other options.
    pub(crate) async fn with(callback_url: Option<String>, change: impl FnOnce(&mut Options)) -> Self {
        let clock = Clock::default();
        let app = SandboxApp {
            name: "assistant".into(),
            agent_id: AGENT,
            secret: SECRET.into(),
            token: TOKEN.into(),
            aes_key: AES_KEY.into(),
            callback_url,
        };
        let other = SandboxApp {
            name: "other".into(),
            agent_id: 1_000_003,
            secret: "other-secret".into(),
            callback_url: None,
            ..app.clone()
        };
        let mut options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            clock: clock.clone(),
            corp_id: CORP.into(),
            apps: vec![app, other],
            seed: 7,
            acts: false,
            server_clock: None,
        };
        change(&mut options);
        let sandbox = Sandbox::start(options).await.unwrap();
        let world = sandbox.world();
        world.hire(Staff::new("lili", "李丽").confirming(Confirm::After(Duration::from_secs(600))));
        world.hire(Staff::new("WangWei", "王伟"));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut test = Self { sandbox, world, clock, http, token: String::new() };
        test.token = test.new_token(SECRET).await;
        test
    }

    pub(crate) async fn new_token(&self, secret: &str) -> String {
        let reply = self.raw_get("gettoken", &[("corpid", CORP), ("corpsecret", secret)]).await;
        assert_eq!(reply["errcode"], 0, "{reply}");
        reply["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.base_url())
    }

    /// A GET without a token.
    pub(crate) async fn raw_get(&self, api: &str, query: &[(&str, &str)]) -> Value {
        let request = self.http.get(self.url(&format!("/cgi-bin/{api}"))).query(query);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn get(&self, api: &str, query: &[(&str, &str)]) -> Value {
        self.raw_get(api, &[&[("access_token", self.token.as_str())], query].concat()).await
    }

    pub(crate) async fn post(&self, api: &str, body: Value) -> Value {
        self.try_post(api, &body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, api: &str, body: &Value) -> reqwest::Result<Value> {
        self.try_post_as(&self.token, api, body).await
    }

    pub(crate) async fn post_as(&self, token: &str, api: &str, body: Value) -> Value {
        self.try_post_as(token, api, &body).await.unwrap()
    }

    async fn try_post_as(&self, token: &str, api: &str, body: &Value) -> reqwest::Result<Value> {
        let request = self.http.post(self.url(&format!("/cgi-bin/{api}"))).query(&[("access_token", token)]);
        request.json(body).send().await?.json().await
    }

    /// Posts and says which errcode came.
    pub(crate) async fn code(&self, api: &str, body: Value) -> i64 {
        self.post(api, body).await["errcode"].as_i64().unwrap()
    }

    pub(crate) async fn control(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.http.post(self.url(&format!("/control/{path}"))).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.take_offset_ms(self.clock.offset_ms() + by.num_milliseconds());
    }

    pub(crate) async fn customer_adds(&self, customer: &str, userid: &str) {
        let adding = Adding { customer: customer.into(), userid: userid.into(), ..Adding::default() };
        self.world.customer_adds(adding).await.unwrap();
    }

    /// The ids of freshly made tags of the group 触点.
    pub(crate) async fn tags(&self, names: &[&str]) -> Vec<String> {
        let tags: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let reply = self.post("externalcontact/add_corp_tag", json!({"group_name": "触点", "tag": tags})).await;
        let made = reply["tag_group"]["tag"].as_array().unwrap();
        made.iter().map(|tag| tag["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The kinds of what people received, in order.
    pub(crate) fn received(&self) -> Vec<String> {
        let receipts = serde_json::to_value(self.world.receipts()).unwrap();
        receipts.as_array().unwrap().iter().map(|receipt| receipt["kind"].as_str().unwrap().to_owned()).collect()
    }
}

/// One callback as the server under test got it, decrypted.
pub(crate) struct Heard {
    pub(crate) query: Vec<(String, String)>,
    pub(crate) envelope: String,
    pub(crate) message: String,
}

impl Heard {
    /// The text of an element of the message.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        text_of(&self.message, name)
    }
}

fn text_of(xml: &str, name: &str) -> Option<String> {
    let inside = xml.split_once(&format!("<{name}>"))?.1.split_once(&format!("</{name}>"))?.0;
    let bare = inside.strip_prefix("<![CDATA[").and_then(|text| text.strip_suffix("]]>"));
    Some(bare.unwrap_or(inside).to_owned())
}

/// A server that decrypts callbacks and answers with the statuses it was told, then 200.
pub(crate) struct Receiver {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
    _stop: DropGuard,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/wecom/callback/assistant", listener.local_addr().unwrap());
        let (heard, statuses) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(VecDeque::new())));
        let stop = CancellationToken::new();
        let (stopped, list, queue) = (stop.clone(), Arc::clone(&heard), Arc::clone(&statuses));
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let (list, queue) = (Arc::clone(&list), Arc::clone(&queue));
                let service = service_fn(move |request| hear(request, Arc::clone(&list), Arc::clone(&queue)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, heard, statuses, _stop: stop.drop_guard() }
    }

    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.statuses.lock().unwrap().extend(statuses);
    }

    /// Takes what was heard so far.
    pub(crate) fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

async fn hear(
    request: Request<Incoming>,
    heard: Arc<Mutex<Vec<Heard>>>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let url = reqwest::Url::parse(&format!("http://here{}", request.uri())).unwrap();
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let is_get = request.method() == hyper::Method::GET;
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let envelope = String::from_utf8(body.to_vec()).unwrap();
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
    let encrypted = if is_get { value("echostr") } else { text_of(&envelope, "Encrypt").unwrap() };
    let keys = CallbackKeys::new(&SecretString::from(TOKEN), &SecretString::from(AES_KEY), CORP).unwrap();
    let message = keys.open(&value("msg_signature"), &value("timestamp"), &value("nonce"), &encrypted).unwrap();
    if is_get {
        return Ok(Response::new(Full::new(message.into())));
    }
    let message = String::from_utf8(message).unwrap();
    heard.lock().unwrap().push(Heard { query, envelope, message });
    let status = statuses.lock().unwrap().pop_front().unwrap_or(200);
    Ok(Response::builder().status(status).body(Full::default()).unwrap())
}
