//! Encrypted callbacks, made beforehand so that sending them costs little, and sent over so many connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use touchpoint::wecom::crypto::CallbackKeys;

use crate::server::CORP;

/// A sleep may last this much longer than it should.
const ROUNDED_UP: Duration = Duration::from_millis(2);
/// Sending that takes longer is broken off.
const MOST_TIME: Duration = Duration::from_secs(30);

/// Requests as they go over the wire.
pub(crate) type Requests = Arc<[Vec<u8>]>;

/// What sending them came to.
pub(crate) struct Sent {
    pub(crate) took: Duration,
    /// From the first byte written to the last one read, the shortest first.
    pub(crate) waits: Vec<Duration>,
}

impl Sent {
    pub(crate) fn per_second(&self) -> f64 {
        let sent = u32::try_from(self.waits.len()).unwrap_or(u32::MAX);
        f64::from(sent) / self.took.as_secs_f64()
    }
}

/// Additions of customers `from..from + count`, each signed and encrypted as WeCom does it.
pub(crate) fn callbacks(keys: &CallbackKeys, from: usize, count: usize) -> Requests {
    let now = chrono::Utc::now().timestamp().to_string();
    (from..from + count).map(|number| callback(keys, number, &now)).collect()
}

/// As WeCom's document 92130 shows the adding of a customer.
fn callback(keys: &CallbackKeys, number: usize, now: &str) -> Vec<u8> {
    let message = format!(
        "<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>\
         <CreateTime>{now}</CreateTime><MsgType><![CDATA[event]]></MsgType>\
         <Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[add_external_contact]]></ChangeType>\
         <UserID><![CDATA[lili]]></UserID><ExternalUserID><![CDATA[wm{number:030}]]></ExternalUserID>\
         <State><![CDATA[store-01]]></State><WelcomeCode><![CDATA[C{number:042}]]></WelcomeCode></xml>"
    );
    request(keys, number, now, &message)
}

/// A callback with this inside, as it goes over the wire.
pub(crate) fn request(keys: &CallbackKeys, number: usize, now: &str, message: &str) -> Vec<u8> {
    let random = u128::try_from(number).unwrap_or_default().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let encrypted = keys.seal(message.as_bytes(), random.to_be_bytes());
    let nonce = format!("{number:010}");
    let signature = keys.sign(now, &nonce, &encrypted);
    let body = format!(
        "<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID>\
         <Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    );
    let head = format!(
        "POST /wecom/callback/assistant?msg_signature={signature}&timestamp={now}&nonce={nonce} HTTP/1.1\r\n\
         Host: touchpoint.example.com\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\nContent-Type: text/xml\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// Sends each request once. Without a pace the next one leaves on a connection as soon as the last one is answered 200,
/// with one it leaves when its time has come; then a request that had to wait for a free connection has waited too.
pub(crate) async fn send(
    addr: &str,
    requests: &Requests,
    connections: usize,
    pace: Option<f64>,
) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let sender = Sender {
            connection: Connection::open(addr).await?,
            requests: Arc::clone(requests),
            next: Arc::clone(&next),
            begun,
            pace,
        };
        senders.spawn(sender.send());
    }
    let mut waits = Vec::with_capacity(requests.len());
    let sending = async {
        while let Some(sent) = senders.join_next().await {
            waits.extend(sent.context("a sender broke off")??);
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(MOST_TIME, sending).await.context("the callbacks were not answered in time")??;
    let took = begun.elapsed();
    waits.sort_unstable();
    Ok(Sent { took, waits })
}

/// One connection to a server that keeps it open.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(addr: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: vec![0; 4096] })
    }

    /// Sends a request and waits until it is answered 200.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        let mut length = 0;
        while !ends(&self.answer, length) {
            let room =
                self.answer.get_mut(length..).filter(|room| !room.is_empty()).context("the answer is too long")?;
            let read = self.stream.read(room).await?;
            anyhow::ensure!(read > 0, "the server closed the connection");
            length += read;
        }
        anyhow::ensure!(self.answer.starts_with(b"HTTP/1.1 200 "), "a callback was refused");
        Ok(())
    }
}

/// Sends its share of the requests.
struct Sender {
    connection: Connection,
    requests: Requests,
    next: Arc<AtomicUsize>,
    begun: Instant,
    pace: Option<f64>,
}

impl Sender {
    async fn send(mut self) -> anyhow::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = self.requests.get(number) else { return Ok(waits) };
            let due = self.pace.map(|pace| self.begun + Duration::from_secs_f64(number as f64 / pace));
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
            // The clock of timers goes by milliseconds; what it rounds up is no waiting of the server's.
            let begun = due.filter(|due| due.elapsed() > ROUNDED_UP).unwrap_or_else(Instant::now);
            self.connection.ask(request).await?;
            waits.push(begun.elapsed());
        }
    }
}

/// Both servers answer without a body.
fn ends(answer: &[u8], length: usize) -> bool {
    answer.get(..length).is_some_and(|answer| answer.ends_with(b"\r\n\r\n"))
}
