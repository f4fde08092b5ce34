//! New certificates that are tried at Teams before they are used (TDR-TLS-015).

use crate::support;

use causeway::daemon::net::tls::TlsStore;
use causeway::daemon::net::{Kept, Patience, Turns, Words};
use causeway::daemon::resolver::Resolver;
use rustls::pki_types::CertificateDer;
use sbc_core::config::{Config, Secret, Trunk};
use sbc_core::event::{Event, Happened};
use sbc_core::sip::Status;
use sbc_core::time::{Timestamp, UnixTime};
use sbc_core::trunk::asked::Asked;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use support::{
    Authority, Leaf, World, accept_tls, believing, listener, options, read_until, tls_hop,
    write_leaf, write_text,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

const PEER: &str = "sip.peer.example";
const SBC: &str = "sbc.contoso.example";

/// A proxy that believes one authority, and knows the trunk by every certificate but one.
#[derive(Clone, Default)]
pub(crate) struct Proxy {
    /// What becomes of a connection while it is out of order.
    pub(crate) outage: Arc<Mutex<Option<Outage>>>,
    unknown: Arc<Mutex<Option<CertificateDer<'static>>>>,
    /// OPTIONS that it got, and the last of them.
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
    /// How long it thinks about each.
    pause: Duration,
}

/// How a proxy is out of order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outage {
    /// It shakes hands and hangs up.
    HangsUp,
    /// It says that it is out of order.
    Unavailable,
}

impl Proxy {
    fn serve(&self, world: &World, at: TcpListener) -> JoinHandle<()> {
        let acceptor = believing(world.authority.roots(), &world.authority.leaf(&[PEER]));
        self.serve_with(acceptor, at)
    }

    pub(crate) fn serve_with(&self, acceptor: TlsAcceptor, at: TcpListener) -> JoinHandle<()> {
        let own = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = at.accept().await {
                let (acceptor, own) = (acceptor.clone(), own.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let shown = stream.get_ref().1.peer_certificates();
                    let shown = shown.and_then(<[_]>::first).cloned();
                    let is_known = *own.unknown.lock().unwrap() != shown;
                    let outage = *own.outage.lock().unwrap();
                    let status = match (outage, is_known) {
                        (Some(Outage::HangsUp), _) => return,
                        (Some(Outage::Unavailable), _) => "503 Service Unavailable",
                        (None, true) => "200 OK",
                        (None, false) => "403 Forbidden",
                    };
                    let request = read_until(&mut stream, "\r\n\r\n").await;
                    own.asked.fetch_add(1, Ordering::Relaxed);
                    own.last.lock().unwrap().clone_from(&request);
                    tokio::time::sleep(own.pause).await;
                    let kept = ["via:", "from:", "to:", "call-id:", "cseq:"];
                    let lines = request.split("\r\n").filter(|line| {
                        let line = line.to_ascii_lowercase();
                        kept.iter().any(|name| line.starts_with(name))
                    });
                    let lines: Vec<&str> = lines.collect();
                    let text = lines.join("\r\n");
                    write_text(
                        &mut stream,
                        &format!("SIP/2.0 {status}\r\n{text}\r\nContent-Length: 0\r\n\r\n"),
                    )
                    .await;
                    // Whoever asks ends the connection.
                    support::read_to_close(&mut stream).await;
                });
            }
        })
    }
}

/// A world whose trunk is one of Teams, with its proxy at an address.
fn world_at(proxy: SocketAddr) -> World {
    World::patient(Patience::default(), |text| {
        let named = "name = \"teams-contoso\"";
        let text = text.replace(named, &format!("{named}\npreset = \"teams\""));
        let at = format!(
            "targets = [{{ address = \"sip.peer.example:5061;tls\", connect_to = [\"{proxy}\"] }}]"
        );
        text.replacen("targets = [\"sip.peer.example:5061;tls\"]", &at, 1)
    })
}

/// What Teams may be told if nobody has asked it.
fn turns() -> Turns {
    Turns {
        asked: Asked::default(),
        started: Instant::now(),
        proxies: Arc::default(),
    }
}

