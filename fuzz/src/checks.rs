//! One function per target: each panics when what must hold does not.

use std::time::Duration;

use chrono::DateTime;
use secrecy::SecretString;
use serde_json::json;
use touchpoint::domain::At;
use touchpoint::domain::event::Event;
use touchpoint::domain::ids::{AppId, SegmentId, TagName, TouchpointId};
use touchpoint::playbook::diagnostic::Faults;
use touchpoint::playbook::expression::{CustomerField, Facts, Value};
use touchpoint::playbook::load::from_text;
use touchpoint::playbook::template::Words;
use touchpoint::wecom::callback;
use touchpoint::wecom::crypto::CallbackKeys;

fn keys() -> CallbackKeys {
    let token = SecretString::from("SampleToken01");
    let aes_key = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    CallbackKeys::new(&token, &aes_key, "ww0123456789abcdef").expect("the key is 43 characters of base64")
}

/// An envelope that opens.
pub fn sealed(message: &str) -> String {
    format!("<xml><Encrypt><![CDATA[{}]]></Encrypt></xml>", keys().seal(message.as_bytes(), [3; 16]))
}

/// The envelope of a callback, XML or JSON, with whatever it holds signed as WeCom would.
///
/// What opens, seals and opens again as the same; what is signed otherwise never opens. As a message, any input comes out
/// of its envelope as it went in.
pub fn envelope(data: &[u8]) {
    comes_out_of_its_envelope(data);
    let read = callback::encrypted_part(data);
    assert_eq!(read, callback::encrypted_part(data));
    let Ok(encrypted) = read else { return };
    let keys = keys();
    assert!(keys.open("0000000000000000000000000000000000000000", "1", "n", &encrypted).is_err());
    if let Ok(message) = keys.open(&keys.sign("1", "n", &encrypted), "1", "n", &encrypted) {
        comes_out_of_its_envelope(&message);
    }
}

fn comes_out_of_its_envelope(message: &[u8]) {
    let keys = keys();
    let sealed = keys.seal(message, [7; 16]);
    let envelope = format!("<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>");
    assert_eq!(callback::encrypted_part(envelope.as_bytes()).as_ref(), Ok(&sealed));
    let opened = keys.open(&keys.sign("1", "n", &sealed), "1", "n", &sealed);
    assert_eq!(opened.expect("what was sealed opens"), message);
}

/// The decrypted inside of a callback.
///
/// It reads the same twice, its event survives the way through Redis, and what cannot be read is set aside under one name.
pub fn inside(data: &[u8]) {
    let app = AppId::parse("assistant").expect("a word is an app's name");
    match callback::parse(&app, data) {
        Ok(parsed) => {
            assert_eq!(Ok(&parsed), callback::parse(&app, data).as_ref());
            survives_redis(&parsed.event);
        }
        Err(error) => {
            let aside = |at: At| callback::unreadable(&app, data, &error, at);
            let (first, repeat) = (aside(DateTime::UNIX_EPOCH), aside(DateTime::UNIX_EPOCH + Duration::from_secs(9)));
            assert_eq!(first.id, repeat.id);
            survives_redis(&first);
        }
    }
}

fn survives_redis(event: &Event) {
    let text = serde_json::to_string(event).expect("an event is JSON");
    let read: Event = serde_json::from_str(&text).expect("what was written reads back");
    assert_eq!(read, *event);
}

/// A playbook file.
///
/// It compiles the same twice, and each fault is told inside the file, with an excerpt that its caret fits into.
pub fn playbook(data: &[u8]) {
    let Ok(yaml) = std::str::from_utf8(data) else { return };
    match (from_text(yaml), from_text(yaml)) {
        (Ok(first), Ok(second)) => assert_eq!(first.revision, second.revision),
        (Err(first), Err(second)) => {
            assert_eq!(first.0, second.0);
            are_inside(&first, yaml);
        }
        (first, second) => panic!("once {}, once {}", first.is_ok(), second.is_ok()),
    }
}

fn are_inside(faults: &Faults, yaml: &str) {
    assert!(faults.has_errors(), "what is refused has a reason");
    // A carriage return ends a line of YAML too.
    let lines = yaml.split(['\n', '\r']).count();
    for fault in faults.errors() {
        assert!(fault.line <= lines, "{fault:?} is told behind the last of {lines} lines");
        assert_eq!(fault.line == 0, fault.column == 0, "{fault:?}");
        assert!(!fault.message.is_empty());
        assert!(!fault.to_string().is_empty());
    }
}

