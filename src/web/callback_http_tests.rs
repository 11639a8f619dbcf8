//! The handlers over a real Redis.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::Method;
use actix_web::{App, test};
use rstest::rstest;
use secrecy::SecretString;
use tempfile::TempDir;

use super::tests::{CORP, adding, keys, sealed};
use super::*;
use crate::domain::event::types;
use crate::settings::{RedisSettings, RedisUrl};
use crate::store::Store;
use crate::store::streams::StreamId;
use crate::web::intake::Pressure;

/// A Redis of its own, and the handlers over it for two apps: `assistant` serves contacts and kf, `desk` messages.
struct Server {
    store: Store,
    pressure: Pressure,
    woken: Arc<Mutex<Vec<u16>>>,
    state: web::Data<CallbackState>,
    /// Goes last: Redis stops in order while its folder is there.
    folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = RedisSettings {
            url: RedisUrl::Embedded(folder.path().join("data")),
            shards: 4,
            prefix: "tp".to_owned(),
            wait_replicas: 0,
        };
        let store = Store::connect(&redis).await.unwrap();
        let (pressure, woken) = (Pressure::default(), Arc::<Mutex<Vec<u16>>>::default());
        let notes = Arc::clone(&woken);
        let intake =
            Intake::new(store.clone(), Arc::new(move |shard| notes.lock().unwrap().push(shard)), pressure.clone());
        let state = web::Data::new(CallbackState::new(&settings(), intake, crate::clock::Clock::default()).unwrap());
        Self { store, pressure, woken, state, folder }
    }

    /// Says one command to Redis beside the store; waits for the answer.
    fn say(&self, command: &str) -> String {
        let mut link = UnixStream::connect(self.folder.path().join("data/redis.sock")).unwrap();
        link.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(link).read_line(&mut answer).unwrap();
        answer
    }

    /// Redis lives and says nothing for longer than anybody waits for it.
    fn freeze(&self) {
        assert_eq!(self.say("CLIENT PAUSE 3700"), "+OK\r\n");
    }

    /// Waits until Redis speaks again; before that it cannot be asked to stop.
    fn thawed(&self) {
        assert_eq!(self.say("PING"), "+PONG\r\n");
    }

    /// Answers one request: the status and the body.
    async fn answer(&self, request: test::TestRequest) -> (u16, Vec<u8>) {
        let app = test::init_service(App::new().app_data(self.state.clone()).configure(routes)).await;
        let response: ServiceResponse<_> = app.call(request.to_request()).await.unwrap();
        let status = response.status().as_u16();
        (status, response.into_body().try_into_bytes().unwrap().to_vec())
    }

    /// WeCom sends a callback now.
    async fn receives(&self, app: &str, message: &str) -> u16 {
        let (signed, body) = sealed(&keys(CORP), &Utc::now().timestamp().to_string(), message);
        let (status, answer) = self.answer(post(app, &signed, body)).await;
        assert_eq!(answer, b"", "an answer has no body");
        status
    }

    /// What came in, over all shards: the actor and the kind.
    async fn events(&self) -> Vec<(String, String)> {
        let mut events = Vec::new();
        for shard in 0..self.store.shards() {
            for entry in self.store.read(shard, InLane::In, &StreamId::start(), 100).await.unwrap() {
                let event = entry.event.unwrap();
                assert_eq!(event.actor.shard(self.store.shards()), shard);
                events.push((event.actor.to_string(), event.kind));
            }
        }
        events
    }
}

fn settings() -> WecomSettings {
    let app = |serves: &[Family]| AppSettings {
        agent_id: 1_000_002,
        secret: SecretString::from("s"),
        token: SecretString::from("SampleToken01"),
        aes_key: SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
        serves: serves.iter().copied().collect(),
    };
    WecomSettings {
        api_base: String::new(),
        corp_id: CORP.to_owned(),
        timestamp_window: Some(Duration::from_secs(3600)),
        apps: BTreeMap::from([
            (AppId::parse("assistant").unwrap(), app(&[Family::Contacts, Family::Kf])),
            (AppId::parse("desk").unwrap(), app(&[Family::Messages])),
        ]),
    }
}

fn query(signed: &Signed) -> String {
    let Signed { msg_signature, timestamp, nonce, echostr } = signed;
    let echostr = echostr.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("msg_signature={msg_signature}&timestamp={timestamp}&nonce={nonce}&echostr={echostr}")
}

