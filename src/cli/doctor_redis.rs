//! How Redis is set up, and whether it takes writes.

use std::time::Duration;

use crate::settings::{RedisSettings, RedisUrl, Settings};
use crate::store::Store;
use crate::store::health::Vitals;

use super::doctor_report::{Group, Report, Say, State, say};

/// The oldest version that the tests run on, and the newest major one that was tried.
const TRIED: ((u32, u32), u32) = ((7, 0), 8);
/// The oldest version that has every command.
const OLDEST: (u32, u32) = (6, 2);

/// Connects; none when Redis cannot be asked, which is then told.
pub(super) async fn connect(settings: &RedisSettings, report: &mut Report) -> Option<Store> {
    if let RedisUrl::Embedded(dir) = &settings.url
        && !dir.exists()
    {
        let dir = dir.display();
        report.warn(
            Group::Redis,
            "redis.reach",
            say!(
                "内置 Redis 的目录 {dir} 不存在: 服务还没有在这里启动过",
                "the folder {dir} of the private Redis is not there: no server has been started here yet"
            ),
            say!(
                "在启动服务的那个目录里运行 doctor, 或者先启动服务",
                "run doctor in the folder in which the server is started, or start the server first"
            ),
        );
        return None;
    }
    match Store::connect_beside(settings).await {
        Ok(store) => Some(store),
        Err(error) => {
            report.bad(
                Group::Redis,
                "redis.reach",
                say!("连不上 Redis: {error}", "Redis cannot be reached: {error}"),
                say!(
                    "确认 Redis 在运行, 并核对 redis.url 的地址、密码和 TLS",
                    "see that Redis runs, and check address, password and TLS in redis.url"
                ),
            );
            None
        }
    }
}

/// The server itself.
pub(super) async fn server(settings: &Settings, store: &Store, report: &mut Report) {
    match store.vitals().await {
        Ok(vitals) => judge(&settings.redis, &vitals, report),
        Err(error) => report.bad(
            Group::Redis,
            "redis.reach",
            say!("Redis 没有说明自己的状态: {error}", "Redis does not tell about itself: {error}"),
            say!(
                "允许这个用户执行 INFO 和 TIME, 并看 Redis 的日志",
                "let this user run INFO and TIME, and read Redis's log"
            ),
        ),
    }
    match store.probe().await {
        Ok(()) => report.ok(Group::Redis, "redis.write", say!("可以写入", "it takes writes")),
        Err(error) => {
            let fix = remedy_of_writing(&error.to_string());
            report.bad(Group::Redis, "redis.write", say!("写入被拒绝: {error}", "it refuses writes: {error}"), fix);
        }
    }
    shards(settings, store, report).await;
}

fn remedy_of_writing(error: &str) -> Say {
    if error.contains("MISCONF") {
        return say!(
            "Redis 存不了盘: 腾出磁盘空间、检查数据目录的权限, 然后执行一次 BGSAVE",
            "Redis cannot save to disk: make room, check the rights of its data folder, then run BGSAVE once"
        );
    }
    if error.contains("OOM") {
        return say!("调大 maxmemory（CONFIG SET maxmemory）", "raise maxmemory (CONFIG SET maxmemory)");
    }
    if error.contains("READONLY") {
        return say!("把 redis.url 指向主节点", "point redis.url at the primary");
    }
    say!("看 Redis 的日志, 并核对用户的权限", "read Redis's log, and check the rights of its user")
}

fn judge(settings: &RedisSettings, vitals: &Vitals, report: &mut Report) {
    version(vitals, report);
    place(settings, vitals, report);
    eviction(vitals, report);
    memory(settings, vitals, report);
    durability(vitals, report);
    replicas(settings, vitals, report);
    distance(vitals, report);
}

fn version(vitals: &Vitals, report: &mut Report) {
    let Vitals { engine, version, .. } = vitals;
    let state = match vitals.speaks {
        speaks if speaks < OLDEST => State::Bad,
        speaks if speaks < TRIED.0 || speaks.0 > TRIED.1 => State::Warn,
        _ => State::Ok,
    };
    let found = match state {
        State::Ok => say!("{engine} {version}", "{engine} {version}"),
        State::Warn => say!("{engine} {version} 没有测试过", "{engine} {version} has not been tried"),
        State::Bad => say!("{engine} {version} 太旧", "{engine} {version} is too old"),
    };
    let fix = say!("使用 Redis 7.0 至 8.x, 或 Valkey", "use Redis 7.0 to 8.x, or Valkey");
    report.graded(Group::Redis, "redis.version", state, found, fix);
}

