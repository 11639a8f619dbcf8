//! A small HTTP server in WeCom's place, that says what a test tells it to and remembers every request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::domain::ids::AppId;
use crate::settings::{AppSettings, Family, RedisSettings, RedisUrl, WecomSettings};
use crate::store::Store;

use super::client::{ServerKey, Wecom};
use super::limits::Limits;

/// A secret that would be noticed anywhere.
pub(crate) const SECRET: &str = "SECRET-4f1d-unmistakable";
/// What every access token begins with.
pub(crate) const TOKEN: &str = "TOKEN-77ac-unmistakable";

/// One answer.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// This JSON.
    Json(Value),
    /// This status and text.
    Raw(u16, &'static str),
    /// Half of an answer, then nothing.
    Half,
}

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Inner {
    answers: BTreeMap<String, VecDeque<Say>>,
    came: Vec<Came>,
    tokens: usize,
}

/// WeCom's stand-in, with a Redis of its own.
pub(crate) struct StandIn {
    inner: Arc<Mutex<Inner>>,
    server: actix_web::dev::ServerHandle,
    address: String,
    pub(crate) store: Store,
    _folder: tempfile::TempDir,
}

impl StandIn {
    /// Starts; without a script it answers every call with success, and gives tokens.
    pub(crate) async fn start() -> Self {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let data = Data::from(Arc::clone(&inner));
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .unwrap();
        let address = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let folder = tempfile::tempdir().unwrap();
        let redis = RedisSettings {
            url: RedisUrl::Embedded(folder.path().join("redis")),
            shards: 4,
            prefix: "tp".into(),
            wait_replicas: 0,
        };
        let store = Store::connect(&redis).await.unwrap();
        Self { inner, server: handle, address, store, _folder: folder }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answers of a path.
    pub(crate) fn says<const N: usize>(&self, path: &str, answers: [Say; N]) {
        self.inner().answers.entry(path.to_owned()).or_default().extend(answers);
    }

    /// Requests of a path so far.
    pub(crate) fn came(&self, path: &str) -> Vec<Came> {
        self.inner().came.iter().filter(|came| came.path == path).cloned().collect()
    }

    /// A process of its own that talks to this WeCom and shares its Redis.
    pub(crate) fn process(&self) -> Wecom {
        self.process_at(&self.address, Limits::default())
    }

    /// The same with another address or other limits.
    pub(crate) fn process_at(&self, address: &str, limits: Limits) -> Wecom {
        Wecom::with_limits(&settings(address), self.store.clone(), &server_key(), limits).unwrap()
    }

    /// Stops WeCom, so that connections are refused.
    pub(crate) async fn hang_up(&self) {
        self.server.stop(false).await;
    }

    /// Stops everything.
    pub(crate) async fn end(self) {
        self.server.stop(false).await;
        self.store.close().await;
    }
}

/// The key of every process.
pub(crate) fn server_key() -> ServerKey {
    ServerKey(vec![7; 32].into())
}

/// The app of every process.
pub(crate) fn app() -> AppId {
    AppId::parse("assistant").unwrap()
}

fn settings(address: &str) -> WecomSettings {
    let secret = |text: &str| SecretString::from(text.to_owned());
    let its = AppSettings {
        agent_id: 1_000_002,
        secret: secret(SECRET),
        token: secret("callback-token"),
        aes_key: secret("callback-key"),
        serves: [Family::Contacts, Family::Messages].into(),
    };
    WecomSettings {
        api_base: address.to_owned(),
        corp_id: "ww1".into(),
        timestamp_window: None,
        apps: [(app(), its)].into(),
    }
}

async fn answer(request: HttpRequest, body: Bytes, inner: Data<Mutex<Inner>>) -> HttpResponse {
    let path = request.path().trim_start_matches("/cgi-bin/").to_owned();
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.came.push(Came {
        path: path.clone(),
        query: request.query_string().to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let scripted = inner.answers.get_mut(&path).and_then(VecDeque::pop_front);
    let say = scripted.unwrap_or_else(|| {
        if path == "gettoken" {
            inner.tokens += 1;
            Say::Json(json!({ "access_token": format!("{TOKEN}-{}", inner.tokens), "expires_in": 7200 }))
        } else {
            Say::Json(json!({ "errcode": 0, "errmsg": "ok" }))
        }
    });
    drop(inner);
    match say {
        Say::Json(value) => HttpResponse::Ok().json(value),
        Say::Raw(status, text) => {
            HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).body(text)
        }
        Say::Half => {
            let parts = [Ok(Bytes::from_static(b"{\"errcode\":0,\"errm")), Err(std::io::Error::other("gone"))];
            HttpResponse::Ok().streaming(futures_util::stream::iter(parts))
        }
    }
}
