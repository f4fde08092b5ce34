//! `causeway media`: the relay as a process of its own, for the daemon or for a SIP proxy that speaks the ng protocol.

use crate::command::{exit, kept_form};
use crate::config::{self, User, load, load_with, read_sources};
use crate::daemon::confine::Plan;
use crate::daemon::health::{Stuck, stuck_media};
use crate::daemon::media::{backend_name, realms};
use crate::daemon::notify;
use crate::daemon::run::FAILED;
use crate::daemon::secrecy;
use crate::ng::{Fault, Interface, Options, Service};
use crate::sink::log::{Level, Log};
use clap::{Args, ValueEnum};
use media_api::AddressRanges;
use media_relay::{Backend, Host, HostOptions, RelayConfig, goes_on};
use sbc_core::config::{Confinement, IpNet};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `causeway media`.
#[derive(Args, Debug)]
pub struct Alone {
    /// Serve the daemon whose configuration names this socket under [media] relay. Addresses, ports and backend come
    /// from there. Only processes of this user and of root are served
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with_all = ["ng", "interfaces", "ports", "backend", "timeout"],
        required_unless_present = "ng"
    )]
    socket: Option<PathBuf>,
    /// Where the proxy sends its requests, over UDP and TCP, such as 127.0.0.1:2223. Whoever reaches it commands
    /// the relay: keep it on this machine or behind a firewall
    #[arg(long, value_name = "ADDRESS:PORT", requires = "interfaces", value_parser = place)]
    ng: Option<SocketAddr>,
    /// Where media are received: [NAME/]ADDRESS[!ADVERTISED]. Several with names serve the proxy's "direction"; an
    /// IPv4 and an IPv6 address may share a name
    #[arg(long = "address", alias = "interface", value_name = "INTERFACE")]
    interfaces: Vec<Interface>,
    /// UDP ports of media
    #[arg(long, value_name = "FIRST-LAST", default_value = "10000-38000", value_parser = ports)]
    ports: RangeInclusive<u16>,
    /// Media threads; as many as there are cores if not given
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: Option<u8>,
    /// Keep each media thread on one core, from the last one down
    #[arg(long)]
    pin: bool,
    /// How packets are received and sent: by sockets; past the kernel (AF_XDP) where that is possible; or in no other
    /// way. Packet filters and IPsec of this machine do not see what goes past the kernel
    #[arg(long, value_enum, default_value_t = Wanted::Socket)]
    backend: Wanted,
    /// Seconds after which a call ends whose parties have both sent nothing; 0 keeps it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u32,
    /// Where media of parties may come from besides the addresses that they announce, such as the range of a carrier that
    /// sends from another machine than it names: 198.51.100.0/24, or one address; may be given several times. Of a packet
    /// from there nothing else is known, so name only what is the party's own: it is believed of every party, of telephones
    /// as well
    #[arg(long, value_name = "RANGE", value_parser = range, requires = "ng")]
    media_from: Vec<IpNet>,
    /// Where figures are shown over HTTP, such as 127.0.0.1:9092: /metrics for Prometheus, /healthz, and /status, which
    /// "causeway media status --metrics" prints. Whoever reaches it sees them
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = place, requires = "ng")]
    metrics: Option<SocketAddr>,
    /// What the relay takes from itself at its start: files and calls of the kernel that it never needs; to the log of
    /// the kernel alone, for calls; or nothing
    #[arg(long, value_enum, default_value_t = Confined::On)]
    confinement: Confined,
}

/// Arguments of `causeway media keeps`.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
pub struct Keeps {
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    config: PathBuf,
}