/// Whether it is the kind of server that the address says.
fn place(settings: &RedisSettings, vitals: &Vitals, report: &mut Report) {
    let is_cluster_url = matches!(settings.url, RedisUrl::Cluster(_));
    let is_cluster = vitals.mode == "cluster";
    if is_cluster && !is_cluster_url {
        report.bad(
            Group::Redis,
            "redis.form",
            say!("这是集群的一个节点", "this is a node of a cluster"),
            say!("把 redis.url 写成 redis-cluster://a,b,c", "give redis.url as redis-cluster://a,b,c"),
        );
    } else if vitals.is_replica && !is_cluster {
        report.bad(
            Group::Redis,
            "redis.form",
            say!("这是副本, 不能写入", "this is a replica and takes no writes"),
            say!(
                "把 redis.url 指向主节点, 或使用 redis-sentinel://",
                "point redis.url at the primary, or use redis-sentinel://"
            ),
        );
    } else if let Some(trouble) = &vitals.cluster_trouble {
        report.bad(
            Group::Redis,
            "redis.form",
            say!("集群不完整: {trouble}", "the cluster is not whole: {trouble}"),
            say!(
                "用 `redis-cli --cluster check` 找出缺失的槽和节点并修复",
                "find and mend the missing slots and nodes with `redis-cli --cluster check`"
            ),
        );
    } else {
        let mode = if is_cluster { "cluster" } else { "primary" };
        report.ok(Group::Redis, "redis.form", say!("角色: {mode}", "it is a {mode}"));
    }
}

fn eviction(vitals: &Vitals, report: &mut Report) {
    let policy = &vitals.eviction;
    let state = if matches!(policy.as_str(), "noeviction" | "") { State::Ok } else { State::Bad };
    let found = match state {
        State::Ok => {
            say!("内存不足时不淘汰数据（noeviction）", "it throws nothing away when memory is short (noeviction)")
        }
        State::Warn | State::Bad => say!(
            "内存不足时会淘汰数据（maxmemory-policy {policy}）, 服务不会启动",
            "it throws records away when memory is short (maxmemory-policy {policy}); the server does not start"
        ),
    };
    let fix = say!(
        "执行 CONFIG SET maxmemory-policy noeviction, 并写进 redis.conf",
        "run CONFIG SET maxmemory-policy noeviction and write it into redis.conf"
    );
    report.graded(Group::Redis, "redis.eviction", state, found, fix);
}

fn memory(settings: &RedisSettings, vitals: &Vitals, report: &mut Report) {
    let used = vitals.used_bytes >> 20;
    let Some(most) = vitals.most_bytes else {
        // The private Redis has the machine to itself.
        let state = if matches!(settings.url, RedisUrl::Embedded(_)) { State::Ok } else { State::Warn };
        let found = say!("已用 {used} MiB, 没有设 maxmemory", "{used} MiB used, no maxmemory");
        let fix = say!(
            "设置 maxmemory: 到 90 % 时服务拒收新事件, 而不是让系统杀掉 Redis",
            "set maxmemory: at 90 % of it the server takes no more in, before the system kills Redis"
        );
        return report.graded(Group::Redis, "redis.memory", state, found, fix);
    };
    let percent = vitals.used_bytes.saturating_mul(100) / most;
    let most = most >> 20;
    let state = match percent {
        90.. => State::Bad,
        75.. => State::Warn,
        _ => State::Ok,
    };
    let found = say!(
        "已用 {used} MiB, 为 maxmemory {most} MiB 的 {percent} %",
        "{used} MiB used, {percent} % of maxmemory {most} MiB"
    );
    let fix = say!(
        "调大 maxmemory（CONFIG SET maxmemory 和 redis.conf）: 到 90 % 时回调和业务事件都答 503",
        "raise maxmemory (CONFIG SET maxmemory and redis.conf): from 90 % on callbacks and business events are answered 503"
    );
    report.graded(Group::Redis, "redis.memory", state, found, fix);
}

