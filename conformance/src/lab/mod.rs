//! `causeway lab`: the real daemon among simulated peers on loopback.
//!
//! ```text
//! carrier (UDP, RTP) ── 127.B.C.10        127.B.C.21 ── sip.pstnhub.example  ┐
//!                          │                  │ .22 ── sip2.pstnhub.example  ├ TLS, SRTP
//!                     127.B.C.2 ─ causeway ─ 127.B.C.1  .23 ── sip3…         ┘
//! ```
//!
//! B and C are random, so that labs side by side do not meet. Every part is its own: [`folder`] and
//! [`place`] addresses, files and configuration, [`daemon`] the child process, [`play`] the calls,
//! [`bypass`] those with media bypass, [`report`] what is printed.

pub mod bypass;
pub mod daemon;
pub mod fault;
pub mod folder;
pub mod front;
pub mod http;
pub mod names;
pub mod place;
pub mod play;
pub mod report;
pub mod teams;
pub mod world;

use fault::LabFault;
use report::Report;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use world::World;

/// Longest time from the start to the verdict.
const LIMIT: Duration = Duration::from_secs(25);

/// What the lab is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary to run as daemon.
    pub program: PathBuf,
    /// End after the calls instead of waiting for Ctrl-C.
    pub once: bool,
    /// Leave the folder with configuration, certificates, log and records behind.
    pub keep: bool,
    /// A further carrier trunk for programs and phones that are not ours.
    pub expose: Option<Expose>,
    /// Whether the output goes to a terminal that shows colours.
    pub has_colours: bool,
}

/// An address on which a phone or another program may join in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expose {
    /// Address of this machine to listen on.
    pub address: IpAddr,
    /// UDP port; 0 takes a free one.
    pub port: u16,
}

/// Runs the lab. Says whether everything was as it should be.
///
/// # Errors
/// [`LabFault`], when the lab itself could not be set up; what it started has ended then.
pub fn run(options: &Options, out: &mut dyn Write) -> Result<bool, LabFault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| LabFault::System {
            what: "start threads",
            why,
        })?;
    runtime.block_on(play_and_stay(options, out))
}

async fn play_and_stay(options: &Options, out: &mut dyn Write) -> Result<bool, LabFault> {
    let mut signals = Signals::listen()?;
    let mut report = Report::new(out, options.has_colours);
    let end = Instant::now() + LIMIT;
    let world = tokio::select! {
        started = World::start(options, &mut report) => started?,
        () = signals.any() => return Err(LabFault::Interrupted),
        () = sleep_until(end) => return Err(LabFault::Slow { after: LIMIT }),
    };
    // Whatever ends the calls, everything is stopped in order.
    let verdict = tokio::select! {
        scenes = play::everything(&world) => report.scenes(&world, &scenes),
        () = signals.any() => Err(LabFault::Interrupted),
        () = sleep_until(end) => Err(LabFault::Slow { after: LIMIT }),
    };
    if !options.once && verdict.is_ok() {
        report.stay(&world)?;
        tokio::select! {
            () = world.goes_on() => {}
            () = signals.any() => {}
        }
    }
    world.end(&mut report).await?;
    verdict
}

/// The signals that end the lab.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, LabFault> {
        let fault = |why| LabFault::System {
            what: "wait for signals",
            why,
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(fault)?,
            terminate: signal(SignalKind::terminate()).map_err(fault)?,
            hang_up: signal(SignalKind::hangup()).map_err(fault)?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
