//! Datagram listeners over real sockets.

mod support;

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
    let (config, addresses, opened) = (0..20)
        .find_map(|_| {
            let (config, addresses) = on_free_ports(&text);
            let opened = world.net.open(&config).ok()?;
            Some((config, addresses, opened))
        })
        .expect("free ports");

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