/// Whether calls that talk go on when the daemon is restarted as this program and its relay is not, and if not why not.
/// What cannot be told is a no: whoever hears one drains, so that parties hear BYE.
/// Returns 0 if they do, 5 if they end, 3 for a configuration that would be refused.
pub fn keeps(arguments: &Keeps, out: &mut dyn Write) -> io::Result<u8> {
    let user = User::of_service();
    let loaded = read_sources(&arguments.config).and_then(|sources| match user {
        Some(user) => load_with(&sources, &config::Service(user), None),
        None => load(&sources, None),
    });
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            let file = arguments.config.display();
            eprintln!("causeway media keeps: {file} is refused; see causeway check -f {file}");
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let shell = &loaded.shell;
    let why = match shell.relay.as_deref() {
        None => "the media relay is in the daemon's own process ([media] relay)".to_owned(),
        Some(_) if !shell.preserves_calls => {
            "[media] restart is \"end\", and not \"preserve\"".to_owned()
        }
        Some(path) => {
            let fits = goes_on(Path::new(path), &realms(&loaded.config));
            let fits = fits.map_err(|why| why.to_string());
            match fits.and_then(|()| kept_form::is_read(Path::new(&shell.api))) {
                Ok(()) => {
                    writeln!(
                        out,
                        "calls go on: the media relay at {path} runs on, this program can command it and reads what the \
                         daemon keeps of its calls"
                    )?;
                    return Ok(exit::OK);
                }
                Err(why) => why,
            }
        }
    };
    writeln!(out, "calls end with a restart: {why}")?;
    Ok(exit::REFUSED)
}

