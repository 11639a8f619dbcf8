//! A company whose server is a process of its own, and can die.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use touchpoint::clock::Clock;
use touchpoint::domain::At;
use touchpoint::domain::delivery::Delivery;
use touchpoint::sandbox::{Adding, Confirm, Held, Options, Sandbox, SandboxApp, Staff, World};
use touchpoint::store::Store;

use super::proxy::Proxy;

pub(crate) const TOKEN: &str = "shop-token-of-the-tests";
pub(crate) const CORP: &str = "ww0123456789abcdef";
pub(crate) const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
/// Nothing here takes longer, kills and takeovers included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Rules that use every kind of effect.
pub(crate) const RULES: &str = r#"
playbook: { id: shop, name: 店 }
tags: { 触点: { order: 10 }, 分层: { order: 20 } }
touchpoints:
  scanned: { name: 扫码, on: contact.added, tag: 触点/扫码 }
  bought: { name: 下单, on: order.paid, tag: 触点/下单 }
segments:
  buyer: { name: 买家, when: customer.orders > 0, tag: 分层/买家 }
messages:
  hello: { text: "{{ customer.name }}您好" }
  thanks: { text: "谢谢您的订单" }
  call: { text: "请问合适吗" }
welcome:
  - { say: hello }
journeys:
  after_order:
    name: 订单关怀
    enter: { event: order.paid }
    goal: { event: order.refunded, within: 30d }
    steps:
      - nudge: { say: thanks, via: [mass] }
      - wait: 1h
      - prompt: { title: 请回访, say: call, due: 4h }
guardrails: { customer_budget: 5 per 1d }
staff: { escalate: 24h, default: lili, digest: "0 0 9 * * *" }
"#;

pub(crate) fn kill_process(pid: u32) {
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(status.success(), "the server was dead already");
}

/// A redis-server of this test alone.
pub(crate) struct Redis {
    child: Child,
    pub socket: PathBuf,
}

impl Redis {
    fn start(dir: &Path) -> Self {
        let socket = dir.join("redis.sock");
        let child = Command::new("setpriv")
            // Redis itself is not killed here, so its file would only make the tests wait for the disk.
            .args(["--pdeathsig", "KILL", "redis-server", "--port", "0", "--save", "", "--appendonly", "no"])
            .args(["--maxmemory-policy", "noeviction", "--dir"])
            .arg(dir)
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed by `make test`");
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server did not start");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Self { child, socket }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok(), "{ended:?}");
    }
}

/// A company at work.
pub(crate) struct Company {
    pub world: World,
    pub clock: Clock,
    pub proxy: Proxy,
    sandbox: Sandbox,
    nurse: Nurse,
    port: u16,
    http: reqwest::Client,
    _redis: Redis,
    dir: TempDir,
}

impl Company {
    pub(crate) async fn open() -> Self {
        Self::open_and_kill_at(None).await
    }

