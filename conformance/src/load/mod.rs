//! `causeway certify load`: what calls cost, and how many are too many.
//!
//! ```text
//! caller ── UDP, TCP or TLS ──► the subject ── UDP ──► answerer
//!   └────────────── the same way, without it ──────────►┘
//! ```
//!
//! Caller and answerer are one thread that looks at sockets, writes from templates and reads only what
//! it needs (`engine`), so that it costs a fraction of what it measures. The subject is our own daemon
//! with a configuration for this (`subject`), or whatever is at an address. A figure is printed beside
//! that of the generator alone, in the same run.

mod answerer;
mod caller;
mod delay;
mod engine;
mod fault;
mod measure;
mod process;
mod report;
mod stream;
mod subject;
mod text;

pub use fault::LoadFault;

use measure::{Bench, Measured};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use subject::Trust;

/// What the caller's side of a call goes over; the answerer's is always UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// Datagrams.
    Udp,
    /// A few TCP connections for all calls.
    Tcp,
    /// A few TLS connections for all calls.
    Tls,
    /// A TLS connection for every call.
    TlsEach,
}

impl Over {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::TlsEach => "tls-each",
        }
    }
}

/// How many calls are offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// So many a second.
    Rate(u32),
    /// As many as are carried without a failed call.
    Maximum,
}

/// An SBC that is there already.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct External {
    /// Where calls go.
    pub to: SocketAddr,
    /// The caller's own address.
    pub caller: SocketAddr,
    /// The answerer's own address, which it sends the calls to.
    pub answerer: SocketAddr,
    /// Who is called.
    pub called: String,
    /// Its process on this machine, for CPU time and memory.
    pub pid: Option<u32>,
    /// For TLS: a file with the certificates to trust, and the name to expect.
    pub trust: Option<(PathBuf, String)>,
}

/// What to measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The binary to run as daemon.
    pub program: PathBuf,
    /// Measure this instead.
    pub external: Option<External>,
    /// Ways to measure, one after the other.
    pub over: Vec<Over>,
    /// How many calls are offered.
    pub pace: Pace,
    /// How long each measurement offers calls.
    pub time: Duration,
    /// How long a call lasts.
    pub call: Duration,
    /// Measure the memory of so many calls at once too.
    pub held: Option<u32>,
    /// Time for the subject to forget what is over, before its memory is looked at.
    pub settle: Duration,
    /// The core that our own daemon is confined to; the generator leaves it alone.
    pub core: Option<usize>,
    /// Print one JSON object instead of a table.
    pub json: bool,
}

/// The cores that this program may use.
pub fn cores() -> Vec<usize> {
    process::cores().unwrap_or_default()
}

/// Measures and prints. Says whether every call went as it should, as far as that was asked for: the
/// search for the maximum makes calls fail.
///
/// # Errors
/// [`LoadFault`], when something cannot be measured.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<bool, LoadFault> {
    let printed = LoadFault::system("print");
    let trust = Trust::new()?;
    if !options.json {
        report::heading(options, out).map_err(&printed)?;
    }
    let mut all: Vec<Measured> = Vec::new();
    for over in &options.over {
        let measured = Bench::new(options, *over, &trust).measure()?;
        if !options.json {
            report::row(&measured, out).map_err(&printed)?;
        }
        all.push(measured);
    }
    match options.json {
        true => report::json(options, &all, out),
        false => report::notes(&all, out),
    }
    .map_err(&printed)?;
    Ok(all.iter().all(Measured::is_well))
}
