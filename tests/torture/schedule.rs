//! The plan of a run: whom to kill, when, and how. It follows from the seed alone.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// One server: this one, or the one that walks into the trap.
    Server(usize),
    /// Every server at once.
    Servers,
    Redis,
    /// Redis and every server at once.
    Both,
    /// One server is stopped for longer than its leases last, and then goes on.
    Frozen(usize),
}

/// When around a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    /// Redis has not heard of it.
    Before,
    /// Redis has it, and nobody knows how far it got: written or not, synced to disk or not.
    Within,
    /// Redis has carried it out, and its answer never arrives.
    After,
    /// Redis hears of it only when the trap is done with the caller.
    Late,
}

/// The moment of a kill.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    AtOnce,
    /// At the n-th call of a script from now on.
    Script {
        script: &'static Script,
        nth: usize,
        around: Around,
    },
    /// Once WeCom has taken the next call of this API and before its answer arrives.
    Call(&'static str),
}

/// A script of the commit path.
#[derive(Debug)]
pub(crate) struct Script {
    pub name: &'static str,
    pub source: &'static str,
}

/// One planned kill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kill {
    /// Quiet before it.
    pub pause: Duration,
    pub victim: Victim,
    pub moment: Moment,
    /// How long a dead Redis stays away.
    pub away: Duration,
}

static COMMIT: Script = Script { name: "commit", source: include_str!("../../src/store/commit.lua") };

static SCRIPTS: [Script; 5] = [
    Script { name: "append", source: include_str!("../../src/store/append.lua") },
    Script { name: "commit", source: include_str!("../../src/store/commit.lua") },
    Script { name: "fire", source: include_str!("../../src/store/fire.lua") },
    Script { name: "begin_try", source: include_str!("../../src/store/begin_try.lua") },
    Script { name: "settle", source: include_str!("../../src/store/settle.lua") },
];

/// Those first whose repeat a person would see; a short plan gets no further.
const CALLS: [&str; 11] = [
    "externalcontact/add_msg_template",
    "message/send",
    "externalcontact/send_welcome_msg",
    "externalcontact/mark_tag",
    "message/update_template_card",
    "externalcontact/add_corp_tag",
    "externalcontact/remind_groupmsg_send",
    "externalcontact/get",
    "externalcontact/get_groupmsg_send_result",
    "externalcontact/get_corp_tag_list",
    "gettoken",
];

/// The plan of all kills; freezes come on top of them.
pub(crate) fn kills(seed: u64, count: usize, processes: usize) -> Vec<Kill> {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x6b11);
    let mut plan = Vec::new();
    for number in 0..count {
        if number % 6 == 2 {
            // Its last words before it is stopped: a commit that reaches Redis when others own the shard.
            let moment = Moment::Script { script: &COMMIT, nth: rng.random_range(1..5), around: Around::Late };
            let victim = Victim::Frozen(rng.random_range(0..processes));
            plan.push(Kill { victim, moment, ..any(&mut rng) });
        }
        let victim = match rng.random_range(0..100) {
            0..50 => Victim::Server(rng.random_range(0..processes)),
            50..60 => Victim::Servers,
            60..82 => Victim::Redis,
            _ => Victim::Both,
        };
        let call = CALLS.get(number / 5 % CALLS.len()).filter(|_| number % 5 == 1);
        let moment = call.map_or_else(|| moment(&mut rng), |api| Moment::Call(api));
        plan.push(Kill { victim, moment, ..any(&mut rng) });
    }
    plan
}

fn any(rng: &mut StdRng) -> Kill {
    Kill {
        pause: Duration::from_millis(rng.random_range(200..2500)),
        victim: Victim::Servers,
        moment: Moment::AtOnce,
        away: Duration::from_millis(rng.random_range(0..600)),
    }
}

fn moment(rng: &mut StdRng) -> Moment {
    if rng.random_bool(0.35) {
        return Moment::AtOnce;
    }
    let script = SCRIPTS.get(rng.random_range(0..SCRIPTS.len())).expect("the place lies inside");
    let around = [Around::Before, Around::Within, Around::After][rng.random_range(0..3)];
    Moment::Script { script, nth: rng.random_range(1..5), around }
}
