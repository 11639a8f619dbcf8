use std::time::{Duration, Instant};

use super::Error;
use super::shared::{RefreshTurn, SealedToken};
use super::trial::{Trial, settings};
use crate::domain::ids::AppId;
use crate::settings::RedisUrl;

const HOUR: Duration = Duration::from_secs(3600);

fn app() -> AppId {
    AppId::parse("assistant").unwrap()
}

#[tokio::test]
async fn one_process_at_a_time_refreshes_a_token_and_all_see_it() {
    let trial = Trial::start().await;
    let other = trial.beside().await;

    let turn = trial.store.take_refresh_turn(&app(), HOUR).await.unwrap().unwrap();
    assert_eq!(other.take_refresh_turn(&app(), HOUR).await.unwrap(), None);
    assert_eq!(other.token(&app()).await.unwrap(), None);
    assert!(trial.store.put_token(&app(), turn, b"\0sealed\xff", HOUR).await.unwrap());

    let seen = other.token(&app()).await.unwrap();
    assert_eq!(seen, Some(SealedToken { sealed: b"\0sealed\xff".to_vec(), version: turn.version }));
}

#[tokio::test]
async fn an_older_token_never_takes_the_place_of_a_newer_one() {
    let trial = Trial::start().await;
    let store = &trial.store;
    let slow = store.take_refresh_turn(&app(), Duration::ZERO).await.unwrap().unwrap();
    let quick = store.take_refresh_turn(&app(), Duration::ZERO).await.unwrap().unwrap();
    assert!(quick.version > slow.version);

    assert!(store.put_token(&app(), quick, b"new", HOUR).await.unwrap());
    assert!(!store.put_token(&app(), slow, b"old", HOUR).await.unwrap());
    assert_eq!(store.token(&app()).await.unwrap().unwrap().sealed, b"new");

    store.drop_token(&app(), slow.version).await.unwrap();
    assert_eq!(store.token(&app()).await.unwrap().unwrap().sealed, b"new");
    store.drop_token(&app(), quick.version).await.unwrap();
    assert_eq!(store.token(&app()).await.unwrap(), None);
    assert!(!store.put_token(&app(), slow, b"old", HOUR).await.unwrap());
}

#[tokio::test]
async fn versions_grow_even_when_redis_came_back_empty() {
    let trial = Trial::start().await;
    let before = trial.store.take_refresh_turn(&app(), HOUR).await.unwrap().unwrap();
    trial.empty().await;
    let after = trial.store.take_refresh_turn(&app(), HOUR).await.unwrap().unwrap();
    assert!(after.version > before.version, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_token_is_gone_when_its_life_is_over() {
    let trial = Trial::start().await;
    let turn = RefreshTurn { version: 7 };
    trial.store.put_token(&app(), turn, b"brief", Duration::ZERO).await.unwrap();
    assert_eq!(trial.store.token(&app()).await.unwrap(), None);
}

#[tokio::test]
async fn a_refused_secret_is_known_to_all_by_its_fingerprint() {
    let trial = Trial::start().await;
    trial.store.mark_secret_refused(&app(), "f1", HOUR).await.unwrap();

    let other = trial.beside().await;
    assert!(other.is_secret_refused(&app(), "f1").await.unwrap());
    assert!(!other.is_secret_refused(&app(), "f2").await.unwrap());
}

#[tokio::test]
async fn a_budget_lets_no_more_through_than_any_window_may_hold() {
    let trial = Trial::start().await;
    let window = Duration::from_millis(100);
    let most = 5;
    let started = Instant::now();
    let mut taken = Vec::new();
    while started.elapsed() < window * 6 {
        let before = Instant::now();
        if trial.store.take_budget("contacts", &[(window, most), (HOUR, 1000)]).await.unwrap().is_ok() {
            taken.push((before, Instant::now()));
        }
    }

    assert!(taken.len() > 15, "only {} calls in six windows", taken.len());
    for (first, beyond) in taken.iter().zip(taken.iter().skip(5)) {
        assert!(beyond.1 - first.0 >= window, "six calls within {:?}", beyond.1 - first.0);
    }
    let fields: Vec<String> = trial.cli("HKEYS tp:budget:contacts").await;
    assert!(fields.len() < 50, "old slices stay: {}", fields.len());
}

#[tokio::test]
async fn a_full_budget_says_how_long_to_wait_and_takes_nothing() {
    let trial = Trial::start().await;
    let windows = [(HOUR, 2), (HOUR * 24, 3)];
    for _ in 0..2 {
        assert_eq!(trial.store.take_budget("contacts", &windows).await.unwrap(), Ok(()));
    }

    for _ in 0..5 {
        let wait = trial.store.take_budget("contacts", &windows).await.unwrap().unwrap_err();
        assert!(wait > HOUR - HOUR / 20 && wait <= HOUR + HOUR / 10, "{wait:?}");
    }
    // The day's window still has room for one: the refused ones were not counted in it.
    assert_eq!(trial.store.take_budget("contacts", &windows[1..]).await.unwrap(), Ok(()));
    assert!(trial.store.take_budget("contacts", &windows[1..]).await.unwrap().is_err());
    assert_eq!(trial.store.take_budget("messages", &windows).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_paused_family_is_named_with_its_reason_and_not_cut_short() {
    let trial = Trial::start().await;
    trial.store.pause_family("kf", "48002 api forbidden", HOUR).await.unwrap();
    trial.store.pause_family("kf", "hiccup", Duration::from_secs(1)).await.unwrap();
    trial.store.pause_family("contacts", "over", Duration::ZERO).await.unwrap();

    let paused = trial.store.paused_families().await.unwrap();

    let [(family, reason, left)] = paused.as_slice() else { panic!("{paused:?}") };
    assert_eq!((family.as_str(), reason.as_str()), ("kf", "48002 api forbidden"));
    assert!(*left > HOUR - Duration::from_secs(60) && *left <= HOUR);
}

#[tokio::test]
async fn the_clock_moves_forwards_only_and_for_all() {
    let trial = Trial::start().await;
    assert_eq!(trial.store.clock_offset().await.unwrap(), 0);
    assert_eq!(trial.store.move_clock(604_800_000).await.unwrap(), 604_800_000);
    assert_eq!(trial.store.move_clock(1000).await.unwrap(), 604_800_000);
    assert_eq!(trial.beside().await.clock_offset().await.unwrap(), 604_800_000);
}

#[tokio::test]
async fn the_number_of_shards_is_fixed_at_first_start() {
    let trial = Trial::start().await;
    assert_eq!(trial.store.preflight().await.unwrap(), Vec::<String>::new());

    let url = format!("unix://{}", trial.dir.path().join("data/redis.sock").display());
    let mut others = settings(RedisUrl::Single(url.into()));
    others.shards = 8;
    let other = super::Store::connect(&others).await.unwrap();

    let refused = other.preflight().await.unwrap_err();
    assert!(matches!(&refused, Error::Unfit(words) if words.contains("set redis.shards: 4")), "{refused}");
    assert_eq!(trial.store.preflight().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redis_that_may_evict_is_refused() {
    let trial = Trial::start().await;
    trial.cli::<()>("CONFIG SET maxmemory-policy allkeys-lru").await;

    let refused = trial.store.preflight().await.unwrap_err();

    assert!(matches!(&refused, Error::Unfit(words) if words.contains("noeviction")), "{refused}");
    assert!(!trial.cli::<bool>("EXISTS tp:shards").await);
}
