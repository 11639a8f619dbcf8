use super::streams::{Appended, InLane, Remember, StreamId};
use super::trial::{Trial, actor, event};

#[tokio::test]
async fn the_same_event_delivered_three_times_is_kept_once() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let added = event("cb:1", &lin);

    let mut outcomes = Vec::new();
    for lane in [InLane::In, InLane::In, InLane::Bulk] {
        outcomes.push(trial.store.append(&added, lane, Remember::Week).await.unwrap());
    }

    assert_eq!(outcomes, [Appended::New, Appended::Duplicate, Appended::Duplicate]);
    let kept = trial.store.read(trial.shard(&lin), InLane::In, &StreamId::start(), 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].event.as_ref().unwrap(), &added);
}

#[tokio::test]
async fn two_different_events_in_one_second_both_count_and_keep_their_order() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let events = [event("cb:1", &lin), event("cb:2", &lin)];

    let outcomes = trial.store.append_many(&events, InLane::In, Remember::Week).await.unwrap();

    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Appended::New))), "{outcomes:?}");
    let shard = trial.shard(&lin);
    let first = trial.store.read(shard, InLane::In, &StreamId::start(), 1).await.unwrap();
    let second = trial.store.read(shard, InLane::In, &first[0].id, 10).await.unwrap();
    let read: Vec<_> = first.into_iter().chain(second).map(|entry| entry.event.unwrap()).collect();
    assert_eq!(read, events);
}

#[tokio::test]
async fn an_entry_that_is_no_event_is_read_with_what_is_wrong() {
    let trial = Trial::start().await;
    trial.cli::<()>("XADD tp:{s1}:in * e nonsense").await;
    trial.cli::<()>("XADD tp:{s1}:in * other field").await;

    let read = trial.store.read(1, InLane::In, &StreamId::start(), 10).await.unwrap();

    let raw: Vec<_> = read.into_iter().map(|entry| entry.event.unwrap_err().0).collect();
    assert_eq!(raw, ["nonsense", ""]);
}

#[tokio::test]
async fn an_id_is_remembered_a_week_with_a_callback() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    trial.store.append(&event("cb:1", &lin), InLane::In, Remember::Week).await.unwrap();

    let keys: Vec<String> = trial.cli("KEYS *:seen:*").await;

    assert_eq!(keys.len(), 1);
    let days = trial.cli::<u64>(&format!("TTL {}", keys[0])).await.div_ceil(24 * 60 * 60);
    assert_eq!(days, 7);
}

#[tokio::test]
async fn a_business_id_is_remembered_for_400_days_and_not_for_ever() {
    let trial = Trial::start().await;
    let order = [event("shop:order-1", &actor("customer:wmLin"))];
    let mut outcomes = Vec::new();
    // The first is the last day of a generation, where the reach is shortest.
    let first = 20_599;
    for day in [first, first, first + 400, first + 501] {
        let outcome = trial.store.append_on(day, &order, InLane::In, Remember::Business).await.unwrap().pop().unwrap();
        outcomes.push(outcome.unwrap());
    }

    assert_eq!(outcomes, [Appended::New, Appended::Duplicate, Appended::Duplicate, Appended::New]);
}

#[tokio::test]
async fn business_ids_lie_in_compact_buckets_that_expire() {
    let trial = Trial::start().await;
    let events: Vec<_> = (0..3000).map(|n| event(&format!("shop:order-{n}"), &actor("customer:wmLin"))).collect();
    for result in trial.store.append_many(&events, InLane::Bulk, Remember::Business).await.unwrap() {
        assert_eq!(result.unwrap(), Appended::New);
    }

    let buckets: Vec<String> = trial.cli("KEYS *:seen:*").await;
    assert!(buckets.len() <= 256, "{}", buckets.len());
    for bucket in &buckets {
        assert_eq!(trial.cli::<String>(&format!("OBJECT ENCODING {bucket}")).await, "listpack");
        let days = trial.cli::<u64>(&format!("TTL {bucket}")).await / (24 * 60 * 60);
        assert!((400..=500).contains(&days), "{days}");
    }
}

#[tokio::test]
async fn an_event_is_not_marked_as_seen_when_its_stream_cannot_take_it() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let stream = trial.key(trial.shard(&lin), "in");
    trial.cli::<()>(&format!("SET {stream} x")).await;
    for remember in [Remember::Week, Remember::Business] {
        assert!(trial.store.append(&event("cb:1", &lin), InLane::In, remember).await.is_err());
    }
    trial.cli::<()>(&format!("DEL {stream}")).await;

    let again = trial.store.append(&event("cb:1", &lin), InLane::In, Remember::Week).await.unwrap();

    assert_eq!(again, Appended::New);
}

#[tokio::test]
async fn an_append_that_too_few_copies_have_is_no_success() {
    let trial = Trial::start().await;
    let url = format!("unix://{}", trial.dir.path().join("data/redis.sock").display());
    let mut settings = super::trial::settings(crate::settings::RedisUrl::Single(url.into()));
    settings.wait_replicas = 1;
    let store = super::Store::connect(&settings).await.unwrap();

    let refused = store.append(&event("cb:1", &actor("corp")), InLane::In, Remember::Week).await.unwrap_err();

    assert!(refused.to_string().contains("too few copies"), "{refused}");
}

#[tokio::test]
async fn a_wake_up_reaches_other_processes() {
    let trial = Trial::start().await;
    let other = trial.beside().await;
    let mut wakes = other.wakes().await.unwrap();

    trial.store.publish_wakes(&[3]).await.unwrap();

    assert_eq!(wakes.recv().await, Some(3));
}

#[tokio::test]
async fn wake_ups_end_when_redis_goes_away() {
    let trial = Trial::start().await;
    let mut wakes = trial.store.wakes().await.unwrap();

    trial.store.close().await;

    assert_eq!(wakes.recv().await, None);
}
