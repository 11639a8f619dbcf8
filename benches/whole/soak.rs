//! A soak: callbacks at a steady pace for as long as is asked for, and what the server holds meanwhile, minute by
//! minute. Nothing may grow: memory, open files, what waits to be decided or sent, lines at `WARN` and `ERROR`.
//!
//! Customers add staff at the sandbox and are greeted there; the sandbox's own book grows with each of them, but that is
//! this process, not the server. Redis grows by what it is asked to keep: records, and the ids of a week's callbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use secrecy::SecretString;
use serde_json::json;
use tokio::task::JoinSet;
use touchpoint::clock::Clock;
use touchpoint::sandbox::{Adding, Options, Sandbox, SandboxApp, Staff};
use touchpoint::wecom::crypto::CallbackKeys;

use crate::load::{Connection, request};
use crate::processes::Redis;
use crate::server::{AES_KEY, CORP, Folder, SECRET, SHOP, Server, TOKEN};
use crate::table::{self, percentile};

const CONNECTIONS: usize = 16;
const STAFF: [&str; 3] = ["lili", "wangwei", "zhaomin"];
const GROUPS: usize = 1_000;
/// What comes to each of so many callbacks: one customer adds a member of staff, two profiles are edited, one visit is
/// told by the shop. WeCom lets a company ask for about thirty profiles a second over an hour.
const CYCLE: usize = 100;
/// One callback in so many is told twice, as WeCom does when an answer got lost.
const TWICE: usize = 20;
/// What is reached after so many minutes is what the rest is compared with.
const SETTLING_MINUTES: usize = 10;
/// Memory and open files may end this much above where they settled.
const MOST_GROWTH: f64 = 1.10;

/// How long, and how fast.
pub(crate) struct Plan {
    minutes: usize,
    per_second: usize,
}

impl Plan {
    /// Reads `--minutes=60` and `--rate=500`, which are also the defaults.
    pub(crate) fn read(arguments: &[String]) -> anyhow::Result<Self> {
        let number = |name: &str, default: usize| {
            let given = arguments.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='));
            given.map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text} is no number")))
        };
        Ok(Self { minutes: number("--minutes", 60)?, per_second: number("--rate", 500)? })
    }
}

/// What the server held at the end of a minute.
struct Held {
    memory: f64,
    files: f64,
    backlog: f64,
    complaints: usize,
    p99: Duration,
}

/// Soaks and prints a line a minute.
///
/// # Errors
/// When something grew, was refused or complained of.
pub(crate) async fn measure(redis: &Redis, plan: &Plan) -> anyhow::Result<()> {
    redis.empty().await?;
    let sandbox = wecom().await?;
    let folder = Folder::with_wecom(Some(redis), &sandbox.base_url())?;
    let server = Server::start(folder.path())?;
    server.complete(folder.settings.redis.shards).await?;
    let to_server = format!("http://{}/wecom/callback/assistant", server.addr);
    sandbox.world().set_callback_url("assistant", to_server).map_err(|misuse| anyhow::anyhow!("{misuse}"))?;

    table::section("soak", &format!("{} callbacks a second for {} minutes", plan.per_second, plan.minutes));
    let sent = Arc::new(AtomicUsize::new(0));
    let waits = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut senders = JoinSet::new();
    let until = Instant::now() + Duration::from_secs(60 * plan.minutes as u64);
    for _ in 0..CONNECTIONS {
        let keys = CallbackKeys::new(&SecretString::from(TOKEN), &SecretString::from(AES_KEY), CORP)?;
        senders.spawn(send(Sender {
            connection: Connection::open(&server.addr).await?,
            shop: reqwest::Client::new(),
            addr: server.addr.clone(),
            keys,
            world: sandbox.world(),
            sent: Arc::clone(&sent),
            waits: Arc::clone(&waits),
            every: Duration::from_secs_f64(CONNECTIONS as f64 / plan.per_second as f64),
            until,
        }));
    }
    let mut minutes = Vec::with_capacity(plan.minutes);
    let mut ticks = tokio::time::interval(Duration::from_secs(60));
    ticks.tick().await;
    while minutes.len() < plan.minutes {
        tokio::select! {
            _ = ticks.tick() => {}
            Some(ended) = senders.join_next() => {
                ended.context("a sender broke off")??;
                continue;
            }
        }
        let mut took = std::mem::take(&mut *waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        took.sort_unstable();
        let held = Held {
            memory: server.process.memory()? as f64 / 1e6,
            files: server.process.open_files()? as f64,
            backlog: backlog(&server.addr).await?,
            complaints: server.process.complaints(),
            p99: percentile(&took, 99.0),
        };
        minutes.push(held);
        line(minutes.len(), sent.load(Ordering::Relaxed), redis.stored_bytes().await?, minutes.last());
    }
    while let Some(ended) = senders.join_next().await {
        ended.context("a sender broke off")??;
    }
    judge(&minutes)
}

async fn wecom() -> anyhow::Result<Sandbox> {
    let app = SandboxApp {
        name: "assistant".to_owned(),
        agent_id: 1_000_002,
        secret: SECRET.to_owned(),
        token: TOKEN.to_owned(),
        aes_key: AES_KEY.to_owned(),
        callback_url: None,
    };
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        clock: Clock::default(),
        corp_id: CORP.to_owned(),
        apps: vec![app],
        seed: 1,
        acts: true,
        server_clock: None,
    };
    let sandbox = Sandbox::start(options).await.context("starting the sandbox")?;
    for userid in STAFF {
        sandbox.world().hire(Staff::new(userid, userid));
    }
    Ok(sandbox)
}