fn durability(vitals: &Vitals, report: &mut Report) {
    let fsync = vitals.appendfsync.as_deref().unwrap_or("?");
    let (state, found) = match fsync {
        _ if !vitals.appends => (
            State::Warn,
            say!(
                "没有开 AOF: 崩溃会丢掉上次快照以后的一切",
                "no append-only file: a crash loses everything since the last snapshot"
            ),
        ),
        "no" => (
            State::Warn,
            say!(
                "AOF 由系统决定何时落盘（appendfsync no）",
                "the append-only file is synced whenever the system likes (appendfsync no)"
            ),
        ),
        "everysec" => (
            State::Ok,
            say!(
                "AOF 已开（appendfsync everysec）: 机器断电可能丢最后一两秒",
                "append-only file, appendfsync everysec: the death of the machine may take the last second or two"
            ),
        ),
        _ => (State::Ok, say!("AOF 已开（appendfsync {fsync}）", "append-only file, appendfsync {fsync}")),
    };
    let fix = say!(
        "执行 CONFIG SET appendonly yes 和 CONFIG SET appendfsync always（或 everysec）, 并写进 redis.conf",
        "run CONFIG SET appendonly yes and CONFIG SET appendfsync always (or everysec), and write both into redis.conf"
    );
    report.graded(Group::Redis, "redis.durability", state, found, fix);
    if !vitals.aof_write_ok || !vitals.snapshot_ok {
        let (aof, snapshot) = (word(vitals.aof_write_ok), word(vitals.snapshot_ok));
        report.bad(
            Group::Redis,
            "redis.disk",
            say!(
                "上次落盘失败（AOF {aof}, 快照 {snapshot}）, Redis 可能拒绝写入",
                "the latest write to disk failed (append-only file {aof}, snapshot {snapshot}); Redis may refuse writes"
            ),
            say!(
                "腾出磁盘空间、检查数据目录的权限, 再执行 BGSAVE 看是否恢复",
                "make room on the disk, check the rights of its data folder, then run BGSAVE to see that it works"
            ),
        );
    }
}

fn word(ok: bool) -> &'static str {
    if ok { "ok" } else { "err" }
}

fn replicas(settings: &RedisSettings, vitals: &Vitals, report: &mut Report) {
    let (wanted, there) = (settings.wait_replicas, vitals.replicas);
    if wanted == 0 {
        return;
    }
    let state = if there < wanted { State::Bad } else { State::Ok };
    let found = say!(
        "在线副本 {there} 个, redis.wait_replicas 要 {wanted} 个",
        "{there} replicas are online, redis.wait_replicas asks for {wanted}"
    );
    let fix = say!(
        "补足副本, 或调小 redis.wait_replicas: 副本不够时每个事件都答 503",
        "bring up replicas, or lower redis.wait_replicas: with too few every event is answered 503"
    );
    report.graded(Group::Redis, "redis.replicas", state, found, fix);
}

fn distance(vitals: &Vitals, report: &mut Report) {
    let trip = vitals.round_trip;
    let state = match trip {
        trip if trip >= Duration::from_millis(500) => State::Bad,
        trip if trip >= Duration::from_millis(50) => State::Warn,
        _ => State::Ok,
    };
    let micros = trip.as_micros();
    let found = say!("往返 {micros} 微秒", "a round trip takes {micros} µs");
    let fix = say!(
        "把 Redis 放到同一机房, 并看它是否过载（SLOWLOG GET）",
        "put Redis into the same data centre, and see whether it is overloaded (SLOWLOG GET)"
    );
    report.graded(Group::Redis, "redis.latency", state, found, fix);
    let ahead = vitals.ahead_ms;
    let state = match ahead.unsigned_abs() {
        30_000.. => State::Bad,
        2_000.. => State::Warn,
        _ => State::Ok,
    };
    let found = match state {
        State::Ok => say!("时钟与本机一致", "its clock agrees with this machine's"),
        State::Warn | State::Bad => {
            say!("时钟与本机相差 {ahead} 毫秒", "its clock is {ahead} ms ahead of this machine's (negative: behind)")
        }
    };
    let fix = say!("在两台机器上打开 NTP 时间同步", "keep both machines on time with NTP");
    report.graded(Group::Redis, "redis.clock", state, found, fix);
}

