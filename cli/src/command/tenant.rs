//! `causeway tenant add`: a new customer as a file to look at first, and step by step whether it will be
//! served; and `tenant rules`: number rules as the other side writes them.

use super::init::write_file;
use crate::command::exit;
use crate::config::{load, read_sources};
use crate::daemon::resolver::Resolver;
use crate::misspelt::unknown;
use crate::onboarding::Outcome;
use crate::onboarding::customer::{BypassMode, Customer, Kind, Local};
use crate::onboarding::powershell::{self, Media};
use crate::onboarding::steps::{self, Step};
use crate::onboarding::translation;
use crate::onboarding::turn::Turn;
use crate::sink::metrics::Metrics;
use clap::Subcommand;
use sbc_core::config::{Config, Loaded, Preset, Source, Trunk};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do with tenants.
#[derive(Subcommand, Clone, Debug)]
pub enum Tenants {
    /// Draft a new customer, try it step by step, and print what to type in its Teams tenant
    Add(Box<Add>),
    /// Print number rules of trunks towards Teams as PowerShell that makes them translation rules there
    Rules(Rules),
}

/// Arguments of `causeway tenant add`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Add {
    /// Name of the tenant
    pub name: String,
    /// Name of its trunk in Teams
    #[arg(long)]
    pub fqdn: String,
    /// A number or range, as "+441632960000-+441632960099"; may be given several times
    #[arg(long = "number", value_name = "NUMBER", required = true)]
    pub numbers: Vec<String>,
    /// A number by which its users call for help, as they dial it, such as "112"; may be given several times
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_emergency")]
    pub emergency: Vec<String>,
    /// Nobody there can call for help
    #[arg(long)]
    pub no_emergency: bool,
    /// Most calls at a time
    #[arg(long)]
    pub calls: Option<u32>,
    /// Derive its trunk from this carrier trunk; without, the only one that is there
    #[arg(long, value_name = "TRUNK", conflicts_with = "own")]
    pub carrier: Option<String>,
    /// Give it a trunk of its own, whose calls come and leave over --pstn
    #[arg(long, requires = "pstn")]
    pub own: bool,
    /// Trunk of the carrier, for --own
    #[arg(long, value_name = "TRUNK")]
    pub pstn: Option<String>,
    /// Realm of Teams, for --own; that of another Teams trunk if it is not given
    #[arg(long)]
    pub realm: Option<String>,
    /// TLS identity; without, that of the carrier trunk, or with --own that of the realm
    #[arg(long)]
    pub tls: Option<String>,
    /// How media go: for the trunk, and for what is printed for the customer's side
    #[arg(long, value_enum, default_value_t)]
    pub media: Media,
    /// What there is to say of local media
    #[command(flatten)]
    pub local: LocalMedia,
    /// Call this number of the customer until it rings
    #[arg(long, value_name = "NUMBER")]
    pub call: Option<String>,
    /// Ask this DNS server instead of the system's; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub dns: Vec<SocketAddr>,
    /// Ask nobody: neither DNS nor Teams
    #[arg(long)]
    pub offline: bool,
    /// Write the file into conf.d if the loader accepts it, also where a later step has failed (Teams may
    /// not know the name yet); without, it is only shown
    #[arg(long)]
    pub write: bool,
    /// Directory of the daemon's state, where it is kept whom this command asks: nobody is asked twice within a minute
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/causeway")]
    pub state: PathBuf,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
}

/// What `--media lmo` needs beside.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalMedia {
    /// Realm with our address inside the customer's network, for --media lmo
    #[arg(long, value_name = "REALM")]
    pub internal: Option<String>,
    /// Network site of the SBC as the tenant spells it, for --media lmo
    #[arg(long, requires = "internal")]
    pub site: Option<String>,
    /// Our own name, where --fqdn is that of an SBC behind us, for --media lmo
    #[arg(long, value_name = "FQDN", requires = "internal")]
    pub proxy: Option<String>,
    /// Trunk to the SBC behind us, where its media may go past us, for --media lmo
    #[arg(long, value_name = "TRUNK", requires = "proxy")]
    pub downstream: Option<String>,
    /// For whom media stay inside, for --media lmo
    #[arg(long, value_enum, default_value_t, requires = "internal")]
    pub bypass_mode: BypassMode,
}

impl LocalMedia {
    /// What there is to say of local media; an error where it does not fit the rest.
    fn told(&self, media: Media, kind: &Kind) -> Result<Option<Local>, String> {
        match (media, &self.internal, kind) {
            (Media::Processed | Media::Bypass, None, _) => Ok(None),
            (Media::Processed | Media::Bypass, Some(_), _) => {
                Err("--internal and what goes with it is for --media lmo".to_owned())
            }
            // A gateway object, which says site and mode, is made in one's own tenant only.
            (Media::Lmo, _, Kind::Hosted { .. }) => Err(
                "local media belong to a gateway of the customer's own tenant, which a derived trunk has not: \
                 use --own and --pstn TRUNK"
                    .to_owned(),
            ),
            (Media::Lmo, None, Kind::Own { .. }) => Err(
                "--media lmo needs the realm with our address inside: --internal REALM".to_owned(),
            ),
            (Media::Lmo, Some(internal), Kind::Own { .. }) => Ok(Some(Local {
                internal: internal.clone(),
                proxy: self.proxy.as_ref().map(|name| name.to_ascii_lowercase()),
                downstream: self.downstream.clone(),
                site: self.site.clone(),
                mode: self.bypass_mode,
            })),
        }
    }
}

