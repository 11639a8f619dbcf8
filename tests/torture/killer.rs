//! Carries out the plan of kills while the company works.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::company::Ward;
use super::door::pause;
use super::nurse::PATIENCE;
use super::options::Options;
use super::protocol::sha_of;
use super::schedule::{self, Kill, Moment, Victim};

/// A trap that nobody walks into in this time is given up, and the kill comes at once.
const WAIT_FOR_THE_MOMENT: Duration = Duration::from_millis(3000);
/// Some calls come once a day of the company, which is shorter than this.
const WAIT_FOR_THE_CALL: Duration = Duration::from_secs(10);
/// Longer than a lease of 3 s and a takeover.
const FROZEN: Duration = Duration::from_millis(4500);

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    pub by_victim: BTreeMap<&'static str, usize>,
    pub by_moment: BTreeMap<String, usize>,
    pub freezes: usize,
    /// Of these, how many while a commit was on its way.
    pub late_commits: usize,
}

impl Kills {
    pub(crate) fn is_complete(&self, options: &Options) -> bool {
        self.by_victim.values().sum::<usize>() >= options.kills
    }
}

pub(crate) async fn kill_by_plan(ward: Ward, options: Options) -> Kills {
    let mut kills = Kills::default();
    for kill in schedule::kills(options.seed, options.kills, options.processes) {
        tokio::time::sleep(kill.pause).await;
        if let Victim::Frozen(server) = kill.victim {
            freeze(&ward, &kill, server, &mut kills).await;
            continue;
        }
        let moment = match kill.moment {
            Moment::AtOnce => None,
            Moment::Script { script, nth, around } => {
                let done = at_script(&ward, &kill, sha_of(script.source), nth, around).await;
                done.then(|| format!("script {}", script.name))
            }
            Moment::Call(api) => at_call(&ward, &kill, api).await.then(|| format!("call {api}")),
        };
        if moment.is_none() {
            at_once(&ward, &kill).await;
        }
        *kills.by_victim.entry(name(kill.victim)).or_default() += 1;
        *kills.by_moment.entry(moment.unwrap_or_else(|| "any moment".to_owned())).or_default() += 1;
    }
    kills
}

fn name(victim: Victim) -> &'static str {
    match victim {
        Victim::Server(_) => "one server",
        Victim::Servers => "all servers",
        Victim::Redis => "Redis",
        Victim::Both => "Redis and all servers",
        Victim::Frozen(_) => "frozen",
    }
}

/// Stops a server with a commit on its way, or wherever it stands, until others have its shards; then it goes on.
async fn freeze(ward: &Ward, kill: &Kill, server: usize, kills: &mut Kills) {
    let Moment::Script { script, nth, around } = kill.moment else { unreachable!("freezes come at a script") };
    let frozen = ward.clone();
    let spring = move |caller: usize| {
        frozen.signal(caller, "STOP");
        std::thread::sleep(FROZEN);
        // The commit leaves when this returns, whatever the server makes of it.
        frozen.signal(caller, "CONT");
        true
    };
    kills.freezes += 1;
    if in_trap(ward, sha_of(script.source), nth, around, spring).await {
        kills.late_commits += 1;
        return;
    }
    ward.signal(server, "STOP");
    tokio::time::sleep(FROZEN).await;
    ward.signal(server, "CONT");
}

async fn at_script(ward: &Ward, kill: &Kill, sha: String, nth: usize, around: schedule::Around) -> bool {
    let (killer, kill) = (ward.clone(), *kill);
    let spring = move |caller| {
        let victim = if matches!(kill.victim, Victim::Server(_)) { Victim::Server(caller) } else { kill.victim };
        killer.kill(victim, kill.away)
    };
    in_trap(ward, sha, nth, around, spring).await
}

/// Sets the trap and waits for somebody to walk into it; says whether somebody did and the spring worked.
async fn in_trap(
    ward: &Ward,
    sha: String,
    nth: usize,
    around: schedule::Around,
    spring: impl FnOnce(usize) -> bool + Send + 'static,
) -> bool {
    let (done, mut sprung) = tokio::sync::oneshot::channel();
    let said = move |caller| {
        assert!(done.send(spring(caller)).is_ok(), "whoever set the trap waits for it");
    };
    ward.trap.set(sha, nth, around, Box::new(said));
    if let Ok(worked) = tokio::time::timeout(WAIT_FOR_THE_MOMENT, &mut sprung).await {
        return worked.unwrap_or(false);
    }
    if ward.trap.take_away().is_some() {
        return false;
    }
    // Whoever is in the trap has it in hand.
    sprung.await.unwrap_or(false)
}

async fn at_call(ward: &Ward, kill: &Kill, api: &str) -> bool {
    let held = ward.world.hold_next(api).unwrap();
    let accepted = tokio::time::timeout(WAIT_FOR_THE_CALL, held.accepted()).await.is_ok();
    // WeCom does not say which server called: each of them may have been it.
    let victim = if matches!(kill.victim, Victim::Server(_)) { Victim::Servers } else { kill.victim };
    let killed = accepted && ward.kill(victim, kill.away);
    held.release();
    killed
}

async fn at_once(ward: &Ward, kill: &Kill) {
    let begun = Instant::now();
    while !ward.kill(kill.victim, kill.away) {
        assert!(begun.elapsed() < PATIENCE, "{:?} never comes back to life", kill.victim);
        pause().await;
    }
}
