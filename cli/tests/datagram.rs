//! Datagram listeners over real sockets.

use crate::support;

use causeway::daemon::inbox::Next;
use sbc_core::config::Config;
use sbc_core::id::{ShardId, TransactionId};
use sbc_core::input::Input;
use sbc_core::transport::{Hop, Protocol};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{CONFIG, PATIENCE, World, load, options};

/// Enough for the first to be heard while the last is still being started.
const LISTENERS: usize = 40;

/// The configuration with known addresses for the listeners of this test.
fn on_free_ports(text: &str) -> (Arc<Config>, Vec<SocketAddr>) {
    let mut config = load(text).config;
    let mut addresses = Vec::new();
    for listener in config.listeners.values_mut() {
        if listener.name.as_str().starts_with("late-") {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap();
            let listener = Arc::make_mut(listener);
            listener.bind = free.local_addr().unwrap();
            addresses.push(listener.bind);
        }
    }
    (Arc::new(config), addresses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_can_answer_the_first_datagram_that_it_hears() {
    let world = World::new();
    let mut text = CONFIG.replace("DIR", &world.directory.path().display().to_string());
    for n in 0..LISTENERS {
        text.push_str(&format!(
            "\n[[listen]]\nname = \"late-{n}\"\nrealm = \"core\"\ntransport = \"udp\"\nport = {}\n",
            6000 + n
        ));
    }
    // Another program may take a port that was free a moment ago.
    let mut refusals = Vec::new();
    let (config, addresses, opened) = (0..20)
        .find_map(|_| {
            let (config, addresses) = on_free_ports(&text);
            match world.net.open(&config) {
                Ok(opened) => Some((config, addresses, opened)),
                Err(why) => {
                    refusals.push(format!("{why:?}"));
                    None
                }
            }
        })
        .unwrap_or_else(|| panic!("no free ports: {refusals:#?}"));

    // The sockets exist and nobody reads them yet, as between two moments of a start.
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (n, address) in addresses.iter().enumerate() {
        peer.send_to(options(&format!("early-{n}")).as_bytes(), address)
            .unwrap();
    }
    let (net, inbox) = (world.net.clone(), Arc::clone(&world.inbox));
    let shard = std::thread::spawn(move || {
        let deadline = Instant::now() + PATIENCE;
        let mut sent = 0;
        while sent < LISTENERS as u64 && Instant::now() < deadline {
            let Next::Input(input, _) = inbox.next(Duration::from_millis(100)) else {
                continue;
            };
            let Input::Received { flow, message } = *input else {
                panic!("an answer was not sent: {input:?}");
            };
            let hop = Hop {
                listener: flow.listener,
                protocol: Protocol::Udp,
                remote: flow.remote,
                tls: None,
                flow: None,
            };
            let owner = Some(TransactionId(sent));
            net.send(ShardId(0), &hop, message.bytes().clone(), owner);
            sent += 1;
        }
        sent
    });
    let loaded = load(&text);
    let tls = causeway::daemon::net::tls::TlsStore::load(&loaded.shell.tls).unwrap();
    world.net.apply(config, Arc::new(tls), opened);

    let sent = tokio::task::spawn_blocking(move || shard.join()).await;
    assert_eq!(sent.unwrap().unwrap(), LISTENERS as u64);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 2048];
    for n in 0..LISTENERS {
        peer.recv_from(&mut buffer)
            .unwrap_or_else(|why| panic!("{n} answers came: {why}"));
    }
}

/// Gives the next message of the inbox back to where it came from, as its answer would go.
fn answer_next(world: &World) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Next::Input(input, _) = world.inbox.next(Duration::from_millis(100)) else {
            continue;
        };
        let Input::Received { flow, message } = *input else {
            panic!("not a message: {input:?}");
        };
        let hop = Hop {
            listener: flow.listener,
            protocol: Protocol::Udp,
            remote: flow.remote,
            tls: None,
            flow: Some(flow.id),
        };
        let bytes = message.bytes().clone();
        return world
            .net
            .send(ShardId(0), &hop, bytes, Some(TransactionId(1)));
    }
    panic!("nothing arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialog_is_answered_from_the_socket_of_a_listener_that_a_reload_moved_or_removed() {
    let world = World::new();
    let plain = CONFIG.replace("DIR", &world.directory.path().display().to_string());
    let listening = format!(
        "{plain}\n[[listen]]\nname = \"late-0\"\nrealm = \"core\"\ntransport = \"udp\"\nport = 6000\n"
    );
    let tls = || {
        let loaded = load(&plain);
        Arc::new(causeway::daemon::net::tls::TlsStore::load(&loaded.shell.tls).unwrap())
    };
    let begin = || {
        (0..20)
            .find_map(|_| {
                let (config, addresses) = on_free_ports(&listening);
                let opened = world.net.open(&config).ok()?;
                Some((config, addresses, opened))
            })
            .expect("free ports")
    };
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let bye = options("bye").replace("OPTIONS", "BYE").replacen(
        "To: <sip:",
        "To: <sip:somebody@example.com>;tag=ours\r\nX-To: <sip:",
        1,
    );
    let answered_from = |address: SocketAddr| {
        peer.send_to(bye.as_bytes(), address).unwrap();
        tokio::task::block_in_place(|| answer_next(&world));
        let mut buffer = [0; 2048];
        peer.recv_from(&mut buffer).expect("an answer").1
    };

    let (config, first, opened) = begin();
    world.net.apply(config, tls(), opened);
    assert_eq!(answered_from(first[0]), first[0], "while it is configured");

    let (config, second, opened) = begin();
    world.net.apply(config, tls(), opened);
    assert_eq!(answered_from(first[0]), first[0], "moved");
    assert_eq!(answered_from(second[0]), second[0], "where it moved to");

    let config = Arc::new(load(&plain).config);
    let opened = world.net.open(&config).unwrap();
    world.net.apply(config, tls(), opened);
    assert_eq!(answered_from(first[0]), first[0], "removed");

    // Whoever wants the port again is told who has it.
    let (mut config, _) = on_free_ports(&listening);
    for listener in Arc::make_mut(&mut config).listeners.values_mut() {
        if listener.name.as_str() == "late-0" {
            Arc::make_mut(listener).bind = first[0];
        }
    }
    let faults = world.net.open(&config).err().expect("the port is taken");
    assert!(faults[0].to_string().contains("this daemon still serves"));
}

#[tokio::test]
async fn the_largest_datagram_that_there_is_arrives_whole() {
    // SIP-111: 65,535 octets with the headers of IP and UDP.
    const LARGEST: usize = 65_507;
    let world = World::new();
    let head = options("large").replace(
        "Content-Length: 0\r\n\r\n",
        "Content-Type: text/plain\r\nContent-Length: 65000\r\n\r\n",
    );
    let length = LARGEST - head.len();
    let head = head.replace("65000", &length.to_string());
    let text = head + &"x".repeat(length);
    assert_eq!(text.len(), LARGEST);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(text.as_bytes(), world.address("udp")).unwrap();
    let (_, message) = world.received().await;
    assert_eq!(message.bytes(), text.as_bytes());
}
