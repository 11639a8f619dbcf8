//! A company whose servers share one Redis and one WeCom, and can all die.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use touchpoint::clock::Clock;
use touchpoint::domain::At;
use touchpoint::sandbox::{Confirm, Options as WeCom, Sandbox, SandboxApp, Staff, World};

use super::door::{Door, TOKEN, pause};
use super::nurse::{Nurse, PATIENCE};
use super::options::Options;
use super::proxy::{self, Trap};
use super::schedule::Victim;

const CORP: &str = "ww0123456789abcdef";
const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// Rules that use every kind of effect and whose outcome can be counted by hand.
const RULES: &str = r#"
playbook: { id: shop, name: 店 }
tags: { 触点: { order: 10 }, 分层: { order: 20 } }
touchpoints:
  scanned: { name: 扫码, on: contact.added, tag: 触点/扫码 }
  bought: { name: 下单, on: order.paid, tag: 触点/下单 }
  visited: { name: 到店, on: visit.made }
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
    goal: { event: order.refunded, within: 300d }
    steps:
      - nudge: { say: thanks, via: [mass] }
      - wait: 1h
      - prompt: { title: 请回访, say: call, due: 4h }
guardrails: { customer_budget: 5 per 1d }
staff: { escalate: 24h, default: lili, digest: "0 0 9 * * *" }
"#;

/// What a member of staff makes of mass sends and cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Confirms and taps at once.
    Quick,
    /// Waits for the reminder.
    Slow,
    /// Confirms mass sends and leaves cards alone.
    Lazy,
}

/// Who has customers.
pub(crate) const STAFF: [(&str, Habit); 4] =
    [("lili", Habit::Quick), ("wangwei", Habit::Slow), ("zhaomin", Habit::Quick), ("sunjie", Habit::Lazy)];
/// Who hears of prompts that nobody answered.
pub(crate) const BOSS: &str = "boss";

/// Everything that can die.
#[derive(Clone)]
pub(crate) struct Ward {
    pub world: World,
    pub trap: Trap,
    pub door: Door,
    servers: Vec<Nurse>,
    redis: Nurse,
}

impl Ward {
    /// Kills; says whether anybody was alive to die.
    pub(crate) fn kill(&self, victim: Victim, away: Duration) -> bool {
        let one = |server: usize| self.servers.get(server).is_some_and(|nurse| nurse.kill(Duration::ZERO));
        let all = || (0..self.servers.len()).map(one).filter(|died| *died).count() > 0;
        match victim {
            Victim::Server(server) => one(server),
            Victim::Servers => all(),
            Victim::Redis => self.redis.kill(away),
            Victim::Both => {
                let redis = self.redis.kill(away);
                all() && redis
            }
            Victim::Frozen(_) => false,
        }
    }

    /// Stops a server where it stands, or lets it go on.
    pub(crate) fn signal(&self, server: usize, name: &str) {
        if let Some(nurse) = self.servers.get(server) {
            nurse.signal(name);
        }
    }
}

/// A company at work.
pub(crate) struct Company {
    pub clock: Clock,
    pub dir: TempDir,
    ward: Ward,
    sandbox: Sandbox,
}

impl Company {
    pub(crate) async fn open(options: &Options) -> Self {
        let dir = tempfile::Builder::new().prefix("touchpoint-torture").tempdir().unwrap();
        let clock = Clock::default();
        clock.take_offset_ms((tomorrow_at_ten(&clock) - clock.now()).num_milliseconds());
        let sandbox = Sandbox::start(wecom(&clock, options.seed)).await.unwrap();
        let world = sandbox.world();
        for (userid, habit) in STAFF {
            world.hire(member(userid, habit));
        }
        world.hire(Staff::new(BOSS, "张总"));
        let socket = dir.path().join("redis.sock");
        let redis = start_redis(dir.path(), &socket);
        let ports: Vec<u16> = (0..options.processes).map(|_| free_port()).collect();
        let door = Door::new(ports.clone(), options.seed);
        world.set_callback_url("assistant", door.open().await).unwrap();
        let trap = Trap::default();
        let api = sandbox.base_url();
        let servers = ports.iter().enumerate().map(|(number, port)| {
            let folder = dir.path().join(format!("server-{number}"));
            std::fs::create_dir_all(folder.join("playbook")).unwrap();
            std::fs::write(folder.join("playbook/rules.yaml"), RULES).unwrap();
            let own = folder.join("redis.sock");
            proxy::start(&own, &socket, number, trap.clone());
            std::fs::write(folder.join("touchpoint.yaml"), settings(number, *port, &own, &api)).unwrap();
            Nurse::start(move || server(&folder))
        });
        let servers = servers.collect();
        let ward = Ward { world, trap, door, servers, redis };
        let company = Self { clock, dir, ward, sandbox };
        company.reach(company.clock.now()).await;
        company
    }

    pub(crate) fn world(&self) -> &World {
        &self.ward.world
    }

    pub(crate) fn door(&self) -> &Door {
        &self.ward.door
    }

    pub(crate) fn ward(&self) -> Ward {
        self.ward.clone()
    }

    /// Moves the clock of servers and sandbox; what people planned is done on the way.
    pub(crate) async fn advance_to(&self, target: At) {
        loop {
            let next = self.world().next_act().filter(|next| *next <= target).unwrap_or(target);
            self.reach(next.max(self.clock.now())).await;
            self.world().run_due().await;
            if next >= target && self.world().next_act().is_none_or(|next| next > target) {
                return;
            }
        }
    }