/// Arguments of `causeway tenant rules`.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Only of this trunk; all that lead to Teams if it is not given
    pub trunk: Option<String>,
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    pub config: PathBuf,
}

/// Prints number rules as translation rules. Returns 0, 5 if there is no such trunk, 3 if the configuration
/// is not valid.
fn rules(arguments: &Rules, out: &mut dyn Write) -> io::Result<u8> {
    let loaded = read_sources(&arguments.config).and_then(|sources| load(&sources, None));
    let config = match loaded {
        Ok(loaded) => loaded.config,
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let trunks = config.trunks.values();
    let mut trunks: Vec<&Arc<Trunk>> = trunks
        .filter(|trunk| trunk.preset == Preset::Teams)
        .collect();
    let lacking = match &arguments.trunk {
        None => "no trunk has preset = \"teams\"".to_owned(),
        Some(name) => {
            let all = trunks.iter().map(|trunk| trunk.name.as_str());
            let lacking = unknown("no trunk with preset = \"teams\" is called", name, all);
            trunks.retain(|trunk| trunk.name.as_str() == name);
            lacking
        }
    };
    if trunks.is_empty() {
        eprintln!("causeway: {lacking}");
        return Ok(exit::REFUSED);
    }
    for trunk in trunks {
        let script = translation::script(&config, trunk);
        match script.is_empty() {
            true => writeln!(out, "# Trunk \"{}\" has no number rules", trunk.name)?,
            false => write!(out, "{script}")?,
        }
    }
    Ok(exit::OK)
}

/// Drafts, tries and tells. Returns 0 if every step went well, 5 if one failed or the file could not be
/// written, 3 if the configuration is not valid with it, 2 for wrong use.
///
/// # Errors
/// If the output cannot be written.
pub fn run(command: &Tenants, out: &mut dyn Write) -> io::Result<u8> {
    let arguments = match command {
        Tenants::Add(arguments) => arguments,
        Tenants::Rules(arguments) => return rules(arguments, out),
    };
    let before = read_sources(&arguments.config).and_then(|sources| {
        let loaded = load(&sources, None)?;
        Ok((sources, loaded))
    });
    let (mut sources, before) = match before {
        Ok(before) => before,
        Err(findings) => {
            eprintln!("{}", findings.to_text());
            return Ok(exit::of_refused(&arguments.config, &findings));
        }
    };
    let customer = match customer(arguments, &before.config) {
        Ok(customer) => customer,
        Err(why) => {
            eprintln!("causeway: {why}");
            return Ok(exit::USAGE);
        }
    };
    let file = place(&arguments.config, &customer);
    let mut draft = customer.draft();
    // Where it will be read, after the main file and in the order of names: routes follow each other.
    let path = file.display().to_string();
    let at = sources.iter().skip(1).take_while(|other| other.path < path);
    let at = (1 + at.count()).min(sources.len());
    sources.insert(at, Source::new(path.clone(), &draft));
    let mut loaded = load(&sources, None);
    // Routes that name the customers that they are for do not lead to one more.
    let leads_in = |loaded: &Loaded| {
        let config = Arc::new(loaded.config.clone());
        steps::way_in(&customer, &config).is_ok()
    };
    let lacks_route = loaded.as_ref().is_ok_and(|loaded| !leads_in(loaded));
    if let Some(route) = customer.way_in().filter(|_| lacks_route) {
        let routed = format!("{draft}{route}");
        let mut tried = sources.clone();
        if let Some(own) = tried.get_mut(at) {
            *own = Source::new(path.clone(), &routed);
        }
        if let Ok(better) = load(&tried, None)
            && leads_in(&better)
        {
            (draft, loaded) = (routed, Ok(better));
        }
    }
    writeln!(out, "# {}\n{draft}", file.display())?;
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            let is_certificate = findings.errors.iter().all(steps::is_of_certificate);
            let step = if is_certificate {
                "certificate"
            } else {
                "configuration"
            };
            let (cause, fix) = steps::told(&findings.errors).unwrap_or_default();
            print(&[(step, Outcome::failed(cause, fix))], out)?;
            return Ok(exit::INVALID);
        }
    };
    let mut all: Vec<Step> = vec![("configuration", steps::configuration(&loaded, &path))];
    match arguments.offline {
        true => {
            all.push(("certificate", steps::certificate(&customer, &loaded)));
            all.push((
                "routes",
                steps::routes(&customer, &Arc::new(loaded.config.clone())),
            ));
        }
        false => all.extend(tried(arguments, &customer, &loaded)?),
    }
    print(&all, out)?;
    writeln!(
        out,
        "\n# For PowerShell\n{}",
        powershell::script(&customer, &loaded.config, arguments.media)
    )?;
    let has_failed = all.iter().any(|(_, outcome)| outcome.is_failure());
    let written = match arguments.write {
        true => write(&file, &draft, out)?,
        false => {
            writeln!(out, "nothing was written; --write puts the file into place")?;
            true
        }
    };
    Ok(match has_failed || !written {
        true => exit::REFUSED,
        false => exit::OK,
    })
}

