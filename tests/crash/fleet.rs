//! A company with several servers, each a process of its own, over whatever Redis it is given, behind one address.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use touchpoint::clock::Clock;
use touchpoint::sandbox::{Adding, Confirm, Options, Sandbox, SandboxApp, Staff, World};

use super::company::{AES_KEY, CORP, PATIENCE, RULES, TOKEN, free_port, pause};

/// How a fleet is set up.
pub(crate) struct Setup {
    pub(crate) redis_url: String,
    pub(crate) servers: usize,
    pub(crate) shards: u16,
    pub(crate) wait_replicas: u32,
    /// What each server is started with behind `serve`, in turn.
    pub(crate) roles: Vec<&'static [&'static str]>,
}

impl Setup {
    pub(crate) fn on(redis_url: &str) -> Self {
        Self { redis_url: redis_url.to_owned(), servers: 2, shards: 8, wait_replicas: 0, roles: vec![&[]] }
    }
}

/// A company whose servers share one Redis.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) servers: Vec<Server>,
    balancer: Balancer,
    sandbox: Sandbox,
    http: reqwest::Client,
    _dir: TempDir,
}

/// One process.
pub(crate) struct Server {
    dir: PathBuf,
    role: &'static [&'static str],
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts it, and waits until it takes connections.
    pub(crate) async fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("server.log")).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_touchpoint"), "--config"])
            .arg(&self.dir)
            .arg("serve")
            .args(self.role)
            .env("RUST_LOG", "info")
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", self.log());
            pause().await;
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// It dies at once.
    pub(crate) fn kill(&mut self) {
        self.signal("-KILL");
        self.child.take().expect("it runs").wait().unwrap();
    }

    /// It is asked to end, and does.
    pub(crate) async fn stop(&mut self) {
        self.signal("-TERM");
        let mut child = self.child.take().expect("it runs");
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the server does not end: {}", self.log());
            pause().await;
        }
    }

    /// It lives and does nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }

    /// What it says of itself.
    pub(crate) async fn readyz(&self) -> Option<Value> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/readyz", self.port)).await.ok()?;
        answer.json().await.ok()
    }

    /// How many shards it owns.
    pub(crate) async fn shards(&self) -> Option<u64> {
        self.readyz().await?["shards"].as_u64()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

impl Fleet {
    pub(crate) async fn open(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            clock: Clock::default(),
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
        world.hire(Staff::new("wangwei", "王伟").confirming(Confirm::After(Duration::from_secs(600))));
        world.hire(Staff::new("boss", "张总"));
        let mut servers = Vec::new();
        for number in 0..setup.servers {
            let role = setup.roles.get(number % setup.roles.len()).copied().unwrap_or_default();
            let mut server =
                Server { dir: dir.path().join(format!("server-{number}")), role, port: free_port(), child: None };
            write_settings(&server.dir, &setup, server.port, &sandbox.base_url());
            server.start().await;
            servers.push(server);
        }
        let balancer = Balancer::start(servers.iter().map(|server| server.port).collect()).await;
        world.set_callback_url("assistant", balancer.url("/wecom/callback/assistant")).unwrap();
        // Longer than a day of hundreds of customers takes.
        let http = reqwest::Client::builder().timeout(Duration::from_secs(240)).build().unwrap();
        Self { world, servers, balancer, sandbox, http, _dir: dir }
    }

    /// Servers that balancing leads to from now on.
    pub(crate) fn lead_to(&self, servers: impl IntoIterator<Item = usize>) {
        let ports = servers.into_iter().filter_map(|number| self.servers.get(number)).map(|server| server.port);
        *self.balancer.ports.lock().unwrap() = ports.collect();
    }

    /// A customer adds a member of staff at WeCom, which tells the servers.
    pub(crate) async fn customer_adds(&self, customer: &str, userid: &str) {
        self.world.customer_adds(adding(customer, userid)).await.unwrap();
    }

    /// Tells one server of a visit once; whether it was taken.
    pub(crate) async fn visit_at(&self, server: usize, customer: &str, id: &str) -> bool {
        let url = format!("http://127.0.0.1:{}/v1/events", self.servers[server].port);
        visit(&self.http, &url, customer, id).await
    }

    /// A shop that tells of visits of these customers, one after the other, until it is told to stop. What is not taken
    /// is told again.
    pub(crate) fn shop(&self, customers: Vec<String>) -> Shop {
        let told = Arc::new(Mutex::new(vec![0; customers.len()]));
        let (stop, url, http) = (Arc::new(AtomicUsize::new(0)), self.balancer.url("/v1/events"), self.http.clone());
        let (counted, stopped) = (Arc::clone(&told), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut number = 0_usize;
            while stopped.load(Ordering::Acquire) == 0 {
                let place = number % customers.len();
                let id = format!("visit-{number}");
                let begun = Instant::now();
                while !visit(&http, &url, &customers[place], &id).await {
                    assert!(begun.elapsed() < PATIENCE, "a visit is never taken");
                    pause().await;
                }
                counted.lock().unwrap()[place] += 1;
                number += 1;
            }
        });
        Shop { told, stop, task }
    }

    /// What the servers know of a customer; none when nobody answers.
    pub(crate) async fn record(&self, customer: &str) -> Option<Value> {
        let asked = self.http.get(self.balancer.url(&format!("/v1/customers/{customer}"))).bearer_auth(TOKEN);
        asked.send().await.ok()?.error_for_status().ok()?.json().await.ok()
    }

    /// Waits until the servers know of so many visits of each customer. More than that is a visit counted twice.
    pub(crate) async fn until_visits(&self, expected: &[(String, u64)]) {
        for (customer, visits) in expected {
            let begun = Instant::now();
            loop {
                let record = self.record(customer).await.unwrap_or_default();
                let known = record["customer"]["visits"].as_u64().or_else(|| record["visits"].as_u64());
                if known == Some(*visits) {
                    break;
                }
                assert!(known.unwrap_or_default() < *visits, "{customer} made {visits} visits, not {known:?}");
                let logs: Vec<String> = self.servers.iter().map(Server::log).collect();
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{customer} made {visits} visits, not {known:?}: {record}\n{}",
                    logs.join("\n")
                );
                pause().await;
            }
        }
    }

    /// Waits for something that comes about by itself.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, mut holds: impl FnMut() -> F) {
        let begun = Instant::now();
        while !holds().await {
            let logs: Vec<String> = self.servers.iter().map(Server::log).collect();
            assert!(begun.elapsed() < PATIENCE, "it never came to this: {what}\n{}", logs.join("\n"));
            pause().await;
        }
    }

    pub(crate) async fn close(self) {
        self.balancer.task.abort();
        drop(self.servers);
        self.sandbox.stop().await;
    }
}

