//! A process that is started again whenever it has died.

use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing that is waited for here takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// What the server says at its start when there is no Redis to be found.
const COULD_NOT_RUN: i32 = 3;

/// Looks after one process.
#[derive(Clone)]
pub(crate) struct Nurse {
    state: Arc<Mutex<Patient>>,
}

#[derive(Default)]
struct Patient {
    /// Reaped only under this lock, so that no stranger's pid is ever killed.
    child: Option<Child>,
    /// How long it stays away after the kill.
    away: Duration,
    was_killed: bool,
    is_over: bool,
    /// Ends that nobody asked for; not counted are starts that were given up because Redis was away.
    by_itself: Vec<ExitStatus>,
}

impl Nurse {
    /// Starts the process and keeps it alive.
    pub(crate) fn start(command: impl Fn() -> Command + Send + 'static) -> Self {
        let nurse = Self { state: Arc::default() };
        let state = Arc::clone(&nurse.state);
        // One thread for all its lives: `--pdeathsig` is about the thread that started it.
        std::thread::spawn(move || look_after(&state, &command));
        nurse
    }

    /// Kills it, if it lives; says whether it did.
    pub(crate) fn kill(&self, away: Duration) -> bool {
        let mut patient = self.state.lock().unwrap();
        patient.away = away;
        let killed = patient.child.as_mut().is_some_and(|child| child.kill().is_ok());
        patient.was_killed |= killed;
        killed
    }

    /// Sends a signal by name, if it lives.
    pub(crate) fn signal(&self, name: &str) {
        let patient = self.state.lock().unwrap();
        if let Some(child) = &patient.child {
            let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }
    }

    /// Ends it for good; gives the ends that nobody asked for.
    pub(crate) fn stop(&self) -> Vec<ExitStatus> {
        let mut patient = self.state.lock().unwrap();
        patient.is_over = true;
        if let Some(mut child) = patient.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok(), "{ended:?}");
        }
        std::mem::take(&mut patient.by_itself)
    }
}

fn look_after(state: &Mutex<Patient>, command: &impl Fn() -> Command) {
    let mut since_end: Option<Instant> = None;
    loop {
        std::thread::park_timeout(Duration::from_millis(5));
        let mut patient = state.lock().unwrap();
        if patient.is_over {
            return;
        }
        match patient.child.as_mut().map(|child| child.try_wait().unwrap()) {
            Some(None) => {}
            Some(Some(status)) => {
                patient.child = None;
                if !std::mem::take(&mut patient.was_killed) {
                    if status.code() != Some(COULD_NOT_RUN) {
                        patient.by_itself.push(status);
                    }
                    patient.away = Duration::from_millis(100);
                }
                since_end = Some(Instant::now());
            }
            None if since_end.is_some_and(|end| end.elapsed() < patient.away) => {}
            None => {
                patient.child = Some(command().spawn().unwrap());
            }
        }
    }
}