fn tried(arguments: &Add, customer: &Customer, loaded: &Loaded) -> io::Result<Vec<Step>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let metrics = Metrics::new().map_err(io::Error::other)?;
    let metrics = Arc::new(metrics);
    let turn = Turn::of(Path::new(&loaded.shell.api), &arguments.state);
    Ok(runtime.block_on(async {
        let servers = match arguments.dns.is_empty() {
            true => &loaded.shell.dns,
            false => &arguments.dns,
        };
        let resolver = Resolver::configured(servers, metrics);
        let call = arguments.call.as_deref();
        steps::all(customer, loaded, &resolver, &turn, call).await
    }))
}

fn customer(arguments: &Add, config: &Config) -> Result<Customer, String> {
    if arguments.emergency.is_empty() && !arguments.no_emergency {
        // Without, calls to 112 would be like all others, with their limits and refusals (TDR-EMG-006).
        return Err(
            "by which numbers do its users call for help? give --emergency 112 with each number of its country, \
             or --no-emergency if nobody there can"
                .to_owned(),
        );
    }
    let teams = || {
        let trunks = config.trunks.values();
        trunks.filter(|trunk| trunk.preset == Preset::Teams && trunk.carrier.is_none())
    };
    let kind = if let (true, Some(pstn)) = (arguments.own, &arguments.pstn) {
        let usual = teams().next().map(|trunk| trunk.realm.to_string());
        Kind::Own {
            realm: arguments
                .realm
                .clone()
                .or(usual)
                .ok_or("no trunk leads to Teams yet: name its realm with --realm")?,
            tls: arguments.tls.clone(),
            pstn: pstn.clone(),
        }
    } else {
        // Not left out without a word: a derived trunk has these of its carrier trunk.
        let of_own = [("--realm", &arguments.realm), ("--pstn", &arguments.pstn)];
        if let Some((option, _)) = of_own.iter().find(|(_, value)| value.is_some()) {
            return Err(format!(
                "{option} is for a trunk of the customer's own: give --own as well, or leave it out"
            ));
        }
        let only = || {
            let mut all = teams();
            match (all.next(), all.next()) {
                (Some(only), None) => Ok(only.name.to_string()),
                (None, _) => Err("no trunk leads to Teams yet: use --own and --pstn TRUNK"),
                (Some(_), Some(_)) => Err(
                    "several trunks lead to Teams: name the carrier trunk with --carrier, or use --own",
                ),
            }
        };
        Kind::Hosted {
            carrier: match &arguments.carrier {
                Some(name) => name.clone(),
                None => only()?,
            },
            tls: arguments.tls.clone(),
        }
    };
    Ok(Customer {
        name: arguments.name.clone(),
        fqdn: arguments.fqdn.to_ascii_lowercase(),
        numbers: arguments.numbers.clone(),
        emergency: arguments.emergency.clone(),
        calls: arguments.calls,
        local: arguments.local.told(arguments.media, &kind)?,
        media: arguments.media,
        kind,
    })
}

/// Where the file goes: a name that the loader takes for one, whatever the customer is called.
fn place(main: &Path, customer: &Customer) -> PathBuf {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = customer
        .name
        .chars()
        .map(|c| if fit(c) { c } else { '_' })
        .collect();
    let folder = main.parent().unwrap_or(Path::new("")).join("conf.d");
    folder.join(format!("tenant-{name}.toml"))
}

fn print(steps: &[Step], out: &mut dyn Write) -> io::Result<()> {
    for (step, outcome) in steps {
        writeln!(out, "{step:<14} {:<8} {outcome}", outcome.word())?;
    }
    Ok(())
}

fn write(file: &Path, draft: &str, out: &mut dyn Write) -> io::Result<bool> {
    let path = file.display();
    match write_file(file, draft, false) {
        Ok(()) => {
            writeln!(
                out,
                "{path} is written; \"causeway reload\" takes it into use"
            )?;
            Ok(true)
        }
        Err(fault) if fault.kind() == ErrorKind::AlreadyExists => {
            eprintln!("causeway: {path} exists and was left as it is");
            Ok(false)
        }
        Err(fault) => {
            eprintln!("causeway: {path} cannot be written: {fault}");
            Ok(false)
        }
    }
}
