use super::commit::Committed;
use super::leases::Fence;
use super::streams::{Appended, InLane, Remember};
use super::trial::{Trial, actor, event, no_change};

fn count(fence: &Fence) -> u64 {
    fence.0.split_once(':').unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn a_shard_has_one_owner_at_a_time() {
    let trial = Trial::start().await;

    let first = trial.store.acquire(1, "a:1").await.unwrap().unwrap();
    assert_eq!(trial.store.acquire(1, "b:1").await.unwrap(), None);
    trial.store.release(1, &first).await.unwrap();
    let second = trial.store.acquire(1, "b:1").await.unwrap().unwrap();

    assert!(count(&second) > count(&first), "{first:?} {second:?}");
    assert!(second.0.ends_with(":b:1"));
}

#[tokio::test]
async fn a_lease_runs_out_by_itself() {
    let trial = Trial::start().await;
    trial.own(1).await;

    let lease = trial.key(1, "lease");
    let left: u64 = trial.cli(&format!("PTTL {lease}")).await;

    assert!(left <= super::leases::LEASE_MS);
}

#[tokio::test]
async fn an_owner_that_was_replaced_renews_and_releases_nothing() {
    let trial = Trial::start().await;
    let old = trial.own(1).await;
    let kept = trial.own(2).await;
    trial.cli::<()>(&format!("DEL {}", trial.key(1, "lease"))).await;
    let new = trial.store.acquire(1, "other:1").await.unwrap().unwrap();

    let renewed = renew(&trial, "node:1", &[(1, old.clone()), (2, kept)]).await;
    trial.store.release(1, &old).await.unwrap();

    assert_eq!(renewed, [false, true]);
    assert_eq!(trial.cli::<Option<String>>(&format!("GET {}", trial.key(1, "lease"))).await.unwrap(), "other:1");
    assert_eq!(renew(&trial, "other:1", &[(1, new)]).await, [true]);
}

#[tokio::test]
async fn a_lease_that_ran_out_untaken_is_taken_up_again() {
    let trial = Trial::start().await;
    let fence = trial.own(1).await;
    trial.cli::<()>(&format!("DEL {}", trial.key(1, "lease"))).await;

    assert_eq!(renew(&trial, "node:1", &[(1, fence)]).await, [true]);

    assert_eq!(trial.store.acquire(1, "other:1").await.unwrap(), None);
}

#[tokio::test]
async fn after_a_redis_that_came_back_empty_old_fences_are_refused_and_new_ones_serve() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let shard = trial.shard(&lin);
    let old = trial.own(shard).await;
    trial.take_effect(&old, no_change(&lin)).await;

    trial.empty().await;

    assert_eq!(renew(&trial, "node:1", &[(shard, old.clone())]).await, [false]);
    let batch = trial.batch(shard, &old, vec![no_change(&lin)]).await;
    assert_eq!(trial.store.commit(&batch).await.unwrap(), Committed::Fenced);
    let new = trial.own(shard).await;
    assert_ne!(new, old);
    trial.take_effect(&new, no_change(&lin)).await;
    assert!(trial.store.knows(&lin).await.unwrap());
}

#[tokio::test]
async fn scripts_are_given_again_to_a_redis_that_forgot_them() {
    let trial = Trial::start().await;
    let lin = actor("customer:wmLin");
    let fence = trial.own(1).await;
    for n in 0..3 {
        trial.cli::<()>("SCRIPT FLUSH").await;
        let appended = trial.store.append(&event(&format!("cb:{n}"), &lin), InLane::In, Remember::Week).await;
        assert_eq!(appended.unwrap(), Appended::New);
        trial.cli::<()>("SCRIPT FLUSH").await;
        let held: Vec<_> = (0..3).map(|_| (1, fence.clone())).collect();
        assert_eq!(renew(&trial, "node:1", &held).await, [true, true, true]);
    }
}

#[tokio::test]
async fn live_processes_know_of_one_another() {
    let trial = Trial::start().await;

    assert_eq!(trial.store.announce("b:1", true).await.unwrap(), ["b:1"]);
    assert_eq!(trial.store.announce("web:1", false).await.unwrap(), ["b:1"]);
    assert_eq!(trial.store.announce("a:1", true).await.unwrap(), ["a:1", "b:1"]);
    trial.store.retire("b:1").await.unwrap();
    assert_eq!(trial.store.announce("a:1", true).await.unwrap(), ["a:1"]);
    // One that stopped announcing itself is forgotten.
    trial.store.query::<()>(redis::cmd("HSET").arg("tp:nodes").arg("dead:1").arg("1 worker")).await.unwrap();
    assert_eq!(trial.store.announce("a:1", true).await.unwrap(), ["a:1"]);
    assert_eq!(trial.cli::<Vec<String>>("HKEYS tp:nodes").await.len(), 2);
}

#[tokio::test]
async fn shards_without_an_owner_are_named() {
    let trial = Trial::start().await;
    assert_eq!(trial.store.unowned().await.unwrap(), [0, 1, 2, 3]);

    let fence = trial.own(2).await;
    trial.own(0).await;
    assert_eq!(trial.store.unowned().await.unwrap(), [1, 3]);

    trial.store.release(2, &fence).await.unwrap();
    assert_eq!(trial.store.unowned().await.unwrap(), [1, 2, 3]);
}

async fn renew(trial: &Trial, owner: &str, held: &[(u16, Fence)]) -> Vec<bool> {
    trial.store.renew(owner, held).await.unwrap().into_iter().map(Result::unwrap).collect()
}
