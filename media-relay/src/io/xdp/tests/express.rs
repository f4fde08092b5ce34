//! Calls that the interface forwards by itself, between two network namespaces.

use super::*;
use crate::io::xdp::bpf::{self, Mode};
use crate::io::xdp::kernel::Kernel;
use crate::io::xdp::program::Instruction;
use crate::session::{Credit, Express, Pace};
use std::os::fd::OwnedFd;

/// Has the other ends of both cables take what a program sends: they have programs of their own.
pub(super) fn receivers(world: &World) -> Vec<OwnedFd> {
    world.within("b", || {
        let mut kernel = Kernel::new().unwrap();
        let ends = [THEIRS[0], THEIRS[2]].map(|address| {
            let index = kernel.interface_of(address.parse().unwrap()).unwrap();
            let program = bpf::load(&Instruction::PASS_ALL).unwrap();
            bpf::attach(&program, index.unwrap(), Mode::Native).unwrap()
        });
        ends.into()
    })
}

/// A world whose kernel tells what the other end of a cable takes.
fn world() -> Option<World> {
    kernel_is((6, 3)).then(World::new).flatten()
}

fn forwarded(relay: &Relay) -> u64 {
    // The second address is at the same interface as the first.
    let addresses = relay.backend().addresses;
    addresses[0].forwarded + addresses[2].forwarded
}

fn by_itself(relay: &Relay) -> Option<String> {
    relay.backend().addresses[0].not_by_itself.clone()
}

fn stats(relay: &Relay, events: &Inbox<Event>, number: u64) -> [StreamStats; 2] {
    let session = SessionId::new(0, number);
    relay.command(Command::Stats { session });
    loop {
        let event = events.recv_timeout(PATIENCE).unwrap();
        if let Event::Stats { stats, .. } = event {
            return [0, 1].map(|end| stats.endpoints[end].streams[0].clone());
        }
    }
}

/// Has a call talk until the interface forwards most of what it says.
fn until_by_itself(relay: &Relay, calls: &mut [Call]) {
    until("the interface forwards by itself", || {
        let before = forwarded(relay);
        let heard = talk(calls, 50);
        heard == calls.len() * 100 && forwarded(relay) - before > calls.len() as u64 * 60
    });
}

#[test]
fn plain_calls_are_forwarded_by_the_interface_and_counted_as_if_by_the_relay() {
    let Some(world) = world() else { return };
    let _receivers = receivers(&world);
    for workers in [1, 2] {
        let (relay, events) = relay(&world, 20_000, workers);
        diverts(&relay).unwrap();
        assert_eq!(by_itself(&relay), None);
        // At one interface and between two, of either family.
        let kinds = [[0; 2], [1; 2], [2, 0], [0, 2]];
        let mut calls: Vec<Call> = (1..)
            .zip(kinds)
            .map(|(number, kind)| Call::new(&world, &relay, &events, number, (kind, false)))
            .collect();
        until_by_itself(&relay, &mut calls);
        let before = forwarded(&relay);
        assert_eq!(talk(&mut calls, 300), 4 * 2 * 300);
        let passed = forwarded(&relay) - before;
        assert!(passed > 4 * 2 * 300 * 3 / 4, "{passed}");
        for (number, call) in (1..).zip(&calls) {
            let streams = stats(&relay, &events, number);
            for (end, (stream, party)) in streams.iter().zip(&call.parties).enumerate() {
                let sent = u64::from(party.sent);
                assert_eq!(stream.received_packets, sent, "{end}");
                assert_eq!(stream.received_bytes, sent * 172);
                assert_eq!(stream.lost_packets, 0);
                assert_eq!(stream.reordered_packets, 0);
                assert_eq!(stream.sent_packets, call.parties[end].heard as u64);
                assert_eq!(stream.sent_bytes, call.parties[end].heard as u64 * 172);
            }
        }
        let all: u64 = calls
            .iter()
            .flat_map(|call| &call.parties)
            .map(|party| u64::from(party.sent))
            .sum();
        until("totals are published", || {
            let realms = &relay.totals().realms;
            let received: u64 = realms.iter().map(|realm| realm.received_bytes).sum();
            let sent: u64 = realms.iter().map(|realm| realm.sent_bytes).sum();
            received == all * 172 && sent == all * 172
        });
        let crowded_out = relay.backend().addresses;
        assert!(crowded_out.iter().all(|one| one.crowded_out == 0));
        relay.shutdown();
    }
}

