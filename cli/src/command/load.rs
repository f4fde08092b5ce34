//! `causeway certify load`: what calls cost.

use crate::command::exit;
use clap::ValueEnum;
use conformance::load::{self, External, LoadFault, Options, Over, Pace};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Exit code when a call failed, or nothing could be measured.
const FAILED: u8 = 1;

/// Arguments of `causeway certify load`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// What callers use, one measurement each; the answerer's side is UDP
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = WayIn::all())]
    over: Vec<WayIn>,
    /// Calls per second
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: u32,
    /// Find the most calls per second that are carried without a failed call
    #[arg(long, conflicts_with = "rate")]
    maximum: bool,
    /// Time to offer calls; 10, or 3 for each attempt at the maximum
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: Option<u32>,
    /// How long a call lasts, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200)]
    call_ms: u32,
    /// Measure the memory of so many calls at once too; takes minutes
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    held: Option<u32>,
    /// Time before memory is looked at, in seconds: a transaction is remembered for 32 s
    #[arg(long, value_name = "SECONDS", requires = "held", default_value_t = 40)]
    settle: u32,
    /// Core for the daemon; the last one if there are several
    #[arg(long, conflicts_with = "to")]
    core: Option<usize>,
    /// Measure the SBC at this address instead of starting our own daemon
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["caller", "answerer"])]
    to: Option<SocketAddr>,
    /// The caller's own address, for --to
    #[arg(long, value_name = "ADDRESS:PORT", requires = "to")]
    caller: Option<SocketAddr>,
    /// The answerer's own address, which that SBC sends calls to
    #[arg(long, value_name = "ADDRESS:PORT", requires = "to")]
    answerer: Option<SocketAddr>,
    /// Who is called there
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "to",
        default_value = "+493023125456"
    )]
    called: String,
    /// Its process on this machine, for CPU time and memory
    #[arg(long, requires = "to")]
    pid: Option<u32>,
    /// Certificates that its own one leads to, PEM; for tls and tls-each
    #[arg(long, value_name = "FILE", requires_all = ["to", "name"])]
    ca: Option<PathBuf>,
    /// Name that must be in its certificate
    #[arg(long, requires = "ca")]
    name: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What callers use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum WayIn {
    /// Datagrams
    Udp,
    /// A few TCP connections for all calls
    Tcp,
    /// A few TLS connections for all calls
    Tls,
    /// A new TLS connection for every call
    TlsEach,
}

impl WayIn {
    fn all() -> [Self; 4] {
        [Self::Udp, Self::Tcp, Self::Tls, Self::TlsEach]
    }

    fn over(self) -> Over {
        match self {
            Self::Udp => Over::Udp,
            Self::Tcp => Over::Tcp,
            Self::Tls => Over::Tls,
            Self::TlsEach => Over::TlsEach,
        }
    }
}

/// Measures. Returns 0 when every call went well, else 1.
///
/// # Errors
/// If this program's own path is unknown.
pub fn run(arguments: &Load, out: &mut dyn Write) -> io::Result<u8> {
    let options = options(arguments, std::env::current_exe()?);
    match load::run(&options, out) {
        Ok(true) => Ok(exit::OK),
        Ok(false) => Ok(FAILED),
        // Who read it has gone.
        Err(LoadFault::System { what: "print", why }) => Err(why),
        Err(fault) => {
            out.flush()?;
            eprintln!("causeway certify load: {fault}");
            Ok(FAILED)
        }
    }
}

fn options(arguments: &Load, program: PathBuf) -> Options {
    let seconds = arguments
        .seconds
        .unwrap_or(if arguments.maximum { 3 } else { 10 });
    let places = (arguments.to, arguments.caller, arguments.answerer);
    let external = match places {
        (Some(to), Some(caller), Some(answerer)) => Some(External {
            to,
            caller,
            answerer,
            called: arguments.called.clone(),
            pid: arguments.pid,
            trust: arguments.ca.clone().zip(arguments.name.clone()),
        }),
        _ => None,
    };
    let cores = load::cores();
    let last = cores.last().copied().filter(|_| cores.len() > 1);
    let core = match external {
        Some(_) => None,
        None => arguments.core.or(last),
    };
    Options {
        program,
        external,
        over: arguments.over.iter().map(|way| way.over()).collect(),
        pace: match arguments.maximum {
            true => Pace::Maximum,
            false => Pace::Rate(arguments.rate),
        },
        time: Duration::from_secs(seconds.into()),
        call: Duration::from_millis(arguments.call_ms.into()),
        held: arguments.held,
        settle: Duration::from_secs(arguments.settle.into()),
        core,
        json: arguments.json,
    }
}
