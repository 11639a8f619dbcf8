//! Processes, shards, and what waits in Redis.

use crate::domain::At;
use crate::store::{Error, Store};

use super::doctor_report::{Group, Report, State, say};

/// Processes, shards, and what waits.
pub(super) async fn look(store: &Store, now: At, report: &mut Report) {
    let workers = match processes(store, report).await {
        Ok(workers) => workers,
        Err(error) => return report.unread(Group::Work, "work.processes", &error.to_string()),
    };
    let rest = async {
        if workers > 0 {
            owners(store, report).await?;
        }
        lanes(store, now, workers, report).await?;
        set_aside(store, report).await
    };
    if let Err(error) = rest.await {
        report.unread(Group::Work, "work.backlog", &error.to_string());
    }
}

async fn processes(store: &Store, report: &mut Report) -> Result<usize, Error> {
    let living = store.living().await?;
    let workers = living.iter().filter(|one| one.works).count();
    let names = living.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
    let start = say!("启动服务: `touchpoint serve`", "start the server: `touchpoint serve`");
    if living.is_empty() {
        report.warn(Group::Work, "work.processes", say!("没有进程在运行", "no process is running"), start);
    } else if workers == 0 {
        let found =
            say!("只有 web 进程（{names}）, 没有进程处理事件", "web processes only ({names}): nobody decides events");
        report.bad(Group::Work, "work.processes", found, start);
    } else {
        report.ok(Group::Work, "work.processes", say!("运行中的进程: {names}", "running: {names}"));
    }
    Ok(workers)
}

async fn owners(store: &Store, report: &mut Report) -> Result<(), Error> {
    let unowned = store.unowned().await?.len();
    let state = if unowned == 0 { State::Ok } else { State::Warn };
    let found = match state {
        State::Ok => say!("每个分片都有进程负责", "every shard has an owner"),
        State::Warn | State::Bad => say!("{unowned} 个分片没有进程负责", "{unowned} shards have no owner"),
    };
    let fix = say!(
        "刚启动或接管时 5 秒内会恢复; 一直如此就看进程的日志并重启它",
        "within 5 s of a start or takeover this passes; if it stays, read the processes' logs and restart them"
    );
    report.graded(Group::Work, "work.shards", state, found, fix);
    Ok(())
}

async fn lanes(store: &Store, now: At, workers: usize, report: &mut Report) -> Result<(), Error> {
    let backlog = store.backlog(now).await?;
    let sum = |of: fn(&crate::store::reading::Backlog) -> u64| backlog.iter().map(of).sum::<u64>();
    let (events, timers, effects) =
        (sum(|left| left.now + left.bulk), sum(|left| left.timers), sum(|left| left.effects));
    let waited = store.longest_wait().await?.unwrap_or_default().as_secs();
    let state = match waited {
        300.. if workers > 0 => State::Bad,
        10.. => State::Warn,
        _ if timers > 1000 => State::Warn,
        _ => State::Ok,
    };
    let found = say!(
        "待处理事件 {events} 条（最久等了 {waited} 秒）, 到期定时器 {timers} 个",
        "{events} events to decide (the longest has waited {waited} s), {timers} timers due"
    );
    let fix = say!(
        "看进程的日志和 CPU; 不够就再启动一个进程",
        "look at the processes' logs and CPU, and start one more process if they are busy"
    );
    report.graded(Group::Work, "work.lag", state, found, fix);
    let state = if effects > 1000 { State::Warn } else { State::Ok };
    let found = say!("到期待发 {effects} 条", "{effects} calls to WeCom are due");
    let fix = say!("看下面企业微信一组: 哪些被暂停或达到限额", "see under WeCom below what is paused or at its quota");
    report.graded(Group::Work, "work.outbox", state, found, fix);
    Ok(())
}

async fn set_aside(store: &Store, report: &mut Report) -> Result<(), Error> {
    let aside = store.set_aside().await?;
    let count = aside.count;
    if count == 0 {
        report.ok(Group::Work, "work.dead_letters", say!("没有被搁置的事件", "nothing was set aside"));
        return Ok(());
    }
    let newest: String = aside.newest.unwrap_or_default().chars().take(200).collect();
    report.warn(
        Group::Work,
        "work.dead_letters",
        say!(
            "{count} 条事件或动作处理不了被搁置, 最新的原因: {newest}",
            "{count} events or effects were set aside, the newest because: {newest}"
        ),
        say!(
            "在服务日志里按 set aside 查原因, 修好后让业务系统重发",
            "find them in the server's log under `set aside`, mend the cause, and have the sender send them again"
        ),
    );
    Ok(())
}
