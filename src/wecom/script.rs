//! A WeCom that says what a test tells it to, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::domain::At;

use super::answer::{Answer, CallError, Calls, Refusal};
use super::api::Api;
use super::body;
use super::effects::Past;
use super::errors;

/// Nothing was tried before.
pub(crate) const FIRST: Past = Past { tries: 0, unanswered: false };
/// One try ended without an answer.
pub(crate) const UNSURE: Past = Past { tries: 1, unanswered: true };

/// Answers in the order in which each API is to give them.
pub(crate) struct Script {
    answers: Mutex<BTreeMap<Api, VecDeque<Result<Answer, CallError>>>>,
    asked: Mutex<Vec<(Api, Value)>>,
    now: At,
}

/// A refusal with this code.
pub(crate) fn refused(errcode: i64) -> CallError {
    CallError::Refused(Refusal { errcode, action: errors::action(errcode), message: "scripted".to_owned() })
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { answers: Mutex::default(), asked: Mutex::default(), now: At::UNIX_EPOCH }
    }

    pub(crate) fn at(mut self, now: At) -> Self {
        self.now = now;
        self
    }

    pub(crate) fn answers(self, api: Api, answer: Value) -> Self {
        let Value::Object(fields) = answer else { panic!("an answer is an object") };
        self.then(api, Ok(Answer(fields)))
    }

    pub(crate) fn fails(self, api: Api, error: CallError) -> Self {
        self.then(api, Err(error))
    }

    fn then(self, api: Api, answer: Result<Answer, CallError>) -> Self {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(api).or_default().push_back(answer);
        drop(answers);
        self
    }

    /// What was asked, in order.
    pub(crate) fn asked(&self) -> Vec<(Api, Value)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Calls for Script {
    async fn call(&self, api: Api, mut body: Value) -> Result<Answer, CallError> {
        body::clean(&mut body);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push((api, body.clone()));
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get_mut(&api).and_then(VecDeque::pop_front);
        answer.unwrap_or_else(|| panic!("{api:?} was not expected: {body}"))
    }

    fn agent_id(&self) -> Result<i64, CallError> {
        Ok(1_000_002)
    }

    async fn business_now(&self) -> Result<At, CallError> {
        Ok(self.now)
    }
}
