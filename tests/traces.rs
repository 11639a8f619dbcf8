//! One trace from a callback to the call of WeCom, as a collector receives it. Needs the feature `otel`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use touchpoint::clock::Clock;
use touchpoint::sandbox::{Adding, Options, Sandbox, SandboxApp, Staff, World};

const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const TOKEN: &str = "shop-token-of-the-tests";
const PATIENCE: Duration = Duration::from_secs(60);
/// A trace that somebody else began.
const THEIRS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const RULES: &str = r#"
playbook: { id: shop, name: 店 }
tags: { 触点: { order: 10 } }
touchpoints:
  scanned: { name: 扫码, on: contact.added, tag: 触点/扫码 }
  bought: { name: 下单, on: order.paid, tag: 触点/下单 }
messages:
  hello: { text: "{{ customer.name }}您好" }
welcome:
  - { say: hello }
staff: { escalate: 24h, default: lili, digest: "0 0 9 * * *" }
"#;

/// A step as the collector got it.
#[derive(Debug, Clone)]
struct Step {
    name: String,
    trace: String,
    id: String,
    parent: String,
    attributes: BTreeMap<String, String>,
}

/// A collector that keeps what it receives.
#[derive(Clone, Default)]
struct Collector {
    received: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    /// Starts it; gives the address that goes into the environment.
    fn start(&self) -> String {
        let received = Arc::clone(&self.received);
        let server = HttpServer::new(move || {
            let received = Arc::clone(&received);
            App::new().route(
                "/v1/traces",
                web::post().to(move |body: web::Bytes| {
                    received.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                    async { HttpResponse::Ok().json(json!({})) }
                }),
            )
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let address = server.addrs()[0];
        tokio::spawn(server.run());
        format!("http://{address}")
    }

    /// Everything as it came, for what must not be in it.
    fn text(&self) -> String {
        Value::from(self.received.lock().unwrap().clone()).to_string()
    }

    fn service(&self) -> String {
        let received = self.received.lock().unwrap().clone();
        let resource = &received[0]["resourceSpans"][0]["resource"];
        attributes(resource)["service.name"].clone()
    }

    fn steps(&self) -> Vec<Step> {
        let received = self.received.lock().unwrap().clone();
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let scopes = received.iter().flat_map(|one| list(one, "resourceSpans"));
        let spans = scopes.flat_map(|one| list(&one, "scopeSpans")).flat_map(|one| list(&one, "spans"));
        let text = |span: &Value, name: &str| span[name].as_str().unwrap_or_default().to_owned();
        spans
            .map(|span| Step {
                name: text(&span, "name"),
                trace: text(&span, "traceId"),
                id: text(&span, "spanId"),
                parent: text(&span, "parentSpanId"),
                attributes: attributes(&span),
            })
            .collect()
    }
}

fn attributes(holder: &Value) -> BTreeMap<String, String> {
    let list = holder["attributes"].as_array().cloned().unwrap_or_default();
    list.iter().map(|one| (one["key"].as_str().unwrap().to_owned(), word(&one["value"]))).collect()
}

fn word(value: &Value) -> String {
    let inner = value.as_object().and_then(|fields| fields.values().next()).cloned().unwrap_or_default();
    inner.as_str().map_or_else(|| inner.to_string(), str::to_owned)
}

/// The names of the steps from the first one down to this one.
fn way_to(steps: &[Step], step: &Step) -> Vec<String> {
    let mut way = vec![step.name.clone()];
    let mut at = step;
    while let Some(parent) = steps.iter().find(|other| other.id == at.parent) {
        assert_eq!(parent.trace, step.trace, "a step and its parent are of one trace");
        way.insert(0, parent.name.clone());
        at = parent;
    }
    way
}

/// A server with traces, over a sandbox.
struct Company {
    world: World,
    sandbox: Sandbox,
    collector: Collector,
    server: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Company {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            clock: Clock::default(),
            corp_id: "ww0123456789abcdef".to_owned(),
            apps: vec![SandboxApp {
                name: "assistant".to_owned(),
                agent_id: 1_000_002,
                secret: "secret-of-the-tests".to_owned(),
                token: "callbacktoken".to_owned(),
                aes_key: AES_KEY.to_owned(),
                callback_url: None,
            }],
            seed: 1,
            acts: true,
            server_clock: None,
        })
        .await
        .unwrap();
        let world = sandbox.world();
        world.hire(Staff::new("lili", "李丽"));
        std::fs::create_dir(folder.path().join("playbook")).unwrap();
        std::fs::write(folder.path().join("playbook/rules.yaml"), RULES).unwrap();
        std::fs::write(folder.path().join("touchpoint.yaml"), settings(&sandbox.base_url())).unwrap();
        let collector = Collector::default();
        let server = serve(folder.path(), &collector.start());
        let mut company = Self { world, sandbox, collector, server, address: String::new(), folder };
        company.address = company
            .until("the server listens", |company| {
                let log = company.log();
                Some(log.split_once("touchpoint listens on ")?.1.split_once('\n')?.0.to_owned())
            })
            .await;
        let callbacks = format!("{}/wecom/callback/assistant", company.address);
        company.world.set_callback_url("assistant", callbacks).unwrap();
        company
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Looks again and again; what another process does cannot be waited for otherwise.
    async fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            looks.tick().await;
            if let Some(found) = look(self) {
                return found;
            }
            let steps = self.collector.steps();
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{steps:#?}\n{}", self.log());
        }
    }