fn post(app: &str, signed: &Signed, body: impl Into<web::Bytes>) -> test::TestRequest {
    test::TestRequest::post().uri(&format!("/wecom/callback/{app}?{}", query(signed))).set_payload(body)
}

/// A check of the callback URL, as WeCom sends it when an administrator saves it.
fn url_check(echo: &str) -> Signed {
    // One with a plus, which is what goes wrong on the way.
    let sealed = (0..).map(|random| keys(CORP).seal(echo.as_bytes(), [random; 16]));
    let encrypted = sealed.into_iter().find(|encrypted| encrypted.contains('+')).unwrap();
    let signature = keys(CORP).sign("1600000000", "n", &encrypted);
    Signed { msg_signature: signature, timestamp: "1600000000".into(), nonce: "n".into(), echostr: encrypted }
}

#[actix_web::test]
async fn a_callback_is_answered_200_once_it_is_durable_and_counts_once() {
    let server = Server::start().await;
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 200);
    // WeCom repeats it with another time and other random bytes; another customer in the same second is another event.
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 200);
    assert_eq!(server.receives("assistant", &adding("wm2")).await, 200);
    let mut events = server.events().await;
    events.sort();
    let added = |customer: &str| (format!("customer:{customer}"), types::CONTACT_ADDED.to_owned());
    assert_eq!(events, [added("wm1"), added("wm2")]);
    // Only what is new wakes a shard.
    let shard = |customer: &str| format!("customer:{customer}").parse::<Actor>().unwrap().shard(4);
    assert_eq!(*server.woken.lock().unwrap(), [shard("wm1"), shard("wm2")]);
}

#[actix_web::test]
async fn another_apps_copy_is_acknowledged_and_feeds_nothing() {
    let server = Server::start().await;
    assert_eq!(server.receives("desk", &adding("wm1")).await, 200);
    assert_eq!(server.events().await, []);
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 200);
    assert_eq!(server.events().await.len(), 1);
}

#[actix_web::test]
async fn what_nothing_handles_and_what_cannot_be_read_is_acknowledged_and_kept() {
    let server = Server::start().await;
    let news = "<xml><CreateTime>1700000000</CreateTime><MsgType>event</MsgType><Event>brand_new</Event></xml>";
    assert_eq!(server.receives("desk", news).await, 200);
    assert_eq!(server.receives("desk", "no markup at all").await, 200);
    assert_eq!(server.receives("desk", "no markup at all").await, 200);
    let kinds: Vec<String> = server.events().await.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(kinds, [types::CALLBACK_UNKNOWN, types::CALLBACK_UNREADABLE]);
}

#[actix_web::test]
async fn whatever_is_not_wecoms_is_the_same_403() {
    let server = Server::start().await;
    let now = Utc::now().timestamp().to_string();
    let (signed, body) = sealed(&keys(CORP), &now, &adding("wm1"));
    let (theirs, their_body) = sealed(&keys("ww00000000000000bb"), &now, &adding("wm1"));
    let (old, old_body) = sealed(&keys(CORP), "1600000000", &adding("wm1"));
    let unsigned = test::TestRequest::post().uri("/wecom/callback/assistant").set_payload(body);
    let twice =
        test::TestRequest::post().uri(&format!("/wecom/callback/assistant?{0}&{0}", query(&signed))).set_payload("x");
    for request in [
        unsigned,
        twice,
        post("assistant", &signed, "<xml/>"),
        post("assistant", &theirs, their_body),
        post("assistant", &old, old_body),
    ] {
        assert_eq!(server.answer(request).await, (403, Vec::new()));
    }
    assert_eq!(server.events().await, []);
}

#[actix_web::test]
async fn an_app_that_is_not_in_the_settings_is_not_there() {
    let server = Server::start().await;
    assert_eq!(server.receives("nobody", &adding("wm1")).await, 404);
    let check = test::TestRequest::get().uri(&format!("/wecom/callback/nobody?{}", query(&url_check("1"))));
    assert_eq!(server.answer(check).await.0, 404);
    let put = test::TestRequest::default().method(Method::PUT).uri("/wecom/callback/desk");
    assert_eq!(server.answer(put).await.0, 405);
}

#[actix_web::test]
async fn a_body_above_1_mib_is_too_large() {
    let server = Server::start().await;
    let padded = |bytes: usize| {
        let (signed, body) = sealed(&keys(CORP), &Utc::now().timestamp().to_string(), &adding("wm1"));
        (signed, format!("{body}{}", " ".repeat(bytes - body.len())))
    };
    let (signed, body) = padded(MOST_BODY_BYTES);
    assert_eq!(server.answer(post("assistant", &signed, body)).await.0, 200);
    let (signed, body) = padded(MOST_BODY_BYTES + 1);
    assert_eq!(server.answer(post("assistant", &signed, body)).await, (413, Vec::new()));
}

