//! Connections that are taken out of use: after a renewal of our certificate, and one by one.

use crate::support;

use causeway::daemon::expiry;
use causeway::daemon::net::Patience;
use causeway::daemon::net::tls::TlsStore;
use causeway::sink::log::{Form, Level, Log};
use sbc_core::id::FlowId;
use std::time::{Duration, Instant, SystemTime};
use support::{
    Leaf, World, accept_tls, call_id, listener, options, read_to_close, read_until, tls_hop,
    write_leaf, write_text,
};
use tokio::io::AsyncRead;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

const PEER: &str = "sip.peer.example";
const SBC: &str = "sbc.contoso.example";

/// A world whose trunk is one of Teams, and where things that are out of use end soon.
fn of_teams() -> World {
    let patience = Patience {
        answered: Duration::from_millis(1),
        renewed: Duration::from_millis(1),
        ..Patience::default()
    };
    World::patient(patience, |text| {
        let named = "name = \"teams-contoso\"";
        text.replace(named, &format!("{named}\npreset = \"teams\""))
    })
}

/// The connection on which a request comes to this peer, which shows this certificate.
async fn hears(
    world: &World,
    context: &str,
    id: &str,
    transaction: u64,
    (peer, leaf): (&TcpListener, &Leaf),
) -> TlsStream<TcpStream> {
    let address = peer.local_addr().unwrap();
    world.send(&tls_hop(context, address), &options(id), transaction);
    let mut stream = accept_tls(peer, leaf).await;
    read_until(&mut stream, &format!("Call-ID: {id}")).await;
    stream
}

#[tokio::test]
async fn connections_with_teams_end_when_our_certificate_is_another_one() {
    let world = of_teams();
    let leaf = world.authority.leaf(&[PEER]);
    let mut theirs = world.tls(Some(&leaf), SBC).await.unwrap();
    write_text(&mut theirs, &options("theirs")).await;
    world.received().await;
    let (peer, address) = listener().await;
    let mut ours = hears(&world, "contoso", "one", 1, (&peer, &leaf)).await;
    // Another customer's trunk is not of Teams.
    let mut other = hears(&world, "fabrikam", "other", 2, (&peer, &leaf)).await;

    // The same certificate again is no news.
    world.reload();
    world.send(&tls_hop("contoso", address), &options("same"), 3);
    read_until(&mut ours, "Call-ID: same").await;

    for name in ["contoso", "fabrikam"] {
        let renewed = world.authority.leaf(&[&format!("sbc.{name}.example")]);
        write_leaf(world.directory.path(), name, &renewed);
    }
    world.reload();
    // New requests do not wait for the old connection to end.
    let _new = hears(&world, "contoso", "new", 4, (&peer, &leaf)).await;
    assert_eq!(read_to_close(&mut theirs).await, b"");
    assert_eq!(read_to_close(&mut ours).await, b"");
    world.send(&tls_hop("fabrikam", address), &options("still"), 5);
    read_until(&mut other, "Call-ID: still").await;
    world.logged("certificate_renewed").await;
}

#[tokio::test]
async fn a_connection_that_is_too_old_ends_and_the_next_one_proves_anew_who_it_is() {
    let world = of_teams();
    let leaf = world.authority.leaf(&[PEER]);
    let (peer, address) = listener().await;
    let mut ours = hears(&world, "contoso", "one", 1, (&peer, &leaf)).await;
    let mut other = hears(&world, "fabrikam", "other", 2, (&peer, &leaf)).await;
    // Nobody has said how old they get.
    world.net.retire_aged();
    world.send(&tls_hop("contoso", address), &options("same"), 3);
    read_until(&mut ours, "Call-ID: same").await;

    let mut files = world.loaded().shell.tls;
    let of_contoso = files.get_mut(&"contoso".into()).unwrap();
    of_contoso.max_age = Some(Duration::ZERO);
    world.uses(TlsStore::load(&files).unwrap());
    world.net.retire_aged();
    world.net.retire_aged();
    let _new = hears(&world, "contoso", "new", 4, (&peer, &leaf)).await;
    assert_eq!(read_to_close(&mut ours).await, b"");
    world.send(&tls_hop("fabrikam", address), &options("still"), 5);
    read_until(&mut other, "Call-ID: still").await;
}

