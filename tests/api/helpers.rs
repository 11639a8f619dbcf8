//! A company for one test: a real server on port 0, its own Redis prefix, its own WeCom, and a clock that is set.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{FixedOffset, NaiveDateTime, TimeZone as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchpoint::clock::Clock;
use touchpoint::domain::At;
use touchpoint::domain::actor::Actor;
use touchpoint::domain::delivery::{Delivery, DeliveryKind};
use touchpoint::runtime::app::App;
use touchpoint::runtime::travel::{self, Step};
use touchpoint::sandbox::{
    Act, Adding, Confirm, Fault, FaultKind, LogEntry, Options, Sandbox, SandboxApp, Staff, What, World,
};
use touchpoint::settings::{self, Settings};
use touchpoint::store::Store;
use touchpoint::wecom::limits::Limits;

use super::redis_server;

/// A Monday, far enough ahead that business time never has to go back to it.
pub(crate) const MONDAY: &str = "2035-01-01 10:00";
pub(crate) const TOKEN: &str = "shop-token-of-the-tests";
pub(crate) const CORP: &str = "ww0123456789abcdef";
pub(crate) const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
pub(crate) const CALLBACK_TOKEN: &str = "callbacktoken";

/// A moment by the clock of Shanghai, such as `2035-01-01 10:00`.
pub(crate) fn at(text: &str) -> At {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    shanghai().from_local_datetime(&local).unwrap().to_utc()
}

fn shanghai() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).unwrap()
}

/// A moment as the tests write it: month, day and time by the clock of Shanghai.
pub(crate) fn local(at: At) -> String {
    at.with_timezone(&shanghai()).format("%m-%d %H:%M").to_string()
}

pub(crate) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

pub(crate) const fn hours(count: u64) -> Duration {
    minutes(count * 60)
}

/// Names and messages that most journeys here use, and whatever comes behind them.
pub(crate) fn rules(more: &str) -> String {
    let names = r#"
playbook: { id: shop, name: 女装店 }
touchpoints:
  visit: { name: 到店, on: visit.made }
messages:
  thanks: { text: "谢谢您的订单" }
  miss_you: { text: "好久不见" }
  call: { text: "您好,衣服合身吗" }
"#;
    format!("{names}{more}")
}

/// One app of the company (自建应用): its name, and the families that it feeds.
#[derive(Clone)]
pub(crate) struct SelfBuiltApp {
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) serves: &'static str,
}

/// How a company is set up before it opens.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) playbook: String,
    pub(crate) staff: Vec<Staff>,
    pub(crate) apps: Vec<SelfBuiltApp>,
    pub(crate) redis_url: String,
    pub(crate) shards: u16,
    pub(crate) opens_at: String,
    /// Where the server listens; port 0 takes a free one.
    pub(crate) port: u16,
    pub(crate) limits: Limits,
}

impl Setup {
    pub(crate) fn new(playbook: &str) -> Self {
        let app = |name: &str, serves| SelfBuiltApp {
            name: name.to_owned(),
            secret: format!("secret-of-the-{name}"),
            serves,
        };
        Self {
            playbook: playbook.to_owned(),
            staff: vec![
                Staff::new("lili", "李丽").confirming(Confirm::After(minutes(10))),
                Staff::new("wangwei", "王伟").confirming(Confirm::After(minutes(10))),
                Staff::new("boss", "张总"),
            ],
            apps: vec![app("assistant", "messages, contacts, kf, directory")],
            redis_url: redis_server::shared().to_owned(),
            shards: 4,
            opens_at: MONDAY.to_owned(),
            port: 0,
            limits: Limits::default(),
        }
    }

    pub(crate) fn with_staff(mut self, staff: Staff) -> Self {
        self.staff.retain(|other| other.userid != staff.userid);
        self.staff.push(staff);
        self
    }