fn adding(customer: &str, userid: &str) -> Adding {
    let (customer, userid, name) = (customer.to_owned(), userid.to_owned(), Some(name_of(customer)));
    Adding { customer, userid, name, ..Adding::default() }
}

/// The name that a customer has.
pub(crate) fn name_of(customer: &str) -> String {
    let number = customer.trim_start_matches("wm").trim_start_matches('0');
    format!("客{number:0>5}号")
}

async fn visit(http: &reqwest::Client, url: &str, customer: &str, id: &str) -> bool {
    let event = json!({ "specversion": "1.0", "id": id, "source": "shop", "type": "visit.made", "subject": customer,
        "data": { "store": "一号店" } });
    let asked = http.post(url).bearer_auth(TOKEN).header("content-type", "application/cloudevents+json");
    asked.body(event.to_string()).send().await.is_ok_and(|answer| answer.status() == 202)
}

/// A shop at work.
pub(crate) struct Shop {
    told: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Shop {
    /// How many visits were taken so far.
    pub(crate) fn told(&self) -> u64 {
        self.told.lock().unwrap().iter().sum()
    }

    /// Ends its work; gives how many visits of each customer were taken.
    pub(crate) async fn close(self) -> Vec<u64> {
        self.stop.store(1, Ordering::Release);
        self.task.await.unwrap();
        let told = self.told.lock().unwrap();
        told.clone()
    }
}

/// One address for all servers: whoever takes the connection gets it.
struct Balancer {
    port: u16,
    ports: Arc<Mutex<Vec<u16>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    async fn start(ports: Vec<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ports = Arc::new(Mutex::new(ports));
        let led_to = Arc::clone(&ports);
        let task = tokio::spawn(async move {
            for turn in 0_usize.. {
                let Ok((mut outside, _)) = listener.accept().await else { return };
                let ports = led_to.lock().unwrap().clone();
                tokio::spawn(async move {
                    for step in 0..ports.len() {
                        let port = ports[(turn + step) % ports.len()];
                        if let Ok(mut inside) = TcpStream::connect(("127.0.0.1", port)).await {
                            drop(tokio::io::copy_bidirectional(&mut outside, &mut inside).await);
                            return;
                        }
                    }
                });
            }
        });
        Self { port, ports, task }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn write_settings(dir: &Path, setup: &Setup, port: u16, api_base: &str) {
    let (url, shards, copies) = (&setup.redis_url, setup.shards, setup.wait_replicas);
    let yaml = format!(
        r#"
server: {{ listen: "127.0.0.1:{port}", public_url: "http://127.0.0.1:{port}", key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }}
redis: {{ url: "{url}", shards: {shards}, prefix: tp, wait_replicas: {copies} }}
wecom:
  api_base: {api_base}
  corp_id: {CORP}
  apps:
    assistant: {{ agent_id: 1000002, secret: secret-of-the-tests, token: callbacktoken, aes_key: {AES_KEY}, serves: [messages, contacts] }}
api: {{ tokens: {{ shop: {TOKEN} }} }}
console: {{ admins: [boss] }}
clock: adjustable
"#
    );
    std::fs::create_dir_all(dir.join("playbook")).unwrap();
    std::fs::write(dir.join("playbook/rules.yaml"), RULES).unwrap();
    std::fs::write(dir.join("touchpoint.yaml"), yaml).unwrap();
}

/// A server of Redis with a port of its own.
pub(crate) struct Node {
    child: Option<Child>,
    pub(crate) port: u16,
    dir: PathBuf,
    arguments: Vec<String>,
}

impl Node {
    /// Starts one in a folder of its own, with more arguments.
    pub(crate) async fn start(dir: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut node = Self { child: None, port: free_port(), dir: dir.to_owned(), arguments };
        node.start_again().await;
        node
    }

    pub(crate) async fn start_again(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("redis.log")).unwrap();
        let port = self.port.to_string();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server"])
            .args(&self.arguments)
            .args(["--port", &port, "--bind", "127.0.0.1", "--dir"])
            .arg(&self.dir)
            .stdout(Stdio::from(log))
            .spawn()
            .expect("redis-server and setpriv are installed by `make test`");
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server did not start");
            pause().await;
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.child.is_some()
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// One command; words are parted by spaces.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, line: &str) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut link = client.get_multiplexed_async_connection().await?;
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut link).await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}
