//! How Redis is set up and how full it is, and what waits in it: for `touchpoint doctor`, which changes nothing.
//!
//! Facts only; whether they are good or bad is not judged here. Questions about a server go to the one that the
//! connection leads to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::preflight::line_of;
use super::streams::InLane;
use super::{Error, Store};

/// So many questions are asked for the time of a round trip.
const ROUND_TRIPS: usize = 5;

/// A Redis server as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vitals {
    /// `Redis` or `Valkey`.
    pub engine: &'static str,
    /// As it says it, such as `7.0.15`.
    pub version: String,
    /// Which commands it knows, in terms of Redis: major and minor.
    pub speaks: (u32, u32),
    /// `standalone` or `cluster`.
    pub mode: String,
    /// It is a replica and takes no writes.
    pub is_replica: bool,
    /// What it does when memory is short.
    pub eviction: String,
    /// Memory it may use, in bytes; none when it may use all there is.
    pub most_bytes: Option<u64>,
    /// Memory it uses, in bytes.
    pub used_bytes: u64,
    /// It keeps an append-only file.
    pub appends: bool,
    /// How often that file is synced; none when it may not be asked.
    pub appendfsync: Option<String>,
    /// The latest write of the append-only file went well.
    pub aof_write_ok: bool,
    /// The latest snapshot went well.
    pub snapshot_ok: bool,
    /// Replicas that are connected and up to date.
    pub replicas: u32,
    /// Of a cluster: what is wrong with it.
    pub cluster_trouble: Option<String>,
    /// The median time of a round trip.
    pub round_trip: Duration,
    /// How far its clock is ahead of this machine's, in milliseconds.
    pub ahead_ms: i64,
}

/// A process that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living {
    /// Its name, without the id of its boot.
    pub name: String,
    /// It takes shards.
    pub works: bool,
}

/// What was set aside, all shards together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetAside {
    /// How much.
    pub count: u64,
    /// Why, of the newest.
    pub newest: Option<String>,
}

