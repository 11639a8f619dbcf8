//! A proxy between one server and Redis: whoever calls the chosen script walks into the trap.

use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use super::protocol::{read_answer, read_command};
use super::schedule::Around;

/// What is done when the trap springs; it is told whose call it was.
type Spring = Box<dyn FnOnce(usize) + Send>;

/// A trap that all proxies share.
#[derive(Clone, Default)]
pub(crate) struct Trap(Arc<Mutex<Option<Set>>>);

struct Set {
    /// SHA-1 of the script, as `EVALSHA` names it.
    script: String,
    /// Calls until it springs.
    left: usize,
    around: Around,
    spring: Spring,
}

impl Trap {
    /// Sets it for the n-th call of a script from now on.
    pub(crate) fn set(&self, script: String, nth: usize, around: Around, spring: Spring) {
        *self.0.lock().unwrap() = Some(Set { script, left: nth, around, spring });
    }

    /// Takes it away; none when it has sprung.
    pub(crate) fn take_away(&self) -> Option<Spring> {
        self.0.lock().unwrap().take().map(|set| set.spring)
    }

    /// Whether this command springs it.
    fn springs(&self, words: &[Vec<u8>]) -> Option<(Around, Spring)> {
        let mut trap = self.0.lock().unwrap();
        let set = trap.as_mut()?;
        let is_it = words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"EVALSHA"))
            && words.get(1).is_some_and(|sha| sha.eq_ignore_ascii_case(set.script.as_bytes()));
        if !is_it {
            return None;
        }
        set.left = set.left.saturating_sub(1);
        if set.left > 0 {
            return None;
        }
        trap.take().map(|set| (set.around, set.spring))
    }
}

/// Listens for server number `server` until the run is over.
pub(crate) fn start(socket: &Path, redis: &Path, server: usize, trap: Trap) {
    let listener = UnixListener::bind(socket).unwrap();
    let redis = redis.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (trap, redis) = (trap.clone(), redis.clone());
            std::thread::spawn(move || {
                // While Redis is away a connection ends at once, as its own socket would refuse it.
                if let Ok(to_redis) = UnixStream::connect(&redis) {
                    relay(&client, &to_redis, server, &trap);
                    end(&to_redis);
                }
                end(&client);
            });
        }
    });
}

/// Ends both directions; the other side may have done so before.
fn end(stream: &UnixStream) {
    drop(stream.shutdown(Shutdown::Both));
}

/// What is known of the answers of one connection.
#[derive(Default)]
struct Answers {
    come: usize,
    /// The number of the answer that is not passed on.
    kept: Option<usize>,
    is_over: bool,
}

type Answered = (Mutex<Answers>, Condvar);

fn relay(client: &UnixStream, to_redis: &UnixStream, server: usize, trap: &Trap) {
    let answered: Arc<Answered> = Arc::default();
    let (from, to) = (to_redis.try_clone().unwrap(), client.try_clone().unwrap());
    let counter = Arc::clone(&answered);
    std::thread::spawn(move || {
        pass_answers(&from, &to, &counter);
        counter.0.lock().unwrap().is_over = true;
        counter.1.notify_all();
        end(&from);
        end(&to);
    });
    let (mut commands, mut redis) = (BufReader::new(client), to_redis);
    let mut sent = 0;
    while let Some((raw, words)) = read_command(&mut commands) {
        let sprung = match trap.springs(&words) {
            Some((Around::Before, spring)) => return spring(server),
            Some((Around::Late, spring)) => {
                spring(server);
                None
            }
            sprung => sprung,
        };
        sent += 1;
        if sprung.is_some() {
            answered.0.lock().unwrap().kept = Some(sent);
        }
        let written = redis.write_all(&raw);
        if let Some((around, spring)) = sprung {
            let (answers, changed) = &*answered;
            let mut answers = answers.lock().unwrap();
            while around == Around::After && written.is_ok() && answers.come < sent && !answers.is_over {
                answers = changed.wait(answers).unwrap();
            }
            drop(answers);
            return spring(server);
        }
        if written.is_err() {
            return;
        }
    }
}

/// Passes answers on, but for the one that is to be kept and all that follow it.
fn pass_answers(from: &UnixStream, mut to: &UnixStream, answered: &Answered) {
    let mut from = BufReader::new(from);
    while let Some(raw) = read_answer(&mut from) {
        let is_kept = {
            let mut answers = answered.0.lock().unwrap();
            answers.come += usize::from(raw.first() != Some(&b'>'));
            answered.1.notify_all();
            answers.kept.is_some_and(|kept| answers.come >= kept)
        };
        if is_kept || to.write_all(&raw).is_err() {
            return;
        }
    }
}