#[test]
fn loss_and_octets_are_the_same_with_it_and_without_it() {
    let Some(world) = world() else { return };
    let measured = |is_express: bool| {
        let receivers = is_express.then(|| receivers(&world));
        let (relay, events) = relay(&world, 20_000, 1);
        diverts(&relay).unwrap();
        assert_eq!(
            by_itself(&relay).is_none(),
            is_express,
            "{:?}",
            by_itself(&relay)
        );
        let mut calls = [Call::new(&world, &relay, &events, 1, ([0; 2], false))];
        if is_express {
            until_by_itself(&relay, &mut calls);
        } else {
            until_diverted(&world, &mut calls);
        }
        let [before, _] = stats(&relay, &events, 1);
        for round in 0..10 {
            assert_eq!(talk(&mut calls, 50), 100);
            // Some are lost before they come.
            calls[0].parties[0].sent += round % 3;
        }
        talk(&mut calls, 1);
        let [after, _] = stats(&relay, &events, 1);
        assert_eq!(forwarded(&relay) > 0, is_express);
        relay.shutdown();
        drop(receivers);
        let lost = after.lost_packets - before.lost_packets;
        let bytes = after.received_bytes - before.received_bytes;
        (lost, bytes, after.quality.bursts)
    };
    let (with, without) = (measured(true), measured(false));
    assert_eq!((with.0, without.0), (9, 9));
    assert_eq!(
        with.2.burst_lost + with.2.gap_lost,
        without.2.burst_lost + without.2.gap_lost
    );
    // Jitter is a matter of the machine here; sessions are held against each other with it in their own tests.
    assert_eq!((with.1, without.1), (501 * 172, 501 * 172));
}

#[test]
fn a_hold_and_the_end_stop_it_at_once() {
    let Some(world) = world() else { return };
    let _receivers = receivers(&world);
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let mut calls = [Call::new(&world, &relay, &events, 1, ([0; 2], false))];
    let session = SessionId::new(0, 1);
    let hold = |is_held: bool| {
        relay.command(Command::Update {
            session,
            plan: BridgePlan {
                joined: (!is_held).then_some((EndpointId(0), EndpointId(1))),
                silence_ms: 0,
            },
        });
    };
    for _ in 0..3 {
        until_by_itself(&relay, &mut calls);
        hold(true);
        // What is answered now was ordered behind it.
        let [one, other] = stats(&relay, &events, 1);
        let before = forwarded(&relay);
        assert_eq!(talk(&mut calls, 30), 0, "nobody is heard through a hold");
        assert_eq!(forwarded(&relay), before);
        let [after, _] = stats(&relay, &events, 1);
        assert_eq!(after.sent_packets, one.sent_packets);
        assert_eq!(other.lost_packets, 0);
        hold(false);
    }
    until_by_itself(&relay, &mut calls);
    relay.command(Command::Release {
        session,
        endpoint: None,
        drain_ms: 0,
    });
    let stats = loop {
        if let Event::Released { stats, .. } = events.recv_timeout(PATIENCE).unwrap() {
            break stats;
        }
    };
    let heard: usize = calls[0].parties.iter().map(|party| party.heard).sum();
    let streams = stats
        .endpoints
        .iter()
        .map(|end| end.streams[0].sent_packets);
    assert_eq!(streams.sum::<u64>(), heard as u64);
    let before = forwarded(&relay);
    assert_eq!(talk(&mut calls, 20), 0);
    assert_eq!(forwarded(&relay), before);
    relay.shutdown();
}