/// The same, once the proxy has answered OPTIONS of the trunk with 200 by the certificate in use.
fn turns_after_200() -> Turns {
    let turns = turns();
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    turns.proxies.apply(&Event {
        at: UnixTime::from_micros(since.as_micros() as u64),
        call: None,
        leg: None,
        what: Happened::Options {
            trunk: "teams-contoso".into(),
            by_peer: false,
            host: PEER.to_owned(),
            remote: None,
            status: Some(Status::OK),
            took: None,
            because: "answered 200 OK".to_owned(),
        },
    });
    turns
}

/// What becomes of the identities on disk, and of which ones the certificates are not taken.
async fn tried(world: &World, config: &Arc<Config>, store: TlsStore) -> (TlsStore, Vec<String>) {
    tried_with(world, config, store, &Words::Options(turns())).await
}

async fn tried_with(
    world: &World,
    config: &Arc<Config>,
    store: TlsStore,
    words: &Words,
) -> (TlsStore, Vec<String>) {
    // Nothing is there to ask: the names have addresses.
    let resolver = Resolver::asking(
        &["127.0.0.1:9".parse().unwrap()],
        Arc::clone(&world.metrics),
    );
    let (proven, kept) = world.net.proven(config, store, &resolver, words).await;
    let name = |kept: &Kept| kept.context.as_str().to_owned();
    (proven, kept.iter().map(name).collect())
}

/// Whether the certificate that is new on disk is put into use.
async fn is_used(world: &World, leaf: &Leaf) -> bool {
    is_used_with(world, leaf, &Words::Options(turns())).await
}

async fn is_used_with(world: &World, leaf: &Leaf, words: &Words) -> bool {
    write_leaf(world.directory.path(), "contoso", leaf);
    let store = world.identities_on_disk();
    let (name, before) = ("contoso".into(), world.net.identities());
    let is_as_before = |store: &TlsStore| {
        let (old, new) = (before.get(&name).unwrap(), store.get(&name).unwrap());
        new.shows_the_same(old)
    };
    assert!(!is_as_before(&store));
    let (proven, kept) = tried_with(world, &world.config, store, words).await;
    assert_eq!(kept.is_empty(), !is_as_before(&proven), "{kept:?}");
    kept.is_empty()
}

#[tokio::test]
async fn a_certificate_is_tried_by_options_where_no_connection_lives() {
    let (at, address) = listener().await;
    let world = world_at(address);
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    // An authority that Teams does not take shows only when a proxy ends the handshake.
    assert!(!is_used(&world, &Authority::new().leaf(&[SBC])).await);
    world.logged("certificate_refused").await;
    assert!(world.net.connections() == 0, "nothing of the trial stays");
    // Of the one in use its handshake told enough.
    assert_eq!(proxy.asked.load(Ordering::Relaxed), 0);
    assert!(is_used(&world, &world.authority.leaf(&[SBC])).await);
    assert_eq!(proxy.asked.load(Ordering::Relaxed), 1);
    served.abort();
}

/// TDR-OPT-006: what a trial says is said once, and takes the turn of the next OPTIONS if it is used.
#[tokio::test]
async fn a_trial_asks_once_and_takes_the_turn_of_the_next_options() {
    let (at, address) = listener().await;
    let world = world_at(address);
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    let turns = turns_after_200();
    let asked = || proxy.asked.load(Ordering::Relaxed);
    let unknown = world.authority.leaf(&[SBC]);
    *proxy.unknown.lock().unwrap() = unknown.parts().0.first().cloned();
    // In a dry run hands are shaken, and nothing is said.
    assert!(is_used_with(&world, &unknown, &Words::None(self::turns())).await);
    assert!(
        !is_used_with(
            &world,
            &Authority::new().leaf(&[SBC]),
            &Words::None(self::turns())
        )
        .await
    );
    assert_eq!(asked(), 0);
    let words = Words::Options(turns.clone());
    let takes_turn = || {
        let now = Timestamp::ZERO + turns.started.elapsed();
        turns.asked.take_turn(now, SBC, PEER)
    };
    // The answer to the one in use is known. However often, what is refused stays so.
    for times in 1..3 {
        assert!(!is_used_with(&world, &unknown, &words).await);
        assert_eq!(asked(), times);
    }
    // Who does not shake hands is told nothing.
    assert!(!is_used_with(&world, &Authority::new().leaf(&[SBC]), &words).await);
    assert_eq!(asked(), 2);
    assert!(is_used_with(&world, &world.authority.leaf(&[SBC]), &words).await);
    assert_eq!(asked(), 3);
    assert!(!takes_turn());
    // Nobody has told how the one in use stands: it is asked.
    let words = Words::Options(self::turns());
    assert!(!is_used_with(&world, &unknown, &words).await);
    assert_eq!(asked(), 5);
    served.abort();
}

