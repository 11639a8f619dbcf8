//! Guarantee 11: the same rules, the same events and the same clock give the same decisions, byte for byte.
//!
//! Two companies live through the same days. Their worker, their store and their rules are the real ones; in place of the
//! dispatcher stands one that answers every call at once, so that the clock can stand still while it works.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use rstest::rstest;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use touchpoint::domain::At;
use touchpoint::domain::actor::Actor;
use touchpoint::domain::effect::{Call, Effect, Lane};
use touchpoint::domain::event::{Event, types};
use touchpoint::domain::ids::{EffectId, EventId};
use touchpoint::playbook::load;
use touchpoint::playbook::model::Playbook;
use touchpoint::runtime::sweeper::{Step, Sweeper};
use touchpoint::runtime::worker;
use touchpoint::settings::{RedisSettings, RedisUrl};
use touchpoint::store::Store;
use touchpoint::store::commit::Cursor;
use touchpoint::store::leases::Fence;
use touchpoint::store::outbox::Settled;
use touchpoint::store::streams::{InLane, Remember};

use super::helpers::at;
use super::redis_server;

const SHARDS: u16 = 2;

const RULES: &str = r#"
playbook: { id: shop, name: 女装店 }
tags: { 触点: { order: 10 }, 分层: { order: 20 } }
touchpoints:
  store_qr: { name: 门店扫码, on: contact.added, where: event.state.startsWith("store-"), tag: 触点/门店扫码 }
  visit: { name: 到店, on: visit.made, tag: [触点/到店, 触点/来过] }
segments:
  newcomer: { name: 新客, when: customer.orders == 0 && days_since(customer.added_at) < 2, tag: 分层/新客 }
  buyer: { name: 买家, when: customer.orders > 0, tag: [分层/买家, 分层/活跃] }
  spender: { name: 大客户, when: customer.spend >= 300, tag: 分层/大客户 }
messages:
  hello: { text: "{{ customer.name }}您好,我是{{ staff.name }}" }
  thanks: { text: "谢谢您的第 {{ customer.orders }} 单" }
welcome: [ { touchpoint: store_qr, say: hello } ]
journeys:
  care:
    name: 关怀
    enter: { event: order.paid }
    again: 1h
    holdout: 30
    goal: { touchpoint: visit, within: 3d }
    steps:
      - nudge: { say: thanks, via: [mass, staff] }
      - wait: 4h
      - prompt: { title: 请回访, due: 4h }
      - branch:
          - { if: customer.spend >= 300, steps: [ tag: { add: [旅程/大单, 旅程/关怀] } ] }
          - else: [ tag: { add: [旅程/小单] } ]
  call: { name: 回访, enter: { segment: buyer }, priority: 90, steps: [ nudge: { say: thanks, via: [staff] } ] }
guardrails: { quiet_hours: "21:00-09:00", customer_budget: [1 per 1d, 3 per 7d], staff_budget: 4 per 1d }
staff: { digest: "0 0 9 * * *", escalate: 24h, default: lili }
"#;

/// One of the companies.
struct Twin {
    store: Store,
    playbook: Arc<Playbook>,
    fences: Vec<Fence>,
    now: At,
    /// Every call it made, in order.
    calls: Vec<String>,
    /// Cards that may be tapped.
    cards: Vec<(EffectId, String)>,
}

impl Twin {
    async fn open(prefix: &str) -> Self {
        let url = RedisUrl::Single(SecretString::from(redis_server::shared()));
        let settings = RedisSettings { url, shards: SHARDS, prefix: prefix.to_owned(), wait_replicas: 0 };
        let store = Store::connect(&settings).await.unwrap();
        let playbook = Arc::new(load::from_text(RULES).unwrap_or_else(|faults| panic!("{faults}")));
        let mut fences = Vec::new();
        for shard in 0..SHARDS {
            fences.push(store.acquire(shard, "twin").await.unwrap().unwrap());
        }
        Self { store, playbook, fences, now: at("2035-01-01 09:00"), calls: Vec::new(), cards: Vec::new() }
    }

    /// An event of now, and everything that follows from it at once.
    async fn hears(&mut self, id: &str, kind: &str, actor: &str, data: Value) {
        let Value::Object(data) = data else { panic!("fields are an object") };
        let id = EventId::parse(id).unwrap();
        let event = Event {
            id,
            kind: kind.to_owned(),
            actor: actor.parse().unwrap(),
            at: self.now,
            data,
            hops: 0,
            trace: None,
        };
        self.store.append(&event, InLane::In, Remember::Week).await.unwrap();
        self.settles().await;
    }

