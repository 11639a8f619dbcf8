//! Who owns a shard.

use super::scripts::{ACQUIRE, ANNOUNCE, RELEASE, RENEW};
use super::{Error, Store};

/// What proves ownership: a counter that never expires, and who counted. A commit with an older one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence(pub String);

/// How long a lease lives without renewal, in real time.
pub const LEASE_MS: u64 = 3000;

impl Store {
    /// Takes a shard that nobody owns; none when somebody does. A repeat by the owner gives a new fence.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn acquire(&self, shard: u16, owner: &str) -> Result<Option<Fence>, Error> {
        let mut call = ACQUIRE.call(&[self.keys().lease(shard), self.keys().fence(shard)]);
        call.arg(owner).arg(LEASE_MS);
        let fence: Option<String> = self.run(&ACQUIRE, &call).await?;
        Ok(fence.map(Fence))
    }

    /// Renews the leases of one owner; false for each that is lost.
    ///
    /// # Errors
    /// The outer one when Redis did not answer; the inner ones when the server that has that shard did not.
    pub async fn renew(&self, owner: &str, held: &[(u16, Fence)]) -> Result<Vec<Result<bool, Error>>, Error> {
        let calls = held.iter().map(|(shard, fence)| {
            let mut call = RENEW.call(&[self.keys().lease(*shard), self.keys().fence(*shard)]);
            call.arg(owner).arg(LEASE_MS).arg(&fence.0);
            call
        });
        let answers = self.run_all(&RENEW, calls.collect()).await?;
        Ok(answers.into_iter().map(|answer| Ok(redis::from_redis_value(answer?)?)).collect())
    }

    /// Gives a shard up; nothing happens when it is somebody else's by now.
    ///
    /// # Errors
    /// When Redis did not answer; the lease then runs out by itself.
    pub async fn release(&self, shard: u16, fence: &Fence) -> Result<(), Error> {
        let mut call = RELEASE.call(&[self.keys().lease(shard), self.keys().fence(shard)]);
        call.arg(&fence.0);
        self.run(&RELEASE, &call).await
    }

    /// Says that this process lives (for [`LEASE_MS`]) and whether it takes shards; gives the owners that do, sorted.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn announce(&self, owner: &str, works: bool) -> Result<Vec<String>, Error> {
        let mut call = ANNOUNCE.call(&[self.keys().nodes()]);
        call.arg(owner).arg(if works { "worker" } else { "web" }).arg(LEASE_MS);
        let mut owners: Vec<String> = self.run(&ANNOUNCE, &call).await?;
        owners.sort_unstable();
        Ok(owners)
    }

    /// Takes this process off the list.
    ///
    /// # Errors
    /// When Redis did not answer; it then runs out by itself.
    pub async fn retire(&self, owner: &str) -> Result<(), Error> {
        self.query(redis::cmd("HDEL").arg(self.keys().nodes()).arg(owner)).await
    }

    /// Shards without an owner. In a cluster one whose server does not answer is not known to have none.
    ///
    /// # Errors
    /// When Redis did not answer for any shard.
    pub async fn unowned(&self) -> Result<Vec<u16>, Error> {
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            pipe.cmd("EXISTS").arg(self.keys().lease(shard));
        }
        let mut unowned = Vec::new();
        let (mut answered, mut refused) = (false, None);
        for (shard, answer) in (0..self.shards()).zip(self.outcomes(&mut pipe).await?) {
            match answer.and_then(|answer| Ok(redis::from_redis_value::<bool>(answer)?)) {
                Ok(owned) => {
                    answered = true;
                    unowned.extend((!owned).then_some(shard));
                }
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if !answered => Err(error.into()),
            _ => Ok(unowned),
        }
    }
}
