//! TCP and UDP over real sockets: framing, keep-alive, isolation, loss, strangers.

use crate::support;

use causeway::daemon::net::Patience;
use sbc_core::event::DropCode;
use sbc_core::id::ListenerName;
use sbc_core::input::Input;
use sbc_core::transport::{FlowFault, Hop, Protocol};
use support::{
    PATIENCE, World, call_id, listener, options, read_to_close, read_until, tcp_hop, write_text,
};
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;

#[tokio::test]
async fn messages_arrive_whole_however_the_stream_is_cut() {
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    let text = format!("{}\r\n\r\n{}", options("first"), options("second"));
    for piece in text.as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(call_id(&world.received().await.1), "first");
    assert_eq!(call_id(&world.received().await.1), "second");
}

#[tokio::test]
async fn a_ping_is_answered_at_once_and_a_pong_is_not() {
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, "\r\n\r\n").await;
    assert_eq!(read_until(&mut stream, "\r\n").await, "\r\n");
    write_text(&mut stream, "\r\n").await;
    write_text(&mut stream, &options("after")).await;
    let (flow, message) = world.received().await;
    assert_eq!(call_id(&message), "after");
    let mut hop = tcp_hop(flow.remote);
    hop.flow = Some(flow.id);
    world.send(&hop, "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n", 1);
    // Nothing came before the response: the single CR LF was not answered.
    assert!(
        read_until(&mut stream, "200 OK")
            .await
            .starts_with("SIP/2.0")
    );
}

#[tokio::test]
async fn a_flood_of_pings_closes_the_connection() {
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, &"\r\n\r\n".repeat(50)).await;
    let answered = read_to_close(&mut stream).await;
    assert!(answered.len() <= 6, "{}", answered.len());
    assert_eq!(world.flow_lost().await, FlowFault::NotSip);
}

#[tokio::test]
async fn empty_lines_behind_each_message_are_no_flood_of_pings() {
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    for number in 0..20 {
        let text = format!("{}\r\n\r\n", options(&format!("m{number}")));
        write_text(&mut stream, &text).await;
        assert_eq!(call_id(&world.received().await.1), format!("m{number}"));
    }
    // It lives, and some had an answer.
    write_text(&mut stream, &options("last")).await;
    assert_eq!(call_id(&world.received().await.1), "last");
    assert!(read_until(&mut stream, "\r\n").await.starts_with("\r\n"));
}

#[tokio::test]
async fn what_is_not_sip_is_closed_without_an_answer() {
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert_eq!(world.flow_lost().await, FlowFault::NotSip);
}

