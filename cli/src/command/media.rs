//! `causeway media`: the relay as a process of its own, for a SIP proxy that speaks the ng protocol.

use crate::command::exit;
use crate::daemon::run::FAILED;
use crate::daemon::secrecy;
use crate::ng::{Fault, Interface, Options, Service};
use clap::{Args, ValueEnum};
use media_relay::{Backend, Runs};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `causeway media`.
#[derive(Args, Debug)]
pub struct Alone {
    /// Where the proxy sends its requests, over UDP and TCP, such as 127.0.0.1:2223. Whoever reaches it commands
    /// the relay: keep it on this machine or behind a firewall
    #[arg(long, value_name = "ADDRESS:PORT")]
    ng: SocketAddr,
    /// Where media are received: [NAME/]ADDRESS[!ADVERTISED]. Several with names serve the proxy's "direction"; an
    /// IPv4 and an IPv6 address may share a name
    #[arg(
        long = "address",
        alias = "interface",
        required = true,
        value_name = "INTERFACE"
    )]
    interfaces: Vec<Interface>,
    /// UDP ports of media
    #[arg(long, value_name = "FIRST-LAST", default_value = "10000-38000", value_parser = ports)]
    ports: RangeInclusive<u16>,
    /// Media threads; as many as there are cores if not given
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: Option<u8>,
    /// How packets are received and sent: by sockets; past the kernel (AF_XDP) where that is possible; or in no other
    /// way. Packet filters and IPsec of this machine do not see what goes past the kernel
    #[arg(long, value_enum, default_value_t = Wanted::Socket)]
    backend: Wanted,
    /// Seconds after which a call ends whose parties have both sent nothing; 0 keeps it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Wanted {
    Socket,
    Auto,
    Xdp,
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || format!("\"{text}\" is no range; write FIRST-LAST, such as 10000-38000");
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let first: u16 = first.parse().map_err(|_| wrong())?;
    let last: u16 = last.parse().map_err(|_| wrong())?;
    match first >= 1024 && last > first {
        true => Ok(first..=last),
        false => Err(format!(
            "{text}: a range begins at 1024 or above, and ends behind its first port"
        )),
    }
}

/// Serves until a signal comes.
pub fn run(arguments: &Alone, out: &mut dyn Write) -> io::Result<u8> {
    for lacking in secrecy::keep() {
        eprintln!("causeway media: {lacking}");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        ng: arguments.ng,
        interfaces: arguments.interfaces.clone(),
        ports: arguments.ports.clone(),
        workers: arguments.workers.map_or(cores, usize::from),
        backend: match arguments.backend {
            Wanted::Socket => Backend::Sockets,
            Wanted::Auto | Wanted::Xdp => Backend::Xdp,
        },
        is_backend_needed: arguments.backend == Wanted::Xdp,
        silence: Duration::from_secs(arguments.timeout.into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let service = match Service::start(&options).await {
            Ok(service) => service,
            Err(fault) => {
                eprintln!("causeway media: {fault}");
                return Ok(match fault {
                    Fault::Interfaces(_) => exit::USAGE,
                    Fault::Entropy | Fault::Relay(_) | Fault::Backend(..) | Fault::Listen(..) => {
                        FAILED
                    }
                });
            }
        };
        for report in service.backends() {
            let runs = match report.runs {
                Runs::Sockets => "sockets",
                Runs::Xdp { .. } => "AF_XDP",
            };
            let because = report
                .because
                .map_or_else(String::new, |why| format!(" ({why})"));
            writeln!(out, "media of {}: {runs}{because}", report.address)?;
        }
        writeln!(out, "requests are heard on {}", service.address()?)?;
        out.flush()?;
        crate::daemon::notify::ready("serving");
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        service.serve(stop).await;
        Ok(exit::OK)
    })
}
