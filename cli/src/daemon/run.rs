//! `causeway run`: the daemon in the foreground, driven by signals.

use crate::command::exit;
use crate::daemon::anew::ANEW;
use crate::daemon::generations::{Generations, Start};
use crate::daemon::net::inherited;
use crate::daemon::reload::ReloadFault;
use crate::daemon::{Daemon, Options, StartFault};
use crate::daemon::{confine, notify, secrecy};
use crate::sink::log::{Form, Level, Log};
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Exit code when the daemon cannot start although its configuration is valid.
pub const FAILED: u8 = 1;

/// A process that started this one, holds the other end of its standard input, and wants it to end
/// when it ends itself, in whatever way: `causeway lab`.
#[derive(Clone, Debug)]
pub struct Holder {
    /// What the holder can then no longer remove.
    pub folder: Option<PathBuf>,
}

/// Runs until a signal or the end of its holder ends it; returns the exit code.
pub fn run(options: Options, level: Level, form: Option<Form>, holder: Option<Holder>) -> u8 {
    // Before there is any other thread.
    inherited::adopt();
    let (log, waiting) = Log::to_stderr(level, form);
    report_panics(&log);
    for lacking in secrecy::keep() {
        log.warn("secrecy", lacking).send();
    }
    if !keep_signals() {
        log.error("start", "signals cannot be received").send();
    }
    let start = begin(&options, holder.as_ref(), &log);
    // Threads from here on: what was taken from this one is taken from them.
    let writer = match waiting.begin() {
        Ok(writer) => writer,
        Err(why) => {
            eprintln!("causeway: cannot start the log: {why}");
            return FAILED;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("io")
        .build();
    let code = match (start, runtime) {
        (Ok(start), Ok(runtime)) => runtime.block_on(serve(options, start, &log, holder)),
        (Err(fault), _) => refused(&StartFault::Config(fault), &options.config),
        (_, Err(why)) => {
            log.error("start", why).send();
            FAILED
        }
    };
    writer.finish();
    code
}

/// Decides which configuration is used, and takes from this process what it has no need of then. There must be no other
/// thread yet: it would keep all that it has.
fn begin(options: &Options, holder: Option<&Holder>, log: &Log) -> Result<Start, ReloadFault> {
    let generations = Generations::open(options.state.as_deref(), log.clone());
    let (start, noted) = confine::noting(|| generations.begin(&options.config));
    let start = start?;
    let folder = holder.and_then(|holder| holder.folder.as_deref());
    confine::Plan::of(options, &start.loaded, noted, folder).apply(log);
    Ok(start)
}

/// Has signals wait for somebody who takes them, before anything else: one that comes early must not kill us half way.
fn keep_signals() -> bool {
    // Whoever has once asked for them keeps them for the whole process; this runtime has no thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.is_ok_and(|runtime| {
        let _inside = runtime.enter();
        [
            SignalKind::hangup(),
            SignalKind::terminate(),
            SignalKind::interrupt(),
        ]
        .into_iter()
        .all(|kind| signal(kind).is_ok())
    })
}

/// Says why the daemon does not start, and with which code it ends.
fn refused(fault: &StartFault, config: &Path) -> u8 {
    // Many lines for a person; the log's form would make one of them.
    eprintln!("causeway: cannot start\n{fault}");
    match fault {
        StartFault::Config(ReloadFault::Invalid(findings)) => exit::of_refused(config, findings),
        StartFault::Config(ReloadFault::Material(_)) => exit::INVALID,
        _ => FAILED,
    }
}

