//! `causeway lab`: the whole product on loopback, among simulated peers.

use crate::command::exit;
use conformance::lab::fault::LabFault;
use conformance::lab::teams::TeamsOptions;
use conformance::lab::{self, Expose, Options};
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Arguments of `causeway lab`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Lab {
    #[command(subcommand)]
    what: Option<What>,
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

#[derive(clap::Subcommand, Clone, PartialEq, Eq, Debug)]
enum What {
    /// The three proxies of Teams alone, for an SBC or a PBX of yours
    Teams(Teams),
}

/// Arguments of `causeway lab teams`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
struct Teams {
    /// Where the SBC listens, TLS
    #[arg(long, value_name = "ADDRESS:PORT")]
    sbc: SocketAddr,
    /// Name of the SBC, as its certificate and its Contact say it; may be given several times, for a trunk of another
    /// tenant each
    #[arg(long, value_name = "NAME", required = true)]
    fqdn: Vec<String>,
    /// Where the proxies listen; of one address the others take the next two ports
    #[arg(long, value_name = "ADDRESS:PORT", required = true, num_args = 1..=3)]
    listen: Vec<SocketAddr>,
    /// Folder with ca.pem, proxy.pem and proxy.key; made with a certificate for all names of the SBC if there is
    /// no ca.pem
    #[arg(long, value_name = "FOLDER")]
    certificates: PathBuf,
    /// Domain of the proxies' names; the SBC must find sip, sip2 and sip3 in it
    #[arg(long, value_name = "DOMAIN", default_value = "pstnhub.example")]
    domain: String,
    /// Let a user of Teams call this number through the SBC; of several tenants one of each, in turn
    #[arg(long, value_name = "NUMBER")]
    call: Option<String>,
    /// The user's own number; of several tenants one for all, or one for each in the order of --fqdn
    #[arg(long, value_name = "NUMBER", default_value = "+441632960100")]
    user: Vec<String>,
    /// End after the calls, or once OPTIONS of the SBC came to every proxy, by each of its names
    #[arg(long)]
    once: bool,
}

impl Teams {
    /// A user for all tenants, or one for each.
    fn has_users(&self) -> Result<(), String> {
        let (users, tenants) = (self.user.len(), self.fqdn.len());
        match users == 1 || users == tenants {
            true => Ok(()),
            false => Err(format!(
                "{users} --user for {tenants} --fqdn: give one for all, or one for each"
            )),
        }
    }

    /// Three addresses of one or three.
    fn places(&self) -> Result<[SocketAddr; 3], String> {
        match *self.listen.as_slice() {
            [one, two, three] => Ok([one, two, three]),
            [one] => {
                let next = |more: u16| -> Result<SocketAddr, String> {
                    let port = one.port().checked_add(more).filter(|_| one.port() != 0);
                    let port = port.ok_or("name a port up to 65533 that is not 0")?;
                    Ok(SocketAddr::new(one.ip(), port))
                };
                Ok([one, next(1)?, next(2)?])
            }
            _ => Err("give one --listen, or three".to_owned()),
        }
    }
}

fn teams(arguments: &Teams, out: &mut dyn Write) -> io::Result<u8> {
    let listen = match arguments.has_users().and_then(|()| arguments.places()) {
        Ok(listen) => listen,
        Err(why) => {
            eprintln!("causeway lab teams: {why}");
            return Ok(exit::USAGE);
        }
    };
    let options = TeamsOptions {
        listen,
        sbc: arguments.sbc,
        fqdns: arguments.fqdn.clone(),
        domain: arguments.domain.clone(),
        certificates: arguments.certificates.clone(),
        call: arguments.call.clone(),
        users: arguments.user.clone(),
        once: arguments.once,
    };
    ended(
        conformance::lab::teams::run(&options, out),
        "lab teams",
        out,
    )
}

/// The exit code of what ended so.
fn ended(verdict: Result<bool, LabFault>, what: &str, out: &mut dyn Write) -> io::Result<u8> {
    match verdict {
        Ok(true) => Ok(exit::OK),
        Ok(false) => Ok(FAILED),
        Err(fault) => {
            out.flush()?;
            eprintln!("causeway {what}: {fault}");
            Ok(FAILED)
        }
    }
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
    if let Some(What::Teams(arguments)) = &arguments.what {
        return teams(arguments, out);
    }
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
    ended(lab::run(&options, out), "lab", out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        teams: Teams,
    }

    #[test]
    fn each_tenant_has_a_user_of_its_own_or_all_have_one() {
        let usual = "teams --sbc 192.0.2.7:5061 --listen 192.0.2.8:5061 --certificates x --fqdn a.example.com";
        for (more, tenants, is_right) in [
            ("", 1, true),
            (" --fqdn b.example.com", 2, true),
            (
                " --fqdn b.example.com --user +441632960100 --user +441632960200",
                2,
                true,
            ),
            (" --user +441632960100 --user +441632960200", 1, false),
        ] {
            let text = format!("{usual}{more}");
            let line = Line::try_parse_from(text.split(' ')).unwrap();
            assert_eq!(line.teams.fqdn.len(), tenants, "{more}");
            assert_eq!(line.teams.has_users().is_ok(), is_right, "{more}");
        }
    }

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