    /// With one more app, which WeCom tells the same.
    pub(crate) fn with_app(mut self, name: &str, serves: &'static str) -> Self {
        self.apps.push(SelfBuiltApp { name: name.to_owned(), secret: format!("secret-of-the-{name}"), serves });
        self
    }

    /// With its one app named otherwise: metrics are shared by all companies of the process, labels tell them apart.
    pub(crate) fn with_app_named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.apps[0].name);
        self
    }

    pub(crate) fn on_redis(mut self, url: &str) -> Self {
        url.clone_into(&mut self.redis_url);
        self
    }

    pub(crate) fn with_shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    /// Without WeCom's quotas, which run on real time: weeks pass in a second here.
    pub(crate) fn without_quotas(mut self) -> Self {
        self.limits = Limits::none();
        self
    }

    pub(crate) fn opening_at(mut self, text: &str) -> Self {
        text.clone_into(&mut self.opens_at);
        self
    }

    pub(crate) async fn open(self) -> Company {
        Company::open(self).await
    }
}

/// A company at work.
pub(crate) struct Company {
    /// None while the server is down, or a process of its own.
    app: Option<App>,
    /// Where the server listens now.
    address: String,
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    pub(crate) sandbox: Sandbox,
    pub(crate) world: World,
    pub(crate) clock: Clock,
    pub(crate) http: reqwest::Client,
    pub(crate) dir: TempDir,
    pub(crate) setup: Setup,
    trouble: bool,
}

fn settings_yaml(setup: &Setup, api_base: &str, prefix: &str) -> String {
    let (redis, shards, port) = (&setup.redis_url, setup.shards, setup.port);
    let apps: Vec<String> = (1_000_002..)
        .zip(&setup.apps)
        .map(|(agent_id, app)| {
            let SelfBuiltApp { name, secret, serves } = app;
            format!(
                "    {name}: {{ agent_id: {agent_id}, secret: {secret}, token: {CALLBACK_TOKEN}, aes_key: {AES_KEY}, serves: [{serves}] }}"
            )
        })
        .collect();
    format!(
        r#"
server: {{ listen: "127.0.0.1:{port}", public_url: "http://127.0.0.1", key: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }}
redis: {{ url: "{redis}", shards: {shards}, prefix: {prefix} }}
wecom:
  api_base: {api_base}
  corp_id: {CORP}
  apps:
{apps}
api: {{ tokens: {{ shop: {TOKEN} }} }}
console: {{ admins: [boss], managers: [boss] }}
clock: adjustable
"#,
        apps = apps.join("\n")
    )
}

/// The sandbox of a company that has not started its server yet.
async fn wecom_of(setup: &Setup, clock: &Clock, seed: u64) -> Sandbox {
    let app = |(agent_id, app): (i64, &SelfBuiltApp)| SandboxApp {
        name: app.name.clone(),
        agent_id,
        secret: app.secret.clone(),
        token: CALLBACK_TOKEN.to_owned(),
        aes_key: AES_KEY.to_owned(),
        callback_url: None,
    };
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        clock: clock.clone(),
        corp_id: CORP.to_owned(),
        apps: (1_000_002..).zip(&setup.apps).map(app).collect(),
        seed,
        acts: false,
        server_clock: None,
    };
    let sandbox = Sandbox::start(options).await.unwrap();
    for staff in &setup.staff {
        sandbox.world().hire(staff.clone());
    }
    sandbox
}

impl Company {
    pub(crate) async fn open(setup: Setup) -> Self {
        let mut company = Self::prepare(setup).await;
        company.comes_up().await;
        company.settle().await;
        company
    }

