//! The commands: one file each. They alone print.

/// `touchpoint check [DIR]`.
pub mod check;
