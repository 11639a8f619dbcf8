//! The `touchpoint` command.

fn main() {}
