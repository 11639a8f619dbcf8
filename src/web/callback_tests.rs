use rstest::rstest;
use secrecy::SecretString;

use super::*;
use crate::domain::event::types;

pub(super) const CORP: &str = "ww0123456789abcdef";
const NOW: i64 = 1_700_000_000;

pub(super) fn keys(receive_id: &str) -> CallbackKeys {
    let key = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    CallbackKeys::new(&SecretString::from("SampleToken01"), &key, receive_id).unwrap()
}

fn app(serves: &[Family]) -> AppCallback {
    AppCallback {
        id: AppId::parse("assistant").unwrap(),
        label: "assistant".into(),
        keys: keys(CORP),
        serves: serves.iter().copied().collect(),
    }
}

/// A callback as WeCom would send it at `timestamp`: what signs it, and its body.
pub(super) fn sealed(keys: &CallbackKeys, timestamp: &str, message: &str) -> (Signed, String) {
    let encrypted = keys.seal(message.as_bytes(), [7; 16]);
    let signed = Signed {
        msg_signature: keys.sign(timestamp, "n", &encrypted),
        timestamp: timestamp.to_owned(),
        nonce: "n".to_owned(),
        echostr: String::new(),
    };
    (signed, format!("<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"))
}

pub(super) fn adding(customer: &str) -> String {
    format!(
        "<xml><CreateTime>{NOW}</CreateTime><MsgType>event</MsgType><Event>change_external_contact</Event>\
         <ChangeType>add_external_contact</ChangeType><UserID>LiLi</UserID><ExternalUserID>{customer}</ExternalUserID>\
         <State>store-01</State><WelcomeCode>W1</WelcomeCode></xml>"
    )
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

fn hour() -> Option<Duration> {
    Some(Duration::from_secs(3600))
}

fn opened(app: &AppCallback, message: &str) -> Result<(Event, Ending), Ending> {
    let (signed, body) = sealed(&app.keys, &NOW.to_string(), message);
    open(app, hour(), &signed, body.as_bytes(), now())
}

#[test]
fn a_genuine_callback_is_taken_as_an_event_of_its_actor() {
    let (event, ending) = opened(&app(&[Family::Contacts]), &adding("wm1")).unwrap();
    assert_eq!((ending, event.kind.as_str()), (Ending::Taken, types::CONTACT_ADDED));
    assert_eq!((event.actor.to_string().as_str(), event.text("welcome_code")), ("customer:wm1", Some("W1")));
}

#[rstest]
#[case::other_family(&[Family::Messages, Family::Kf, Family::Directory], Ending::NotServed)]
#[case::no_family(&[], Ending::NotServed)]
#[case::this_family(&[Family::Contacts], Ending::Taken)]
fn only_the_app_that_serves_a_family_feeds_it(#[case] serves: &[Family], #[case] expected: Ending) {
    assert_eq!(opened(&app(serves), &adding("wm1")).unwrap().1, expected);
}

#[test]
fn what_belongs_to_no_family_is_taken_from_every_app() {
    let news = format!(
        "<xml><CreateTime>{NOW}</CreateTime><MsgType>event</MsgType><Event>low_active</Event><AgentID>1</AgentID></xml>"
    );
    let (event, ending) = opened(&app(&[]), &news).unwrap();
    assert_eq!((ending, event.kind.as_str()), (Ending::Taken, types::APP_INACTIVE));
    let (event, ending) = opened(&app(&[]), &news.replace("low_active", "brand_new")).unwrap();
    assert_eq!((ending, event.kind.as_str()), (Ending::Taken, types::CALLBACK_UNKNOWN));
}

#[test]
fn a_genuine_callback_that_cannot_be_read_is_taken_to_be_set_aside() {
    for message in ["hello", "<xml>", "<!DOCTYPE xml><xml/>", &adding("").replace("LiLi", "")] {
        let (event, ending) = opened(&app(&[]), message).unwrap();
        assert_eq!((ending, event.kind.as_str()), (Ending::Unreadable, types::CALLBACK_UNREADABLE));
        assert_eq!((event.at, event.text("raw")), (now(), Some(message)));
        assert_eq!(ending.status(), StatusCode::OK);
    }
}

#[rstest]
#[case::now(0, hour(), true)]
#[case::an_hour_old(-3600, hour(), true)]
#[case::older(-3601, hour(), false)]
#[case::an_hour_ahead(3600, hour(), true)]
#[case::newer(3601, hour(), false)]
#[case::any_age(-1_000_000_000, None, true)]
fn a_genuine_callback_from_another_time_is_refused(
    #[case] age: i64,
    #[case] window: Option<Duration>,
    #[case] taken: bool,
) {
    let app = app(&[Family::Contacts]);
    let (signed, body) = sealed(&app.keys, &(NOW + age).to_string(), &adding("wm1"));
    let result = open(&app, window, &signed, body.as_bytes(), now()).map(|(_, ending)| ending);
    assert_eq!(result, if taken { Ok(Ending::Taken) } else { Err(Ending::Stale) });
}

#[rstest]
#[case("")]
#[case("yesterday")]
#[case("99999999999999999999")]
#[case("9223372036854775807")]
fn a_time_that_is_none_is_another_time(#[case] timestamp: &str) {
    let app = app(&[Family::Contacts]);
    let (signed, body) = sealed(&app.keys, timestamp, &adding("wm1"));
    assert_eq!(open(&app, hour(), &signed, body.as_bytes(), now()), Err(Ending::Stale));
    assert!(open(&app, None, &signed, body.as_bytes(), now()).is_ok());
}

#[test]
fn forgeries_of_every_kind_end_alike() {
    let app = app(&[Family::Contacts]);
    let (signed, body) = sealed(&app.keys, &NOW.to_string(), &adding("wm1"));
    let (theirs, their_body) = sealed(&keys("ww00000000000000bb"), &NOW.to_string(), &adding("wm1"));
    let (_, other_body) = sealed(&app.keys, &NOW.to_string(), &adding("wm2"));
    let no_padding = format!("<xml><Encrypt>{}</Encrypt></xml>", "A".repeat(64));
    let badly_padded =
        Signed { msg_signature: app.keys.sign("1", "n", &"A".repeat(64)), timestamp: "1".into(), ..signed_by("n") };
    let forged = [
        ("unsigned", Signed::default(), body.as_str()),
        ("another body", signed, other_body.as_str()),
        ("another company", theirs, their_body.as_str()),
        ("bad padding", badly_padded, no_padding.as_str()),
        ("no envelope", signed_by("n"), ""),
        ("nothing encrypted", signed_by("n"), "<xml></xml>"),
        ("a document type", signed_by("n"), "<!DOCTYPE xml><xml><Encrypt>x</Encrypt></xml>"),
    ];
    for (what, signed, body) in forged {
        let result = open(&app, hour(), &signed, body.as_bytes(), now());
        assert_eq!(result, Err(Ending::Forged), "{what}");
    }
    assert_eq!(Ending::Forged.status(), Ending::Stale.status());
}

fn signed_by(nonce: &str) -> Signed {
    Signed { nonce: nonce.to_owned(), ..Signed::default() }
}