    async fn reach(&self, target: At) {
        let answer = self.door().moves_the_clock(&json!({ "set": target.to_rfc3339() }), 2 * PATIENCE).await;
        let mut answer = answer.unwrap_or_else(|| panic!("the clock never reaches {target}\n{}", self.logs()));
        if answer.is_null() {
            answer = self.door().reads("/v1/clock").await;
        }
        let now = chrono::DateTime::parse_from_rfc3339(answer["now"].as_str().unwrap()).unwrap().to_utc();
        self.clock.take_offset_ms(self.clock.offset_ms() + (now - self.clock.now()).num_milliseconds().max(0));
    }

    /// Waits until every server is ready and all shards are owned again.
    pub(crate) async fn calm_down(&self) {
        let begun = Instant::now();
        let mut calm = 0;
        while calm < 2 * self.ward.servers.len() {
            let state = self.door().reads("/readyz").await;
            calm = if state["degraded"].as_array().is_none_or(Vec::is_empty) { calm + 1 } else { 0 };
            assert!(begun.elapsed() < PATIENCE, "the servers never recover: {state}");
            pause().await;
        }
    }

    /// The settings of the first server, with Redis itself.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("server-0")
    }

    fn logs(&self) -> String {
        let log = |number| std::fs::read_to_string(log_of(&self.dir.path().join(format!("server-{number}"))));
        (0..self.ward.servers.len()).filter_map(|number| log(number).ok()).collect()
    }

    /// Ends everything; gives what went wrong with servers that nobody killed.
    pub(crate) async fn close(self) -> Vec<String> {
        let ends = |nurse: &Nurse| nurse.stop().into_iter().map(|status| format!("ended by itself: {status}"));
        let mut troubles: Vec<String> = self.ward.servers.iter().flat_map(ends).collect();
        troubles.extend(self.logs().lines().filter(|line| line.contains("panicked")).map(str::to_owned));
        troubles.extend(ends(&self.ward.redis));
        if !troubles.is_empty() {
            troubles.push(self.logs());
        }
        self.sandbox.stop().await;
        troubles
    }
}

fn tomorrow_at_ten(clock: &Clock) -> At {
    // Not years ahead: a server of its own starts today and goes through every night on the way.
    let tomorrow = clock.now().with_timezone(&shanghai()).date_naive() + chrono::Days::new(1);
    tomorrow.and_hms_opt(10, 0, 0).unwrap().and_local_timezone(shanghai()).unwrap().to_utc()
}

pub(crate) fn shanghai() -> chrono::FixedOffset {
    chrono::FixedOffset::east_opt(8 * 3600).unwrap()
}

fn wecom(clock: &Clock, seed: u64) -> WeCom {
    WeCom {
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
        seed,
        acts: true,
        server_clock: None,
    }
}

fn member(userid: &str, habit: Habit) -> Staff {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let staff = Staff::new(userid, userid);
    match habit {
        Habit::Quick => staff.confirming(Confirm::After(minutes(10))).tapping("请回访", "done", minutes(20)),
        Habit::Slow => staff.confirming(Confirm::AfterReminder(minutes(60))).tapping("已到期", "done", minutes(30)),
        Habit::Lazy => staff.confirming(Confirm::After(minutes(10))),
    }
}

fn start_redis(dir: &Path, socket: &Path) -> Nurse {
    let (dir, socket) = (dir.to_owned(), socket.to_owned());
    let at = socket.clone();
    let nurse = Nurse::start(move || {
        let mut command = dies_with_us("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        command.args(["--maxmemory-policy", "noeviction", "--dir"]).arg(&dir).arg("--unixsocket").arg(&socket);
        command.stdout(Stdio::null());
        command
    });
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(&at).is_err() {
        assert!(begun.elapsed() < PATIENCE, "redis-server did not start");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    nurse
}

fn server(folder: &Path) -> Command {
    let log = std::fs::File::options().create(true).append(true).open(log_of(folder)).unwrap();
    let mut command = dies_with_us(env!("CARGO_BIN_EXE_touchpoint"));
    command.arg("--config").arg(folder).arg("serve").env("RUST_LOG", "warn").stdout(Stdio::null()).stderr(log);
    command
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

/// Whatever becomes of the test, what it starts does not outlive the thread that looks after it.
fn dies_with_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn settings(number: usize, port: u16, redis: &Path, api_base: &str) -> String {
    format!(
        r#"
server: {{ listen: "127.0.0.1:{port}", public_url: "http://127.0.0.1:{port}", node: torture-{number}, key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }}
redis: {{ url: "unix://{}", shards: 8, prefix: tp }}
wecom:
  api_base: {api_base}
  corp_id: {CORP}
  # A callback that is said again while the clock moves a day is as good as ever.
  timestamp_window: 0
  apps:
    assistant: {{ agent_id: 1000002, secret: secret-of-the-tests, token: callbacktoken, aes_key: {AES_KEY}, serves: [messages, contacts] }}
api: {{ tokens: {{ shop: {TOKEN} }} }}
console: {{ admins: [{BOSS}] }}
clock: adjustable
"#,
        redis.display()
    )
}