/// TDR-OPT-002, TDR-OPT-003, TDR-OPT-011.
#[tokio::test]
async fn a_trial_says_what_the_trunk_says() {
    let (at, address) = listener().await;
    let world = world_at(address);
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    assert!(is_used(&world, &world.authority.leaf(&[SBC])).await);
    let asked = proxy.last.lock().unwrap().clone();
    for wanted in [
        "OPTIONS sip:sip.peer.example:",
        "Contact: <sip:sbc.contoso.example:",
        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, REFER\r\n",
        "X-MS-SBC: Causeway/SBC/",
    ] {
        assert!(asked.contains(wanted), "no {wanted} in {asked}");
    }
    served.abort();
}

#[tokio::test]
async fn a_certificate_by_which_teams_does_not_know_the_trunk_is_not_used() {
    let (at, address) = listener().await;
    let world = world_at(address);
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    let unknown = world.authority.leaf(&[SBC]);
    *proxy.unknown.lock().unwrap() = unknown.parts().0.first().cloned();
    let words = Words::Options(turns_after_200());
    assert!(!is_used_with(&world, &unknown, &words).await);
    world.logged("403").await;
    assert!(is_used(&world, &world.authority.leaf(&[SBC])).await);
    served.abort();
}

#[tokio::test]
async fn a_certificate_is_used_where_no_proxy_can_be_reached() {
    let (at, address) = listener().await;
    let world = world_at(address);
    drop(at);
    assert!(is_used(&world, &Authority::new().leaf(&[SBC])).await);
}

/// TDR-TLS-015: what nobody says anything to is not proven, and nothing of it is refused either.
#[tokio::test]
async fn while_teams_is_out_of_order_the_certificate_that_it_knows_stays_and_the_new_one_waits() {
    let (at, address) = listener().await;
    let world = world_at(address);
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    write_leaf(
        world.directory.path(),
        "contoso",
        &world.authority.leaf(&[SBC]),
    );
    let known = turns_after_200();
    let words = [Words::Options(known.clone()), Words::None(known)];
    let trial = async |words: &Words| {
        let store = world.identities_on_disk();
        let resolver = Resolver::asking(
            &["127.0.0.1:9".parse().unwrap()],
            Arc::clone(&world.metrics),
        );
        let proven = world
            .net
            .proven(&world.config, store, &resolver, words)
            .await;
        proven.1
    };
    let waits = |kept: &[Kept]| {
        let awaits: Vec<_> = kept.iter().flat_map(|kept| &kept.awaits).collect();
        awaits == [&"teams-contoso".into()]
    };
    for outage in [Outage::HangsUp, Outage::Unavailable] {
        *proxy.outage.lock().unwrap() = Some(outage);
        let kept = trial(&words[0]).await;
        assert!(waits(&kept), "{outage:?} {kept:?}");
    }
    world.logged("certificate_unanswered").await;
    assert!(!world.lines.text().contains("certificate_refused"));
    // Where Teams has known nothing so far, nothing is lost and nothing would end the wait.
    assert_eq!(trial(&Words::Options(turns())).await, []);
    *proxy.outage.lock().unwrap() = None;
    assert_eq!(trial(&words[0]).await, []);
    served.abort();
    let _ = served.await;
    for words in &words {
        assert!(waits(&trial(words).await), "it cannot be reached either");
    }
}