#[tokio::test]
async fn a_connection_that_is_too_old_ends_only_when_the_call_is_answered_that_rings_there() {
    let answered = Duration::from_millis(10);
    let patience = Patience {
        answered,
        renewed: support::PATIENCE * 10,
        ..Patience::default()
    };
    let world = World::patient(patience, |text| text);
    let leaf = world.authority.leaf(&[PEER]);
    let mut theirs = world.tls(Some(&leaf), SBC).await.unwrap();
    let invite = options("rings").replace("OPTIONS", "INVITE");
    write_text(&mut theirs, &invite).await;
    let (flow, _) = world.received().await;
    let mut files = world.loaded().shell.tls;
    files.get_mut(&"contoso".into()).unwrap().max_age = Some(Duration::ZERO);
    world.uses(TlsStore::load(&files).unwrap());
    world.net.retire_aged();
    let mut hop = tls_hop("contoso", "127.0.0.1:9".parse().unwrap());
    hop.flow = Some(flow.id);
    // Longer than any request of ours would wait there.
    tokio::time::sleep(answered * 20).await;
    for status in ["180 Ringing", "200 OK"] {
        let start = "INVITE sip:sbc.contoso.example SIP/2.0";
        let answer = invite.replace(start, &format!("SIP/2.0 {status}"));
        world.send(&hop, &answer, 7);
        read_until(&mut theirs, status).await;
    }
    assert_eq!(read_to_close(&mut theirs).await, b"");
}

#[tokio::test]
async fn connections_out_of_use_end_one_after_the_other_and_what_is_on_the_way_is_heard() {
    let apart = Duration::from_millis(300);
    let patience = Patience {
        answered: Duration::from_millis(1),
        renewed: Duration::from_millis(1),
        apart,
        goodbye: support::PATIENCE,
        ..Patience::default()
    };
    let world = World::patient(patience, |text| {
        let named = "name = \"teams-contoso\"";
        text.replace(named, &format!("{named}\npreset = \"teams\""))
    });
    let leaf = world.authority.leaf(&[PEER]);
    let mut theirs = Vec::new();
    for call_id in ["one", "two", "three"] {
        let mut connection = world.tls(Some(&leaf), SBC).await.unwrap();
        write_text(&mut connection, &options(call_id)).await;
        world.received().await;
        theirs.push(connection);
    }
    let renewed = world.authority.leaf(&[SBC]);
    write_leaf(world.directory.path(), "contoso", &renewed);
    let begun = Instant::now();
    world.reload();
    for connection in &mut theirs {
        assert_eq!(read_to_close(connection).await, b"");
    }
    assert!(begun.elapsed() >= apart * 2);
    // It was written before its sender knew. What would begin something is not taken any more.
    let within = options("late").replace("example>\r\n", "example>;tag=2\r\n");
    write_text(&mut theirs[0], &(options("new") + &within)).await;
    let (_, message) = world.received().await;
    assert_eq!(call_id(&message), "late");
    // A caller hangs up whose INVITE had come before.
    let cancel = options("hung-up").replace("OPTIONS", "CANCEL");
    write_text(&mut theirs[0], &cancel).await;
    let (_, message) = world.received().await;
    assert_eq!(call_id(&message), "hung-up");
}

/// A world whose identity is renewed, with `drain` of a millisecond, while two of its connections live: one of the
/// peer, on which its OPTIONS wait, and one of ours on which a request waits.
async fn drained(
    longest: Duration,
) -> (
    World,
    (impl AsyncRead + Unpin, FlowId),
    TlsStream<TcpStream>,
    Instant,
) {
    let patience = Patience {
        renewed: longest,
        ..Patience::default()
    };
    let world = World::patient(patience, |text| text);
    let leaf = world.authority.leaf(&[PEER]);
    let mut theirs = world.tls(Some(&leaf), SBC).await.unwrap();
    write_text(&mut theirs, &options("theirs")).await;
    let (flow, _) = world.received().await;
    let (peer, _) = listener().await;
    let ours = hears(&world, "contoso", "waits", 1, (&peer, &leaf)).await;
    let renewed = world.authority.leaf(&[SBC]);
    write_leaf(world.directory.path(), "contoso", &renewed);
    let mut files = world.loaded().shell.tls;
    files.get_mut(&"contoso".into()).unwrap().drain = Some(Duration::from_millis(1));
    let begun = Instant::now();
    world.uses(TlsStore::load(&files).unwrap());
    (world, (theirs, flow.id), ours, begun)
}

#[tokio::test]
async fn connections_of_an_identity_with_a_time_to_drain_end_whosever_they_are() {
    let (world, (mut theirs, flow), mut ours, begun) = drained(support::PATIENCE * 10).await;
    let start = "OPTIONS sip:sbc.contoso.example SIP/2.0";
    // What the peer has asked is answered where it waits for that.
    for status in ["100 Trying", "200 OK"] {
        let answer = options("theirs").replace(start, &format!("SIP/2.0 {status}"));
        let mut hop = tls_hop("contoso", "127.0.0.1:9".parse().unwrap());
        hop.flow = Some(flow);
        world.send(&hop, &answer, 7);
        read_until(&mut theirs, status).await;
    }
    assert_eq!(read_to_close(&mut theirs).await, b"");
    assert!(world.net.connections() > 0, "no request loses its answer");
    let answer = options("waits").replace(start, "SIP/2.0 200 OK");
    write_text(&mut ours, &answer).await;
    assert_eq!(read_to_close(&mut ours).await, b"");
    assert!(begun.elapsed() < support::PATIENCE * 10);
    world.logged("certificate_renewed").await;
}

