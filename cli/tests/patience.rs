//! What connections do after which time: pings, and ends of what is silent, incomplete or stuck (SIP-122 to
//! SIP-125).
//!
//! One time is short in each test and all others are long, so that it is clear which one has come.

use crate::support;

use causeway::daemon::net::Patience;
use sbc_core::id::{FlowId, ShardId, TransactionId};
use sbc_core::input::Input;
use sbc_core::query::Runner;
use sbc_core::transport::FlowFault;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use support::{
    World, accept_tls, call_id, listener, options, read_to_close, read_until, tcp_hop, tls_hop,
    write_text,
};
use tokio::net::TcpStream;

const PEER: &str = "sip.peer.example";
const PING: &str = "\r\n\r\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn usual() -> Patience {
    Patience::default()
}

/// Pings come often, and an answer may take long.
fn eager() -> Patience {
    Patience {
        ping: (ms(20), ms(40)),
        ..usual()
    }
}

fn world(patience: Patience) -> World {
    World::patient(patience, |text| text)
}

/// A connection of ours to a peer that has said something.
async fn opened(world: &World) -> (TcpStream, FlowId) {
    let (peer, address) = listener().await;
    world.send(&tcp_hop(address), &options("out"), 1);
    let (mut stream, _) = peer.accept().await.unwrap();
    read_until(&mut stream, "Call-ID: out").await;
    write_text(&mut stream, &options("in")).await;
    let (flow, message) = world.received().await;
    assert_eq!(call_id(&message), "in");
    (stream, flow.id)
}

#[tokio::test]
async fn an_incomplete_message_is_given_up() {
    let world = world(Patience {
        message: ms(100),
        ..usual()
    });
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, &options("whole")).await;
    world.received().await;
    let begun = Instant::now();
    let text = options("half");
    let (half, _) = text.split_at(text.len() / 2);
    write_text(&mut stream, half).await;
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert!(begun.elapsed() >= ms(100));
    assert_eq!(world.flow_lost().await, FlowFault::Idle);
}

#[tokio::test]
async fn a_message_that_comes_octet_by_octet_does_not_keep_its_connection() {
    let world = world(Patience {
        message: ms(200),
        ..usual()
    });
    let mut stream = world.tcp("tcp").await;
    let trickle = async {
        loop {
            // It may be closed before that is told.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"INVITE ").await;
            tokio::time::sleep(ms(20)).await;
        }
    };
    // Whoever dribbles has always just said something.
    tokio::select! {
        () = trickle => {}
        fault = world.flow_lost() => assert_eq!(fault, FlowFault::Idle),
    }
}

#[tokio::test]
async fn a_connection_that_never_brings_a_message_is_given_up_and_one_that_has_is_not() {
    let world = world(Patience {
        first_message: ms(150),
        ..usual()
    });
    let mut talking = world.tcp("tcp").await;
    write_text(&mut talking, &options("first")).await;
    world.received().await;
    let mut silent = world.tcp("tcp").await;
    assert_eq!(read_to_close(&mut silent).await, b"");
    // Pings are no message.
    let mut pinging = world.tcp("tcp").await;
    write_text(&mut pinging, PING).await;
    assert_eq!(read_to_close(&mut pinging).await, b"\r\n");
    write_text(&mut talking, &options("second")).await;
    assert_eq!(call_id(&world.received().await.1), "second");
}

#[tokio::test]
async fn a_connection_without_any_traffic_ends_at_last() {
    let world = world(Patience {
        idle: ms(150),
        ..usual()
    });
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, &options("only")).await;
    world.received().await;
    let begun = Instant::now();
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert!(begun.elapsed() >= ms(100), "{:?}", begun.elapsed());
    assert_eq!(world.flow_lost().await, FlowFault::Idle);
}

#[tokio::test]
async fn a_write_that_makes_no_progress_fails_the_connection_while_its_queue_has_room() {
    let world = world(Patience {
        write: ms(200),
        ..usual()
    });
    let (peer, address) = listener().await;
    // One at a time, and the next only when the one before should have been written: the queue, which
    // has room for two, never fills.
    let big = format!("{}{}", options("big"), "x".repeat(500_000));
    world.send(&tcp_hop(address), &big, 0);
    let _stuck = peer.accept().await.unwrap();
    let limit = Instant::now() + support::PATIENCE;
    let mut number = 0;
    while world.inbox.depth() == 0 && Instant::now() < limit {
        number += 1;
        world.send(&tcp_hop(address), &big, number);
        let next = Instant::now() + ms(300);
        while world.inbox.depth() == 0 && Instant::now() < next {
            tokio::time::sleep(ms(2)).await;
        }
    }
    assert_eq!(world.send_failed().await.1, FlowFault::QueueFull);
}