    /// The steps of the trace in which a call of this API was made.
    async fn trace_with(&self, api: &str, begins_with: &str) -> Vec<Step> {
        self.until(&format!("a trace from {begins_with} to {api}"), |company| {
            let steps = company.collector.steps();
            let calls = steps.iter().filter(|step| step.attributes.get("wecom.api").is_some_and(|its| its == api));
            calls.into_iter().find_map(|call| {
                (way_to(&steps, call).first().unwrap() == begins_with)
                    .then(|| steps.iter().filter(|step| step.trace == call.trace).cloned().collect())
            })
        })
        .await
    }

    async fn close(mut self) {
        let told = Command::new("kill").args(["-TERM", &self.server.id().to_string()]).status().unwrap();
        assert!(told.success());
        assert!(self.server.wait().unwrap().success(), "{}", self.log());
        self.sandbox.stop().await;
    }
}

fn serve(folder: &Path, collector: &str) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_touchpoint")])
        .args(["--config", ".", "serve"])
        .current_dir(folder)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
        .env("OTEL_SERVICE_NAME", "shop-1")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn settings(api_base: &str) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:0", node: traces }}
redis: {{ url: "embedded:data", shards: 2 }}
wecom:
  api_base: {api_base}
  corp_id: ww0123456789abcdef
  apps:
    assistant: {{ agent_id: 1000002, secret: secret-of-the-tests, token: callbacktoken, aes_key: {AES_KEY}, serves: [messages, contacts] }}
api: {{ tokens: {{ shop: {TOKEN} }} }}
console: {{ admins: [lili] }}
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_and_an_order_are_one_trace_each_down_to_the_call_of_wecom() {
    let company = Company::open().await;
    let adding = Adding {
        customer: "wmWangFang".to_owned(),
        userid: "lili".to_owned(),
        name: Some("王芳".to_owned()),
        ..Adding::default()
    };
    company.world.customer_adds(adding).await.unwrap();

    let steps = company.trace_with("externalcontact/send_welcome_msg", "callback").await;
    let call = steps
        .iter()
        .find(|step| step.attributes.get("wecom.api").is_some_and(|api| api == "externalcontact/send_welcome_msg"));
    // The profile is asked for first, and the welcome goes out on its answer.
    let way = way_to(&steps, call.unwrap());
    assert_eq!(way, ["callback", "decide", "effect", "decide", "effect", "wecom call"]);
    assert_eq!(call.unwrap().attributes["wecom.errcode"], "0");
    let appended = steps.iter().find(|step| step.name == "append").expect("the append is a step");
    assert_eq!(way_to(&steps, appended), ["callback", "append"]);
    assert_eq!(company.collector.service(), "shop-1");

    let order = json!({ "specversion": "1.0", "source": "shop", "id": "order-1", "type": "order.paid",
        "subject": "wmWangFang", "data": { "order_id": "order-1", "amount": "899.00" } });
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/events", company.address))
        .bearer_auth(TOKEN)
        .header("traceparent", format!("00-{THEIRS}-00f067aa0ba902b7-01"))
        .json(&order)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    let steps = company
        .until("the order's tag is put on within the shop's own trace", |company| {
            let steps: Vec<Step> = company.collector.steps().into_iter().filter(|step| step.trace == THEIRS).collect();
            let is_tagged =
                |step: &Step| step.attributes.get("wecom.api").is_some_and(|api| api == "externalcontact/mark_tag");
            steps.iter().any(is_tagged).then_some(steps)
        })
        .await;
    let first = steps.iter().find(|step| step.name == "business event").unwrap();
    assert_eq!(first.parent, "00f067aa0ba902b7");

    let told = company.collector.text();
    for personal in ["王芳", "李丽", "lili", "wmWangFang", "order-1", "899.00", TOKEN, "secret-of-the-tests", "您好"]
    {
        assert!(!told.contains(personal), "{personal} stands in a trace");
    }
    assert!(!company.log().contains("touchpoint::traces"), "steps are no log lines");
    company.close().await;
}