#[tokio::test]
async fn a_connection_out_of_use_outlives_no_transaction_that_could_be_answered_there() {
    let longest = Duration::from_millis(300);
    let (world, (mut theirs, _), mut ours, begun) = drained(longest).await;
    assert_eq!(read_to_close(&mut theirs).await, b"");
    assert_eq!(read_to_close(&mut ours).await, b"");
    assert!(begun.elapsed() >= longest);
    let (transaction, _) = world.send_failed().await;
    assert_eq!(transaction.0, 1, "who has waited hears of it");
}

#[tokio::test]
async fn a_connection_that_is_out_of_use_takes_nothing_new_and_ends() {
    let world = of_teams();
    let leaf = world.authority.leaf(&[PEER]);
    let (peer, _) = listener().await;
    let mut first = hears(&world, "contoso", "one", 1, (&peer, &leaf)).await;
    write_text(&mut first, &options("in")).await;
    let (flow, _) = world.received().await;
    world.net.retire_flow(flow.id);
    let _second = hears(&world, "contoso", "two", 2, (&peer, &leaf)).await;
    assert_eq!(read_to_close(&mut first).await, b"");
}

#[tokio::test]
async fn an_identity_with_another_name_keeps_its_connections_and_its_certificate() {
    let world = of_teams();
    let leaf = world.authority.leaf(&[PEER]);
    let mut theirs = world.tls(Some(&leaf), SBC).await.unwrap();
    write_text(&mut theirs, &options("before")).await;
    let (flow, _) = world.received().await;
    assert_eq!(flow.identity.unwrap().context.as_str(), "contoso");
    let (peer, address) = listener().await;
    let mut ours = hears(&world, "contoso", "one", 1, (&peer, &leaf)).await;

    let named = |from: &str, to: &str| {
        let mut files = world.loaded().shell.tls;
        let own = files.remove(&from.into()).unwrap();
        files.insert(to.into(), own);
        TlsStore::load(&files).unwrap()
    };
    world.uses(named("contoso", "contoso-2"));
    // What the peer says on the old connection is said to the new name.
    write_text(&mut theirs, &options("after")).await;
    let (flow, _) = world.received().await;
    assert_eq!(flow.identity.unwrap().context.as_str(), "contoso-2");
    // Calls of before know the old name: their connection is there, and made again when it is lost.
    world.send(&tls_hop("contoso", address), &options("two"), 2);
    read_until(&mut ours, "Call-ID: two").await;
    // Who has spoken is tried again at once.
    write_text(&mut ours, &options("in")).await;
    world.received().await;
    drop(ours);
    world.flow_lost().await;
    let _again = hears(&world, "contoso", "three", 3, (&peer, &leaf)).await;

    // Another name and another certificate: as with any renewal, what was made before ends.
    let renewed = world.authority.leaf(&[SBC]);
    write_leaf(world.directory.path(), "contoso", &renewed);
    world.uses(named("contoso", "contoso-3"));
    let _new = hears(&world, "contoso-3", "four", 4, (&peer, &leaf)).await;
}

#[tokio::test]
async fn an_identity_that_is_gone_still_serves_the_calls_of_its_time() {
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    let (peer, address) = listener().await;
    let mut files = world.loaded().shell.tls;
    files.remove(&"contoso".into()).unwrap();
    world.uses(TlsStore::load(&files).unwrap());
    let _ours = hears(&world, "contoso", "one", 1, (&peer, &leaf)).await;
    // A name that never was is refused.
    world.send(&tls_hop("nobody", address), &options("two"), 2);
    let (transaction, _) = world.send_failed().await;
    assert_eq!(transaction.0, 2);
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_again_and_again_until_it_is_renewed() {
    let world = World::new();
    let ends_in = |days: u64| {
        world.authority.leaf_with(&[SBC], |params| {
            let seconds = 86_400 * days + 3_600;
            params.not_after = (SystemTime::now() + Duration::from_secs(seconds)).into();
        })
    };
    let said = || world.lines.text().matches("certificate_expiry").count();
    let log = Log::start(Level::Debug, Form::Text, world.lines.clone());
    let (log, _) = log.unwrap();
    let often = Duration::from_millis(20);
    let watch = tokio::spawn(expiry::watch(world.net.clone(), log, often));
    // Two months are no news, and five days are.
    write_leaf(world.directory.path(), "contoso", &ends_in(60));
    world.reload();
    tokio::time::sleep(often * 3).await;
    assert_eq!(said(), 0, "{}", world.lines.text());
    write_leaf(world.directory.path(), "contoso", &ends_in(5));
    world.reload();
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    while said() < 3 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{}",
            world.lines.text()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let text = world.lines.text();
    assert!(
        text.contains("days_left=5") && text.contains("context=contoso"),
        "{text}"
    );
    watch.abort();
}
