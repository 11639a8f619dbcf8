//! A proxy between a server and its Redis that kills the server at a chosen script.

use std::io::{BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::protocol::{read_answer, read_command};

/// When the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The script has not reached Redis.
    Before,
    /// Redis has carried it out, and its answer never arrives.
    After,
}

/// The kill that is planned.
#[derive(Debug, Clone)]
pub(crate) struct Kill {
    /// SHA-1 of the script, as `EVALSHA` names it.
    pub script: String,
    /// What one of its arguments must hold; empty for any call.
    pub holding: &'static str,
    /// Such calls that are let through first.
    pub after_calls: usize,
    pub moment: Moment,
}

#[derive(Debug, Default)]
struct Plan {
    kill: Option<Kill>,
    victim: Option<u32>,
    has_killed: bool,
}

/// A listening proxy; ends with the process.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub socket: PathBuf,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    pub(crate) fn start(dir: &Path, redis: &Path) -> Self {
        let socket = dir.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let proxy = Self { socket, plan: Arc::default() };
        let (plan, redis) = (Arc::clone(&proxy.plan), redis.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (plan, redis) = (Arc::clone(&plan), redis.clone());
                std::thread::spawn(move || relay(client, &redis, &plan));
            }
        });
        proxy
    }

    /// Plans one kill of the process `victim`.
    pub(crate) fn plan(&self, kill: Kill, victim: u32) {
        *self.plan.lock().unwrap() = Plan { kill: Some(kill), victim: Some(victim), has_killed: false };
    }

    pub(crate) fn has_killed(&self) -> bool {
        self.plan.lock().unwrap().has_killed
    }
}

/// Commands go to Redis one by one, so that it is known which of them Redis has carried out.
fn relay(client: UnixStream, redis: &Path, plan: &Mutex<Plan>) {
    let Ok(server) = UnixStream::connect(redis) else { return };
    let answered = Arc::new((Mutex::new(0_usize), std::sync::Condvar::new()));
    let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let counter = Arc::clone(&answered);
    std::thread::spawn(move || answers(back_from, back_to, &counter));
    let mut commands = BufReader::new(client.try_clone().unwrap());
    let mut to_redis = server;
    let mut sent = 0;
    while let Some((raw, words)) = read_command(&mut commands) {
        let moment = planned(plan, &words);
        if moment == Some(Moment::Before) {
            return kill(plan);
        }
        if to_redis.write_all(&raw).is_err() {
            return;
        }
        sent += 1;
        if moment == Some(Moment::After) {
            let (count, changed) = &*answered;
            let mut count = count.lock().unwrap();
            while *count < sent {
                count = changed.wait(count).unwrap();
            }
            return kill(plan);
        }
    }
}

/// Answers are counted before they are passed on: a kill comes between the two.
fn answers(from: UnixStream, mut to: UnixStream, counter: &(Mutex<usize>, std::sync::Condvar)) {
    let mut from = BufReader::new(from);
    while let Some(raw) = read_answer(&mut from) {
        let is_push = raw.first() == Some(&b'>');
        {
            // A kill that waits for this answer holds the server dead before it can be passed on.
            let mut count = counter.0.lock().unwrap();
            *count += usize::from(!is_push);
            counter.1.notify_all();
        }
        if to.write_all(&raw).is_err() {
            return;
        }
    }
}

/// Whether this command is the one at which the server dies; a planned kill comes once.
fn planned(plan: &Mutex<Plan>, words: &[Vec<u8>]) -> Option<Moment> {
    let mut plan = plan.lock().unwrap();
    let kill = plan.kill.as_mut()?;
    let is_it = words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"EVALSHA"))
        && words.get(1).is_some_and(|sha| sha.eq_ignore_ascii_case(kill.script.as_bytes()))
        && words.iter().any(|word| String::from_utf8_lossy(word).contains(kill.holding));
    if !is_it {
        return None;
    }
    if kill.after_calls > 0 {
        kill.after_calls -= 1;
        return None;
    }
    let moment = kill.moment;
    plan.kill = None;
    Some(moment)
}

fn kill(plan: &Mutex<Plan>) {
    let mut plan = plan.lock().unwrap();
    if let Some(victim) = plan.victim.take() {
        super::company::kill_process(victim);
        plan.has_killed = true;
    }
}