#[test]
fn what_is_not_the_next_packet_of_its_stream_is_the_workers() {
    let Some(world) = world() else { return };
    let _receivers = receivers(&world);
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let mut calls = [Call::new(&world, &relay, &events, 1, ([0; 2], false))];
    until_by_itself(&relay, &mut calls);
    let [before, _] = stats(&relay, &events, 1);
    let party = &calls[0].parties[0];
    let to = party.to;
    let packet = |payload_type: u8, sequence: u16, ssrc: u8| {
        let mut packet = [0xd5; 172];
        packet[..2].copy_from_slice(&[0x80, payload_type]);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[8..12].copy_from_slice(&[1, 2, 3, ssrc]);
        packet
    };
    let (newest, next) = (party.sent.wrapping_sub(1), party.sent);
    // Again, in a payload type that nobody agreed to, under another SSRC, and from somebody else.
    for packet in [
        packet(8, newest, 4),
        packet(13, next, 4),
        packet(8, next, 5),
    ] {
        party.socket.send_to(&packet, to).unwrap();
    }
    let stranger = world.within("b", || UdpSocket::bind((THEIRS[0], 0)).unwrap());
    for sequence in [next, next.wrapping_add(1)] {
        stranger.send_to(&packet(8, sequence, 4), to).unwrap();
    }
    let reasons = [
        (DropReason::Duplicate, 1),
        (DropReason::PayloadType, 1),
        (DropReason::Ssrc, 1),
        (DropReason::Source, 2),
    ];
    until("all are judged", || {
        let [after, _] = stats(&relay, &events, 1);
        reasons.iter().all(|(reason, count)| {
            let at = *reason as usize;
            after.dropped[at] - before.dropped[at] == *count
        })
    });
    // One that comes behind the next is forwarded by the worker, and the express goes on.
    calls[0].parties[0].sent += 1;
    assert_eq!(talk(&mut calls, 1), 2);
    let party = &calls[0].parties[0];
    party.socket.send_to(&packet(8, next, 4), to).unwrap();
    until_by_itself(&relay, &mut calls);
    let [after, _] = stats(&relay, &events, 1);
    assert_eq!(after.reordered_packets, before.reordered_packets + 1);
    assert_eq!(after.lost_packets, 0);
    relay.shutdown();
}

#[test]
fn without_a_receiver_at_the_other_end_nothing_is_lost_and_it_is_said() {
    let Some(world) = world() else { return };
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    let why = by_itself(&relay).unwrap();
    assert!(why.contains("GRO"), "{why}");
    assert!(!relay.backend().addresses[0].forwards);
    let mut calls = [Call::new(&world, &relay, &events, 1, ([0; 2], false))];
    until_diverted(&world, &mut calls);
    assert_eq!(talk(&mut calls, 100), 200);
    assert_eq!(forwarded(&relay), 0);
    // Once there is one it begins, and ends with it.
    let receivers = receivers(&world);
    until("it is noticed", || by_itself(&relay).is_none());
    assert!(relay.backend().addresses[0].forwards);
    until_by_itself(&relay, &mut calls);
    drop(receivers);
    until("it is noticed", || by_itself(&relay).is_some());
    // It has, and does not any more.
    let told = relay.backend().addresses.swap_remove(0);
    assert!(!told.forwards && told.forwarded > 0, "{told:?}");
    talk(&mut calls, 50);
    assert_eq!(talk(&mut calls, 100), 200);
    relay.shutdown();
}

#[test]
fn between_two_interfaces_it_ends_where_the_other_one_takes_nothing() {
    let Some(world) = world() else { return };
    let mut receivers = receivers(&world);
    let (relay, events) = relay(&world, 20_000, 1);
    diverts(&relay).unwrap();
    // What the first party says leaves by the first cable, whose other end is about to take nothing.
    let mut calls = [Call::new(&world, &relay, &events, 1, ([2, 0], false))];
    until_by_itself(&relay, &mut calls);
    drop(receivers.remove(0));
    until("it is noticed", || by_itself(&relay).is_some());
    talk(&mut calls, 50);
    let before = forwarded(&relay);
    assert_eq!(talk(&mut calls, 100), 200);
    assert_eq!(forwarded(&relay), before, "neither way");
    let addresses = relay.backend().addresses;
    assert_eq!(
        addresses[2].not_by_itself, None,
        "the other interface still does"
    );
    relay.shutdown();
}

