//! What somebody needs who is to help, as texts: gathered in one go, without secrets, bounded.

use super::who::{Right, Who};
use super::{Access, Problem, alarms, calls, certs, config, generations, names, node, teams};
use crate::config::read_sources;
use crate::config::secrecy::Hidden;
use crate::daemon::Daemon;
use axum::Json;
use axum::extract::{ConnectInfo, State};
use sbc_core::config::{MICROSOFT_ROOTS_OF, Source};
use sbc_core::report::Detail;
use serde::Serialize;
use serde_json::{Value, json};

/// Calls that failed whose ladders are told.
const LADDERS: usize = 20;
/// Last entries of the audit log.
const ENTRIES: usize = 500;
/// Octets of all texts; what comes later and is too much is left out.
const MOST: usize = 16 << 20;

/// One text of the bundle.
#[derive(Serialize)]
struct Part {
    name: String,
    text: String,
}

/// Parts so far.
#[derive(Default)]
struct Pack {
    files: Vec<Part>,
    bytes: usize,
    left_out: Vec<String>,
}

impl Pack {
    fn add(&mut self, name: impl Into<String>, text: String) {
        let name = name.into();
        if self.bytes + text.len() > MOST {
            let limit = MOST >> 20;
            let why = format!("{name}: the bundle would be larger than {limit} MiB");
            return self.left_out.push(why);
        }
        self.bytes += text.len();
        self.files.push(Part { name, text });
    }

    /// A part that is JSON, or why it is not there.
    fn json<T: Serialize>(&mut self, name: &str, answer: Result<Json<T>, Problem>) {
        match answer.map(|Json(value)| serde_json::to_string_pretty(&value)) {
            Ok(Ok(text)) => self.add(name, text + "\n"),
            Ok(Err(why)) => self.left_out.push(format!("{name}: {why}")),
            Err(problem) => self
                .left_out
                .push(format!("{name}: {}", problem.in_words())),
        }
    }
}

/// Everything, with the secrets of the configuration hidden wherever they might have got to.
pub(super) async fn gather(
    State(access): State<Access>,
    ConnectInfo(who): ConnectInfo<Who>,
) -> Result<Json<Value>, Problem> {
    let daemon = access.daemon()?;
    let here = || State(access.clone());
    let mut pack = Pack::default();
    pack.add("version.txt", version());
    let status = node::status(here(), ConnectInfo(who.clone())).await;
    pack.json("status.json", status);
    let alarms = alarms::list(here()).await;
    pack.json("alarms.json", alarms);
    pack.add("metrics.txt", node::scraped(&daemon).await);
    let log = daemon.sinks().log.kept();
    pack.add(
        "log.txt",
        log.iter().map(|line| format!("{line}\n")).collect(),
    );
    let shown = config::shown(&access).await;
    pack.json("configuration.json", shown.map(|(_, shown)| Json(shown)));
    in_use(&daemon, &mut pack);
    let history = generations::history(here()).await;
    pack.json("configurations.json", history);
    pack.json("certificates.json", certs::list(here()).await);
    pack.json("media.json", node::media(here()).await);
    pack.json("teams.json", teams::teams(here()).await);
    pack.json("figures.json", teams::figures(here()).await);
    pack.json("dns.json", names::known(&access, None));
    audited(&access, &who, &mut pack).await;
    pack.add("process.txt", process());
    let in_progress = access.desk.calls(&daemon, &who).await;
    let in_progress = in_progress.map(|calls| Json(calls.iter().cloned().collect::<Vec<_>>()));
    pack.json("calls.json", in_progress);
    let traces = &daemon.sinks().traces;
    let records = calls::views(traces.recent(calls::RECENT));
    pack.json("calls-recent.json", Ok(records));
    let records = calls::views(traces.failed(calls::RECENT));
    pack.json("calls-failed.json", Ok(records));
    let packed = access
        .desk
        .work(move || {
            ladders(&daemon, &mut pack);
            without_secrets(&daemon, pack)
        })
        .await?;
    Ok(Json(packed))
}

fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("causeway {version}\nroots of Microsoft: those of {MICROSOFT_ROOTS_OF}\n")
}

/// The files that are in use, as they were read: those on the disk may be others, or broken.
fn in_use(daemon: &Daemon, pack: &mut Pack) {
    let kept = daemon.generations().kept();
    let sources = kept.last().map(|newest| newest.sources());
    for (number, source) in sources.unwrap_or_default().iter().enumerate() {
        let text = format!("# {}\n{}", source.path, source.unrevealed());
        pack.add(format!("in-use/{number}.toml"), text);
    }
}

/// Who changed what of late, for who may see that.
async fn audited(access: &Access, who: &Who, pack: &mut Pack) {
    if !who.may(Right::Audit) {
        let why = "audit.json: who fetches the bundle may not read the audit log";
        return pack.left_out.push(why.to_owned());
    }
    let entries = config::entries(access, ENTRIES, u64::MAX).await;
    pack.json("audit.json", entries.map(|(entries, _)| entries));
}

/// What the kernel says of this process.
fn process() -> String {
    let file = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_else(|why| format!("{why}\n"));
        format!("== {path}\n{text}\n")
    };
    ["/proc/self/limits", "/proc/self/status"]
        .map(file)
        .concat()
}

/// Messages of the calls that failed last.
fn ladders(daemon: &Daemon, pack: &mut Pack) {
    let traces = &daemon.sinks().traces;
    for record in traces.failed(LADDERS) {
        if let Some(trace) = traces.get(record.call) {
            let text = calls::told(record.call, &trace, Detail::Messages);
            pack.add(format!("failed/{}.txt", record.call), text);
        }
    }
}

fn without_secrets(daemon: &Daemon, mut pack: Pack) -> Value {
    let mut sources: Vec<Source> = daemon
        .generations()
        .kept()
        .iter()
        .flat_map(|one| one.sources())
        .collect();
    sources.extend(read_sources(daemon.config_path()).unwrap_or_default());
    let hidden = Hidden::of(&sources);
    let mut found = 0;
    for part in &mut pack.files {
        found += hidden.hide(&mut part.text);
    }
    for why in &mut pack.left_out {
        found += hidden.hide(why);
    }
    json!({ "files": pack.files, "left_out": pack.left_out, "hidden": found })
}