#[tokio::test]
async fn a_message_without_length_is_reported_for_an_answer_and_then_closed() {
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    let text = options("x").replace("Content-Length: 0\r\n", "");
    write_text(&mut stream, &text).await;
    let (flow, rejected) = world
        .input(|input| match input {
            Input::Malformed { flow, rejected } => Some((flow, rejected)),
            _ => None,
        })
        .await;
    assert_eq!(rejected.status().map(|status| status.code()), Some(400));
    let mut hop = tcp_hop(flow.remote);
    hop.flow = Some(flow.id);
    world.send(
        &hop,
        "SIP/2.0 400 Bad Request\r\nCSeq: 1 OPTIONS\r\n\r\n",
        1,
    );
    let got = read_to_close(&mut stream).await;
    assert!(got.starts_with(b"SIP/2.0 400"));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_failed_and_others_do_not_notice() {
    let world = World::new();
    let (slow, slow_address) = listener().await;
    let (good, good_address) = listener().await;
    let big = format!("{}{}", options("big"), "x".repeat(60_000));
    world.send(&tcp_hop(slow_address), &big, 0);
    // Accepted, never read.
    let _stuck = slow.accept().await.unwrap();
    let mut number = 0;
    while world.inbox.depth() == 0 {
        number += 1;
        world.send(&tcp_hop(slow_address), &big, number);
        tokio::task::yield_now().await;
    }
    world.send(&tcp_hop(good_address), &options("good"), 1_000_000);
    let (mut stream, _) = good.accept().await.unwrap();
    read_until(&mut stream, "Call-ID: good").await;
    assert_eq!(world.send_failed().await.1, FlowFault::QueueFull);
}

#[tokio::test]
async fn requests_on_a_connection_that_dies_fail_at_once() {
    let world = World::new();
    let (peer, address) = listener().await;
    world.send(&tcp_hop(address), &options("lost"), 5);
    let (mut stream, _) = peer.accept().await.unwrap();
    read_until(&mut stream, "Call-ID: lost").await;
    drop(stream);
    let (transaction, _) = world.send_failed().await;
    assert_eq!(transaction.0, 5);
    // The next request opens a connection of its own, after the pause for a peer that hung up.
    let text = options("again");
    loop {
        world.send(&tcp_hop(address), &text, 6);
        let accepted = tokio::time::timeout(std::time::Duration::from_millis(200), peer.accept());
        if let Ok(Ok((mut stream, _))) = accepted.await {
            read_until(&mut stream, "Call-ID: again").await;
            return;
        }
    }
}

#[tokio::test]
async fn a_refused_connection_fails_every_message_that_waits_for_it() {
    let world = World::new();
    let (peer, address) = listener().await;
    drop(peer);
    for number in [1, 2] {
        world.send(&tcp_hop(address), &options("x"), number);
    }
    for _ in 0..2 {
        assert!(matches!(world.send_failed().await.1, FlowFault::Connect(_)));
    }
}

#[tokio::test]
async fn a_hop_without_a_listener_of_ours_fails() {
    let world = World::new();
    let hop = Hop {
        listener: ListenerName::new("none"),
        protocol: Protocol::Udp,
        remote: "127.0.0.1:5060".parse().unwrap(),
        tls: None,
        flow: None,
    };
    world.send(&hop, &options("x"), 3);
    assert_eq!(world.send_failed().await.1, FlowFault::NoListener);
}

#[tokio::test]
async fn datagrams_are_answered_from_the_socket_they_came_to() {
    let world = World::new();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ours = world.address("udp");
    peer.send_to(b"\r\n\r\n", ours).await.unwrap();
    peer.send_to(options("u").as_bytes(), ours).await.unwrap();
    let (flow, message) = world.received().await;
    assert_eq!(call_id(&message), "u");
    assert_eq!(
        (flow.local, flow.remote),
        (ours, peer.local_addr().unwrap())
    );
    let hop = Hop {
        listener: flow.listener.clone(),
        protocol: Protocol::Udp,
        remote: flow.remote,
        tls: None,
        flow: Some(flow.id),
    };
    world.send(&hop, "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n", 1);
    let mut buffer = [0; 2048];
    let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
    assert!(buffer[..length].starts_with(b"SIP/2.0 200"));
    assert_eq!(from, ours);
    // The same peer keeps its flow.
    peer.send_to(options("v").as_bytes(), ours).await.unwrap();
    assert_eq!(world.received().await.0.id, flow.id);
}

#[tokio::test]
async fn a_datagram_of_a_stranger_is_dropped_and_counted() {
    let world = World::new();
    // The carrier is 127.0.0.1 only; another loopback address is nobody.
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let ours = world.address("udp");
    stranger
        .send_to(options("no").as_bytes(), ours)
        .await
        .unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.send_to(options("yes").as_bytes(), ours).await.unwrap();
    assert_eq!(call_id(&world.received().await.1), "yes");
    assert_eq!(world.metrics.net.dropped_so_far(DropCode::Stranger), 1);
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_else_is_opened() {
    let world = World::new();
    let taken = world.address("udp");
    let mut config = (*world.config).clone();
    for listener in config.listeners.values_mut() {
        if listener.protocol == Protocol::Udp {
            let listener = std::sync::Arc::make_mut(listener);
            listener.name = ListenerName::new("second");
            listener.bind = taken;
        }
    }
    let faults = world.net.open(&config).err().unwrap();
    assert_eq!(faults.len(), 1);
    let text = faults[0].to_string();
    assert!(
        text.contains("second") && text.contains("another program"),
        "{text}"
    );
}

#[tokio::test]
async fn closing_a_flow_writes_what_is_queued_first() {
    let patience = Patience {
        answered: std::time::Duration::from_millis(1),
        renewed: std::time::Duration::from_millis(1),
        ..Patience::default()
    };
    let world = World::patient(patience, |text| text);
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, &options("bye")).await;
    let (flow, _) = world.received().await;
    let mut hop = tcp_hop(flow.remote);
    hop.flow = Some(flow.id);
    world.send(&hop, "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n", 1);
    world.net.retire_flow(flow.id);
    assert!(read_to_close(&mut stream).await.starts_with(b"SIP/2.0 200"));
    assert_eq!(world.flow_lost().await, FlowFault::Closed);
}

#[tokio::test]
async fn a_shard_that_does_not_keep_up_makes_the_sender_wait_and_loses_nothing() {
    const MESSAGES: usize = 6000;
    let world = World::new();
    let mut stream = world.tcp("tcp").await;
    let writing = tokio::spawn(async move {
        for number in 0..MESSAGES {
            write_text(&mut stream, &options(&number.to_string())).await;
        }
        stream
    });
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !world.inbox.is_crowded() {
        assert!(tokio::time::Instant::now() < deadline, "nothing piles up");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    for number in 0..MESSAGES {
        assert_eq!(call_id(&world.received().await.1), number.to_string());
    }
    drop(writing.await.unwrap());
    assert_eq!(world.metrics.net.dropped_so_far(DropCode::Overload), 0);
}

#[tokio::test]
async fn a_response_whose_connection_is_gone_opens_one_to_where_its_request_says() {
    let world = World::new();
    let (peer, address) = listener().await;
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, &options("ask")).await;
    let (flow, _) = world.received().await;
    drop(stream);
    world.flow_lost().await;
    let mut hop = tcp_hop(address);
    hop.flow = Some(flow.id);
    world.send(&hop, "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n", 1);
    let (mut own, _) = peer.accept().await.unwrap();
    read_until(&mut own, "200 OK").await;
}

#[tokio::test]
async fn keep_alives_of_stun_are_told_from_messages_and_answered_from_the_same_socket() {
    use sbc_core::transport::stun::{self, Stun};
    let world = World::new();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let id = *b"twelve bytes";
    peer.send_to(&stun::request(id), world.address("udp"))
        .await
        .unwrap();
    let (flow, bytes) = world
        .input(|input| match input {
            Input::Stun { flow, bytes } => Some((flow, bytes)),
            _ => None,
        })
        .await;
    assert_eq!(Stun::parse(&bytes), Some(Stun::Request(id)));
    let hop = Hop {
        listener: flow.listener,
        protocol: Protocol::Udp,
        remote: flow.remote,
        tls: None,
        flow: Some(flow.id),
    };
    world.net.datagram(&hop, stun::answer(id, flow.remote));
    let mut buffer = [0; 100];
    let received = tokio::time::timeout(PATIENCE, peer.recv_from(&mut buffer));
    let (length, from) = received.await.unwrap().unwrap();
    assert_eq!(from, world.address("udp"));
    let seen = Some(peer.local_addr().unwrap());
    assert_eq!(Stun::parse(&buffer[..length]), Some(Stun::Answer(id, seen)));
}

#[tokio::test]
async fn listeners_of_ipv6_serve_datagrams_connections_and_tls() {
    let world = World::with(|text| {
        text.replace("127.0.0.1", "::1")
            .replace("127.0.0.0/8", "::/16")
    });
    let udp = world.address("udp");
    assert!(udp.is_ipv6());
    let peer = UdpSocket::bind("[::1]:0").await.unwrap();
    peer.send_to(options("udp").as_bytes(), udp).await.unwrap();
    let (flow, message) = world.received().await;
    assert_eq!(call_id(&message), "udp");
    assert_eq!((flow.local, flow.remote), (udp, peer.local_addr().unwrap()));
    let mut stream = world.tcp("tcp").await;
    write_text(&mut stream, &options("tcp")).await;
    let (flow, _) = world.received().await;
    assert!(flow.local.is_ipv6() && flow.protocol == Protocol::Tcp);
    let leaf = world.authority.leaf(&["sip.peer.example"]);
    let mut stream = world.tls(Some(&leaf), "sbc.contoso.example").await.unwrap();
    write_text(&mut stream, &options("tls")).await;
    let (flow, _) = world.received().await;
    assert!(flow.local.is_ipv6() && flow.identity.is_some());
    // And out again, from an address of the same family.
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    world.send(&tcp_hop(listener.local_addr().unwrap()), &options("out"), 1);
    let (mut stream, from) = listener.accept().await.unwrap();
    assert!(from.is_ipv6());
    read_until(&mut stream, "Call-ID: out").await;
}
