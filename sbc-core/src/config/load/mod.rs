//! From the written form to the typed form, collecting every finding.
//!
//! Order: objects are read one kind after the other, each against those before it; then the whole
//! is checked as a graph. An object that is broken is left out, but its name stays known, so that
//! one mistake does not show as ten.

mod account;
mod acme;
mod api;
mod bypass;
mod cases;
mod cdr;
mod graph;
mod hep;
mod hosting;
mod identity;
mod left_out;
mod limits;
mod local_media;
mod media;
mod metrics;
mod msgraph;
mod named;
mod network;
mod notices;
mod oidc;
mod progress;
mod recorded;
mod registrar;
mod routing;
mod rules;
mod schedule;
mod sound;
mod stir;
mod teams;
mod transfer;
mod trunk;

use super::facts::Facts;
use super::file;
use super::finding::{Code, Collector, Findings, did_you_mean};
use super::shell::{DEFAULT_API, Shell, TlsFiles};
use super::source::{At, Lines, Source, Span};
use super::written::File;
use super::{
    CallLimits, Case, Config, Confinement, Hosting, Listener, Node, NodeLimits, Product, Realm,
    Recording, Route, Schedule, Tenant, TlsContext, Transform, Trunk,
};
use crate::id::{
    ListenerName, RealmName, ScheduleName, SoundName, TenantName, TlsContextName, TrunkName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Longest path of a socket in octets, on Linux.
const SOCKET_PATH: usize = 107;

/// A configuration that was accepted.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// For the core.
    pub config: Config,
    /// For the shell.
    pub shell: Shell,
    /// Calls that must become what they say, for [`crate::rehearsal`].
    pub cases: Vec<Case>,
    /// Warnings; there are no errors.
    pub findings: Findings,
}

/// What is written, or else the default.
fn chosen<T: Copy>(written: &Option<At<T>>, default: T) -> T {
    written.as_ref().map_or(default, |at| at.value)
}

/// How findings name an object. Whose name is no text has none.
fn titled(kind: &str, name: &str) -> String {
    match name {
        "" => kind.to_owned(),
        name => format!("{kind} \"{name}\""),
    }
}

/// Loads a configuration from its files, in the order in which they follow each other.
///
/// `previous` is the configuration that is running, if one is: numbers of realms and the count of
/// loads continue from it. `Err` has every error and warning; nothing is applied then (OPS-112).
pub fn load(
    sources: &[Source],
    facts: &dyn Facts,
    previous: Option<&Config>,
) -> Result<Loaded, Findings> {
    let mut out = Collector::default();
    let file = file::read(sources, &mut out);
    let mut load = Load {
        facts,
        out,
        realms: Objects::new("realm"),
        tls: Objects::new("tls"),
        listeners: Objects::new("listen"),
        sounds: Objects::new("sound"),
        tenants: Objects::new("tenant"),
        trunks: Objects::new("trunk"),
        schedules: Objects::new("schedule"),
        hosting: Hosting::default(),
        files: BTreeMap::new(),
        interfaces: Vec::new(),
        credentials: BTreeSet::new(),
        lacks_listener: false,
        may_lack: false,
        lacks: false,
    };
    let built = load.build(&file, previous);
    let findings = load.out.finish(sources);
    match built {
        Some((config, shell)) if findings.errors.is_empty() => {
            let lines = Lines::new(sources);
            let cases = file.cases.into_iter();
            let cases = cases.map(|case| case.placed(|span| lines.place(span)));
            Ok(Loaded {
                config,
                shell,
                cases: cases.collect(),
                findings,
            })
        }
        _ => Err(findings),
    }
}

/// Everything that loading knows so far.
struct Load<'a> {
    facts: &'a dyn Facts,
    out: Collector,
    realms: Objects<RealmName, Realm>,
    tls: Objects<TlsContextName, TlsContext>,
    listeners: Objects<ListenerName, Listener>,
    sounds: Objects<SoundName, Recording>,
    tenants: Objects<TenantName, Tenant>,
    trunks: Objects<TrunkName, Trunk>,
    schedules: Objects<ScheduleName, Schedule>,
    /// Which trunks are derived from which.
    hosting: Hosting,
    files: BTreeMap<TlsContextName, TlsFiles>,
    /// Addresses of this host at which we serve something else than calls.
    interfaces: Vec<IpAddr>,
    /// What has a secret that the service manager reads.
    credentials: BTreeSet<String>,
    /// Whether a listener was left out: which targets it would have reached is not known then.
    lacks_listener: bool,
    /// Whether the object that is read may lack its secret.
    may_lack: bool,
    /// Whether it does.
    lacks: bool,
}