/// A trunk that Teams has never known, as one that is new, is no reason to give up what the others live by.
#[tokio::test]
async fn a_certificate_waits_for_the_trunk_that_teams_knows_whatever_others_share_it() {
    let (at, address) = listener().await;
    let mut world = world_at(address);
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    let mut config = Config::clone(&world.config);
    let mut new = Trunk::clone(&config.trunks[&"teams-contoso".into()]);
    new.name = "teams-new".into();
    config.trunks.insert(new.name.clone(), Arc::new(new));
    world.config = Arc::new(config);
    *proxy.outage.lock().unwrap() = Some(Outage::HangsUp);
    let renewed = world.authority.leaf(&[SBC]);
    let words = Words::Options(turns_after_200());
    assert!(!is_used_with(&world, &renewed, &words).await);
    // Where none of them was known, nothing is waited for.
    let words = Words::Options(turns());
    assert!(is_used_with(&world, &renewed, &words).await);
    served.abort();
}

#[tokio::test]
async fn on_its_last_day_no_certificate_stays_for_want_of_an_answer() {
    let (at, address) = listener().await;
    let world = world_at(address);
    drop(at);
    let words = Words::Options(turns_after_200());
    for (hours, is_taken) in [(25, false), (23, true), (-1, true)] {
        let end = SystemTime::now() + Duration::from_secs(48 * 3_600);
        let end = end - Duration::from_secs(((48 - hours) * 3_600) as u64);
        let leaf = world.authority.leaf_with(&[SBC], |leaf| {
            leaf.not_after = end.into();
        });
        write_leaf(world.directory.path(), "contoso", &leaf);
        world.reload();
        let new = world.authority.leaf(&[SBC]);
        assert_eq!(
            is_used_with(&world, &new, &words).await,
            is_taken,
            "{hours}"
        );
    }
}

/// A proxy that a call has led to is one as well, whatever its name leads to now.
#[tokio::test]
async fn a_certificate_that_teams_refuses_is_not_put_into_use() {
    let (gone, nowhere) = listener().await;
    let world = world_at(nowhere);
    drop(gone);
    let (at, address) = listener().await;
    let proxy = Proxy::default();
    let served = proxy.serve(&world, at);
    world.send(&tls_hop("contoso", address), &options("one"), 1);
    world.received().await;
    assert!(!is_used(&world, &Authority::new().leaf(&[SBC])).await);
    assert!(is_used(&world, &world.authority.leaf(&[SBC])).await);
    served.abort();
}

/// The same where the identity gets another name together with its certificate.
#[tokio::test]
async fn a_renamed_identity_is_tried_like_any_other() {
    let (at, address) = listener().await;
    let world = world_at(address);
    let served = Proxy::default().serve(&world, at);
    let mut config = Config::clone(&world.config);
    for trunk in config.trunks.values_mut() {
        let mut own = Trunk::clone(trunk);
        if own.tls == Some("contoso".into()) {
            own.tls = Some("contoso-2".into());
        }
        *trunk = Arc::new(own);
    }
    let config = Arc::new(config);
    let before = world.net.identities();
    for (authority, is_taken) in [(&Authority::new(), false), (&world.authority, true)] {
        write_leaf(world.directory.path(), "contoso", &authority.leaf(&[SBC]));
        let mut files = world.loaded().shell.tls;
        let own = files.remove(&"contoso".into()).unwrap();
        files.insert("contoso-2".into(), own);
        let store = TlsStore::load(&files).unwrap();
        let (proven, kept) = tried(&world, &config, store).await;
        let wanted = ["contoso-2"];
        assert_eq!(kept, wanted[usize::from(is_taken)..]);
        let (old, new) = (
            before.get(&"contoso".into()),
            proven.get(&"contoso-2".into()),
        );
        assert_eq!(new.unwrap().shows_the_same(old.unwrap()), !is_taken);
    }
    served.abort();
}