#[test]
fn a_stream_without_an_entry_is_told_as_crowded_out_until_it_has_one_or_ends() {
    let Some(world) = world() else { return };
    let _receivers = receivers(&world);
    let mut started = world.within("a", || start(&[realm(20_000)], 1));
    let (watch, parts) = started.running.as_mut().unwrap();
    let (mut batch, _waker) = world.within("a", || Xdp::new(parts.remove(0))).unwrap();
    let entries = batch.entries.as_mut().unwrap();
    let mut all: Vec<_> = std::iter::from_fn(|| entries.take()).collect();
    entries.give_back(all.pop().unwrap());
    let peer = world.within("b", || UdpSocket::bind((THEIRS[0], 0)).unwrap());
    let to = peer.local_addr().unwrap();
    let mut open = |port| {
        let ours = SocketAddr::new(OURS[0].parse().unwrap(), port);
        world.within("a", || batch.open(ours, 46)).unwrap()
    };
    let sockets = [20_000, 20_002, 20_004].map(&mut open);
    until("the way is known", || {
        batch.wait(Duration::ZERO, &mut Vec::new()).unwrap();
        batch.send(sockets[0], to, &[1; 100]);
        batch.outlet.lanes.iter().any(|lane| lane.is_waiting)
    });
    let express = |socket| Express {
        from: to,
        socket,
        to,
        ssrc: 1,
        payload_type: 8,
        sequence: 1,
        octets: (3, 1000),
        send_ssrc: 2,
        send_as: 8,
        sequence_shift: 0,
        timestamp_shift: 0,
        pace: Pace {
            clock_hz: 8_000,
            timestamp: 0,
            transit: 0,
            jitter_16: 0,
            heard_at: Timestamp::default(),
            credit: Credit {
                cost_us: 1,
                left_us: 1,
            },
        },
    };
    let begin = |batch: &mut Xdp, at: usize| {
        batch.begin_express(sockets[at], &express(sockets[1 - at.min(1)]), true)
    };
    let told = || watch.reports()[0].crowded_out;
    assert!(begin(&mut batch, 0));
    assert_eq!(told(), 0);
    for _ in 0..3 {
        assert!(!begin(&mut batch, 1) && !begin(&mut batch, 2));
        assert_eq!(told(), 2, "streams, not packets");
    }
    batch.close(sockets[2]);
    assert_eq!(told(), 1);
    // The first gives its entry back, and the second has it.
    batch.close(sockets[0]);
    let ours = SocketAddr::new(OURS[0].parse().unwrap(), 20_000);
    let mut again = None;
    // A program that another test is just starting may still hold the port.
    until("the port is free again", || {
        again = world.within("a", || batch.open(ours, 46)).ok();
        again.is_some()
    });
    assert_eq!(again, Some(sockets[0]));
    assert!(begin(&mut batch, 1));
    assert_eq!(told(), 0);
    // It wants none any more, and asks for none as long as nothing of it was seen.
    assert!(!begin(&mut batch, 0) && batch.is_crowded_out(sockets[0]));
    assert_eq!(told(), 1);
    batch.want_no_express(sockets[0]);
    assert!(!batch.begin_express(sockets[0], &express(sockets[1]), false));
    assert!(!batch.is_crowded_out(sockets[0]));
    assert_eq!(told(), 0);
    // What comes from a socket of ours does not come by an interface, and needs no entry; also from another worker's.
    for (host, port) in [(0, 20_002), (0, 20_998), (1, 20_998)] {
        assert!(!begin(&mut batch, 0));
        assert_eq!(told(), 1);
        let from_ours = Express {
            from: SocketAddr::new(OURS[host].parse().unwrap(), port),
            ..express(sockets[1])
        };
        assert!(!batch.begin_express(sockets[0], &from_ours, true));
        assert_eq!(told(), 0, "{port} of {host}");
    }
    // Neither does a socket need one whose call has ended, though it stays open; others have what it had.
    assert!(!begin(&mut batch, 0));
    assert_eq!(told(), 1);
    batch.rest(sockets[0]);
    assert_eq!(told(), 0);
    batch.rest(sockets[1]);
    assert!(begin(&mut batch, 0));
    assert_eq!(told(), 0);
}