    async fn advances_to(&mut self, target: At) {
        loop {
            let mut next = target;
            for shard in 0..SHARDS {
                next = next.min(self.store.next_due(shard).await.unwrap().unwrap_or(target));
                let mut sweeper = Sweeper::open(&self.store, shard).await.unwrap();
                next = next.min(sweeper.next_due(&self.playbook).unwrap_or(target));
            }
            self.now = self.now.max(next);
            self.settles().await;
            if self.now >= target {
                return;
            }
        }
    }

    /// Works until nothing is due.
    async fn settles(&mut self) {
        while self.works_once().await {}
    }

    async fn works_once(&mut self) -> bool {
        let mut worked = false;
        for shard in 0..SHARDS {
            let fence = self.fences[usize::from(shard)].clone();
            worked |= self.store.fire_due(shard, &fence, self.now, worker::BATCH).await.unwrap().moved > 0;
            worked |= self.decides(shard, &fence).await;
            worked |= self.calls_out(shard, &fence).await;
            let mut sweeper = Sweeper::open(&self.store, shard).await.unwrap();
            if sweeper.next_due(&self.playbook).is_some_and(|due| due <= self.now) {
                let step = sweeper.step(&self.store, &self.playbook, &fence, self.now).await.unwrap();
                worked |= matches!(step, Step::Moved { .. });
            }
        }
        worked
    }

    async fn decides(&mut self, shard: u16, fence: &Fence) -> bool {
        let from = self.store.cursor(shard).await.unwrap();
        let entries = self.store.read(shard, InLane::In, &from.now, worker::BATCH).await.unwrap();
        let Some(last) = entries.last() else { return false };
        let to = Cursor { now: last.id.clone(), bulk: from.bulk.clone() };
        let (store, playbook) = (&self.store, &self.playbook);
        worker::decide_entries(store, playbook, shard, fence, entries, (from, to), self.now).await.unwrap();
        true
    }

    async fn calls_out(&mut self, shard: u16, fence: &Fence) -> bool {
        let mut worked = false;
        for lane in [Lane::Urgent, Lane::Normal] {
            let ids = self.store.due_effects(shard, lane, self.now, 1000).await.unwrap();
            for waiting in self.store.effects(shard, &ids).await.unwrap() {
                let waiting = waiting.unwrap();
                self.calls.push(serde_json::to_string(&waiting.effect).unwrap());
                let event = self.answered(&waiting.effect).await;
                let settled = Settled::Over { event };
                self.store.settle(shard, fence, &waiting.effect, &settled).await.unwrap();
                worked = true;
            }
        }
        worked
    }

    /// What WeCom answers: yes to everything.
    async fn answered(&mut self, effect: &Effect) -> Option<Event> {
        let answer = match &effect.call {
            Call::Tell { event } => {
                self.store.append(event, InLane::In, Remember::Week).await.unwrap();
                return None;
            }
            Call::FetchProfile { customer, userid } => {
                let data = json!({ "name": format!("客户{customer}"), "type": 1, "staff_name": "李丽", "userid": userid,
                    "unionid": format!("union-{customer}"), "effect": effect.id, "follow_users": [] });
                return Some(self.result(effect, types::CONTACT_PROFILE, data));
            }
            Call::MassSend { .. } => json!({ "msgid": format!("msg-{}", effect.id), "fail_list": [] }),
            Call::MassResult { .. } => json!({ "results": [] }),
            Call::StaffCard { userid, card, .. } => {
                self.cards.push((card.task_id.clone(), userid.to_string()));
                json!({ "msgid": "m", "response_code": format!("code-{}", effect.id) })
            }
            Call::EnsureTags { tags } => {
                let ids = tags.iter().map(|tag| (tag.tag.to_string(), json!(format!("et-{}", tag.tag))));
                json!({ "tags": ids.collect::<Map<_, _>>() })
            }
            Call::Welcome { .. }
            | Call::Tag { .. }
            | Call::MassRemind { .. }
            | Call::StaffText { .. }
            | Call::CardUpdate { .. } => json!({}),
        };
        let data = json!({ "effect": effect.id, "call": effect.call.kind(), "answer": answer, "tries": 1 });
        Some(self.result(effect, types::EFFECT_DONE, data))
    }

    fn result(&self, effect: &Effect, kind: &str, data: Value) -> Event {
        let Value::Object(data) = data else { panic!("fields are an object") };
        let id = EventId::parse(format!("{}.done", effect.id)).unwrap();
        Event { id, kind: kind.to_owned(), actor: effect.actor.clone(), at: self.now, data, hops: 0, trace: None }
    }