/// Objects of one kind, with where each was written.
struct Objects<N, T> {
    kind: &'static str,
    written: BTreeSet<String>,
    valid: BTreeMap<N, (Arc<T>, Span)>,
}

impl<N: Ord, T> Objects<N, T> {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            written: BTreeSet::new(),
            valid: BTreeMap::new(),
        }
    }

    /// Takes note of a name; a second object of the same name is a finding.
    fn declare(&mut self, name: &At<String>, out: &mut Collector) -> bool {
        let is_new = self.written.insert(name.value.clone());
        if !is_new && !name.value.is_empty() {
            out.add(
                Code::DuplicateName,
                &name.span,
                format!("there is another {} \"{}\"", self.kind, name.value),
                Some("give each its own name".to_owned()),
            );
        }
        is_new
    }

    /// The object of this name. `None` with a finding if nothing of that name was written, and
    /// without one if what was written is broken.
    fn find(&self, name: &At<String>, user: &str, out: &mut Collector) -> Option<&(Arc<T>, Span)>
    where
        N: for<'n> From<&'n str>,
    {
        if !self.written.contains(&name.value) {
            let suggestion = match out.is_full() {
                true => None,
                false => did_you_mean(&name.value, self.written.iter().map(String::as_str)),
            };
            out.add(
                Code::UnknownName,
                &name.span,
                format!(
                    "{user}: there is no {} \"{}\"",
                    self.kind,
                    name.value.escape_debug()
                ),
                suggestion.or_else(|| Some(format!("define it with [[{}]]", self.kind))),
            );
        }
        self.valid.get(&N::from(name.value.as_str()))
    }

    fn into_map(self) -> BTreeMap<N, Arc<T>> {
        self.valid
            .into_iter()
            .map(|(name, (object, _))| (name, object))
            .collect()
    }
}

