//! `causeway lab teams`: the three proxies of Teams alone, on addresses that an integrator names, so
//! that any SBC or PBX can be pointed at them.
//!
//! They answer OPTIONS and send their own, take every call with a user who sends back what he hears,
//! call a number if they are told to, and say what they see and what Teams would refuse.

use super::Signals;
use super::fault::LabFault;
use super::place::{self, REGIONS};
use crate::ca::{Authority, CaFault, Identity};
use crate::media::sdp;
use crate::media::voice::{Heard, Voice};
use crate::peer::agent::Wire;
use crate::peer::claims::ANY;
use crate::peer::flow::Flow;
use crate::peer::message::Message;
use crate::peer::rules::{TeamsRules, TeamsTrunk};
use crate::peer::teams::{Place, Setup, TeamsProxy};
use crate::peer::tls;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};

/// How often each proxy asks the SBC, as Teams does.
pub(super) const PINGS: Duration = Duration::from_secs(60);
/// How long a call of ours is talked.
const TALK: Duration = Duration::from_secs(5);

/// What the emulator is to do.
#[derive(Clone, Debug)]
pub struct TeamsOptions {
    /// Where the proxies listen, in order.
    pub listen: [SocketAddr; 3],
    /// Where the SBC listens, TLS.
    pub sbc: SocketAddr,
    /// Names of the SBC, as its Contacts and its certificates say them: a trunk of a tenant of its own each.
    pub fqdns: Vec<String>,
    /// Domain of the proxies' names.
    pub domain: String,
    /// Folder with certificates; those that are not there are made.
    pub certificates: PathBuf,
    /// A number that a user of each tenant calls through the SBC.
    pub call: Option<String>,
    /// The users' own numbers: of one tenant after the other, or of all.
    pub users: Vec<String>,
    /// End after the calls, or once OPTIONS of every name of the SBC came to every proxy, instead of waiting
    /// for Ctrl-C.
    pub once: bool,
}

/// Runs the proxies until somebody ends them. Says whether they found nothing wrong.
///
/// # Errors
/// [`LabFault`], when they cannot be started.
pub fn run(options: &TeamsOptions, out: &mut dyn Write) -> Result<bool, LabFault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| LabFault::System {
            what: "start threads",
            why,
        })?;
    runtime.block_on(serve(options, out))
}

async fn serve(options: &TeamsOptions, out: &mut dyn Write) -> Result<bool, LabFault> {
    let mut signals = Signals::listen()?;
    let names = REGIONS.map(|region| format!("{region}.{}", options.domain));
    let found = certificates(options, &names)?;
    let (tell, mut lines) = mpsc::unbounded_channel();
    let printer = Printer {
        began: Instant::now(),
        lines: tell.clone(),
    };
    let wire: Arc<dyn Wire> = Arc::new(printer);
    let trunks = options.fqdns.iter().map(|fqdn| TeamsTrunk {
        fqdn: fqdn.clone(),
        port: options.sbc.port(),
    });
    let trunks: Vec<TeamsTrunk> = trunks.collect();
    let mut proxies = Vec::new();
    for (host, at) in names.iter().zip(options.listen) {
        let place = Place::take_at(at).await.map_err(|why| LabFault::Listen {
            at: at.to_string(),
            why,
        })?;
        let setup = Setup {
            host: host.clone(),
            identity: found.identity.clone(),
            roots: found.roots.clone(),
            rules: TeamsRules {
                trunks: trunks.clone(),
                hidden: Vec::new(),
                proxy: None,
            },
            sbc: options.sbc.ip(),
            echoes: BTreeSet::from([ANY.to_owned()]),
            wire: Some(Arc::clone(&wire)),
        };
        let proxy = TeamsProxy::start(place, setup)?;
        writeln!(out, "{host} listens on {}", proxy.address())?;
        proxies.push(proxy);
    }
    let folder = options.certificates.display();
    if found.is_new {
        writeln!(
            out,
            "made in {folder}: ca.pem to be trusted by the SBC, sbc.pem and sbc.key for it"
        )?;
    }
    for mistake in &found.mistakes {
        writeln!(out, "           ! {mistake}")?;
    }
    writeln!(
        out,
        "the SBC is {} at {}; Ctrl-C ends",
        options.fqdns.join(" and "),
        options.sbc
    )?;
    out.flush()?;
    let proxies = Arc::new(proxies);
    let work = tokio::spawn(work(Arc::clone(&proxies), trunks, options.clone(), tell));
    tokio::pin!(work);
    let mut told = vec![0; proxies.len()];
    let mut verdict = true;
    loop {
        let ended = tokio::select! {
            () = signals.any() => Some(true),
            done = &mut work => Some(done.unwrap_or(false)),
            Some(line) = lines.recv() => {
                writeln!(out, "{line}")?;
                None
            }
        };
        for (proxy, told) in proxies.iter().zip(&mut told) {
            for finding in &proxy.agent().findings()[*told..] {
                writeln!(out, "           ! {finding} [{}]", finding.breach.rule)?;
                *told += 1;
                verdict = false;
            }
        }
        out.flush()?;
        if let Some(is_good) = ended {
            while let Ok(line) = lines.try_recv() {
                writeln!(out, "{line}")?;
            }
            return Ok(verdict && is_good);
        }
    }
}

