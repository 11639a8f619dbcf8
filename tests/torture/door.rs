//! The senders outside: WeCom and the shop say again what was not answered well, and sometimes also what was.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::nurse::PATIENCE;

pub(crate) const TOKEN: &str = "shop-token-of-the-tests";

/// What a sender counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Sent {
    /// Different things that were said.
    pub said: usize,
    /// Times they were said again: unanswered, refused, or for good measure.
    pub again: usize,
    /// Good answers.
    pub answered: usize,
}

/// Sends to whichever server answers.
#[derive(Clone)]
pub(crate) struct Door {
    ports: Arc<[u16]>,
    next: Arc<AtomicUsize>,
    http: reqwest::Client,
    rng: Arc<Mutex<StdRng>>,
    pub callbacks: Arc<Mutex<Sent>>,
    pub events: Arc<Mutex<Sent>>,
}

impl Door {
    pub(crate) fn new(ports: Vec<u16>, seed: u64) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(4)).no_proxy().build().unwrap();
        let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed ^ 0xd008)));
        let (callbacks, events) = (Arc::default(), Arc::default());
        Self { ports: ports.into(), next: Arc::default(), http, rng, callbacks, events }
    }

    /// Takes WeCom's callbacks at an address of its own and carries them to the servers.
    pub(crate) async fn open(&self) -> String {
        let door = self.clone();
        let app = move || {
            App::new().app_data(web::Data::new(door.clone())).default_service(web::to(
                |door: web::Data<Self>, request: HttpRequest, body: web::Bytes| async move {
                    let target = request.uri().to_string();
                    door.insist(&target, "text/xml", body, 200, &door.callbacks).await;
                    HttpResponse::Ok().finish()
                },
            ))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs().first().copied().unwrap();
        tokio::spawn(server.run());
        format!("http://{address}/wecom/callback/assistant")
    }

    /// Tells the servers of a business event.
    pub(crate) async fn tells(&self, event: &Value) {
        let body = event.to_string().into();
        self.insist("/v1/events", "application/cloudevents+json", body, 202, &self.events).await;
    }

    /// Says it until it is taken, and now and then once more.
    async fn insist(&self, target: &str, content: &str, body: web::Bytes, good: u16, counted: &Mutex<Sent>) {
        counted.lock().unwrap().said += 1;
        let mut more = usize::from(self.rng.lock().unwrap().random_bool(0.3));
        let begun = Instant::now();
        let mut first = true;
        loop {
            counted.lock().unwrap().again += usize::from(!std::mem::take(&mut first));
            let post = self.http.post(self.url(target)).bearer_auth(TOKEN).header("content-type", content.to_owned());
            match post.body(body.clone()).send().await {
                Ok(answer) if answer.status().as_u16() == good => {
                    counted.lock().unwrap().answered += 1;
                    if more == 0 {
                        return;
                    }
                    more -= 1;
                }
                Ok(answer) if answer.status().is_client_error() => {
                    let why = answer.text().await.unwrap_or_default();
                    // A server hears within a second that the clock was moved through another one.
                    assert!(why.contains("in the future"), "{target} is refused: {why}");
                    pause().await;
                }
                _ => pause().await,
            }
            assert!(begun.elapsed() < PATIENCE, "{target} is not taken");
        }
    }

    /// Asks for the clock to be moved; gives the business time at which the servers are, once they are calm.
    pub(crate) async fn moves_the_clock(&self, to: &Value, patience: Duration) -> Option<Value> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            let post = self.http.post(self.url("/v1/clock")).bearer_auth(TOKEN).timeout(Duration::from_secs(15));
            let answered = match post.json(to).send().await {
                Ok(answer) => (answer.status(), answer.text().await.unwrap_or_default()),
                Err(_gone) => {
                    pause().await;
                    continue;
                }
            };
            match answered {
                (status, text) if status.is_success() => return serde_json::from_str(&text).ok(),
                // The clock got there before its answer was lost: wherever it is now is far enough.
                (_, text) if text.contains("only goes forwards") => return Some(Value::Null),
                _ => pause().await,
            }
        }
        None
    }

    /// Reads something of whichever server answers.
    pub(crate) async fn reads(&self, target: &str) -> Value {
        let begun = Instant::now();
        loop {
            if let Ok(answer) = self.http.get(self.url(target)).bearer_auth(TOKEN).send().await
                && (answer.status().is_success() || answer.status().as_u16() == 404)
            {
                return answer.json().await.unwrap();
            }
            assert!(begun.elapsed() < PATIENCE, "{target} cannot be read");
            pause().await;
        }
    }

    /// The servers take turns.
    fn url(&self, target: &str) -> String {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.ports.len();
        format!("http://127.0.0.1:{}{target}", self.ports.get(turn).expect("a turn is a place"))
    }
}

/// A moment until another look at what another process does.
pub(crate) async fn pause() {
    let nothing = tokio::time::timeout(Duration::from_millis(40), std::future::pending::<()>());
    nothing.await.expect_err("nothing ever comes of it");
}
