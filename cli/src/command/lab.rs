//! `causeway lab`: the whole product on loopback, among simulated peers.

use crate::command::exit;
use conformance::lab::{self, Expose, Options};
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;

/// Arguments of `causeway lab`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Lab {
    /// End after the calls, with exit code 0 or 1
    #[arg(long)]
    pub once: bool,
    /// Leave the temporary folder behind: configuration, certificates, log, call records
    #[arg(long)]
    pub keep: bool,
    /// Let a phone or SIPp join in: listen on this address of the machine too (UDP)
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once")]
    pub expose: Option<IpAddr>,
    /// UDP port for --expose; a free one if not given
    #[arg(long, value_name = "PORT", requires = "expose", default_value_t = 0)]
    pub expose_port: u16,
}

/// Exit code when something was not as it should be.
const FAILED: u8 = 1;

/// Runs the lab. Returns 0 when everything was as it should be, else 1.
///
/// # Errors
/// If this program's own path is unknown.
pub fn run(arguments: &Lab, out: &mut dyn Write) -> io::Result<u8> {
    let options = Options {
        program: std::env::current_exe()?,
        once: arguments.once,
        keep: arguments.keep,
        expose: arguments.expose.map(|address| Expose {
            address,
            port: arguments.expose_port,
        }),
        has_colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    match lab::run(&options, out) {
        Ok(true) => Ok(exit::OK),
        Ok(false) => Ok(FAILED),
        Err(fault) => {
            out.flush()?;
            eprintln!("causeway lab: {fault}");
            Ok(FAILED)
        }
    }
}
