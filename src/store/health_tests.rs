use std::time::Duration;

use super::health::{Living, SetAside};
use super::streams::{InLane, Remember};
use super::trial::{Trial, actor, event};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_server_tells_how_it_is_set_up_and_its_clock_is_ours() {
    let trial = Trial::start().await;

    let vitals = trial.store.vitals().await.unwrap();

    assert!(vitals.speaks >= (6, 2) && vitals.used_bytes > 0, "{vitals:?}");
    assert!(vitals.appends && !vitals.is_replica && vitals.ahead_ms.abs() < 2000, "{vitals:?}");
    assert_eq!((vitals.eviction.as_str(), vitals.appendfsync.as_deref()), ("noeviction", Some("always")));
}

#[tokio::test]
async fn what_is_used_of_a_quota_is_read_without_taking_any() {
    let trial = Trial::start().await;
    for _ in 0..3 {
        trial.store.take_budget("user/get", &[(MINUTE, 9), (HOUR, 9)]).await.unwrap().unwrap();
    }
    for _ in 0..2 {
        assert_eq!(trial.store.budget_used("user/get", &[MINUTE, HOUR]).await.unwrap(), [3, 3]);
    }
    // A slice that is older than its window counts no more.
    let key = trial.store.keys().shared("budget:user/get");
    trial.cli::<()>(&format!("HSET {key} 60000:7 100")).await;
    assert_eq!(trial.store.budget_used("user/get", &[MINUTE]).await.unwrap(), [3]);
    assert_eq!(trial.store.budget_used("another", &[MINUTE]).await.unwrap(), [0]);
}

#[tokio::test]
async fn who_lives_what_waits_and_what_was_set_aside_is_told() {
    let trial = Trial::start().await;
    let store = &trial.store;
    assert_eq!((store.living().await.unwrap(), store.longest_wait().await.unwrap()), (vec![], None));
    assert_eq!(store.set_aside().await.unwrap(), SetAside::default());

    store.announce("shop-1/0123", true).await.unwrap();
    store.announce("shop-2/4567", false).await.unwrap();
    let mut long_gone = redis::cmd("HSET");
    long_gone.arg(store.keys().shared("nodes")).arg("gone/89").arg("1 worker");
    let () = store.query(&long_gone).await.unwrap();
    store.append(&event("one", &actor("customer:wmA")), InLane::Bulk, Remember::Week).await.unwrap();
    let (old, new) = (trial.key(1, "dead"), trial.key(2, "dead"));
    trial.cli::<String>(&format!("XADD {new} 2000-0 e x error later")).await;
    trial.cli::<String>(&format!("XADD {old} 1000-0 e x error earlier")).await;

    let lives = |name: &str, works| Living { name: name.to_owned(), works };
    assert_eq!(store.living().await.unwrap(), [lives("shop-1", true), lives("shop-2", false)]);
    assert!(store.longest_wait().await.unwrap().unwrap() < HOUR);
    assert_eq!(store.set_aside().await.unwrap(), SetAside { count: 2, newest: Some("later".to_owned()) });
}