impl Load<'_> {
    fn build(&mut self, file: &File, previous: Option<&Config>) -> Option<(Config, Shell)> {
        let node = self.node(file);
        let limits = self.node_limits(file);
        self.interfaces = self.interfaces(file);
        self.build_realms(file, previous);
        let acme_folder = self.acme_folder(file);
        self.build_tls(file, previous, &acme_folder);
        self.build_listeners(file);
        let acme = self.acme_table(file, acme_folder);
        self.build_sounds(file, previous);
        self.build_tenants(file);
        self.build_trunks(file, previous);
        self.build_downstreams(file);
        self.build_hosting(file);
        self.check_elins(file);
        self.unheard_help(file);
        let transforms = self.build_transforms(file);
        self.build_schedules(file);
        let routes = self.build_routes(file);
        let number_limits = self.build_limits(file);
        let rates = self.build_rates(file);
        self.reserve_for_help(routes.iter().map(|(route, _)| route));
        self.check_graph(file, &routes);
        self.check_cases(file);
        let cdr = self.cdr(file);
        let ladders_bytes = self.ladders(file);
        let (stir, stir_files) = self.stir_table(file);
        let graph = self.build_graph(file);
        let access = self.build_api(file);
        let metrics = self.metrics(file);
        let notices = self.build_notices(file);
        let hep = self.build_hep(file);
        if self.out.has_errors() {
            return None;
        }
        let take = |kind| Objects::new(kind);
        let config = Config {
            generation: previous.map_or(0, |config| config.generation) + 1,
            node: node?,
            realms: std::mem::replace(&mut self.realms, take("realm")).into_map(),
            tls: std::mem::replace(&mut self.tls, Objects::new("tls")).into_map(),
            listeners: std::mem::replace(&mut self.listeners, Objects::new("listen")).into_map(),
            sounds: std::mem::replace(&mut self.sounds, Objects::new("sound")).into_map(),
            tenants: std::mem::replace(&mut self.tenants, Objects::new("tenant")).into_map(),
            trunks: std::mem::replace(&mut self.trunks, Objects::new("trunk")).into_map(),
            transforms: transforms
                .into_iter()
                .map(Arc::new)
                .collect::<Vec<Arc<Transform>>>(),
            routes: routes
                .into_iter()
                .map(|(route, _)| Arc::new(route))
                .collect::<Vec<Arc<Route>>>(),
            number_limits,
            rates,
            limits,
            stir,
            sources: Default::default(),
            hosting: std::mem::take(&mut self.hosting),
        };
        let relay = self.relay(file);
        let has_key = |name: &TlsContextName| config.tls.get(name).is_none_or(|tls| !tls.lacks_key);
        self.files.retain(|name, _| has_key(name));
        let shell = Shell {
            preserves_calls: relay.is_some() && chosen(&file.preserves_calls, false),
            relay,
            pins_workers: file.pin_workers.as_ref().is_some_and(|own| own.value),
            tls: std::mem::take(&mut self.files),
            cdr,
            ladders_bytes,
            metrics,
            api: file
                .api
                .unix
                .as_ref()
                .map_or_else(|| DEFAULT_API.to_owned(), |at| at.value.clone()),
            api_listen: access.listen,
            api_users: access.users,
            is_audit_mandatory: access.is_audit_mandatory,
            has_four_eyes: access.has_four_eyes,
            media_users: access.media_users,
            api_clients: access.clients,
            oidc: access.oidc,
            dns: file
                .dns
                .iter()
                .flat_map(|list| list.value.iter().map(|at| at.value))
                .collect(),
            stir: stir_files,
            graph,
            notices,
            hep,
            confinement: chosen(&file.confinement, Confinement::default()),
            acme,
            credentials: std::mem::take(&mut self.credentials).into_iter().collect(),
        };
        Some((config, shell))
    }

    /// Path of the socket of the media relay.
    fn relay(&mut self, file: &File) -> Option<String> {
        let Some(At { value, span }) = file.relay.as_ref() else {
            if let Some(preserves) = file.preserves_calls.as_ref().filter(|own| own.value) {
                self.out.add(
                    Code::Contradiction,
                    &preserves.span,
                    "media: restart = \"preserve\" is for a relay in a process of its own, and there is no relay".to_owned(),
                    Some("run `causeway media` beside the daemon and write its socket as relay".to_owned()),
                );
            }
            return None;
        };
        if let Some(pinned) = file.pin_workers.as_ref().filter(|own| own.value) {
            self.out.add(
                Code::Contradiction,
                &pinned.span,
                "media: pin_workers is for the relay in the daemon, and relay names another process".to_owned(),
                Some("leave pin_workers out and start that process with --pin".to_owned()),
            );
        }
        let fits = value.starts_with('/') && value.len() <= SOCKET_PATH;
        if !fits {
            self.out.add(
                Code::BadForm,
                span,
                format!(
                    "media: relay \"{}\" is no path of a socket",
                    value.escape_debug()
                ),
                Some(format!(
                    "write an absolute path of at most {SOCKET_PATH} octets, such as \"/run/causeway-media/media.sock\""
                )),
            );
        }
        fits.then(|| value.clone())
    }

    fn node(&mut self, file: &File) -> Option<Node> {
        let Some(node) = &file.node else {
            self.out.add(
                Code::MissingKey,
                &Span::new(0, 0..0),
                "the table [node] is missing",
                Some("write [node] and id = \"sbc1\"".to_owned()),
            );
            return None;
        };
        let id = node.id.as_ref()?;
        if !super::value::is_object_name(&id.value) {
            self.out.add(
                Code::BadForm,
                &id.span,
                format!("node: \"{}\" cannot be a name", id.value.escape_debug()),
                Some("use 1 to 64 letters, digits, \"-\", \"_\" and \".\"".to_owned()),
            );
        }
        if let Some(text) = &node.user_agent
            && !text.value.is_empty()
            && !is_header_text(&text.value, 128)
        {
            self.out.add(
                Code::BadForm,
                &text.span,
                "node: user_agent has characters that a header cannot carry, or more than 128",
                Some("use printable ASCII, or leave it empty to send no such header".to_owned()),
            );
        }
        Some(Node {
            id: id.value.clone(),
            product: match &node.user_agent {
                None => Product::Usual,
                Some(text) if text.value.is_empty() => Product::Hidden,
                Some(text) => Product::Told(text.value.clone()),
            },
        })
    }

    fn node_limits(&mut self, file: &File) -> NodeLimits {
        let defaults = NodeLimits::default();
        let written = &file.limits;
        let second = Duration::from_secs(1);
        let day = Duration::from_secs(86_400);
        NodeLimits {
            calls: written
                .calls
                .as_ref()
                .map_or(defaults.calls, |at| at.value as u32),
            new_calls: CallLimits {
                calls_per_second: written.cps.as_ref().map(|at| at.value as u32),
                setups: written.setup.as_ref().map(|at| at.value as u32),
                ..CallLimits::default()
            },
            transcoding: written.transcoding.as_ref().map(|at| at.value as u32),
            max_setup: self.bounded(
                "limits: max_setup",
                &written.max_setup,
                10 * second..=600 * second,
                defaults.max_setup,
            ),
            max_duration: self.bounded(
                "limits: max_duration",
                &written.max_duration,
                Duration::ZERO..=7 * day,
                defaults.max_duration,
            ),
            media_timeout: self.bounded(
                "limits: media_timeout",
                &written.media_timeout,
                Duration::ZERO..=day,
                defaults.media_timeout,
            ),
            preempt: written
                .preempt
                .as_ref()
                .map_or(defaults.preempt, |at| at.value),
            preempt_per_minute: self.preempt_per_minute(file, defaults.preempt_per_minute),
            unusual_calls: written
                .unusual_calls
                .as_ref()
                .map_or(defaults.unusual_calls, |at| at.value as u32),
            // Longer than that the service manager lets no machine wait that is to be switched off.
            last_calls: self.bounded(
                "drain: on_sigterm",
                &written.last_calls,
                Duration::ZERO..=1_800 * second,
                defaults.last_calls,
            ),
        }
    }

    fn preempt_per_minute(&mut self, file: &File, usual: u32) -> u32 {
        let written = &file.limits;
        let is_off = written.preempt.as_ref().is_some_and(|at| !at.value);
        if let Some(at) = written.preempt_per_minute.as_ref().filter(|_| is_off) {
            self.out.add(
                Code::Contradiction,
                &at.span,
                "limits: nobody gives way, so nothing limits how often",
                Some("remove preempt_per_minute, or write preempt = true".to_owned()),
            );
        }
        let per_minute = written.preempt_per_minute.as_ref();
        per_minute.map_or(usual, |at| at.value as u32)
    }

    fn ladders(&mut self, file: &File) -> u64 {
        const USUAL: u64 = 64 << 20;
        match &file.limits.ladders {
            None => USUAL,
            Some(at) if (1 << 20..=16 << 30).contains(&at.value) => at.value,
            Some(at) => {
                self.out.add(
                    Code::OutOfRange,
                    &at.span,
                    "limits: ladders is out of range",
                    Some("write \"1MiB\" to \"16GiB\"".to_owned()),
                );
                USUAL
            }
        }
    }

    /// A duration within a range, or its default.
    fn bounded(
        &mut self,
        what: &str,
        written: &Option<At<Duration>>,
        range: std::ops::RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        match written {
            None => default,
            Some(at) if range.contains(&at.value) => at.value,
            Some(at) => {
                self.out.add(
                    Code::OutOfRange,
                    &at.span,
                    format!("{what} is out of range"),
                    Some(format!(
                        "write a duration from {} to {}",
                        spelled(*range.start()),
                        spelled(*range.end())
                    )),
                );
                default
            }
        }
    }

    fn file_fault(&mut self, what: &str, path: &At<String>, fault: super::facts::FileFault) {
        use super::facts::FileFault;
        match fault {
            FileFault::Unreadable(why) => self.out.add(
                Code::FileUnreadable,
                &path.span,
                format!("{what} {}: {why}", path.value.escape_debug()),
                Some("correct the path, or make it readable for the user of the daemon".to_owned()),
            ),
            FileFault::Unusable(why) => self.out.add(
                Code::BadCertificate,
                &path.span,
                format!("{what} {}: {why}", path.value.escape_debug()),
                Some("the file must be PEM".to_owned()),
            ),
        }
    }
}

/// Whether text may stand as the value of a header: printable ASCII and spaces.
fn is_header_text(text: &str, most: usize) -> bool {
    text.len() <= most && text.bytes().all(|octet| (0x20..0x7f).contains(&octet))
}

fn spelled(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        ms if ms % 1_000 != 0 => format!("\"{ms}ms\""),
        ms => format!("\"{}s\"", ms / 1_000),
    }
}