/// Addresses that are somebody's.
fn range(text: &str) -> Result<IpNet, String> {
    let net = IpNet::parse(text)?;
    match net.admits_strangers() {
        true => Err(format!(
            "{net} is everybody's: name a range of the carrier, /8 at most, of IPv6 /16"
        )),
        false => Ok(net),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Confined {
    On,
    Log,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Wanted {
    Socket,
    Auto,
    Xdp,
}

fn place(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:2223".to_owned())
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
    confine(arguments);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = arguments.workers.map_or(cores, usize::from);
    match (&arguments.socket, arguments.ng) {
        (Some(path), _) => serve_daemon(path, workers, arguments.pin, out),
        (None, Some(ng)) => serve_proxy(ng, workers, arguments, out),
        // The parser asks for one of them.
        (None, None) => Ok(exit::USAGE),
    }
}

/// Takes from this process what a relay never needs (SEC-141), before there is another thread.
fn confine(arguments: &Alone) {
    let wish = match arguments.confinement {
        Confined::On => Confinement::On,
        Confined::Log => Confinement::Log,
        Confined::Off => Confinement::Off,
    };
    // Whether media of a daemon pass by the kernel is heard from that.
    let may_load = arguments.socket.is_some() || arguments.backend != Wanted::Socket;
    let plan = Plan::of_relay(wish, arguments.socket.as_deref(), may_load);
    let because = &plan.hold().because;
    if !because.is_empty() {
        eprintln!(
            "causeway media: not confined as it was meant, which a newer kernel or another container runtime can do: {}",
            because.join("; ")
        );
    }
}

/// Runs the relay of a daemon until a signal comes.
fn serve_daemon(
    path: &Path,
    workers: usize,
    is_pinned: bool,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let options = HostOptions {
        workers,
        is_pinned,
        quarantine: RelayConfig::QUARANTINE,
        patience: HostOptions::PATIENCE,
    };
    let host = match Host::open(path, options) {
        Ok(host) => host,
        Err(why) => {
            eprintln!(
                "causeway media: cannot listen at {}: {why}; its directory must exist and belong to this user",
                path.display()
            );
            return Ok(FAILED);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = host.handle();
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    writeln!(out, "a daemon is awaited at {}", path.display())?;
    out.flush()?;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let warn = {
        let tell = tell.clone();
        move |stuck: Stuck| drop(tell.send(stuck.to_string()))
    };
    let serving = std::thread::Builder::new()
        .name("media-host".into())
        .spawn(move || {
            // The output is locked by whoever called us: only this thread may write to it.
            host.serve(move |words| drop(tell.send(words.to_owned())));
        })?;
    notify::ready("serving");
    runtime.block_on(async {
        let looked_at = handle.clone();
        let stuck = move || stuck_media(looked_at.longest_silence());
        let mut watchdog = std::pin::pin!(notify::watchdog(stuck, warn));
        loop {
            tokio::select! {
                () = &mut watchdog => {}
                _ = terminate.recv() => return,
                _ = interrupt.recv() => return,
                Some(words) = told.recv() => {
                    // Media go on when nobody reads what we say.
                    let _ = writeln!(out, "{words}").and_then(|()| out.flush());
                }
            }
        }
    });
    notify::stopping("ending the calls of the daemon");
    handle.end();
    let _ = serving.join();
    Ok(exit::OK)
}

/// Whether requests may come from other machines of the world.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(own) => !(own.is_loopback() || own.is_private() || own.is_link_local()),
        // fc00::/7 and fe80::/10 are those of a site and of a link.
        IpAddr::V6(own) => {
            let first = own.segments()[0];
            !(own.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80)
        }
    }
}

/// Runs the relay of a proxy until a signal comes.
fn serve_proxy(
    ng: SocketAddr,
    workers: usize,
    arguments: &Alone,
    out: &mut dyn Write,
) -> io::Result<u8> {
    if is_public(ng.ip()) {
        eprintln!(
            "causeway media: warning: {ng} can be reached from outside, and whoever reaches it commands the relay and \
             hears keys; listen on a loopback or private address, or let a firewall admit the proxy alone"
        );
    }
    if let Some(at) = arguments.metrics.filter(|at| is_public(at.ip())) {
        eprintln!(
            "causeway media: warning: {at} can be reached from outside, and whoever reaches it sees addresses and figures; \
             listen on a loopback or private address, or let a firewall admit whoever scrapes alone"
        );
    }
    let options = Options {
        ng,
        interfaces: arguments.interfaces.clone(),
        ports: arguments.ports.clone(),
        workers,
        is_pinned: arguments.pin,
        backend: match arguments.backend {
            Wanted::Socket => Backend::Sockets,
            Wanted::Auto | Wanted::Xdp => Backend::Xdp,
        },
        is_backend_needed: arguments.backend == Wanted::Xdp,
        silence: Duration::from_secs(arguments.timeout.into()),
        media_from: AddressRanges::of(
            arguments
                .media_from
                .iter()
                .map(|net| (net.first(), net.last())),
        ),
        metrics: arguments.metrics,
    };
    let (log, waiting) = Log::to_stderr(Level::Info, None);
    let writer = waiting.begin()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let service = match Service::start(&options, &log).await {
            Ok(service) => service,
            Err(fault) => {
                eprintln!("causeway media: {fault}");
                return Ok(match fault {
                    Fault::Interfaces(_) => exit::USAGE,
                    Fault::Entropy
                    | Fault::Relay(_)
                    | Fault::Backend(..)
                    | Fault::Listen(..)
                    | Fault::Metrics(..) => FAILED,
                });
            }
        };
        for report in service.backends() {
            let runs = backend_name(report.runs);
            let because = report
                .because
                .map_or_else(String::new, |why| format!(" ({why})"));
            writeln!(out, "media of {}: {runs}{because}", report.address)?;
        }
        if let Some(at) = service.metrics_address() {
            writeln!(out, "figures are shown on {at}")?;
        }
        writeln!(out, "requests are heard on {}", service.address()?)?;
        out.flush()?;
        notify::ready("serving");
        let stuck = service.watch();
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            notify::stopping("ending the calls of the proxy");
        };
        // On the thread that answers requests: it is fed only as long as that goes round, too.
        tokio::select! {
            () = service.serve(stop) => {}
            () = notify::watchdog(stuck, |stuck| notify::log_stuck(&log, stuck)) => {}
        }
        Ok(exit::OK)
    });
    writer.finish();
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_public_and_so_is_every_address() {
        for (text, wanted) in [
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("192.168.7.1", false),
            ("::1", false),
            ("fd00::7", false),
            ("fe80::1", false),
            ("0.0.0.0", true),
            ("203.0.113.7", true),
            ("::", true),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(text.parse().unwrap()), wanted, "{text}");
        }
    }
}
