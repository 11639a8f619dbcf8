//! The `touchpoint` command.

use std::process::ExitCode;

use clap::Parser;
use touchpoint::cli::Arguments;

/// Records are made of many small pieces, made on one thread and dropped on another, which the system's allocator pays
/// for with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    touchpoint::cli::run(Arguments::parse())
}