/// A condition, in a segment.
///
/// What is accepted can be asked of any customer, with the same answer each time.
pub fn expression(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let yaml = format!(
        "playbook: {{ id: shop, name: 店 }}\ntouchpoints:\n  visit: {{ name: 到店, on: visit.made }}\nsegments:\n  \
         vip: {{ name: 贵宾, when: {} }}\n",
        json!(source)
    );
    match from_text(&yaml) {
        Ok(playbook) => {
            for segment in &playbook.segments {
                for facts in [Someone { is_known: true }, Someone { is_known: false }] {
                    assert_eq!(segment.when.holds(&facts), segment.when.holds(&facts));
                    assert_eq!(segment.when.explain(&facts), segment.when.explain(&facts));
                }
                assert_eq!(segment.when.source(), source);
            }
        }
        Err(faults) => are_inside(&faults, &yaml),
    }
}

/// A text with variables, in a message.
///
/// What is accepted renders, or says why not, the same each time.
pub fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let yaml = format!("playbook: {{ id: shop, name: 店 }}\nmessages:\n  hello: {{ text: {} }}\n", json!(source));
    match from_text(&yaml) {
        Ok(playbook) => {
            for text in playbook.messages.values().filter_map(|message| message.text.as_ref()) {
                for words in [Words::default(), words()] {
                    let said = |words: &Words| text.render(words).map_err(|error| error.to_string());
                    assert_eq!(said(&words), said(&words));
                }
            }
        }
        Err(faults) => are_inside(&faults, &yaml),
    }
}

fn words() -> Words {
    Words {
        customer: json!({ "name": "王芳", "orders": 3, "spend": "899.00", "tags": ["触点/下单"], "attrs": { "size": "L" } }),
        staff: json!({ "userid": "lili", "name": "李丽" }),
        event: json!({ "amount": "899.00" }),
        journey: json!({ "id": "first_order", "name": "首单关怀" }),
        corp: json!({ "name": "店" }),
    }
}

/// A customer, known well or not at all.
struct Someone {
    is_known: bool,
}

impl Someone {
    fn known(&self, value: Value) -> Value {
        if self.is_known { value } else { Value::Null }
    }
}

impl Facts for Someone {
    fn customer(&self, field: CustomerField) -> Value {
        self.known(match field {
            CustomerField::Id
            | CustomerField::Name
            | CustomerField::Unionid
            | CustomerField::Owner
            | CustomerField::State => Value::Text("王芳".to_owned()),
            CustomerField::AddedAt
            | CustomerField::FirstOrderAt
            | CustomerField::LastOrderAt
            | CustomerField::LastVisitAt
            | CustomerField::LastInboundAt
            | CustomerField::LastOutboundAt
            | CustomerField::RenewsAt => Value::Time(DateTime::UNIX_EPOCH),
            CustomerField::Tags | CustomerField::Groups | CustomerField::Segments => {
                Value::List(vec![Value::Text("触点/下单".to_owned())])
            }
            CustomerField::OptedOut | CustomerField::Lost => Value::Bool(false),
            CustomerField::ReferredBy => Value::Null,
            CustomerField::Type
            | CustomerField::Gender
            | CustomerField::AddWay
            | CustomerField::Orders
            | CustomerField::Spend
            | CustomerField::Visits
            | CustomerField::Csat
            | CustomerField::Nps
            | CustomerField::Referrals => Value::Number(3.0),
        })
    }
    fn attr(&self, _: &str) -> Value {
        self.known(Value::Text("L".to_owned()))
    }
    fn event(&self, _: &str) -> Value {
        self.known(Value::Text("899.00".to_owned()))
    }
    fn staff_userid(&self) -> Value {
        self.known(Value::Text("lili".to_owned()))
    }
    fn staff_name(&self) -> Value {
        Value::Null
    }
    fn touched(&self, _: &TouchpointId, _: Option<Duration>) -> u64 {
        u64::from(self.is_known)
    }
    fn last_touch(&self, _: &TouchpointId) -> Option<At> {
        self.is_known.then_some(DateTime::UNIX_EPOCH)
    }
    fn in_segment(&self, _: &SegmentId) -> bool {
        self.is_known
    }
    fn tagged(&self, _: &TagName) -> bool {
        self.is_known
    }
    fn now(&self) -> At {
        DateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
    fn zone(&self) -> chrono_tz::Tz {
        chrono_tz::Asia::Shanghai
    }
}
