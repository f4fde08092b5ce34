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
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once", value_parser = exposable)]
    pub expose: Option<IpAddr>,
    /// UDP port for --expose; a free one if not given
    #[arg(
        long,
        value_name = "PORT",
        requires = "expose",
        conflicts_with = "once"
    )]
    pub expose_port: Option<u16>,
}

/// An address that goes into Contact and SDP, so it must be one that a peer can send to.
fn exposable(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| "not an IP address, such as 192.0.2.7".to_owned())?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("name the one address of this machine that the phone can reach".to_owned());
    }
    Ok(address)
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
            port: arguments.expose_port.unwrap_or(0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_a_peer_can_send_to_is_exposed() {
        for good in ["192.0.2.7", "127.0.0.1", "2001:db8::7"] {
            assert!(exposable(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0", "::", "224.0.0.1", "sbc.example.com"] {
            assert!(exposable(bad).is_err(), "{bad}");
        }
    }
}