    /// A company whose server is killed once WeCom has accepted its first call of `api`; the answer never arrives.
    pub(crate) async fn open_and_kill_at(api: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let redis = Redis::start(dir.path());
        let proxy = Proxy::start(dir.path(), &redis.socket);
        let clock = Clock::default();
        // Not years ahead: a server of its own starts today and goes through every night on the way.
        let shanghai = chrono::FixedOffset::east_opt(8 * 3600).unwrap();
        let tomorrow = clock.now().with_timezone(&shanghai).date_naive() + chrono::Days::new(1);
        let ten = tomorrow.and_hms_opt(10, 0, 0).unwrap().and_local_timezone(shanghai).unwrap().to_utc();
        clock.take_offset_ms((ten - clock.now()).num_milliseconds());
        let sandbox = Sandbox::start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            clock: clock.clone(),
            corp_id: CORP.to_owned(),
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
        world.hire(Staff::new("lili", "李丽").confirming(Confirm::After(Duration::from_secs(600))));
        world.hire(Staff::new("wangwei", "王伟").confirming(Confirm::AfterReminder(Duration::from_secs(3600))));
        world.hire(Staff::new("boss", "张总"));
        let port = free_port();
        world.set_callback_url("assistant", format!("http://127.0.0.1:{port}/wecom/callback/assistant")).unwrap();
        std::fs::create_dir(dir.path().join("playbook")).unwrap();
        std::fs::write(dir.path().join("playbook/rules.yaml"), RULES).unwrap();
        std::fs::write(dir.path().join("touchpoint.yaml"), settings(port, &proxy.socket, &sandbox.base_url())).unwrap();
        let held = api.map(|api| world.hold_next(api).unwrap());
        let nurse = Nurse::start(dir.path());
        if let Some(held) = held {
            nurse.kill_at(held);
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let company = Self { world, clock, proxy, sandbox, nurse, port, http, _redis: redis, dir };
        company.insist("/v1/clock", "application/json", &json!({ "set": company.clock.now().to_rfc3339() })).await;
        company
    }

    /// The process that runs the server now.
    pub(crate) fn pid(&self) -> u32 {
        self.nurse.pid()
    }

    /// Kills the server once WeCom has accepted its next call of `api`; the answer never arrives.
    pub(crate) fn kill_at_next(&self, api: &str) {
        self.nurse.kill_at(self.world.hold_next(api).unwrap());
    }

    /// How often the server was started.
    pub(crate) fn starts(&self) -> usize {
        self.nurse.state.lock().unwrap().starts
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// A customer adds a staff member; WeCom repeats its callback as it does.
    pub(crate) async fn customer_adds(&self, customer: &str, userid: &str) {
        let adding = Adding {
            customer: customer.to_owned(),
            userid: userid.to_owned(),
            name: Some("王芳".to_owned()),
            ..Adding::default()
        };
        self.world.customer_adds(adding).await.unwrap();
    }

    /// Sends an order with the same id until it is taken, as a shop would.
    pub(crate) async fn orders(&self, customer: &str, id: &str) {
        self.sends(id, "order.paid", customer, &json!({ "amount": "100", "order_id": id })).await;
    }

    /// Tells of a visit, as a shop would. Nothing but the event's id says whether two visits are one.
    pub(crate) async fn visits(&self, customer: &str, id: &str) {
        self.sends(id, "visit.made", customer, &json!({ "store": "一号店" })).await;
    }

    async fn sends(&self, id: &str, kind: &str, customer: &str, data: &Value) {
        let event = json!({ "specversion": "1.0", "id": id, "source": "shop", "type": kind, "subject": customer,
            "time": self.clock.now().to_rfc3339(), "data": data });
        self.insist("/v1/events", "application/cloudevents+json", &event).await;
    }

    /// What the server knows of a customer.
    pub(crate) async fn record(&self, customer: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/v1/customers/{customer}", self.port);
        let answer = self.http.get(url).bearer_auth(TOKEN).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// How everything stands that was wanted for a customer.
    pub(crate) async fn deliveries(&self, customer: &str) -> Vec<Delivery> {
        let (settings, _) = touchpoint::settings::load(self.dir.path()).unwrap_or_else(|faults| panic!("{faults}"));
        let store = Store::connect(&settings.redis).await.unwrap();
        store.deliveries(&format!("customer:{customer}").parse().unwrap(), 100).await.unwrap()
    }

    /// Moves the clock of server and sandbox; what people planned is done on the way.
    pub(crate) async fn advance_to(&self, target: At) {
        loop {
            let next = self.world.next_act().filter(|next| *next <= target).unwrap_or(target);
            let next = next.max(self.clock.now());
            let answer = self.insist("/v1/clock", "application/json", &json!({ "set": next.to_rfc3339() })).await;
            let now = chrono::DateTime::parse_from_rfc3339(answer["now"].as_str().unwrap()).unwrap().to_utc();
            self.clock.take_offset_ms(self.clock.offset_ms() + (now - self.clock.now()).num_milliseconds().max(0));
            self.world.run_due().await;
            if next >= target && self.world.next_act().is_none_or(|next| next > target) {
                return;
            }
        }
    }

    /// Posts until it is answered with a 2xx, whatever happens to the server meanwhile.
    pub(crate) async fn insist(&self, path: &str, kind: &str, body: &Value) -> Value {
        let begun = Instant::now();
        loop {
            let url = format!("http://127.0.0.1:{}{path}", self.port);
            let request = self.http.post(url).bearer_auth(TOKEN).header("content-type", kind).body(body.to_string());
            let mut last = String::new();
            if let Ok(answer) = request.send().await {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                if status.is_success() {
                    return serde_json::from_str(&text).unwrap();
                }
                // The clock may have got there before its answer was lost.
                if text.contains("only goes forwards") {
                    return json!({ "now": self.clock.now().to_rfc3339() });
                }
                last = text;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} is not taken: {last}\n{}", self.log());
            pause().await;
        }
    }

    pub(crate) async fn close(self) {
        self.nurse.stop();
        self.sandbox.stop().await;
    }
}

/// A moment until another look at what another process does.
pub(crate) async fn pause() {
    let nothing = tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>());
    nothing.await.expect_err("nothing ever comes of it");
}

/// Starts the server, and starts it again whenever it has died.
struct Nurse {
    state: std::sync::Arc<std::sync::Mutex<Patient>>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Default)]
struct Patient {
    pid: Option<u32>,
    starts: usize,
    is_over: bool,
}

impl Nurse {
    fn start(dir: &Path) -> Self {
        let state = std::sync::Arc::new(std::sync::Mutex::new(Patient::default()));
        let (patient, dir) = (std::sync::Arc::clone(&state), dir.to_owned());
        let thread = std::thread::spawn(move || {
            loop {
                let mut child = {
                    let mut patient = patient.lock().unwrap();
                    if patient.is_over {
                        return;
                    }
                    let child = server(&dir);
                    patient.pid = Some(child.id());
                    patient.starts += 1;
                    child
                };
                child.wait().unwrap();
                patient.lock().unwrap().pid = None;
            }
        });
        Self { state, thread }
    }