    /// Everything that Redis holds of the company but what tells when and by whom it was written.
    fn everything(&self) -> BTreeMap<String, String> {
        let mut link = redis::Client::open(redis_server::shared()).unwrap().get_connection().unwrap();
        let prefix = self.store.keys().shared("");
        let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{prefix}*")).query(&mut link).unwrap();
        let own = ["lease", "fence", "cursor", "shards"];
        let mut found = BTreeMap::new();
        for key in keys {
            let name = key.strip_prefix(&prefix).unwrap().to_owned();
            let last = name.rsplit(':').next().unwrap();
            if own.contains(&last) || name.contains(":seen:") {
                continue;
            }
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut link).unwrap();
            let value = match kind.as_str() {
                "string" => redis::cmd("GET").arg(&key).query::<String>(&mut link).unwrap(),
                "hash" => {
                    let fields: BTreeMap<String, String> = redis::cmd("HGETALL").arg(&key).query(&mut link).unwrap();
                    format!("{fields:#?}")
                }
                "list" => {
                    let items: Vec<String> = redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).query(&mut link).unwrap();
                    format!("{items:#?}")
                }
                "zset" => {
                    let range: Vec<(String, f64)> =
                        redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES").query(&mut link).unwrap();
                    format!("{range:#?}")
                }
                _ => redis::cmd("XLEN").arg(&key).query::<u64>(&mut link).unwrap().to_string(),
            };
            found.insert(name, value);
        }
        found
    }
}

/// Three days of a small company.
async fn lives(twin: &mut Twin) {
    twin.hears("rules", types::PLAYBOOK_CHANGED, "corp", json!({ "revision": "1" })).await;
    for number in 0..8 {
        let (customer, staff) = (format!("customer:wm{number}"), if number % 2 == 0 { "lili" } else { "wangwei" });
        let adding = json!({ "userid": staff, "state": "store-01", "welcome_code": format!("W{number}") });
        twin.hears(&format!("add {number}"), types::CONTACT_ADDED, &customer, adding).await;
    }
    twin.hears("add again", types::CONTACT_ADDED, "customer:wm1", json!({ "userid": "lili", "state": "web" })).await;
    for number in 0..8 {
        let order = json!({ "amount": format!("{}", 50 + 60 * number), "order_id": format!("A{number}") });
        let whose = if number == 7 { "identity:unionid:union-wm7".to_owned() } else { format!("customer:wm{number}") };
        twin.hears(&format!("order {number}"), types::ORDER_PAID, &whose, order).await;
        let next = twin.now + TimeDelta::minutes(7);
        twin.advances_to(next).await;
    }
    twin.advances_to(at("2035-01-01 20:00")).await;
    for (number, (task, staff)) in twin.cards.clone().into_iter().enumerate() {
        let key = ["done", "snooze", "dismiss", "sent"][number % 4];
        let tap = json!({ "userid": staff, "task_id": task, "key": key, "response_code": format!("R{number}") });
        twin.hears(&format!("tap {number}"), types::STAFF_CARD, &format!("staff:{staff}"), tap).await;
    }
    twin.hears("visit", types::VISIT_MADE, "customer:wm2", json!({ "store": "一号店" })).await;
    twin.hears("refund", types::ORDER_REFUNDED, "customer:wm3", json!({ "order_id": "A3" })).await;
    twin.hears("out", types::CUSTOMER_OPTED_OUT, "customer:wm4", json!({})).await;
    twin.hears("lost", types::CONTACT_LOST, "customer:wm5", json!({ "userid": "wangwei" })).await;
    let attrs =
        json!({ "attrs": { "size": "M", "city": "杭州", "vip": true, "points": 12.5 }, "phone": "13800000000" });
    twin.hears("more", types::CUSTOMER_UPDATED, "customer:wm6", attrs).await;
    twin.advances_to(at("2035-01-04 12:00")).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_companies_that_live_through_the_same_days_are_the_same_to_the_byte() {
    let (mut first, mut second) = (Twin::open("twin1").await, Twin::open("twin2").await);

    lives(&mut first).await;
    lives(&mut second).await;

    assert_eq!(first.calls, second.calls);
    let (one, other) = (first.everything(), second.everything());
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (key, value) in &one {
        assert_eq!(value, &other[key], "{key}");
    }
    // And something did happen.
    let kinds = [
        "welcome",
        "tag",
        "ensure_tags",
        "mass_send",
        "mass_result",
        "staff_card",
        "staff_text",
        "card_update",
        "tell",
    ];
    for kind in kinds {
        let named = format!("\"kind\":\"{kind}\"");
        assert!(first.calls.iter().any(|call| call.contains(&named)), "no {kind}");
    }
    let records = one.keys().filter(|key| key.contains(":actor:")).count();
    let deliveries = one.keys().filter(|key| key.contains(":delivery:")).count();
    assert!(records > 10 && deliveries > 20, "{records} records, {deliveries} deliveries");
    let actor: Actor = "customer:wm7".parse().unwrap();
    assert!(one.keys().any(|key| key.ends_with(&format!(":actor:{actor}"))));
}
