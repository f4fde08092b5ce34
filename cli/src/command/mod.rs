//! Operator commands. Each takes its arguments and where to print, and returns an exit code.

pub mod approvals;
pub mod audit;
pub mod bundle;
pub mod capture;
pub mod cert;
pub mod certification;
pub mod certify;
pub mod check;
pub mod config;
mod counters;
pub mod csv;
pub mod dns;
pub mod documents;
pub mod export;
pub mod form;
pub mod import;
pub mod init;
mod kept_form;
pub mod lab;
pub mod load;
pub mod log;
pub mod media;
pub mod monitoring;
pub mod node;
pub mod number;
mod online;
mod pages;
pub mod parse;
pub mod progress;
pub mod protection;
pub mod proxied;
pub(crate) mod readable;
pub(crate) mod record_fields;
pub mod records;
pub mod reference;
pub mod registration;
pub mod restart;
pub mod route;
pub mod secret;
pub mod sim;
pub mod stats;
mod sure;
pub mod tail;
pub mod teams;
pub mod tenant;
pub mod tls;
pub mod token;
pub mod top;
mod transfer;
pub mod trunk;

/// Exit codes of every command (OPS-090).
pub mod exit {
    use crate::config::is_denied;
    use sbc_core::config::Findings;
    use std::io::{self, ErrorKind};
    use std::path::Path;

    /// Done, or valid.
    pub const OK: u8 = 0;
    /// Wrong use: arguments, or a file named there that does not exist. A name of none of what a configuration, a node or
    /// this program has is no wrong use, but refused.
    pub const USAGE: u8 = 2;
    /// What was checked is not valid.
    pub const INVALID: u8 = 3;
    /// The daemon cannot be reached.
    pub const UNREACHABLE: u8 = 4;
    /// Refused, because it would destroy something, is not possible now, or not allowed to this user; or there is nothing of
    /// this name.
    pub const REFUSED: u8 = 5;

    /// Of a configuration that is refused for these findings: the file that was named must be one, else the use is
    /// wrong, and this user must be allowed to read it and all that belongs to it. The same for the check, and for the
    /// daemon that does not start.
    pub fn of_refused(main: &Path, findings: &Findings) -> u8 {
        match main.metadata() {
            Ok(facts) if facts.is_dir() => USAGE,
            Ok(_) if is_denied(findings) => REFUSED,
            Ok(_) => INVALID,
            Err(why) => of(&why),
        }
    }

    fn of(why: &io::Error) -> u8 {
        match why.kind() {
            ErrorKind::NotFound => USAGE,
            ErrorKind::PermissionDenied => REFUSED,
            _ => INVALID,
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::config::unreadable;

        #[test]
        fn whoever_may_not_read_the_configuration_is_refused() {
            let folder = tempfile::tempdir().unwrap();
            let main = folder.path().join("causeway.toml");
            let mut findings = Findings::default();
            assert_eq!(of_refused(&main, &findings), USAGE);
            assert_eq!(of_refused(folder.path(), &findings), USAGE);
            std::fs::write(&main, "").unwrap();
            assert_eq!(of_refused(&main, &findings), INVALID);
            assert_eq!(of(&ErrorKind::PermissionDenied.into()), REFUSED);
            // Which of its files that is, or its folder, is all the same.
            let beside = folder.path().join("conf.d");
            let mut told = |kind: ErrorKind| {
                findings.errors.push(unreadable(&beside, &kind.into()));
                of_refused(&main, &findings)
            };
            assert_eq!(told(ErrorKind::InvalidData), INVALID);
            assert_eq!(told(ErrorKind::PermissionDenied), REFUSED);
        }
    }
}
