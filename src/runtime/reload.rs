//! The rules in force, and reloading them: the whole folder or nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::domain::At;
use crate::playbook::diagnostic::Faults;
use crate::playbook::load::{self, Context};
use crate::playbook::model::Playbook;

/// The rules in force. Clones see the same ones.
#[derive(Clone)]
pub struct Rules {
    current: Arc<ArcSwap<Playbook>>,
    refused: Arc<Mutex<Option<Refused>>>,
    dir: Arc<PathBuf>,
    context: Arc<Context>,
}

/// A reload that was refused; the rules before it stayed in force.
#[derive(Debug, Clone, Serialize)]
pub struct Refused {
    /// When, in business time.
    pub at: At,
    /// How many errors there were.
    pub errors: usize,
    /// The first of them, `file:line:column: message`.
    pub first: String,
}

/// What a reload did.
#[derive(Debug)]
pub enum Reloaded {
    /// Other rules are in force now; what is legal but suspicious comes with them.
    Swapped(Faults),
    /// The folder holds the rules that are in force already.
    Unchanged,
    /// The folder is faulty; the rules before stay in force.
    Refused(Faults),
}

impl Rules {
    /// Loads the rules of a folder for the first time.
    ///
    /// # Errors
    /// Every fault, when one of them is an error; the caller does not start.
    pub fn load(dir: PathBuf, context: Context) -> Result<(Self, Faults), Faults> {
        let loaded = load::load(&dir, &context)?;
        let rules = Self {
            current: Arc::new(ArcSwap::from_pointee(loaded.playbook)),
            refused: Arc::default(),
            dir: Arc::new(dir),
            context: Arc::new(context),
        };
        Ok((rules, loaded.warnings))
    }

    /// The rules in force now. Whoever decides a batch keeps one copy for all of it.
    #[must_use]
    pub fn current(&self) -> Arc<Playbook> {
        self.current.load_full()
    }

    /// Checks the whole folder, then swaps, or keeps the rules in force and says why.
    pub fn reload(&self, now: At) -> Reloaded {
        match load::load(&self.dir, &self.context) {
            Ok(loaded) => {
                self.set_refused(None);
                if loaded.playbook.revision == self.current().revision {
                    return Reloaded::Unchanged;
                }
                self.current.store(Arc::new(loaded.playbook));
                metrics::counter!("touchpoint_playbook_reloads_total", "result" => "swapped").increment(1);
                Reloaded::Swapped(loaded.warnings)
            }
            Err(faults) => {
                let first = faults
                    .errors()
                    .next()
                    .map(|fault| format!("{}:{}:{}: {}", fault.file, fault.line, fault.column, fault.message));
                let errors = faults.errors().count();
                self.set_refused(Some(Refused { at: now, errors, first: first.unwrap_or_default() }));
                metrics::counter!("touchpoint_playbook_reloads_total", "result" => "refused").increment(1);
                Reloaded::Refused(faults)
            }
        }
    }

    /// The latest reload, if it was refused.
    #[must_use]
    pub fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_refused(&self, refused: Option<Refused>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}
