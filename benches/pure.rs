//! What the pure parts cost: no Redis, no network.

#[path = "whole/past.rs"]
mod past;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use secrecy::SecretString;
use serde_json::json;
use touchpoint::decide::{self, Record};
use touchpoint::domain::event::types;
use touchpoint::domain::ids::{AppId, SegmentId, TagName, TouchpointId};
use touchpoint::playbook::expression::{CustomerField, Facts, Value};
use touchpoint::playbook::load::{self, Context};
use touchpoint::playbook::model::Playbook;
use touchpoint::wecom::callback;
use touchpoint::wecom::crypto::CallbackKeys;

use crate::past::{happened, regular, unknown};

/// The adding of a customer, as WeCom's document 92130 shows it.
const ADDING: &str = "<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName>\
    <FromUserName><![CDATA[sys]]></FromUserName><CreateTime>1700000000</CreateTime><MsgType><![CDATA[event]]></MsgType>\
    <Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[add_external_contact]]></ChangeType>\
    <UserID><![CDATA[lili]]></UserID><ExternalUserID><![CDATA[wmAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]]></ExternalUserID>\
    <State><![CDATA[store-01]]></State><WelcomeCode><![CDATA[CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC]]></WelcomeCode>\
    </xml>";

fn callbacks(criterion: &mut Criterion) {
    let key = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    let keys =
        CallbackKeys::new(&SecretString::from("SampleToken01"), &key, "ww0123456789abcdef").expect("a valid key");
    let app = AppId::parse("assistant").expect("a valid name");
    let encrypted = keys.seal(ADDING.as_bytes(), *b"0123456789abcdef");
    let signature = keys.sign("1700000000", "nonce-xyz", &encrypted);
    let body = format!(
        "<xml><ToUserName><![CDATA[ww0123456789abcdef]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID>\
         <Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    );
    let open = |body: &str| {
        let encrypted = callback::encrypted_part(body.as_bytes()).expect("an envelope");
        keys.open(&signature, "1700000000", "nonce-xyz", &encrypted).expect("genuine")
    };
    let message = open(&body);

    let mut group = criterion.benchmark_group("callback");
    group.bench_function("envelope", |bencher| bencher.iter(|| callback::encrypted_part(black_box(body.as_bytes()))));
    group.bench_function("verify and decrypt", |bencher| {
        bencher.iter(|| keys.open(&signature, "1700000000", "nonce-xyz", black_box(&encrypted)));
    });
    group.bench_function("parse", |bencher| bencher.iter(|| callback::parse(&app, black_box(&message))));
    group.bench_function("whole", |bencher| {
        bencher.iter(|| callback::parse(&app, &open(black_box(&body))).expect("readable"));
    });
    group.finish();
}

/// The sample company's rules.
fn rules() -> Playbook {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/playbook");
    load::load(&folder, &Context::default()).expect("the sample company's rules are good").playbook
}

/// A customer after two months.
fn record(playbook: &Playbook, now: DateTime<Utc>) -> Record {
    let mut record = unknown(1);
    for (place, one) in regular(1, now).into_iter().enumerate() {
        let event = one.to(1, place);
        let decision = decide::decide(playbook, record, &event, event.at).expect("the record is that customer's");
        record = Record { head: decision.head, ..unknown(1) };
    }
    record
}

fn decisions(criterion: &mut Criterion) {
    let (playbook, now) = (rules(), Utc::now());
    let record = record(&playbook, now);
    let visit = happened(now, types::VISIT_MADE, json!({ "store": "一号店" })).to(1, 100);
    let order = json!({ "amount": "299.00", "order_id": "SP1", "product": "knit", "quantity": 1 });
    let order = happened(now, types::ORDER_PAID, order).to(1, 101);
    let mut group = criterion.benchmark_group("decide");
    for (name, event) in [("a visit", &visit), ("an order", &order)] {
        group.bench_function(name, |bencher| {
            let decide = |record| decide::decide(&playbook, record, black_box(event), now);
            bencher.iter_batched(|| record.clone(), decide, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// A customer who spent much, long ago.
struct Dormant(DateTime<Utc>);

impl Facts for Dormant {
    fn customer(&self, field: CustomerField) -> Value {
        match field {
            CustomerField::Spend => Value::Number(3200.0),
            CustomerField::LastOrderAt => Value::Time(self.0 - TimeDelta::days(75)),
            _ => Value::Null,
        }
    }
    fn attr(&self, _: &str) -> Value {
        Value::Null
    }
    fn event(&self, _: &str) -> Value {
        Value::Null
    }
    fn staff_userid(&self) -> Value {
        Value::Null
    }
    fn staff_name(&self) -> Value {
        Value::Null
    }
    fn touched(&self, _: &TouchpointId, _: Option<Duration>) -> u64 {
        0
    }
    fn last_touch(&self, _: &TouchpointId) -> Option<DateTime<Utc>> {
        None
    }
    fn in_segment(&self, _: &SegmentId) -> bool {
        false
    }
    fn tagged(&self, _: &TagName) -> bool {
        false
    }
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
    fn zone(&self) -> chrono_tz::Tz {
        chrono_tz::Asia::Shanghai
    }
}

fn conditions(criterion: &mut Criterion) {
    let playbook = rules();
    let dormant = playbook.segments.iter().find(|segment| segment.id.as_str() == "dormant_vip");
    let condition = &dormant.expect("the sample company has dormant customers").when;
    let facts = Dormant(Utc::now());
    assert!(condition.holds(&facts), "the condition is read to its end");
    criterion.bench_function("condition", |bencher| bencher.iter(|| condition.holds(black_box(&facts))));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = callbacks, decisions, conditions
}
criterion_main!(benches);