async fn shards(settings: &Settings, store: &Store, report: &mut Report) {
    let wanted = settings.redis.shards;
    match store.fixed_shards().await {
        Ok(None) => report.ok(
            Group::Redis,
            "redis.shards",
            say!("还没有用过, 首次启动时定为 {wanted} 个分片", "never used yet; the first start fixes {wanted} shards"),
        ),
        Ok(Some(fixed)) => {
            let state = if fixed == wanted.to_string() { State::Ok } else { State::Bad };
            let found = match state {
                State::Ok => say!("{wanted} 个分片", "{wanted} shards"),
                State::Warn | State::Bad => say!(
                    "redis.shards 是 {wanted}, 而首次启动时定的是 {fixed}, 服务不会启动",
                    "redis.shards is {wanted}, but the first start fixed {fixed}; the server does not start"
                ),
            };
            let fix = say!(
                "设回 redis.shards: {fixed}, 或换一个 redis.prefix",
                "set redis.shards: {fixed}, or use another redis.prefix"
            );
            report.graded(Group::Redis, "redis.shards", state, found, fix);
        }
        Err(error) => report.unread(Group::Redis, "redis.shards", &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Locale;

    fn states(url: RedisUrl, change: impl FnOnce(&mut Vitals)) -> Vec<(String, State)> {
        let mut vitals = Vitals {
            engine: "Redis",
            version: "7.0.15".to_owned(),
            speaks: (7, 0),
            mode: "standalone".to_owned(),
            eviction: "noeviction".to_owned(),
            most_bytes: Some(100 << 20),
            used_bytes: 10 << 20,
            appends: true,
            appendfsync: Some("always".to_owned()),
            aof_write_ok: true,
            snapshot_ok: true,
            replicas: 1,
            ..Vitals::default()
        };
        change(&mut vitals);
        let settings = RedisSettings { url, shards: 4, prefix: "t".to_owned(), wait_replicas: 1 };
        let mut report = Report::new(Locale::En);
        judge(&settings, &vitals, &mut report);
        report
            .checks
            .into_iter()
            .filter(|check| check.state != State::Ok)
            .map(|check| (check.id, check.state))
            .collect()
    }

    #[test]
    fn what_is_wrong_with_redis_is_told_and_nothing_else() {
        let single = || RedisUrl::Single("redis://h".to_owned().into());
        assert_eq!(states(single(), |_| ()), []);
        type Change = fn(&mut Vitals);
        let cases: [(Change, &str, State); 17] = [
            (|v| v.speaks = (6, 0), "redis.version", State::Bad),
            (|v| v.speaks = (6, 2), "redis.version", State::Warn),
            (|v| v.speaks = (9, 0), "redis.version", State::Warn),
            (|v| v.is_replica = true, "redis.form", State::Bad),
            (|v| v.mode = "cluster".to_owned(), "redis.form", State::Bad),
            (|v| v.eviction = "allkeys-lru".to_owned(), "redis.eviction", State::Bad),
            (|v| v.most_bytes = None, "redis.memory", State::Warn),
            (|v| v.used_bytes = 75 << 20, "redis.memory", State::Warn),
            (|v| v.used_bytes = 90 << 20, "redis.memory", State::Bad),
            (|v| v.appends = false, "redis.durability", State::Warn),
            (|v| v.appendfsync = Some("no".to_owned()), "redis.durability", State::Warn),
            (|v| v.aof_write_ok = false, "redis.disk", State::Bad),
            (|v| v.snapshot_ok = false, "redis.disk", State::Bad),
            (|v| v.replicas = 0, "redis.replicas", State::Bad),
            (|v| v.round_trip = Duration::from_millis(60), "redis.latency", State::Warn),
            (|v| v.ahead_ms = -2_500, "redis.clock", State::Warn),
            (|v| v.ahead_ms = 31_000, "redis.clock", State::Bad),
        ];
        for (change, id, state) in cases {
            assert_eq!(states(single(), change), [(id.to_owned(), state)]);
        }
    }

    #[test]
    fn a_cluster_that_is_not_whole_is_bad() {
        let cluster = || RedisUrl::Cluster("redis-cluster://a".to_owned().into());
        assert_eq!(states(cluster(), |v| v.mode = "cluster".to_owned()), []);
        let broken = states(cluster(), |v| {
            v.mode = "cluster".to_owned();
            v.cluster_trouble = Some("cluster_state fail".to_owned());
        });
        assert_eq!(broken, [("redis.form".to_owned(), State::Bad)]);
    }
}