    /// Everything but the server.
    pub(crate) async fn prepare(setup: Setup) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let clock = Clock::default();
        clock.take_offset_ms((at(&setup.opens_at) - clock.now()).num_milliseconds());
        let sandbox = wecom_of(&setup, &clock, u64::from(number)).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("playbook")).unwrap();
        std::fs::write(dir.path().join("playbook/rules.yaml"), &setup.playbook).unwrap();
        let prefix = format!("t{number}");
        let yaml = settings_yaml(&setup, &sandbox.base_url(), &prefix);
        std::fs::write(dir.path().join("touchpoint.yaml"), yaml).unwrap();
        let (settings, _) = settings::load(dir.path()).unwrap_or_else(|faults| panic!("{faults}"));
        let store = Store::connect(&settings.redis).await.unwrap();
        // The clock that tests set is also the one that Redis remembers.
        store.move_clock(clock.offset_ms()).await.unwrap();
        let (world, http) = (sandbox.world(), reqwest::Client::new());
        Self {
            app: None,
            address: String::new(),
            store,
            settings,
            sandbox,
            world,
            clock,
            http,
            dir,
            setup,
            trouble: false,
        }
    }

    // The server.

    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().expect("the server is up")
    }

    /// The server stops in order; people and WeCom go on.
    pub(crate) async fn goes_down(&mut self) {
        self.app.take().expect("the server is up").stop().await;
    }

    pub(crate) async fn comes_up(&mut self) {
        let starting = App::start_within(&self.settings, self.clock.clone(), self.setup.limits.clone());
        let app = starting.await.unwrap_or_else(|error| panic!("{error:?}"));
        self.is_served_at(&format!("http://{}", app.addr()));
        self.app = Some(app);
    }

    /// The server is a process of its own at this address.
    pub(crate) fn is_served_at(&mut self, address: &str) {
        address.clone_into(&mut self.address);
        for known in &self.setup.apps {
            let url = self.url(&format!("/wecom/callback/{}", known.name));
            self.world.set_callback_url(&known.name, url).unwrap();
        }
    }

    /// One more process of the same company, with a clock of its own that shows the same time.
    pub(crate) async fn second_process(&self) -> App {
        App::start(&self.settings, Clock::default()).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn rules_file(&self) -> PathBuf {
        self.dir.path().join("playbook/rules.yaml")
    }

    /// Other rules are written and loaded.
    pub(crate) async fn changes_rules(&self, playbook: &str) {
        std::fs::write(self.rules_file(), playbook).unwrap();
        self.app().reload();
        self.settle().await;
    }

    // Time.

    /// Waits until everything due is done.
    pub(crate) async fn settle(&self) {
        let order = json!({ "advance": "0s" });
        let answer = self.http.post(self.url("/v1/clock")).bearer_auth(TOKEN).json(&order).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
    }

    /// Lets time pass; people do on the way what they planned.
    pub(crate) async fn advance_to(&self, text: &str) {
        self.advance_until(at(text)).await;
    }

    pub(crate) async fn advance(&self, span: Duration) {
        self.advance_until(self.clock.now() + span).await;
    }

    async fn advance_until(&self, target: At) {
        loop {
            let next = self.world.next_act().filter(|next| *next <= target);
            let step = travel::step(self.app().services(), next.unwrap_or(target)).await.unwrap();
            match (step, next) {
                (Step::Stopped, _) => {}
                (Step::Arrived, Some(_)) => drop(self.world.run_due().await),
                (Step::Arrived, None) => return,
            }
        }
    }

    /// Moves the clock and waits for nothing: a call is under way, or the server is down.
    pub(crate) async fn time_leaps_to(&self, target: At) {
        let ahead = (target - self.clock.now()).num_milliseconds();
        let offset = self.store.move_clock(self.clock.offset_ms() + ahead).await.unwrap();
        self.clock.take_offset_ms(offset);
        if let Some(app) = &self.app {
            app.services().wakes.all();
        }
    }

    /// Moves the clock of a server that is a process of its own; people do nothing meanwhile.
    pub(crate) async fn leaps_by_http(&self, span: Duration) {
        let order = json!({ "set": (self.clock.now() + span).to_rfc3339() });
        let answer = self.http.post(self.url("/v1/clock")).bearer_auth(TOKEN).json(&order).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let now = chrono::DateTime::parse_from_rfc3339(answer["now"].as_str().unwrap_or_else(|| panic!("{answer}")));
        let behind = (now.unwrap().to_utc() - self.clock.now()).num_milliseconds();
        self.clock.take_offset_ms(self.clock.offset_ms() + behind);
    }

    /// The settings hold another secret than WeCom knows for an app, and that app serves what the first one did.
    pub(crate) fn misspells_the_secret_of(&mut self, app: &str, family: &'static str) {
        let file = self.dir.path().join("touchpoint.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text =
            text.replace(&format!("secret-of-the-{app}"), "misspelt-secret").replace(&format!(", {family}]"), "]");
        let text = text.replace("serves: []", &format!("serves: [{family}]"));
        std::fs::write(&file, text).unwrap();
    }

    // People.

    pub(crate) async fn customer_adds(&self, customer: &str, userid: &str, state: &str) {
        self.adds(adding(customer, userid, state)).await;
        self.settle().await;
    }

    /// The same without waiting for what comes of it.
    pub(crate) async fn adds(&self, adding: Adding) {
        self.world.customer_adds(adding).await.unwrap();
    }

    pub(crate) async fn does(&self, act: Act) {
        self.world.perform(&act).await.unwrap();
        self.settle().await;
    }

    pub(crate) async fn customer_deletes(&self, customer: &str, userid: &str) {
        self.world.customer_deletes(customer, userid).await.unwrap();
        self.settle().await;
    }

    pub(crate) async fn taps(&self, staff: &str, task_id: &str, key: &str) {
        self.world.tap(staff, task_id, key).await.unwrap();
        self.settle().await;
    }

    // Business systems.

    /// Sends a business event of now; gives its status in the answer.
    pub(crate) async fn happens(&self, kind: &str, subject: &str, data: Value) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let status = self.sends(&format!("happening {id}"), kind, subject, data).await;
        self.settle().await;
        status
    }

    pub(crate) async fn orders(&self, customer: &str, id: &str, amount: &str) {
        let status = self.happens("order.paid", customer, json!({ "amount": amount, "order_id": id })).await;
        assert_eq!(status, "accepted");
    }

    /// The same with an id of the sender's, without waiting for what comes of it.
    pub(crate) async fn sends(&self, id: &str, kind: &str, subject: &str, data: Value) -> String {
        let (status, answer) = self.posts_event(self.event(id, kind, subject, data)).await;
        assert_eq!(status, 202, "{answer}");
        answer["results"][0]["status"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// A `CloudEvent` of now.
    pub(crate) fn event(&self, id: &str, kind: &str, subject: &str, data: Value) -> Value {
        json!({ "specversion": "1.0", "id": id, "source": "tests", "type": kind, "subject": subject,
            "time": self.clock.now().to_rfc3339(), "data": data })
    }

    pub(crate) async fn posts_event(&self, event: Value) -> (u16, Value) {
        let request = self.http.post(self.url("/v1/events")).bearer_auth(TOKEN);
        let request = request.header("content-type", "application/cloudevents+json").body(event.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    // What the server says.

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(self.url(path)).bearer_auth(TOKEN).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn customer(&self, id: &str) -> Value {
        let (status, text) = self.get(&format!("/v1/customers/{id}")).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The chain of a customer in the server's language, Chinese.
    pub(crate) async fn why(&self, id: &str) -> String {
        self.why_in(id, "zh-CN").await
    }

    pub(crate) async fn why_in(&self, id: &str, lang: &str) -> String {
        let url = self.url(&format!("/v1/customers/{id}/why?lang={lang}"));
        let request = self.http.get(url).bearer_auth(TOKEN).header("accept", "text/plain");
        request.send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn ready(&self) -> Value {
        self.http.get(self.url("/readyz")).send().await.unwrap().json().await.unwrap()
    }

    /// A counter or gauge of `/metrics`, labels and all; 0 when it is not there yet.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics").await;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Every nudge, prompt and welcome of a customer, the first wanted first.
    pub(crate) async fn deliveries_of(&self, id: &str) -> Vec<Delivery> {
        let actor: Actor = format!("customer:{id}").parse().unwrap();
        let mut deliveries = self.store.deliveries(&actor, 500).await.unwrap();
        let step = |delivery: &Delivery| (delivery.journey.clone(), delivery.step.as_ref().map(ToString::to_string));
        deliveries.sort_by_key(|delivery| (delivery.wanted_at, step(delivery)));
        deliveries
    }

    /// How each nudge and prompt of a customer stands, such as `nudge thanks: held, quiet hours`.
    pub(crate) async fn fates_of(&self, id: &str) -> Vec<String> {
        let deliveries = self.deliveries_of(id).await;
        deliveries.iter().filter(|one| one.kind != DeliveryKind::Welcome).map(fate).collect()
    }

    pub(crate) async fn welcome_fates_of(&self, id: &str) -> Vec<String> {
        let deliveries = self.deliveries_of(id).await;
        deliveries.iter().filter(|one| one.kind == DeliveryKind::Welcome).map(fate).collect()
    }

    /// A command for the company's Redis; keys of the company are written without their prefix and shard, as `@key`.
    pub(crate) fn redis<T: redis::FromRedisValue>(&self, actor: &str, command: &[&str]) -> T {
        let actor: Actor = actor.parse().unwrap();
        let shard = actor.shard(self.store.shards());
        let key = |word: &&str| match word.strip_prefix('@') {
            Some(rest) => self.store.keys().of_shard(shard, rest),
            None => (*word).to_owned(),
        };
        let mut link = redis::Client::open(self.setup.redis_url.as_str()).unwrap().get_connection().unwrap();
        let mut asked = redis::Cmd::new();
        for word in command.iter().map(key) {
            asked.arg(word);
        }
        asked.query(&mut link).unwrap()
    }

    // What people received.

    pub(crate) fn pick<T>(&self, choose: impl Fn(&What) -> Option<T>) -> Vec<T> {
        self.world.receipts().iter().filter_map(|receipt| choose(&receipt.what)).collect()
    }

    /// When everything of a kind reached somebody.
    pub(crate) fn times(&self, is_it: impl Fn(&What) -> bool) -> Vec<String> {
        let receipts = self.world.receipts();
        receipts.iter().filter(|receipt| is_it(&receipt.what)).map(|receipt| local(receipt.at)).collect()
    }

    /// Texts of the welcomes that a customer got.
    pub(crate) fn welcomes_of(&self, id: &str) -> Vec<String> {
        self.pick(|what| match what {
            What::Welcome { customer, text, .. } if customer == id => Some(text.clone()),
            _ => None,
        })
    }

    /// Texts of the confirmed mass sends that a customer got.
    pub(crate) fn mass_of(&self, id: &str) -> Vec<String> {
        self.pick(|what| match what {
            What::Mass { customer, text, .. } if customer == id => Some(text.clone()),
            _ => None,
        })
    }

    /// When mass sends were put before their senders.
    pub(crate) fn mass_task_times(&self) -> Vec<String> {
        self.times(|what| matches!(what, What::MassTask { .. }))
    }

    /// `+group/name lili` and `-group/name lili` in the order in which they came on and off a customer's pairs.
    pub(crate) fn tag_changes_of(&self, id: &str) -> Vec<String> {
        self.pick(|what| match what {
            What::Tagged { customer, tag, userid } if customer == id => Some(format!("+{tag} {userid}")),
            What::Untagged { customer, tag, userid } if customer == id => Some(format!("-{tag} {userid}")),
            _ => None,
        })
    }

    /// Titles of the cards that a staff member got.
    pub(crate) fn cards_of(&self, staff: &str) -> Vec<String> {
        self.pick(|what| match what {
            What::Card { userid, title, .. } if userid == staff => Some(title.clone()),
            _ => None,
        })
    }

    pub(crate) fn card_times(&self) -> Vec<String> {
        self.times(|what| matches!(what, What::Card { .. }))
    }

    /// The task of the latest card that a staff member got.
    pub(crate) fn latest_card(&self, staff: &str) -> String {
        let tasks = self.pick(|what| match what {
            What::Card { userid, task_id, .. } if userid == staff => Some(task_id.clone()),
            _ => None,
        });
        tasks.last().cloned().unwrap_or_else(|| panic!("{staff} has no card"))
    }

    pub(crate) fn texts_of(&self, staff: &str) -> Vec<String> {
        self.pick(|what| match what {
            What::Text { userid, content } if userid == staff => Some(content.clone()),
            _ => None,
        })
    }

    /// Calls of one API, in the order in which WeCom looked at them.
    pub(crate) fn calls_of(&self, api: &str) -> Vec<LogEntry> {
        self.world.log().into_iter().filter(|entry| entry.api == api).collect()
    }

    /// Lets time pass, one thing after the other, until WeCom has looked at a first call of this API.
    pub(crate) async fn first_call_of(&self, api: &str) {
        let limit = self.clock.now() + hours(24);
        while self.calls_of(api).is_empty() {
            assert_eq!(travel::step(self.app().services(), limit).await.unwrap(), Step::Stopped, "{api} is not called");
            self.settle().await;
        }
    }

    /// Something goes wrong between the server and WeCom.
    pub(crate) fn trouble(&mut self, api: &str, kind: FaultKind, times: u32) {
        self.trouble = true;
        self.world.faults().inject(Fault::new(kind).of(api).times(times)).unwrap();
    }

    /// From here on WeCom may refuse calls.
    pub(crate) fn expects_trouble(&mut self) {
        self.trouble = true;
    }

    /// What was set aside, as `(event, error)`.
    pub(crate) async fn dead_letters(&self) -> Vec<(String, String)> {
        let mut letters = Vec::new();
        for shard in 0..self.store.shards() {
            letters.extend(self.store.dead_letters(shard, 100).await.unwrap());
        }
        letters
    }

    /// Closes the company; nothing may be left undone, set aside or, without trouble, refused by WeCom.
    pub(crate) async fn close(self) {
        self.settle().await;
        let letters = self.dead_letters().await;
        assert!(letters.is_empty(), "events were set aside: {letters:#?}");
        let misfires = self.world.misfires();
        assert!(misfires.is_empty(), "people could not do what they planned: {misfires:#?}");
        let refused: Vec<LogEntry> = self.world.log().into_iter().filter(|call| !call.is_accepted()).collect();
        assert!(self.trouble || refused.is_empty(), "WeCom refused calls: {refused:#?}");
        self.goes_home().await;
    }

    /// Closes the company without looking back.
    pub(crate) async fn goes_home(mut self) {
        self.goes_down().await;
        self.sandbox.stop().await;
    }
}

/// A customer who adds a staff member by the code with this state; no state when it is empty.
pub(crate) fn adding(customer: &str, userid: &str, state: &str) -> Adding {
    Adding {
        customer: customer.to_owned(),
        userid: userid.to_owned(),
        name: Some(format!("客户{customer}")),
        state: Some(state.to_owned()).filter(|state| !state.is_empty()),
        ..Adding::default()
    }
}

fn fate(delivery: &Delivery) -> String {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, state) = (word(json!(delivery.kind)), word(json!(delivery.state)));
    let what = delivery.title.clone().or_else(|| delivery.say.as_ref().map(ToString::to_string));
    format!("{kind} {}: {state}, {}", what.unwrap_or_default(), delivery.reason)
}
