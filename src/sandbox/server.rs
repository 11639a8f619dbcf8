//! The HTTP listener.
//!
//! It speaks through hyper itself, not through a web framework: an answer must be cut, halved or held, and a
//! connection refused, exactly when a fault switch says so.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::api::{self, Answer};
use super::options::Options;
use super::world::World;
use super::{control, page};

const LARGEST_BODY_BYTES: usize = 4 << 20;
const ACT_EVERY: Duration = Duration::from_millis(100);
const POLICY: &str = "default-src 'self'; img-src data:; frame-ancestors 'none'";
const JSON: &str = "application/json; charset=utf-8";

/// A WeCom of our own, listening.
pub struct Sandbox {
    addr: SocketAddr,
    world: World,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Sandbox {
    /// Starts to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let world = World::new(&options).map_err(io::Error::other)?;
        let stop = CancellationToken::new();
        let mut tasks = vec![tokio::spawn(listen(world.clone(), listener, addr, stop.clone()))];
        if options.acts {
            tasks.push(tokio::spawn(act(world.clone(), stop.clone())));
        }
        Ok(Self { addr, world, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What `wecom.api_base` has to be, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The company and its people.
    #[must_use]
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// Closes the listener and all connections.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            // A task that panicked has ended as well.
            drop(task.await);
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Whether connections are refused: what is wanted, and what is so.
#[derive(Default)]
pub(super) struct Gate {
    wanted: watch::Sender<bool>,
    closed: watch::Sender<bool>,
}

impl Gate {
    pub(super) async fn refuse(&self, refuse: bool) {
        let mut closed = self.closed.subscribe();
        self.wanted.send_replace(refuse);
        // Both ends live in the world, so the wait cannot end with an error.
        drop(closed.wait_for(|now| *now == refuse).await);
    }
}

async fn act(world: World, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(ACT_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        world.run_due().await;
    }
}

async fn listen(world: World, listener: TcpListener, addr: SocketAddr, stop: CancellationToken) {
    let mut wanted = world.gate().wanted.subscribe();
    let mut open = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return, // the connections go with their set
            _ = wanted.changed() => {
                let refuse = *wanted.borrow_and_update();
                if refuse {
                    open = None;
                    connections.shutdown().await;
                } else if open.is_none() {
                    open = reopen(addr).await;
                }
                world.gate().closed.send_replace(refuse);
            }
            stream = accept(open.as_ref()) => { connections.spawn(serve(world.clone(), stream)); }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Out of descriptors or a connection that went away: others will come.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn reopen(addr: SocketAddr) -> Option<TcpListener> {
    for _ in 0..100 {
        match TcpListener::bind(addr).await {
            Ok(listener) => return Some(listener),
            Err(_taken) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    tracing::error!(%addr, "the address could not be bound again");
    None
}

type Body = BoxBody<Bytes, CutOff>;

/// The connection is cut on purpose.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault switch")]
struct CutOff;

async fn serve(world: World, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request| route(world.clone(), request));
    // A connection that was cut, on purpose or not, ends in an error that nobody has to hear of.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn route(world: World, request: Request<Incoming>) -> Result<Response<Body>, CutOff> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY_BYTES).collect().await else {
        return Ok(whole(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", Vec::new()));
    };
    let body = body.to_bytes();
    let path = parts.uri.path();
    let query = pairs(parts.uri.query().unwrap_or_default());
    if let Some(path) = path.strip_prefix("/cgi-bin/") {
        let post = parts.method == Method::POST;
        let request = api::Request { post, path: path.to_owned(), query, body: body.to_vec() };
        return called(&world, request).await.map(|response| dated(&world, response));
    }
    if let Some(path) = path.strip_prefix("/control/") {
        let is_json =
            parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let request = control::Request { method: parts.method, path, query, is_json, body: &body };
        let (status, value) = control::answer(&world, request).await;
        return Ok(whole(status, JSON, value.to_string().into_bytes()));
    }
    if parts.method != Method::GET {
        let mut response = whole(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Vec::new());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return Ok(response);
    }
    match page::file(&world, path) {
        Some((kind, content)) => Ok(whole(StatusCode::OK, kind, content)),
        None => Ok(whole(StatusCode::NOT_FOUND, "text/plain", Vec::new())),
    }
}

async fn called(world: &World, request: api::Request) -> Result<Response<Body>, CutOff> {
    match world.answer(request).await {
        Answer::Json(value) => Ok(whole(StatusCode::OK, JSON, value.to_string().into_bytes())),
        Answer::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(whole(status, "text/plain", Vec::new()))
        }
        Answer::Half(value) => Ok(half(&value.to_string())),
        Answer::Cut => Err(CutOff),
    }
}

/// With the date that the fault switches want; hyper adds the right one by itself.
fn dated(world: &World, mut response: Response<Body>) -> Response<Body> {
    let ahead = world.lock().switches.date_ahead;
    let date = (chrono::Utc::now() + ahead).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let (false, Ok(date)) = (ahead.is_zero(), HeaderValue::from_str(&date)) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

fn whole(status: StatusCode, kind: &'static str, content: Vec<u8>) -> Response<Body> {
    let body = Full::new(Bytes::from(content)).map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Promises the whole length, sends half and cuts.
fn half(content: &str) -> Response<Body> {
    let first = Bytes::copy_from_slice(content.as_bytes().split_at(content.len() / 2).0);
    let start = stream::once(async move { Ok(Frame::data(first)) });
    let end = stream::once(async {
        // Long enough for the first half to leave this process.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(CutOff)
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(start.chain(end))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    response
}

/// The fields of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://sandbox/?{query}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}
