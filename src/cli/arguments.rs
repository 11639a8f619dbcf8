//! What can be said on the command line, and which command it means.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::check::{self, Format};
use super::{demo, doctor, sandbox, serve, why};

/// Touchpoint (触点): customers of WeCom tagged, answered and nudged as YAML playbooks say.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Arguments {
    /// The configuration folder
    #[arg(long, global = true, default_value = "config", value_name = "DIR")]
    pub config: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(serve::Options),
    /// Embedded Redis, a WeCom sandbox, the server and a sample company, all at once
    Demo(demo::Options),
    /// Tell everything that is wrong with settings and rules
    Check {
        /// A configuration folder, or one that holds only playbook files; default: --config
        dir: Option<PathBuf>,
        /// For people or for programs
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Tell why something did or did not happen to a customer
    Why(why::Options),
    /// Look at Redis, WeCom, the callback and this machine; tell the fix for whatever is wrong
    Doctor(doctor::Options),
    /// The WeCom simulator alone
    Sandbox(sandbox::Options),
}

/// Runs a command; says how it ended.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    let config = arguments.config;
    match arguments.command {
        Command::Serve(options) => serve::serve(&config, &options),
        Command::Demo(options) => demo::demo(&config, &options),
        Command::Check { dir, format } => check::check(dir.as_deref().unwrap_or(&config), format),
        Command::Why(options) => why::why(&config, &options),
        Command::Doctor(options) => doctor::doctor(&config, &options),
        Command::Sandbox(options) => sandbox::sandbox(&options),
    }
}
