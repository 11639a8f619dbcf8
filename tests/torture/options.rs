//! What a run is asked to be.

use clap::Parser;

/// The short form unless told otherwise.
#[derive(Debug, Clone, Copy, Parser)]
#[command(no_binary_name = true, args_override_self = true)]
pub(crate) struct Options {
    /// Decides inputs, victims and moments.
    #[arg(long, default_value_t = 20_260_506)]
    pub seed: u64,
    /// Kills of servers, of Redis, or of both.
    #[arg(long, default_value_t = 15)]
    pub kills: usize,
    /// Servers that share one Redis.
    #[arg(long, default_value_t = 2)]
    pub processes: usize,
}

impl Options {
    /// From `TORTURE_ARGS`.
    pub(crate) fn of_the_environment() -> Self {
        let given = std::env::var("TORTURE_ARGS").unwrap_or_default();
        let options = Self::try_parse_from(given.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
        assert!((1..=8).contains(&options.processes), "--processes is 1 to 8");
        options
    }

    /// The command that plays the same plan again.
    pub(crate) fn replay(&self) -> String {
        format!(
            "make torture TORTURE_ARGS=\"--seed {} --kills {} --processes {}\"",
            self.seed, self.kills, self.processes
        )
    }
}
