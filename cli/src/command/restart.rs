//! `causeway restart --graceful`: drain, end, and be started anew by the service manager.

use super::counters::Counters;
use super::exit;
use super::node::{Connection, asked, look, wait};
use super::readable::{duration, plain};
use super::sure::{Stake, is_meant};
use clap::{ArgAction, Args};
use sbc_core::core::FADING;
use serde_json::Value;
use std::io::{self, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between two looks at the daemon.
const MOMENT: Duration = Duration::from_millis(250);
/// How long a service manager may take to start it.
const START: Duration = Duration::from_secs(90);

/// How it is restarted.
#[derive(Args, Clone, Debug)]
pub struct Restart {
    /// Wait for calls; one that does not is systemctl restart causeway
    #[arg(long, required = true, action = ArgAction::SetTrue)]
    pub graceful: bool,
    /// End the calls that are left after this time, but those for help: 1s to 24h. They do not survive a restart
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = wait)]
    pub timeout: u64,
    /// Refuse new calls of Teams at once, too, and not once it prefers other SBCs
    #[arg(long)]
    pub now: bool,
    /// Do not wait until it serves again
    #[arg(long)]
    pub no_wait: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The daemon
    #[command(flatten)]
    pub connection: Connection,
}

/// Restarts. Returns 0 once another daemon answers, 3 if it would refuse the configuration, 5 if it is not meant, not
/// possible or taken back, 4 if nobody starts the daemon again.
///
/// # Errors
/// If the output cannot be written.
pub fn run(wish: &Restart, out: &mut dyn Write) -> io::Result<u8> {
    let to = &wish.connection;
    let time = duration(wish.timeout);
    let what = format!(
        "this node takes no new calls then, ends those that are left in {time}, and is started anew"
    );
    // What starts with these files is found out while something still runs.
    if let Err(code) = asked(to, "/reload/dry-run") {
        return Ok(code);
    }
    if !is_meant(&what, Stake::Calls, wish.yes) {
        return Ok(exit::REFUSED);
    }
    let Some(before) = Counters::look(to) else {
        eprintln!(
            "causeway: the daemon tells no metrics, so nobody could see whether it was started anew"
        );
        return Ok(exit::UNREACHABLE);
    };
    let path = format!("/restart?timeout={}&now={}", wish.timeout, wish.now);
    let answer = match asked(to, &path) {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    if wish.no_wait {
        match to.output.is_table() {
            true => {
                let told: Value = serde_json::from_str(&answer).unwrap_or_default();
                writeln!(
                    out,
                    "state: {}\ncalls: {}",
                    plain(&told["state"]),
                    plain(&told["calls"])
                )?;
                writeln!(
                    out,
                    "it is started anew once no call is left; \"causeway undrain\" takes that back"
                )?;
            }
            false => to.output.pass(&answer, out)?,
        }
        return Ok(exit::OK);
    }
    let most = Duration::from_secs(wish.timeout) + FADING + START;
    finished(wish, &before, Instant::now() + most, out)
}

/// Waits for the next daemon.
fn finished(
    wish: &Restart,
    before: &Counters,
    until: Instant,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let to = &wish.connection;
    let (mut last, mut gone) = (String::new(), None);
    while Instant::now() < until {
        sleep(MOMENT);
        let (Some(now), Some(status)) = (Counters::look(to), look(to, "/status")) else {
            let since = *gone.get_or_insert_with(Instant::now);
            if since.elapsed() > START {
                eprintln!(
                    "causeway: the daemon has ended, and nobody has started it again; look at systemctl status causeway"
                );
                return Ok(exit::UNREACHABLE);
            }
            continue;
        };
        gone = None;
        let told: Value = serde_json::from_str(&status).unwrap_or_default();
        let start = |of: &Counters| of.sum("process_start_time_seconds", &[]);
        if start(&now) != start(before) {
            match to.output.is_table() {
                true => writeln!(
                    out,
                    "started anew: version {}, ready: {}",
                    plain(&told["version"]),
                    match told["ready"] == true {
                        true => "yes",
                        false => "not yet, see causeway status",
                    }
                )?,
                false => to.output.pass(&status, out)?,
            }
            return Ok(exit::OK);
        }
        if told["state"] == "active" && told["restarts"] == false {
            eprintln!("causeway: somebody has taken it back: the node takes new calls again");
            return Ok(exit::REFUSED);
        }
        let calls = plain(&told["calls"]);
        if calls != last {
            eprintln!("causeway: {}, {calls} calls left", plain(&told["state"]));
            last = calls;
        }
    }
    eprintln!(
        "causeway: calls for help are left, and it restarts once they have ended; \"causeway undrain\" takes that back"
    );
    Ok(exit::REFUSED)
}