async fn serve(options: Options, start: Start, log: &Log, holder: Option<Holder>) -> u8 {
    let (Ok(mut hang_up), Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::hangup()),
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        log.error("start", "signals cannot be received").send();
        return FAILED;
    };
    let mut abandoned = pin!(stdin_ends(holder.is_some(), log));
    let config = options.config.clone();
    let daemon = match Daemon::start_from(options, start, log.clone()).await {
        Ok(daemon) => daemon,
        Err(fault) => return refused(&fault, &config),
    };
    let watchdog = {
        let (health, log) = (daemon.health().clone(), log.clone());
        let warn = move |stuck| notify::log_stuck(&log, stuck);
        tokio::spawn(notify::watchdog(move || health.stuck(), warn))
    };
    inherited::tell_unused(&daemon.loaded().config, log);
    log.info("ready", "serving")
        .with("version", env!("CARGO_PKG_VERSION"))
        .send();
    notify::ready(&daemon.state_in_words());
    let code = loop {
        tokio::select! {
            _ = hang_up.recv() => {
                notify::reloading();
                // What came of it is in the logs, and in these words.
                let done = daemon.reload().await;
                daemon.note_reload_by_signal(&done);
                notify::ready(&daemon.state_in_words());
            }
            _ = terminate.recv() => {
                if daemon.leaves_calls() {
                    leave(&daemon, log).await;
                    watchdog.abort();
                    return exit::OK;
                }
                break exit::OK;
            }
            _ = interrupt.recv() => break exit::OK,
            () = daemon.restart_is_due() => break ANEW,
            () = &mut abandoned => {
                log.warn("abandoned", "who started this daemon has ended, and so does it").send();
                daemon.begin_stop().await;
                end_calls(&daemon, log).await;
                daemon.shutdown().await;
                if let Some(folder) = holder.and_then(|holder| holder.folder) {
                    // Nobody is left to be told, and the log is in it.
                    let _ = std::fs::remove_dir_all(folder);
                }
                return exit::OK;
            }
        }
    };
    stop(&daemon, log, &mut terminate, &mut interrupt).await;
    watchdog.abort();
    code
}

/// Comes back when standard input has ended, never if that is of no interest.
async fn stdin_ends(is_wanted: bool, log: &Log) {
    let (ended, has_ended) = oneshot::channel();
    // A plain thread: a read that the runtime waits for would keep it from ending.
    let watch = move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = ended.send(());
    };
    if is_wanted {
        let thread = std::thread::Builder::new().name("stdin".to_owned());
        match thread.spawn(watch) {
            Ok(_) if has_ended.await.is_ok() => return,
            Ok(_) => {}
            Err(why) => log
                .error("start", "standard input cannot be watched")
                .with("why", why)
                .send(),
        }
    }
    pending().await
}

async fn stop(daemon: &Arc<Daemon>, log: &Log, terminate: &mut Signal, interrupt: &mut Signal) {
    let calls = daemon.begin_stop().await;
    let calls = calls.map_or_else(
        || "not known how many".to_owned(),
        |calls| calls.to_string(),
    );
    let may_last = daemon.loaded().config.limits.last_calls;
    notify::stopping(&format!("draining, {calls} calls"));
    log.info("draining", "no new calls; waiting for those in progress")
        .with("calls", calls)
        .with("seconds", may_last.as_secs())
        .send();
    tokio::select! {
        _ = daemon.wait_for_calls(may_last) => end_calls(daemon, log).await,
        never = notify::prolong() => match never {},
        // A second signal means now; the parties are still told that their calls end.
        _ = terminate.recv() => end_calls(daemon, log).await,
        _ = interrupt.recv() => end_calls(daemon, log).await,
    }
    daemon.wait_for_registrars().await;
    daemon.shutdown().await;
    log.info("stopped", "good bye").send();
}

/// Ends without a word to who talks: the next process goes on with those calls. Others hear that theirs end.
async fn leave(daemon: &Arc<Daemon>, log: &Log) {
    let calls = daemon.calls_in_progress();
    notify::stopping(&format!("leaving {calls} calls to the next process"));
    log.info("leaving", "calls that talk are left to the next process")
        .with("calls", calls)
        .send();
    // Whoever called now would be the next to be cut off.
    daemon.begin_stop().await;
    let ended = daemon.end_unkept().await;
    if ended > 0 {
        let text = "calls that the next process could not go on with have ended";
        log.info("stopping", text).with("by_us", ended).send();
    }
    daemon.leave_calls();
    daemon.wait_for_registrars().await;
    daemon.shutdown().await;
    log.info("stopped", "good bye").send();
}

async fn end_calls(daemon: &Daemon, log: &Log) {
    let ended = daemon.hang_up_all().await;
    log.info("stopping", "all calls have ended")
        .with("by_us", ended)
        .send();
}

/// Panics go to the log, with their place, like everything else.
fn report_panics(log: &Log) {
    let log = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |place| {
            format!("{}:{}", place.file(), place.line())
        });
        let thread = std::thread::current();
        let payload = panic.payload();
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        log.error("panic", text.unwrap_or("panic"))
            .with("place", place)
            .with("thread", thread.name().unwrap_or(""))
            .send();
    }));
}