/// One connection, and what it sends.
struct Sender {
    connection: Connection,
    shop: reqwest::Client,
    addr: String,
    keys: CallbackKeys,
    world: touchpoint::sandbox::World,
    sent: Arc<AtomicUsize>,
    waits: Arc<std::sync::Mutex<Vec<Duration>>>,
    every: Duration,
    until: Instant,
}

async fn send(mut sender: Sender) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(sender.every);
    while Instant::now() < sender.until {
        ticks.tick().await;
        let number = sender.sent.fetch_add(1, Ordering::Relaxed);
        match number % CYCLE {
            0 => sender.adds(number).await?,
            1 => sender.visits(number).await?,
            place => sender.tells(number, place).await?,
        }
    }
    Ok(())
}

/// The customer who came with the latest cycle that is surely over.
fn known(number: usize) -> usize {
    (number / CYCLE).saturating_sub(10) * CYCLE
}

impl Sender {
    /// A customer adds a member of staff at the sandbox, which tells the server.
    async fn adds(&self, number: usize) -> anyhow::Result<()> {
        let adding = Adding {
            customer: format!("wm{number:030}"),
            userid: STAFF[number / CYCLE % STAFF.len()].to_owned(),
            state: Some("store-01".to_owned()),
            ..Adding::default()
        };
        self.world.customer_adds(adding).await.map_err(|misuse| anyhow::anyhow!("{misuse}"))
    }

    /// The shop tells of a visit.
    async fn visits(&self, number: usize) -> anyhow::Result<()> {
        let event = json!({
            "specversion": "1.0", "source": "shop", "id": format!("visit-{number}"), "type": "visit.made",
            "subject": format!("wm{:030}", known(number)), "data": { "store": "一号店" },
        });
        let asked = self.shop.post(format!("http://{}/v1/events", self.addr)).bearer_auth(SHOP);
        let asked = asked.header("content-type", "application/cloudevents+json").body(event.to_string());
        let answer = asked.send().await.context("telling of a visit")?;
        anyhow::ensure!(answer.status() == 202, "a visit was answered {}", answer.status());
        Ok(())
    }

    /// A callback: a profile was edited, a member of staff opened the app, a group changed its name.
    async fn tells(&mut self, number: usize, place: usize) -> anyhow::Result<()> {
        let now = Utc::now().timestamp().to_string();
        let staff = STAFF[number % STAFF.len()];
        let inside = match place {
            2 | 3 => format!(
                "<Event>change_external_contact</Event><ChangeType>edit_external_contact</ChangeType>\
                 <UserID>{}</UserID><ExternalUserID>wm{:030}</ExternalUserID>",
                STAFF[known(number) / CYCLE % STAFF.len()],
                known(number)
            ),
            4..60 => format!("<Event>enter_agent</Event><AgentID>1000002</AgentID><EventKey>{number}</EventKey>"),
            _ => format!(
                "<Event>change_external_chat</Event><ChangeType>update</ChangeType><ChatId>wr{:030}</ChatId>\
                 <UpdateDetail>change_name</UpdateDetail><EventKey>{number}</EventKey>",
                number % GROUPS
            ),
        };
        let from = if place < 60 { staff } else { "sys" };
        let message = format!(
            "<xml><ToUserName>{CORP}</ToUserName><FromUserName>{from}</FromUserName><CreateTime>{now}</CreateTime>\
             <MsgType>event</MsgType>{inside}</xml>"
        );
        let request = request(&self.keys, number, &now, &message);
        for _ in 0..if number.is_multiple_of(TWICE) { 2 } else { 1 } {
            let begun = Instant::now();
            self.connection.ask(&request).await?;
            self.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(begun.elapsed());
        }
        Ok(())
    }
}

/// What waits to be decided, fired or sent now, all lanes together.
async fn backlog(addr: &str) -> anyhow::Result<f64> {
    let metrics = reqwest::get(format!("http://{addr}/metrics")).await?.text().await?;
    let lines = metrics.lines().filter(|line| line.starts_with("touchpoint_backlog_"));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}

#[expect(clippy::print_stdout, reason = "a bench prints")]
fn line(minute: usize, sent: usize, redis_bytes: u64, held: Option<&Held>) {
    let Some(held) = held else { return };
    println!(
        "  minute {minute:>4}  sent {sent:>9}  p99 {:>6.2} ms  memory {:>6.1} MB  files {:>4}  waiting {:>5}  warnings and errors {}  Redis {:.1} MB",
        held.p99.as_secs_f64() * 1e3,
        held.memory,
        held.files,
        held.backlog,
        held.complaints,
        redis_bytes as f64 / 1e6
    );
}

/// Whether it stayed flat, from the settled minute on.
fn judge(minutes: &[Held]) -> anyhow::Result<()> {
    let (Some(settled), Some(end)) =
        (minutes.get(SETTLING_MINUTES.min(minutes.len().saturating_sub(1))), minutes.last())
    else {
        return Ok(());
    };
    let growth = |of: fn(&Held) -> f64| of(end) / of(settled);
    let (memory, files) = (growth(|held| held.memory), growth(|held| held.files));
    table::figure("memory at the end, to that after ten minutes", "×", memory);
    table::figure("open files at the end, to those after ten minutes", "×", files);
    table::figure(
        "the most that waited at the end of a minute",
        "",
        minutes.iter().map(|held| held.backlog).fold(0.0, f64::max),
    );
    anyhow::ensure!(memory <= MOST_GROWTH, "the server's memory grew");
    anyhow::ensure!(files <= MOST_GROWTH, "the server's open files grew");
    anyhow::ensure!(end.complaints == 0, "the server's log has lines at WARN or ERROR");
    Ok(())
}