/// A carrier behind the same identity asks for no certificate, and so takes any.
#[tokio::test]
async fn what_another_peer_takes_is_no_word_of_teams() {
    let (at, address) = listener().await;
    let world = World::patient(Patience::default(), |text| {
        let named = "name = \"teams-contoso\"";
        let text = text.replace(named, &format!("{named}\npreset = \"teams\""));
        let text = text.replacen(
            "accept_from = [\"127.0.0.0/8\"]",
            "accept_from = [\"127.0.0.1\"]",
            1,
        );
        let at = format!(
            "targets = [{{ address = \"sip.peer.example:5061;tls\", connect_to = [\"{address}\"] }}]"
        );
        let text = text.replacen("targets = [\"sip.peer.example:5061;tls\"]", &at, 1);
        // Who has the identity as well is met where Teams is not.
        text + "\n[[trunk]]\nname = \"edge\"\ntenant = \"contoso\"\nrealm = \"core\"\ntls = \"contoso\"\n\
                fqdn = \"sbc.contoso.example\"\ntargets = [\"127.0.0.2:5061;tls\"]\naccept_from = [\"127.0.0.2\"]\n\
                accept_names = [\"sip.peer.example\"]\n"
    });
    let served = Proxy::default().serve(&world, at);
    let carrier = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let leaf = world.authority.leaf(&[PEER]);
    let address = carrier.local_addr().unwrap();
    world.send(&tls_hop("contoso", address), &options("two"), 2);
    let mut second = accept_tls(&carrier, &leaf).await;
    read_until(&mut second, "Call-ID: two").await;
    let at_carrier = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(accept_tls(&carrier, &leaf).await);
        }
    });
    assert!(!is_used(&world, &Authority::new().leaf(&[SBC])).await);
    served.abort();
    at_carrier.abort();
}

const MANY: usize = 100;

/// A world with many more trunks of Teams, each with an identity of its own, all at one proxy; and the same after a
/// renewal of all of them.
fn hosting(proxy: SocketAddr) -> (World, TlsStore) {
    let mut world = world_at(proxy);
    let folder = world.directory.path().display().to_string();
    let mut config = Config::clone(&world.config);
    let usual = Trunk::clone(&config.trunks[&"teams-contoso".into()]);
    let files = world.loaded().shell.tls.remove(&"contoso".into()).unwrap();
    let mut all = std::collections::BTreeMap::new();
    for number in 0..MANY {
        let name = format!("customer-{number}");
        let mut trunk = usual.clone();
        trunk.name = name.as_str().into();
        trunk.tls = Some(name.as_str().into());
        trunk.fqdn = Some(format!("{name}.contoso.example"));
        config.trunks.insert(trunk.name.clone(), Arc::new(trunk));
        let mut own = files.clone();
        own.cert = format!("{folder}/{name}.pem");
        own.key = Secret::File(format!("{folder}/{name}.key"));
        all.insert(name.as_str().into(), own);
        write_leaf(world.directory.path(), &name, &world.authority.leaf(&[SBC]));
    }
    world.config = Arc::new(config);
    world.uses(TlsStore::load(&all).unwrap());
    for number in 0..MANY {
        let leaf = world.authority.leaf(&[SBC]);
        write_leaf(world.directory.path(), &format!("customer-{number}"), &leaf);
    }
    let renewed = TlsStore::load(&all).unwrap();
    (world, renewed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_renewed_certificates_are_tried_side_by_side() {
    let (at, address) = listener().await;
    let (world, renewed) = hosting(address);
    let proxy = Proxy {
        pause: Duration::from_millis(300),
        ..Proxy::default()
    };
    let served = proxy.serve(&world, at);
    let begun = Instant::now();
    let (_, kept) = tried(&world, &Arc::clone(&world.config), renewed).await;
    // One after the other they would take half a minute.
    assert!(
        begun.elapsed() < Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(kept, Vec::<String>::new());
    assert_eq!(proxy.asked.load(Ordering::Relaxed), MANY);
    served.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_slow_is_not_waited_for_once_for_each_certificate() {
    let (at, address) = listener().await;
    let (world, renewed) = hosting(address);
    let proxy = Proxy {
        pause: Duration::from_millis(4_200),
        ..Proxy::default()
    };
    let served = proxy.serve(&world, at);
    let (_, kept) = tried(&world, &Arc::clone(&world.config), renewed).await;
    assert_eq!(kept, Vec::<String>::new());
    // As many as are tried at a time.
    assert_eq!(proxy.asked.load(Ordering::Relaxed), 64);
    world.logged("certificate_untried").await;
    served.abort();
}
