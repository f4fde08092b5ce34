//! The binary `causeway`: parse arguments, run the daemon or one command.
#![forbid(unsafe_code)]

#[cfg(test)]
mod drift;

use causeway::command::approvals::Approvals;
use causeway::command::capture::Capture;
use causeway::command::cert::Certs;
use causeway::command::config::Configuration;
use causeway::command::dns::Names;
use causeway::command::import::Import;
use causeway::command::log::Logs;
use causeway::command::monitoring::Monitoring;
use causeway::command::node::{Calls, Cdr, Connection, Drain, Reload};
use causeway::command::number::Numbers;
use causeway::command::parse::Parse;
use causeway::command::progress::Wish;
use causeway::command::protection::{Acl, Bans, Fraud, Tokens};
use causeway::command::registration::Registrations;
use causeway::command::secret::Secrets;
use causeway::command::sim::Simulated;
use causeway::command::teams::Teams;
use causeway::command::tenant::Tenants;
use causeway::command::tls::Tls;
use causeway::command::trunk::{Peers, Trunks};
use causeway::command::{
    approvals, audit, bundle, capture, cert, certify, check, config, dns, documents, exit, export,
    import, init, lab, log, media, monitoring, node, number, parse, protection, proxied, reference,
    registration, restart, route, secret, sim, stats, tail, teams, tenant, tls, token, top, trunk,
};
use causeway::daemon::Options;
use causeway::daemon::run::{self, Holder};
use causeway::sink::log::{Form, Level};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sbc_core::config::MICROSOFT_ROOTS_OF;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// A call makes and drops some hundred small values; this makes both several times cheaper.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Session border controller between SIP carriers and Microsoft Teams
#[derive(Parser)]
#[command(name = "causeway", version, long_version = long_version(), arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What `--version` says: what is part of the program has a date, too.
fn long_version() -> &'static str {
    static TEXT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let (version, of) = (env!("CARGO_PKG_VERSION"), MICROSOFT_ROOTS_OF);
        format!("{version}\nroots of Microsoft: those of {of}")
    });
    &TEXT
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(Run),
    /// Check a configuration and print every finding
    Check(check::Check),
    /// Configuration: what holds, and why
    Config {
        #[command(subcommand)]
        command: Configuration,
    },
    /// What the files on disk would change of what is in use, or has changed since a generation: the same as config diff
    Diff(config::Between),
    /// Take an earlier configuration into use again: the same as config rollback
    Rollback(config::Back),
    /// Write a starter configuration
    Init(init::Init),
    /// Make a configuration of what other products and spreadsheets have
    Import {
        #[command(subcommand)]
        command: Import,
    },
    /// Alerts for Prometheus, dashboards for Grafana, and what every metric means
    Monitoring {
        #[command(subcommand)]
        wanted: Monitoring,
    },
    /// Routes: what would become of a call
    Route {
        #[command(subcommand)]
        command: Routes,
    },
    /// Numbers: what becomes of one before it is routed
    Number {
        #[command(subcommand)]
        command: Numbers,
    },
    /// Try everything on this machine: simulated carrier and Teams, real calls, no configuration
    Lab(lab::Lab),
    /// Simulated calls through the running daemon, for checks after an installation
    Sim {
        #[command(subcommand)]
        command: Simulated,
    },
    /// Tell which requirements tests show, and what is missing
    Certify(certify::Certify),
    /// Calls: list, recent, failed, search, show, trace, pcap, hangup, transfer
    #[command(visible_alias = "calls")]
    Call {
        #[command(subcommand)]
        command: Option<Calls>,
        #[command(flatten)]
        connection: Connection,
    },
    /// The ladder of a call: the same as call trace
    Ladder {
        #[command(flatten)]
        wish: node::Trace,
        #[command(flatten)]
        connection: Connection,
    },
    /// What the node is doing
    Status {
        #[command(flatten)]
        connection: Connection,
    },
    /// What the node does, drawn anew each second: calls, set-ups, trunks with their figures, the worst media, alarms
    Top(top::Top),
    /// What the node did in each interval, a line each: calls, attempts, answers, failures by cause, media, processor
    Stats(stats::Stats),
    /// What happens, as it happens: calls, peers, registrations, certificates, reloads; or the ladder of one call
    Tail(tail::Tail),
    /// Records of calls: search, tail
    Cdr {
        #[command(subcommand)]
        command: Cdr,
        #[command(flatten)]
        connection: Connection,
    },
    /// Trunks: whether each can have calls, and how many it has
    #[command(visible_alias = "trunks")]
    Trunk {
        #[command(subcommand)]
        command: Option<Trunks>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Peers of all trunks, with what is known of each address
    #[command(visible_alias = "peers")]
    Peer {
        #[command(subcommand)]
        command: Option<Peers>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Addresses that are kept out for a while, and who is kept out without being asked
    #[command(visible_alias = "bans")]
    Ban {
        #[command(subcommand)]
        command: Option<Bans>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Addresses that are taken for a trunk's: of the configuration, and for a while
    Acl {
        #[command(subcommand)]
        command: Option<Acl>,
        #[command(flatten)]
        connection: Connection,
    },
    /// What calls have cost where money is limited, and who may call again
    Fraud {
        #[command(subcommand)]
        command: Option<Fraud>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Registrations: of ours at registrars, and of peers with us
    #[command(visible_alias = "registrations")]
    Reg {
        #[command(subcommand)]
        command: Option<Registrations>,
        #[command(flatten)]
        connection: Connection,
    },
    /// What is remembered of DNS
    Dns {
        #[command(subcommand)]
        command: Names,
        #[command(flatten)]
        connection: Connection,
    },
    /// TLS: identities and connections in use, handshakes on trial, certificates read from disk anew
    Tls {
        #[command(subcommand)]
        command: Tls,
        #[command(flatten)]
        connection: Connection,
    },
    /// The media relay alone, in place of rtpengine, for a SIP proxy that speaks its ng protocol; or what serves
    /// media in the daemon
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Media {
        #[command(subcommand)]
        command: Option<OfMedia>,
        #[command(flatten)]
        alone: Option<media::Alone>,
    },
    /// Microsoft Teams: every proxy in both directions, and what Teams makes of us
    Teams {
        #[command(subcommand)]
        command: Teams,
        #[command(flatten)]
        connection: Connection,
    },
    /// Certificates of ours: how long each is good; get a new one
    #[command(visible_alias = "certs")]
    Cert {
        #[command(subcommand)]
        command: Certs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Customers: take a new one into service
    Tenant {
        #[command(subcommand)]
        command: Tenants,
    },
    /// Load the configuration again; a faulty one changes nothing
    Reload(Reload),
    /// Take no new calls; calls in progress go on. Teams may still call for five and a half minutes, until it
    /// prefers other SBCs
    Drain {
        /// Refuse new calls of Teams at once, too
        #[arg(long, conflicts_with = "off")]
        now: bool,
        /// Take new calls again
        #[arg(long)]
        off: bool,
        /// End the calls that are left after this time, but those for help: 1s to 24h, such as 1h
        #[arg(long, value_name = "TIME", value_parser = node::wait, conflicts_with = "off")]
        timeout: Option<u64>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Take new calls again after a drain: the same as drain --off
    Undrain {
        #[command(flatten)]
        connection: Connection,
    },
    /// Drain, and be started anew by the service manager once no call is left
    Restart(restart::Restart),
    /// What the log shows: more for a while, of a trunk, a number or a kind of line
    Log {
        #[command(subcommand)]
        command: Logs,
        #[command(flatten)]
        connection: Connection,
    },
    /// Messages of calls as a file of packets, for Wireshark and the like
    Capture {
        #[command(subcommand)]
        command: Capture,
        #[command(flatten)]
        connection: Connection,
    },
    /// Who changed what on this node, and whether the log of it is whole
    Audit(audit::Audit),
    /// What waits for another person before it is done ([api] four_eyes): list, agree, refuse
    #[command(visible_alias = "approval")]
    Approvals {
        #[command(subcommand)]
        command: Option<Approvals>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Gather what somebody needs who is to help, as one archive without secrets
    Bundle(bundle::Bundle),
    /// Make a token for somebody who uses the interface over the network; list tokens, and take one away
    #[command(visible_aliases = ["tokens", "user"])]
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Token {
        #[command(subcommand)]
        command: Option<Tokens>,
        #[command(flatten)]
        made: Option<token::Made>,
    },
    /// Secrets: encrypt one for the service on this machine
    Secret {
        #[command(subcommand)]
        command: Secrets,
    },
    /// The document of the operator's interface (OpenAPI 3.1)
    Api,
    /// Every key of the configuration, finding, metric, event and cause with its meaning, as Markdown
    Reference {
        /// Only this part
        part: Option<reference::Part>,
    },
    /// What to do when something is wrong: for an alert, a cause of a call's end, a status
    Runbook(documents::Runbook),
    /// How to begin, and how to go on: getting started, tenants, routing, security, capacity, upgrade
    Guide(documents::Guide),
    /// SIP messages
    Sip {
        #[command(subcommand)]
        command: Explain,
    },
    /// Session descriptions
    Sdp {
        #[command(subcommand)]
        command: Explain,
    },
    /// Print the version
    Version,
    /// Print a completion script
    Completions {
        /// For this shell
        shell: Shell,
    },
    /// Write manual pages, one for each command
    #[command(hide = true)]
    Man {
        /// Folder to write them to, which exists
        folder: PathBuf,
    },
}

#[derive(Subcommand)]
enum Routes {
    /// Play a call against a configuration: every rule that fires, and the INVITE that results
    Test(route::Test),
}

#[derive(Subcommand)]
enum OfMedia {
    /// Which backend serves each address of media, and why nothing faster does
    Status {
        /// Of a relay that serves a proxy, and what it has besides: calls, streams, ports that are free
        #[arg(long, value_name = "ADDRESS:PORT")]
        metrics: Option<SocketAddr>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Whether calls that talk go on when the daemon is restarted as this program while its relay runs on, as a package
    /// asks that upgrades; 5 if they end
    Keeps(media::Keeps),
}

#[derive(Subcommand)]
enum Explain {
    /// Explain one: verdict, reaction, part by part
    Parse(Parse),
}

#[derive(Args)]
struct Run {
    /// Main file; conf.d/*.toml beside it belong to it
    #[arg(short = 'f', long, default_value = "/etc/causeway/causeway.toml")]
    config: PathBuf,
    /// Signalling threads; one is enough for most sites
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    shards: u8,
    /// Directory for what is to outlive a restart: registered contacts. If it is not given, the one
    /// that the service manager names in $STATE_DIRECTORY, or none
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// Least grave lines that are logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
    /// Form of log lines; chosen by where they go if not given
    #[arg(long, value_enum)]
    log_form: Option<LogForm>,
    /// End when standard input does: who holds its other end has ended
    #[arg(long, hide = true)]
    end_with_stdin: bool,
    /// Remove this folder then
    #[arg(long, hide = true, requires = "end_with_stdin", value_name = "FOLDER")]
    remove_folder: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogForm {
    Json,
    Text,
    Journal,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut stdout = io::stdout().lock();
    let mut patient = ToWhoeverReads(io::stdout().lock());
    let out: &mut dyn Write = match cli.command {
        // They are there to be watched: without a reader they end.
        Command::Lab(_) | Command::Top(_) | Command::Stats(_) | Command::Tail(_) => &mut stdout,
        Command::Cdr {
            command: Cdr::Tail, ..
        } => &mut stdout,
        _ => &mut patient,
    };
    let code = perform(cli.command, out).and_then(|code| out.flush().map(|()| code));
    ExitCode::from(match code {
        Ok(code) => code,
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(why) => {
            eprintln!("causeway: {why}");
            run::FAILED
        }
    })
}

/// Standard output whose reader may go, as `head` does: that is no failure of the command, and no
/// reason to keep its verdict back.
struct ToWhoeverReads<W>(W);

impl<W: Write> Write for ToWhoeverReads<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self.0.write(octets) {
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(octets.len()),
            done => done,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done,
        }
    }
}

fn perform(command: Command, out: &mut dyn Write) -> io::Result<u8> {
    match command {
        Command::Run(arguments) => Ok(run_daemon(&arguments)),
        Command::Check(arguments) => check::run(&arguments, out),
        Command::Config { command } => config::run(&command, out),
        Command::Diff(wish) => config::run(&Configuration::Diff(wish), out),
        Command::Rollback(wish) => config::run(&Configuration::Rollback(wish), out),
        Command::Ladder { wish, connection } => node::calls(&Calls::Trace(wish), &connection, out),
        Command::Init(arguments) => init::run(&arguments, out),
        Command::Import { command } => import::run(&command, out),
        Command::Monitoring { wanted } => monitoring::run(&wanted, out),
        Command::Route {
            command: Routes::Test(arguments),
        } => route::test(&arguments, out),
        Command::Number { command } => number::run(&command, out),
        Command::Lab(arguments) => lab::run(&arguments, out),
        Command::Sim { command } => sim::run(&command, out),
        Command::Certify(arguments) => certify::run(&arguments, out),
        Command::Call {
            command,
            connection,
        } => node::calls(
            &command.unwrap_or(Calls::List(Wish::default())),
            &connection,
            out,
        ),
        Command::Status { connection } => node::status(&connection, out),
        Command::Top(arguments) => top::run(&arguments, out),
        Command::Stats(arguments) => stats::run(&arguments, out),
        Command::Tail(arguments) => tail::run(&arguments, out),
        Command::Cdr {
            command: Cdr::Search(wish),
            connection,
        } => node::calls(&Calls::Search(wish), &connection, out),
        Command::Cdr {
            command: Cdr::Export(wanted),
            connection,
        } => export::run(&wanted, &connection, out),
        Command::Cdr {
            command: Cdr::Tail,
            connection,
        } => tail::records(&connection, out),
        Command::Trunk {
            command,
            connection,
        } => trunk::trunks(&command.unwrap_or(Trunks::List), &connection, out),
        Command::Peer {
            command,
            connection,
        } => trunk::peers(&command.unwrap_or(Peers::List), &connection, out),
        Command::Reg {
            command,
            connection,
        } => registration::run(&command.unwrap_or(Registrations::List), &connection, out),
        Command::Dns {
            command,
            connection,
        } => dns::run(&command, &connection, out),
        Command::Tls {
            command,
            connection,
        } => tls::run(&command, &connection, out),
        Command::Media {
            command:
                Some(OfMedia::Status {
                    metrics,
                    connection,
                }),
            ..
        } => match metrics {
            Some(at) => proxied::status(at, connection.output, out),
            None => node::media(&connection, out),
        },
        Command::Media {
            command: Some(OfMedia::Keeps(wish)),
            ..
        } => media::keeps(&wish, out),
        Command::Media {
            alone: Some(arguments),
            ..
        } => media::run(&arguments, out),
        Command::Media { .. } => help("media", out),
        Command::Teams {
            command,
            connection,
        } => teams::run(&command, &connection, out),
        Command::Cert {
            command,
            connection,
        } => cert::run(&command, &connection, out),
        Command::Tenant { command } => tenant::run(&command, out),
        Command::Reload(wish) => node::reload(&wish, out),
        Command::Drain {
            now,
            off,
            timeout,
            yes,
            connection,
        } => {
            let wish = match (now, off) {
                (_, true) => Drain::Off,
                (true, false) => Drain::Now,
                (false, false) => Drain::Gently,
            };
            node::drain(&connection, wish, timeout, yes, out)
        }
        Command::Undrain { connection } => node::drain(&connection, Drain::Off, None, false, out),
        Command::Restart(wish) => restart::run(&wish, out),
        Command::Log {
            command,
            connection,
        } => log::run(&command, &connection, out),
        Command::Capture {
            command,
            connection,
        } => capture::run(&command, &connection, out),
        Command::Audit(arguments) => audit::run(&arguments, out),
        Command::Approvals {
            command,
            connection,
        } => approvals::run(&command.unwrap_or(Approvals::List), &connection, out),
        Command::Bundle(arguments) => bundle::run(&arguments, out),
        Command::Token {
            command: Some(command),
            ..
        } => protection::tokens(&command, out),
        Command::Token {
            made: Some(arguments),
            ..
        } => token::run(&arguments, out),
        Command::Token { .. } => help("token", out),
        Command::Ban {
            command,
            connection,
        } => protection::bans(&command.unwrap_or(Bans::List), &connection, out),
        Command::Acl {
            command,
            connection,
        } => protection::acl(&command.unwrap_or(Acl::List), &connection, out),
        Command::Fraud {
            command,
            connection,
        } => protection::fraud(&command.unwrap_or(Fraud::Status), &connection, out),
        Command::Secret { command } => secret::run(&command, out),
        Command::Api => {
            writeln!(out, "{:#}", causeway::admin::document())?;
            Ok(exit::OK)
        }
        Command::Reference { part } => reference::run(part, out),
        Command::Runbook(wish) => documents::runbook(&wish, out),
        Command::Guide(wish) => documents::guide(&wish, out),
        Command::Sip {
            command: Explain::Parse(arguments),
        } => parse::sip(&arguments, out),
        Command::Sdp {
            command: Explain::Parse(arguments),
        } => parse::sdp(&arguments, out),
        Command::Version => {
            writeln!(out, "causeway {}", env!("CARGO_PKG_VERSION"))?;
            Ok(exit::OK)
        }
        Command::Completions { shell } => {
            // Not straight to `out`: the generator panics where a write fails.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "causeway", &mut script);
            out.write_all(&script)?;
            Ok(exit::OK)
        }
        Command::Man { folder } => {
            let made = std::fs::create_dir_all(&folder);
            let made = made.and_then(|()| clap_mangen::generate_to(Cli::command(), &folder));
            made.map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", folder.display())))?;
            Ok(exit::OK)
        }
    }
}

/// Says how a command is used.
fn help(name: &str, out: &mut dyn Write) -> io::Result<u8> {
    let mut whole = Cli::command();
    let help = whole.find_subcommand_mut(name).map(|own| own.render_help());
    write!(out, "{}", help.unwrap_or_default())?;
    Ok(exit::USAGE)
}

fn run_daemon(arguments: &Run) -> u8 {
    let level = match arguments.log_level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
        LogLevel::Trace => Level::Trace,
    };
    let form = arguments.log_form.map(|form| match form {
        LogForm::Json => Form::Json,
        LogForm::Text => Form::Text,
        LogForm::Journal => Form::Journal,
    });
    let options = Options {
        config: arguments.config.clone(),
        shards: arguments.shards,
        state: arguments.state.clone().or_else(of_service_manager),
    };
    let holder = arguments.end_with_stdin.then(|| Holder {
        folder: arguments.remove_folder.clone(),
    });
    run::run(options, level, form, holder)
}

/// The state directory of the unit; the first one if there are several.
fn of_service_manager() -> Option<PathBuf> {
    let all = std::env::var_os("STATE_DIRECTORY")?;
    let first = std::env::split_paths(&all).next()?;
    (!first.as_os_str().is_empty()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_its_arguments_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_is_made_by_the_command_that_has_others_below_it() {
        let typed = ["causeway", "token", "lab", "--role", "admin", "--json"];
        let made = Cli::try_parse_from(typed).unwrap().command;
        let Command::Token {
            command: None,
            made: Some(made),
        } = made
        else {
            panic!("it is taken for something else");
        };
        assert!(made.name == "lab" && made.json);
    }

    #[test]
    fn what_operators_expect_at_the_top_is_there_besides_where_it_belongs() {
        let read = |words: &str| Cli::try_parse_from(words.split(' ')).map(|cli| cli.command);
        let Ok(Command::Diff(wish)) = read("causeway diff 3 4") else {
            panic!("diff");
        };
        assert_eq!((wish.from, wish.to), (Some(3), Some(4)));
        let Ok(Command::Rollback(wish)) = read("causeway rollback 7 --yes") else {
            panic!("rollback");
        };
        assert_eq!((wish.generation, wish.yes), (Some(7), true));
        let Ok(Command::Ladder { wish, .. }) = read("causeway ladder 0198 --mermaid") else {
            panic!("ladder");
        };
        assert!(wish.id == "0198" && wish.mermaid);
        let made = read("causeway token create noc --role viewer");
        let Ok(Command::Token {
            command: Some(Tokens::Create(made)),
            made: None,
        }) = made
        else {
            panic!("token create");
        };
        assert_eq!(made.name, "noc");
    }

    #[test]
    fn what_is_mistyped_is_refused_in_words_of_ours_and_times_are_written_alike() {
        let read = |words: &str| Cli::try_parse_from(words.split(' ')).map(|_| ());
        let why = |words: &str| read(words).unwrap_err().to_string();
        assert!(why("causeway rollback abc").contains("causeway config history lists them"));
        assert!(why("causeway diff 3 x").contains("causeway config history lists them"));
        let ng = "causeway media --ng 127.0.0.1 --address 192.0.2.1";
        assert!(why(ng).contains("such as 127.0.0.1:2223"));
        assert!(why("causeway call list --longer x").contains("such as 5m"));
        for words in [
            "call list --longer 1h",
            "call list --longer 90",
            "config show --redacted",
        ] {
            assert!(read(&format!("causeway {words}")).is_ok(), "{words}");
        }
    }

    #[test]
    fn every_command_that_shows_has_a_manual_page_with_what_its_help_says() {
        let folder = tempfile::tempdir().unwrap();
        // It is made if it is missing.
        let pages = folder.path().join("man/man1");
        let man = |folder: &std::path::Path| {
            let folder = folder.to_owned();
            perform(Command::Man { folder }, &mut io::sink())
        };
        assert_eq!(man(&pages).unwrap(), exit::OK);
        let page = |name: &str| std::fs::read_to_string(pages.join(name));
        let no_folder = pages.join("causeway.1");
        let why = man(&no_folder).unwrap_err().to_string();
        assert!(why.starts_with(&no_folder.display().to_string()), "{why}");
        let whole = page("causeway.1").unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let own = page(&format!("causeway-{name}.1"));
            assert_eq!(own.is_err(), command.is_hide_set(), "{name}");
            let listed = whole.contains(&format!("causeway\\-{name}(1)"));
            assert_eq!(listed, !command.is_hide_set(), "{name}");
        }
        assert!(
            page("causeway-route-test.1")
                .unwrap()
                .contains(".SH OPTIONS")
        );
        assert!(!page("causeway-run.1").unwrap().contains("remove\\-folder"));
    }

    #[test]
    fn the_relay_alone_and_what_serves_media_are_both_of_media() {
        let read = |words: &str| Cli::try_parse_from(words.split(' ')).map(|cli| cli.command);
        assert!(matches!(
            read("causeway media --ng 127.0.0.1:2223 --address 192.0.2.1"),
            Ok(Command::Media {
                command: None,
                alone: Some(_)
            })
        ));
        assert!(matches!(
            read("causeway media status --json"),
            Ok(Command::Media {
                command: Some(OfMedia::Status { .. }),
                ..
            })
        ));
        let at: SocketAddr = "127.0.0.1:9092".parse().unwrap();
        assert!(matches!(
            read("causeway media status --metrics 127.0.0.1:9092"),
            Ok(Command::Media {
                command: Some(OfMedia::Status { metrics: Some(own), .. }),
                ..
            }) if own == at
        ));
        assert!(
            read("causeway media").is_err() && read("causeway media --ng 127.0.0.1:2223").is_err()
        );
    }
}
