//! Operator commands. Each takes its arguments and where to print, and returns an exit code.

pub mod check;
pub mod init;
pub mod lab;
pub mod node;
pub mod parse;

/// Exit codes of every command (OPS-090).
pub mod exit {
    /// Done, or valid.
    pub const OK: u8 = 0;
    /// Wrong use: arguments, or a file named there that does not exist.
    pub const USAGE: u8 = 2;
    /// What was checked is not valid.
    pub const INVALID: u8 = 3;
    /// The daemon cannot be reached.
    pub const UNREACHABLE: u8 = 4;
    /// Refused, because it would destroy something or is not possible now.
    pub const REFUSED: u8 = 5;
}