impl Store {
    /// What the server says of itself, and how far away it is; of a cluster's masters the worst of each thing.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn vitals(&self) -> Result<Vitals, Error> {
        let infos = self.infos("everything").await?;
        let mut vitals = infos.iter().map(|info| read(info)).reduce(worst).unwrap_or_default();
        // Who may not ask for settings learns the rest all the same.
        let setting: Result<BTreeMap<String, String>, Error> =
            self.query(redis::cmd("CONFIG").arg("GET").arg("appendfsync")).await;
        vitals.appendfsync = setting.ok().and_then(|mut found| found.remove("appendfsync"));
        if vitals.mode == "cluster" {
            let state: String = self.query(redis::cmd("CLUSTER").arg("INFO")).await?;
            vitals.cluster_trouble = trouble_of(&state);
        }
        (vitals.round_trip, vitals.ahead_ms) = self.distance().await?;
        Ok(vitals)
    }

    /// The median round trip, and how far Redis's clock is ahead by the quickest answer.
    async fn distance(&self) -> Result<(Duration, i64), Error> {
        let mut trips = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let (began, here) = (Instant::now(), now_ms());
            let (seconds, micros): (i64, i64) = self.query(&redis::cmd("TIME")).await?;
            let took = began.elapsed();
            let halfway = here + i64::try_from(took.as_millis() / 2).unwrap_or(0);
            trips.push((took, seconds * 1000 + micros / 1000 - halfway));
        }
        trips.sort_unstable();
        let median = trips.get(ROUND_TRIPS / 2).map_or(Duration::ZERO, |trip| trip.0);
        Ok((median, trips.first().map_or(0, |trip| trip.1)))
    }

    /// With how many shards this Redis was first used; none when it never was.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn fixed_shards(&self) -> Result<Option<String>, Error> {
        self.query(redis::cmd("GET").arg(self.keys().shard_count())).await
    }

    /// The processes that live, by name.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn living(&self) -> Result<Vec<Living>, Error> {
        let now = self.server_ms().await?;
        let nodes: BTreeMap<String, String> = self.query(redis::cmd("HGETALL").arg(self.keys().nodes())).await?;
        let lives = |(owner, text): (String, String)| {
            let (until, role) = text.split_once(' ')?;
            let name = owner.split('/').next().unwrap_or_default().to_owned();
            (until.parse::<i64>().ok()? > now).then(|| Living { name, works: role == "worker" })
        };
        Ok(nodes.into_iter().filter_map(lives).collect())
    }

    /// How long the event that has waited longest has been in its lane; none when no lane holds one.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn longest_wait(&self) -> Result<Option<Duration>, Error> {
        let now = self.server_ms().await?;
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            for lane in [InLane::In, InLane::Bulk] {
                pipe.cmd("XRANGE").arg(self.keys().stream(shard, lane)).arg("-").arg("+").arg("COUNT").arg(1);
            }
        }
        type First = Vec<(String, Vec<String>)>;
        let firsts: Vec<First> = self.query_all(&pipe).await?;
        let since = firsts.iter().flatten().filter_map(|(id, _)| id.split('-').next()?.parse::<i64>().ok()).min();
        Ok(since.map(|since| Duration::from_millis(u64::try_from(now - since).unwrap_or(0))))
    }

    /// What was set aside.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn set_aside(&self) -> Result<SetAside, Error> {
        let mut pipe = redis::pipe();
        for shard in 0..self.shards() {
            pipe.cmd("XLEN").arg(self.keys().dead(shard));
        }
        let counts: Vec<u64> = self.query_all(&pipe).await?;
        let mut newest = redis::pipe();
        for (shard, _) in (0..self.shards()).zip(&counts).filter(|(_, count)| **count > 0) {
            newest.cmd("XREVRANGE").arg(self.keys().dead(shard)).arg("+").arg("-").arg("COUNT").arg(1);
        }
        type Last = Vec<(String, BTreeMap<String, String>)>;
        let lasts: Vec<Last> = self.query_all(&newest).await?;
        let at = |id: &str| id.split('-').next().and_then(|ms| ms.parse::<u64>().ok());
        let newest = lasts.into_iter().flatten().max_by_key(|(id, _)| at(id));
        let newest = newest.and_then(|(_, mut fields)| fields.remove("error"));
        Ok(SetAside { count: counts.iter().sum(), newest })
    }

    /// Calls that a family's windows hold right now, in the order of the windows. Takes none.
    ///
    /// # Errors
    /// When Redis did not answer.
    pub async fn budget_used(&self, family: &str, windows: &[Duration]) -> Result<Vec<u64>, Error> {
        let now = self.server_ms().await?;
        let slices: BTreeMap<String, u64> = self.query(redis::cmd("HGETALL").arg(self.keys().budget(family))).await?;
        let taken = slices.into_iter().filter_map(|(name, calls)| {
            let (length, slice) = name.split_once(':')?;
            Some((length.parse::<i64>().ok()?, slice.parse::<i64>().ok()?, calls))
        });
        let taken: Vec<(i64, i64, u64)> = taken.collect();
        let used = |window: &Duration| {
            let length = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
            // As `budget.lua` cuts it: a window is counted in twentieths.
            let width = (length + 19) / 20;
            let counts = |(of, slice, _): &&(i64, i64, u64)| *of == length && (slice + 1) * width + length > now;
            taken.iter().filter(counts).map(|(_, _, calls)| calls).sum()
        };
        Ok(windows.iter().map(used).collect())
    }

    /// Now by Redis's clock, in milliseconds.
    async fn server_ms(&self) -> Result<i64, Error> {
        let (seconds, micros): (i64, i64) = self.query(&redis::cmd("TIME")).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Of two servers of one cluster the worse of each thing.
fn worst(one: Vitals, other: Vitals) -> Vitals {
    let fullness = |vitals: &Vitals| vitals.most_bytes.map_or(0, |most| vitals.used_bytes.saturating_mul(1000) / most);
    let has_limit = one.most_bytes.is_some() && other.most_bytes.is_some();
    let (fuller, emptier) = if fullness(&one) >= fullness(&other) { (&one, &other) } else { (&other, &one) };
    // One without a limit is worse than any that has room.
    let memory = if has_limit || fullness(fuller) >= 750 {
        fuller
    } else {
        [fuller, emptier][usize::from(fuller.most_bytes.is_some())]
    };
    let (most_bytes, used_bytes) = (memory.most_bytes, memory.used_bytes);
    let eviction = if one.eviction == "noeviction" { other.eviction } else { one.eviction };
    let (engine, version, speaks) = if one.speaks <= other.speaks {
        (one.engine, one.version, one.speaks)
    } else {
        (other.engine, other.version, other.speaks)
    };
    Vitals {
        engine,
        version,
        speaks,
        mode: one.mode,
        is_replica: one.is_replica || other.is_replica,
        eviction,
        most_bytes,
        used_bytes,
        appends: one.appends && other.appends,
        appendfsync: None,
        aof_write_ok: one.aof_write_ok && other.aof_write_ok,
        snapshot_ok: one.snapshot_ok && other.snapshot_ok,
        replicas: one.replicas.min(other.replicas),
        cluster_trouble: None,
        round_trip: Duration::ZERO,
        ahead_ms: 0,
    }
}

fn read(info: &str) -> Vitals {
    let said = |name| line_of(info, name).unwrap_or_default();
    let number = |name| said(name).parse::<u64>().unwrap_or_default();
    // Valkey calls itself Redis 7.2.4 for the sake of old clients.
    let (engine, version) = match said("valkey_version") {
        "" => ("Redis", said("redis_version")),
        version => ("Valkey", version),
    };
    let mut numbers = said("redis_version").split('.').map(|number| number.parse().unwrap_or_default());
    let is_online = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    let replicas = info.lines().filter(is_online).count();
    Vitals {
        engine,
        version: version.to_owned(),
        speaks: (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()),
        mode: said("redis_mode").to_owned(),
        is_replica: said("role") == "slave",
        eviction: said("maxmemory_policy").to_owned(),
        most_bytes: Some(number("maxmemory")).filter(|most| *most > 0),
        used_bytes: number("used_memory"),
        appends: said("aof_enabled") == "1",
        appendfsync: None,
        aof_write_ok: said("aof_last_write_status") != "err",
        snapshot_ok: said("rdb_last_bgsave_status") != "err",
        replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
        cluster_trouble: None,
        round_trip: Duration::ZERO,
        ahead_ms: 0,
    }
}

/// What `CLUSTER INFO` complains of.
fn trouble_of(state: &str) -> Option<String> {
    let figures = ["cluster_slots_assigned", "cluster_slots_fail", "cluster_slots_pfail"];
    let figures = figures.map(|name| line_of(state, name).unwrap_or("?"));
    if line_of(state, "cluster_state") == Some("ok") && figures == ["16384", "0", "0"] {
        return None;
    }
    let [assigned, failed, doubtful] = figures;
    let word = line_of(state, "cluster_state").unwrap_or("?");
    Some(format!("cluster_state {word}, slots assigned {assigned} of 16384, failed {failed}, doubtful {doubtful}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_what_it_says_of_itself() {
        let info = "redis_version:7.2.4\r\nvalkey_version:8.1.0\r\nredis_mode:standalone\r\nrole:master\r\n\
                    maxmemory:1000\r\nused_memory:950\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:1\r\n\
                    aof_last_write_status:err\r\nrdb_last_bgsave_status:ok\r\nconnected_slaves:2\r\n\
                    slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0\r\n\
                    slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n";
        let vitals = read(info);
        assert_eq!((vitals.engine, vitals.version.as_str(), vitals.speaks), ("Valkey", "8.1.0", (7, 2)));
        assert_eq!((vitals.most_bytes, vitals.used_bytes, vitals.replicas), (Some(1000), 950, 1));
        assert_eq!((vitals.appends, vitals.aof_write_ok, vitals.snapshot_ok), (true, false, true));
        assert_eq!(read("maxmemory:0\r\n").most_bytes, None);
    }

    #[test]
    fn of_a_clusters_masters_the_worst_of_each_thing_counts() {
        let master = |used, more: &str| {
            read(&format!(
                "redis_version:7.0.15\r\nmaxmemory:1000\r\nused_memory:{used}\r\nmaxmemory_policy:noeviction\r\n{more}"
            ))
        };
        let all = worst(worst(master(100, "aof_enabled:1\r\n"), master(900, "aof_enabled:0\r\n")), master(200, ""));
        assert_eq!((all.used_bytes, all.appends, all.eviction.as_str()), (900, false, "noeviction"));
        let unlimited = read("redis_version:6.2.0\r\nused_memory:5\r\nmaxmemory_policy:allkeys-lru\r\n");
        let all = worst(master(100, ""), unlimited);
        assert_eq!((all.most_bytes, all.speaks, all.eviction.as_str()), (None, (6, 2), "allkeys-lru"));
    }

    #[test]
    fn a_cluster_is_well_when_every_slot_is() {
        let well =
            "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\n";
        assert_eq!(trouble_of(well), None);
        for ill in [well.replace(":ok", ":fail"), well.replace("16384", "10923"), well.replace("pfail:0", "pfail:5461")]
        {
            assert!(trouble_of(&ill).is_some(), "{ill}");
        }
    }
}