    fn kill_at(&self, held: Held) {
        let patient = std::sync::Arc::clone(&self.state);
        tokio::spawn(async move {
            held.accepted().await;
            let starts = {
                let patient = patient.lock().unwrap();
                kill_process(patient.pid.expect("the server that called is alive"));
                patient.starts
            };
            while patient.lock().unwrap().starts == starts {
                pause().await;
            }
            held.release();
        });
    }

    fn pid(&self) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(pid) = self.state.lock().unwrap().pid {
                return pid;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not start");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn stop(self) {
        let pid = {
            let mut patient = self.state.lock().unwrap();
            patient.is_over = true;
            patient.pid
        };
        if let Some(pid) = pid {
            kill_process(pid);
        }
        self.thread.join().unwrap();
    }
}

fn server(dir: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("server.log")).unwrap();
    // Whatever becomes of the test, its server does not outlive the thread that looks after it.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_touchpoint")])
        .arg("--config")
        .arg(dir)
        .arg("serve")
        .env("RUST_LOG", "info")
        .stderr(log)
        .spawn()
        .unwrap()
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn settings(port: u16, redis: &Path, api_base: &str) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:{port}", public_url: "http://127.0.0.1:{port}", node: crash, key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }}
redis: {{ url: "unix://{}", shards: 2, prefix: tp }}
wecom:
  api_base: {api_base}
  corp_id: {CORP}
  apps:
    assistant: {{ agent_id: 1000002, secret: secret-of-the-tests, token: callbacktoken, aes_key: {AES_KEY}, serves: [messages, contacts] }}
api: {{ tokens: {{ shop: {TOKEN} }} }}
console: {{ admins: [boss] }}
clock: adjustable
"#,
        redis.display()
    )
}