/// OPTIONS of the proxies, and the calls. Says whether what was asked for came to be; without an end
/// of its own it goes on for ever.
async fn work(
    proxies: Arc<Vec<TeamsProxy>>,
    trunks: Vec<TeamsTrunk>,
    options: TeamsOptions,
    tell: Tell,
) -> bool {
    let wrong = |why: String| {
        tell.send(format!("           ! {why}")).ok();
    };
    if let Some(number) = &options.call {
        let mut is_good = true;
        for (trunk, user) in trunks.iter().zip(options.users.iter().cycle()) {
            if let Err(why) = call(&proxies[0], trunk, user, number, &tell).await {
                is_good = false;
                wrong(format!("call to {number} through {}: {why}", trunk.fqdn));
            }
        }
        if options.once {
            return is_good;
        }
    } else if options.once {
        for proxy in proxies.iter() {
            if let Err(fault) = proxy.heard_from(&options.fqdns, PINGS).await {
                wrong(fault.to_string());
                return false;
            }
        }
        return true;
    }
    let mut ticks = interval(PINGS);
    loop {
        ticks.tick().await;
        for proxy in proxies.iter() {
            for trunk in &trunks {
                if let Err(fault) = proxy.ping(trunk).await {
                    wrong(fault.to_string());
                }
            }
        }
    }
}

/// A user calls a number, plays a tone, and hangs up.
async fn call(
    proxy: &TeamsProxy,
    trunk: &TeamsTrunk,
    user: &str,
    number: &str,
    tell: &Tell,
) -> Result<(), String> {
    let text = |fault: crate::peer::fault::PeerFault| fault.to_string();
    let voice = Voice::open(
        "Teams",
        SocketAddr::new(proxy.address().ip(), 0),
        None,
        None,
    )
    .await
    .map_err(text)?;
    let offer = sdp::teams_offer(voice.at, &voice.key);
    let (mut leg, _) = proxy.call(trunk, user, number, offer).await.map_err(text)?;
    let answer = leg.final_response().await.map_err(text)?;
    if answer.status() != Some(200) {
        return Err(format!("got {}", answer.title()));
    }
    leg.acknowledge(&answer).map_err(text)?;
    voice.hears_of(&sdp::read(&answer.body())?).map_err(text)?;
    voice.plays(437.3);
    sleep(TALK).await;
    let heard = voice.heard();
    let line = format!(
        "           heard {} packets of audio and {} reports, {} not authentic, {} in the clear",
        heard.audio, heard.reports, heard.forged, heard.plain
    );
    tell.send(line).ok();
    leg.hang_up().await.map_err(text)?;
    audible(&heard)
}

/// Whether a call was one that people can talk in.
fn audible(heard: &Heard) -> Result<(), String> {
    match (heard.audio, heard.plain) {
        (0, _) => Err("it was answered, and no audio came".to_owned()),
        (_, 0) => Ok(()),
        (_, plain) => Err(format!(
            "{plain} packets came in the clear, Teams wants SRTP"
        )),
    }
}

/// What is in the folder of certificates.
struct Certificates {
    /// What the proxies show.
    identity: Identity,
    /// Whom they trust.
    roots: RootCertStore,
    /// Whether it was made now.
    is_new: bool,
    /// Certificates that were made for other names, each with what to do.
    mistakes: Vec<String>,
}

fn certificates(options: &TeamsOptions, names: &[String; 3]) -> Result<Certificates, LabFault> {
    let folder = &options.certificates;
    let is_new = !folder.join("ca.pem").exists();
    if is_new {
        make(folder, &options.fqdns, names)?;
    }
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|why| LabFault::Read { path, why })
    };
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(read("ca.pem")?.as_bytes()) {
        roots
            .add(root.map_err(CaFault::from)?)
            .map_err(CaFault::from)?;
    }
    let identity = Identity {
        chain_pem: read("proxy.pem")?,
        key_pem: read("proxy.key")?,
    };
    let of_proxies = ("proxy.pem", identity.chain_pem.as_str(), &names[..]);
    let mut mistakes: Vec<String> = uncovered(folder, of_proxies).into_iter().collect();
    // An SBC may have its own elsewhere.
    if let Ok(chain) = std::fs::read_to_string(folder.join("sbc.pem")) {
        mistakes.extend(uncovered(folder, ("sbc.pem", &chain, &options.fqdns)));
    }
    Ok(Certificates {
        identity,
        roots,
        is_new,
        mistakes,
    })
}

/// What is wrong with a certificate in a folder that was made for other names than these.
fn uncovered(folder: &Path, (file, chain, wanted): (&str, &str, &[String])) -> Option<String> {
    let first = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let names = tls::names(Some(&[first]));
    let missing = wanted.iter().filter(|name| !tls::covers(&names, name));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{file} in {} was made for {}, not for {}, and who sees it breaks off; give an empty folder to \
             --certificates, where new ones are made, or put a certificate with that name there",
            folder.display(),
            names.join(", "),
            missing.join(", ")
        )
    })
}

