//! The `touchpoint` command.

use std::process::ExitCode;

use clap::Parser;
use touchpoint::cli::Arguments;

fn main() -> ExitCode {
    touchpoint::cli::run(Arguments::parse())
}