#[tokio::test]
async fn a_peer_that_does_not_shake_hands_is_given_up() {
    let world = world(Patience {
        handshake: ms(150),
        ..usual()
    });
    let (peer, address) = listener().await;
    let begun = Instant::now();
    world.send(&tls_hop("contoso", address), &options("out"), 7);
    let (_silent, _) = peer.accept().await.unwrap();
    let (transaction, why) = world.send_failed().await;
    assert_eq!((transaction.0, why), (7, FlowFault::HandshakeTimeout));
    assert!(begun.elapsed() >= ms(150));
    // One that connects to us and then says nothing.
    let mut silent = world.tcp("tls").await;
    assert_eq!(read_to_close(&mut silent).await, b"");
}

/// An address that answers no attempt to connect: a listener whose backlog is full drops what comes then.
async fn mute(at: &str) -> ((Socket, Vec<TcpStream>), SocketAddr) {
    let at: SocketAddr = at.parse().unwrap();
    let full = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
    full.bind(&at.into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(ms(100), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    ((full, waiting), address)
}

#[tokio::test]
async fn of_two_connections_to_a_server_that_which_comes_about_is_taken() {
    let stagger = ms(100);
    let world = World::patient(Patience { stagger, ..usual() }, |text| {
        text.replace(
            "addresses = [\"127.0.0.1\"]",
            "addresses = [\"127.0.0.1\", \"::1\"]",
        )
    });
    let listens = |family: fn(&SocketAddr) -> bool| {
        let mut all = world.config.listeners.values();
        let is_it = |own: &&std::sync::Arc<sbc_core::config::Listener>| {
            own.protocol == sbc_core::transport::Protocol::Tcp && family(&own.bind)
        };
        all.find(is_it).expect("a listener").name.clone()
    };
    let hop = |remote: SocketAddr| {
        let mut hop = tcp_hop(remote);
        hop.listener = match remote.is_ipv6() {
            true => listens(SocketAddr::is_ipv6),
            false => listens(SocketAddr::is_ipv4),
        };
        hop
    };
    let (_full, silent) = mute("[::1]:0").await;
    let (peer, address) = listener().await;
    // The first leads nowhere: the second gets its chance long before that is certain.
    let begun = Instant::now();
    let hops = [hop(silent), hop(address)];
    assert_eq!(world.net.race(&hops).await, Runner::Second);
    assert!((stagger..usual().connect).contains(&begun.elapsed()));
    let (mut stream, _) = peer.accept().await.unwrap();
    world.send(&hops[1], &options("out"), 1);
    read_until(&mut stream, "Call-ID: out").await;
    // One that is there already has won.
    assert_eq!(
        world.net.race(&[hop(address), hop(silent)]).await,
        Runner::First
    );
    // One that is refused does not keep the other waiting.
    let (gone, refused) = listener().await;
    drop(gone);
    let other = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let hops = [hop(refused), hop(other.local_addr().unwrap())];
    assert_eq!(world.net.race(&hops).await, Runner::Second);
    // And where the first comes about in time there is no second at all.
    let fresh = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let (idle, unused) = listener().await;
    let hops = [hop(fresh.local_addr().unwrap()), hop(unused)];
    assert_eq!(world.net.race(&hops).await, Runner::First);
    assert!(
        tokio::time::timeout(2 * stagger, idle.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_connection_that_nobody_has_used_may_end_without_harm() {
    let world = world(usual());
    let (peer, address) = listener().await;
    let (other, unused) = listener().await;
    let hops = [tcp_hop(address), tcp_hop(unused)];
    assert_eq!(world.net.race(&hops).await, Runner::First);
    drop(other);
    // Its peer does not wait for long for what never comes.
    let (stream, _) = peer.accept().await.unwrap();
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.net.connections() > 0 {
        assert!(Instant::now() < deadline, "the connection has ended");
        tokio::time::sleep(ms(5)).await;
    }
    world.send(&hops[0], &options("out"), 1);
    let accepted = tokio::time::timeout(Duration::from_secs(10), peer.accept()).await;
    let (mut stream, _) = accepted.expect("it is asked again").unwrap();
    read_until(&mut stream, "Call-ID: out").await;
    // Who closes it without a word although something was asked is not asked again for a moment.
    drop(stream);
    assert_eq!(world.send_failed().await.0.0, 1);
    while world.net.connections() > 0 {
        assert!(Instant::now() < deadline, "the connection has ended");
        tokio::time::sleep(ms(5)).await;
    }
    world.send(&hops[0], &options("too"), 2);
    assert_eq!(world.send_failed().await.0.0, 2);
}

#[tokio::test]
async fn a_connect_that_nobody_answers_is_given_up() {
    let world = world(Patience {
        connect: ms(150),
        ..usual()
    });
    let (_full, address) = mute("127.0.0.1:0").await;
    world.send(&tcp_hop(address), &options("out"), 3);
    world.send(&tcp_hop(address), &options("too"), 4);
    let mut failed = Vec::new();
    for _ in 0..2 {
        let (transaction, why) = world.send_failed().await;
        assert_eq!(why, FlowFault::ConnectTimeout);
        failed.push(transaction.0);
    }
    failed.sort_unstable();
    assert_eq!(failed, [3, 4], "both waited for one attempt");
}

#[tokio::test]
async fn connections_of_ours_are_pinged_and_who_never_answers_stays() {
    let world = world(Patience {
        pong: ms(50),
        ..eager()
    });
    let (mut stream, _) = opened(&world).await;
    // Far longer than an answer may take from whoever is known to give any.
    for _ in 0..10 {
        read_until(&mut stream, PING).await;
    }
    write_text(&mut stream, &options("still")).await;
    assert_eq!(call_id(&world.received().await.1), "still");
    // Who connects to us is not pinged: that is its own business.
    let mut theirs = world.tcp("tcp").await;
    write_text(&mut theirs, &options("theirs")).await;
    world.received().await;
    let mut octet = [0];
    let read = tokio::io::AsyncReadExt::read(&mut theirs, &mut octet);
    assert!(tokio::time::timeout(ms(200), read).await.is_err());
}

/// Some write a line end behind each message, or now and then for themselves.
#[tokio::test]
async fn a_line_end_behind_a_ping_obliges_nobody_to_answer_the_next() {
    let pong = ms(100);
    let world = world(Patience { pong, ..eager() });
    let (mut stream, _) = opened(&world).await;
    read_until(&mut stream, PING).await;
    write_text(&mut stream, "\r\n").await;
    write_text(&mut stream, &(options("first") + "\r\n")).await;
    assert_eq!(call_id(&world.received().await.1), "first");
    let begun = Instant::now();
    while begun.elapsed() < 5 * pong {
        read_until(&mut stream, PING).await;
    }
    write_text(&mut stream, &options("still")).await;
    assert_eq!(call_id(&world.received().await.1), "still");
}

/// TDR-TCP-001: Teams expects no pings, and a stray line end of it answers none.
#[tokio::test]
async fn teams_is_not_pinged_and_its_line_ends_mean_nothing() {
    let pong = ms(300);
    let fqdn = "fqdn = \"sbc.contoso.example\"";
    let world = World::patient(Patience { pong, ..eager() }, |text| {
        text.replace(fqdn, &format!("preset = \"teams\"\n{fqdn}"))
    });
    let leaf = world.authority.leaf(&[PEER]);
    let (peer, address) = listener().await;
    world.send(&tls_hop("contoso", address), &options("out"), 1);
    let mut stream = accept_tls(&peer, &leaf).await;
    read_until(&mut stream, "\r\n\r\n").await;
    write_text(&mut stream, "\r\n").await;
    let mut octet = [0];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut octet);
    let heard = tokio::time::timeout(3 * pong, read).await;
    assert!(heard.is_err(), "{heard:?}");
    write_text(&mut stream, &options("still")).await;
    assert_eq!(call_id(&world.received().await.1), "still");
}

fn invite(call_id: &str) -> String {
    options(call_id).replace("OPTIONS", "INVITE")
}

/// TDR-DNS-002: the core is told how long it may take until an INVITE is written, and when it was; until then
/// it may be taken back.
#[tokio::test]
async fn an_invite_that_waits_for_its_connection_may_be_taken_back() {
    let world = world(usual());
    let leaf = world.authority.leaf(&[PEER]);
    let (peer, address) = listener().await;
    let hop = tls_hop("contoso", address);
    let leaves = |input| match input {
        Input::Leaves {
            transaction,
            within,
        } => Some((transaction.0, within)),
        _ => None,
    };
    let longest = usual().connect + usual().handshake;
    for number in [1, 2] {
        world.send(&hop, &invite(&format!("invite{number}")), number);
        assert_eq!(world.input(leaves).await, (number, longest));
    }
    world.net.withdraw(ShardId(0), &hop, TransactionId(1));
    assert_eq!(
        world.send_failed().await,
        (TransactionId(1), FlowFault::Closed)
    );
    let mut stream = accept_tls(&peer, &leaf).await;
    let read = read_until(&mut stream, "Call-ID: invite2").await;
    assert!(!read.contains("invite1"), "{read}");
    assert_eq!(world.input(leaves).await, (2, Duration::ZERO));
    // What is on its way stays there, and what finds its connection waits for nothing.
    world.net.withdraw(ShardId(0), &hop, TransactionId(2));
    world.send(&hop, &invite("invite3"), 3);
    read_until(&mut stream, "Call-ID: invite3").await;
    write_text(&mut stream, &options("in")).await;
    let next = |input| match input {
        Input::Received { .. } => Some(true),
        Input::Leaves { .. } | Input::SendFailed { .. } => Some(false),
        _ => None,
    };
    assert!(world.input(next).await);
}

#[tokio::test]
async fn who_is_known_to_answer_pings_must_answer_the_first() {
    let world = World::patient(
        Patience {
            pong: ms(300),
            ..eager()
        },
        |text| {
            text.replace(
                "name = \"carrier\"\n",
                "name = \"carrier\"\ncrlf_pong = true\n",
            )
        },
    );
    let (_stream, _) = opened(&world).await;
    assert_eq!(world.flow_lost().await, FlowFault::Idle);
}

#[tokio::test]
async fn a_registrar_that_wants_another_pace_gets_it() {
    let world = world(Patience {
        pong: ms(300),
        ..usual()
    });
    let (mut stream, flow) = opened(&world).await;
    world.net.ping(flow, (ms(20), ms(30)), true);
    for _ in 0..3 {
        read_until(&mut stream, PING).await;
        write_text(&mut stream, "\r\n").await;
    }
    assert_eq!(world.flow_lost().await, FlowFault::Idle);
}

#[tokio::test]
async fn pings_over_tls_are_answered_and_sent_within_it() {
    let world = world(eager());
    let leaf = world.authority.leaf(&[PEER]);
    let mut inbound = world.tls(Some(&leaf), "sbc.contoso.example").await.unwrap();
    write_text(&mut inbound, PING).await;
    assert_eq!(read_until(&mut inbound, "\r\n").await, "\r\n");
    write_text(&mut inbound, &options("after")).await;
    assert_eq!(call_id(&world.received().await.1), "after");
    let (peer, address) = listener().await;
    world.send(&tls_hop("contoso", address), &options("out"), 1);
    let mut outbound = accept_tls(&peer, &leaf).await;
    read_until(&mut outbound, PING).await;
}

#[tokio::test]
async fn a_trunk_says_how_long_its_connections_and_their_handshakes_may_take() {
    let begun = Instant::now();
    let world = World::patient(usual(), |text| {
        let contoso = "fqdn = \"sbc.contoso.example\"";
        let carrier = "accept_from = [\"127.0.0.1\"]";
        text.replace(
            contoso,
            &format!("{contoso}\ntimers = {{ handshake = \"500ms\" }}"),
        )
        .replace(
            carrier,
            &format!("{carrier}\ntimers = {{ connect = \"500ms\" }}"),
        )
    });
    let (peer, address) = listener().await;
    world.send(&tls_hop("contoso", address), &options("out"), 1);
    let (_silent, _) = peer.accept().await.unwrap();
    assert_eq!(world.send_failed().await.1, FlowFault::HandshakeTimeout);
    assert!((ms(500)..usual().handshake).contains(&begun.elapsed()));

    let (_full, address) = mute("127.0.0.1:0").await;
    let begun = Instant::now();
    world.send(&tcp_hop(address), &options("out"), 2);
    assert_eq!(world.send_failed().await.1, FlowFault::ConnectTimeout);
    assert!((ms(500)..usual().connect).contains(&begun.elapsed()));
}
