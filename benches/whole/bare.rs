//! The server that only appends: the least that anything behind actix can do with a callback and a Redis.

use std::net::Ipv4Addr;
use std::thread::available_parallelism;

use actix_web::{App, HttpResponse, HttpServer, web};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

use crate::processes::{Process, Redis};
use crate::table;

/// The argument that makes this program the bare server.
pub(crate) const ROLE: &str = "bare-server";
/// As many HTTP threads as Touchpoint has at most.
const MOST_THREADS: usize = 4;
const STREAM: &str = "bare";

/// Serves until it is ended.
pub(crate) fn serve(redis: &str) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let client = redis::Client::open(redis)?;
        let threads = available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
        let server = HttpServer::new(move || {
            // One for each HTTP thread: the least that it can cost.
            let config = ConnectionManagerConfig::new();
            let link = ConnectionManager::new_lazy_with_config(client.clone(), config);
            let link = link.expect("nothing is subscribed to");
            App::new().app_data(web::Data::new(link)).default_service(web::post().to(append))
        })
        .workers(threads)
        .bind((Ipv4Addr::LOCALHOST, 0))?;
        for addr in server.addrs() {
            table::complain(&format!("listens on {addr}"));
        }
        Ok(server.run().await?)
    })
}

async fn append(link: web::Data<ConnectionManager>, body: web::Bytes) -> HttpResponse {
    let mut add = redis::cmd("XADD");
    add.arg(STREAM).arg("*").arg("e").arg(body.as_ref());
    let mut link = ConnectionManager::clone(&link);
    match add.exec_async(&mut link).await {
        Ok(()) => HttpResponse::Ok().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

/// The bare server as a process of its own; gives its address too.
pub(crate) fn start(redis: &Redis) -> anyhow::Result<(Process, String)> {
    let process = Process::start(std::env::current_exe()?, [ROLE, &redis.url])?;
    let addr = process.said("listens on ")?;
    Ok((process, addr))
}