#[rstest]
#[case::wider_than_64_bits("94966531020182955848408")]
#[case::chinese("触点")]
#[case::space_around(" 1\n")]
#[actix_web::test]
async fn a_check_of_the_url_is_answered_byte_for_byte_without_redis(#[case] echo: &str) {
    let server = Server::start().await;
    server.store.close().await;
    let check = |query: String| test::TestRequest::get().uri(&format!("/wecom/callback/assistant?{query}"));
    let signed = url_check(echo);
    assert_eq!(server.answer(check(query(&signed))).await, (200, echo.as_bytes().to_vec()));
    // A proxy decoded the value and did not encode it again.
    let decoded = query(&signed).replace("%2B", "+");
    assert_eq!(server.answer(check(decoded)).await, (200, echo.as_bytes().to_vec()));
    let forged = query(&signed).replace("nonce=n", "nonce=m");
    assert_eq!(server.answer(check(forged)).await, (403, Vec::new()));
    assert_eq!(server.answer(check(String::new())).await, (403, Vec::new()));
}

#[actix_web::test]
async fn a_check_of_the_url_is_plain_text() {
    let server = Server::start().await;
    let app = test::init_service(App::new().app_data(server.state.clone()).configure(routes)).await;
    let uri = format!("/wecom/callback/assistant?{}", query(&url_check("1")));
    let response = test::call_service(&app, test::TestRequest::get().uri(&uri).to_request()).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "text/plain; charset=utf-8");
}

#[actix_web::test]
async fn without_redis_the_answer_is_503_so_that_wecom_repeats_it() {
    let server = Server::start().await;
    server.store.close().await;
    let asked = Instant::now();
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 503);
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    // What feeds nothing needs no Redis.
    assert_eq!(server.receives("desk", &adding("wm1")).await, 200);
}

#[actix_web::test]
async fn a_redis_that_does_not_answer_is_503_within_4_seconds() {
    let server = Server::start().await;
    server.freeze();
    let asked = Instant::now();
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 503);
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    server.thawed();
}

#[actix_web::test]
async fn under_pressure_nothing_is_taken_until_there_is_room() {
    let server = Server::start().await;
    server.pressure.refuse("Redis uses 91 % of its maxmemory");
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 503);
    assert_eq!(server.pressure.reason().unwrap().as_str(), "Redis uses 91 % of its maxmemory");
    assert_eq!(server.events().await, []);
    server.pressure.admit();
    assert_eq!(server.receives("assistant", &adding("wm1")).await, 200);
    assert_eq!(server.events().await.len(), 1);
}

#[actix_web::test]
async fn every_callback_is_counted_by_app_and_result() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let server = Server::start().await;
    let unknown = "<xml><CreateTime>1700000000</CreateTime><MsgType>event</MsgType><Event>brand_new</Event></xml>";
    for (app, message) in [
        ("assistant", adding("wm1").as_str()),
        ("assistant", &adding("wm1")),
        ("desk", &adding("wm1")),
        ("desk", unknown),
        ("desk", "no markup at all"),
        ("nobody", unknown),
    ] {
        server.receives(app, message).await;
    }
    server.answer(post("desk", &Signed::default(), "<xml/>")).await;
    server.answer(post("desk", &Signed::default(), vec![b' '; MOST_BODY_BYTES + 1])).await;
    server.pressure.refuse("no room");
    server.receives("assistant", &adding("wm2")).await;

    let page = recorder.handle().render();
    let mut counted: Vec<&str> = page.lines().filter(|line| line.starts_with("touchpoint_callbacks_total{")).collect();
    counted.sort_unstable();
    let line = |app, result, event| {
        format!("touchpoint_callbacks_total{{app=\"{app}\",result=\"{result}\",event=\"{event}\"}} 1")
    };
    assert_eq!(
        counted,
        [
            line("-", "unknown_app", "-"),
            line("assistant", "duplicate", "contact.added"),
            line("assistant", "refused", "contact.added"),
            line("assistant", "taken", "contact.added"),
            line("desk", "forged", "-"),
            line("desk", "not_served", "contact.added"),
            line("desk", "taken", "callback.unknown"),
            line("desk", "too_large", "-"),
            line("desk", "unreadable", "callback.unreadable"),
        ]
    );
}