fn make(folder: &Path, fqdns: &[String], names: &[String; 3]) -> Result<(), LabFault> {
    std::fs::create_dir_all(folder).map_err(|why| LabFault::File {
        path: folder.to_owned(),
        why,
    })?;
    // Somebody may name the folder of a real SBC, whose key nobody could bring back.
    let files = ["proxy.pem", "proxy.key", "sbc.pem", "sbc.key"].map(|name| folder.join(name));
    if let Some(path) = files
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok())
    {
        let why =
            "it is there already, and no ca.pem beside it; give an empty folder to --certificates";
        return Err(LabFault::File {
            path,
            why: io::Error::new(io::ErrorKind::AlreadyExists, why),
        });
    }
    let authority = Authority::new("Teams emulator")?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fqdns: Vec<&str> = fqdns.iter().map(String::as_str).collect();
    for (name, identity) in [
        ("proxy", authority.issue(&names)?),
        ("sbc", authority.issue(&fqdns)?),
    ] {
        place::write(folder, &format!("{name}.pem"), &identity.chain_pem)?;
        place::write(folder, &format!("{name}.key"), &identity.key_pem)?;
    }
    // Last: where it is, everything is.
    place::write(folder, "ca.pem", authority.root_pem())?;
    Ok(())
}

/// Where lines for people go.
type Tell = mpsc::UnboundedSender<String>;

/// Tells every message as a line.
struct Printer {
    began: Instant,
    lines: Tell,
}

impl Printer {
    fn tell(&self, arrow: &str, peer: &str, flow: &Flow, bytes: &[u8]) {
        let title = match Message::parse(bytes) {
            Ok(message) => message.title(),
            Err(fault) => fault.to_string(),
        };
        let at = self.began.elapsed().as_secs_f32();
        let line = format!("{at:9.3}  {peer:22} {arrow} {}  {title}", flow.remote);
        // Nobody reads any more when the lab ends.
        let _ = self.lines.send(line);
    }
}

impl Wire for Printer {
    fn sent(&self, peer: &str, flow: &Flow, bytes: &[u8]) {
        self.tell("->", peer, flow, bytes);
    }

    fn received(&self, peer: &str, flow: &Flow, bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        self.tell("<-", peer, flow, bytes);
        vec![(Duration::ZERO, bytes.to_vec())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_which_nothing_is_heard_is_not_good() {
        let heard = |audio, plain| Heard {
            audio,
            plain,
            ..Heard::default()
        };
        assert_eq!(audible(&heard(200, 0)), Ok(()));
        for (audio, plain) in [(0, 0), (0, 9), (200, 1)] {
            assert!(audible(&heard(audio, plain)).is_err(), "{audio} {plain}");
        }
    }

    fn sbc() -> Vec<String> {
        vec!["sbc1.test.example".to_owned()]
    }

    #[test]
    fn certificates_for_other_names_are_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let made_in = |fqdns: &[&str], domain: &str| {
            let options = TeamsOptions {
                listen: [([127, 0, 0, 1], 0).into(); 3],
                sbc: ([127, 0, 0, 1], 5061).into(),
                fqdns: fqdns.iter().map(ToString::to_string).collect(),
                domain: domain.to_owned(),
                certificates: folder.path().join("certificates"),
                call: None,
                users: Vec::new(),
                once: true,
            };
            let names = REGIONS.map(|region| format!("{region}.{domain}"));
            certificates(&options, &names).unwrap()
        };
        let both = ["a.test.example", "b.test.example"];
        let first = made_in(&both, "pstnhub.example");
        assert!(first.is_new && first.mistakes.is_empty());
        let again = made_in(&both[1..], "pstnhub.example");
        assert!(!again.is_new && again.mistakes.is_empty());
        let other = made_in(&["b.test.example", "c.test.example"], "hub.example").mistakes;
        assert_eq!(other.len(), 2, "{other:?}");
        assert!(other[0].starts_with("proxy.pem") && other[0].contains("not for sip.hub.example"));
        assert!(other[1].starts_with("sbc.pem"), "{other:?}");
        let names = "was made for a.test.example, b.test.example, not for c.test.example";
        assert!(
            other[1].contains(names) && other[1].contains("empty folder"),
            "{other:?}"
        );
    }

    #[test]
    fn a_key_that_is_there_is_never_written_over() {
        let names = REGIONS.map(|region| format!("{region}.pstnhub.example"));
        for name in ["sbc.key", "proxy.pem"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(name), "a key").unwrap();
            let fault = make(folder.path(), &sbc(), &names).unwrap_err();
            let told = fault.to_string();
            assert!(
                told.contains(name) && told.contains("empty folder"),
                "{told}"
            );
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(text, "a key");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), &sbc(), &names).unwrap();
        assert!(folder.path().join("ca.pem").exists());
    }
}
