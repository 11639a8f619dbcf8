//! What the whole server costs: a real process with a real Redis, on this machine, in one run.
//!
//! Figures of different machines cannot be compared, those of one run can: so the callback path stands beside a server
//! that does nothing but append, and what is printed first is the ratio. Everything listens on loopback or on a unix
//! socket, CPU is what the kernel has on its books for the process, and whatever is started here ends here. Linux only.
//! In reading order:

/// Redis, Touchpoint and the bare server as processes, and what they have used.
mod processes;

/// A Touchpoint of its own folder, and who holds its shards.
mod server;

/// The server that only appends.
mod bare;

/// Encrypted callbacks, sent over so many connections.
mod load;

/// The callback path beside the bare server.
mod callbacks;

/// What customers have lived through.
mod past;

/// Customers with a past, made by the real decisions.
mod town;

/// Events decided and committed, and what a customer takes up in Redis.
mod events;

/// Timers: how late, and how many.
mod timers;

/// From the start of the process to readiness.
mod starting;

/// Hours of callbacks, to see that nothing grows.
mod soak;

/// Figures as they are printed.
mod table;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::processes::Redis;

/// Touchpoint's own, so that the bare server has it too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [role, redis] if role == bare::ROLE => bare::serve(redis),
        // Cargo says so when it measures; without it, as in `cargo test --benches`, there is nothing to test.
        arguments if arguments.iter().any(|argument| argument == "--bench") => measure(arguments),
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures the parts that are named, or all but the soak.
fn measure(names: &[String]) -> anyhow::Result<()> {
    let is_wanted = |part: &str| {
        let mut names = names.iter().filter(|name| !name.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|name| name == part)
    };
    // Children die with the thread that starts them, and all are started from this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
    runtime.block_on(async {
        let redis = Redis::start().await?;
        table::begin(&redis);
        if is_wanted("start") {
            starting::measure(&redis).await?;
        }
        if is_wanted("callbacks") {
            callbacks::measure(&redis).await?;
        }
        if is_wanted("events") {
            events::measure(&redis).await?;
        }
        if is_wanted("timers") {
            timers::measure(&redis).await?;
        }
        if names.iter().any(|name| name == "soak") {
            soak::measure(&redis, &soak::Plan::read(names)?).await?;
        }
        Ok(())
    })
}
