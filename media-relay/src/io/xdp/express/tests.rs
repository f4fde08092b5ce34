//! The program against its model, frame by frame.

use super::layout::*;
use super::{APART_NS, Entries, Entry, Headers, Table, now_ns};
use crate::entropy::Entropy;
use crate::io::xdp::bpf;
use crate::io::xdp::memory::Mapping;
use crate::io::xdp::paths::Path;
use crate::io::xdp::program::{PORTS, Plan, assemble};
use crate::io::xdp::tests::kernel_is;
use crate::packet::frame::{self, Mac};
use crate::session::{Credit, Express, Model, Pace, SocketId, Verdict};
use crate::time::Timestamp;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const NEXT_MAC: Mac = Mac([2, 0, 0, 0, 0, 7]);
const PEER_MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);
const EXIT_MAC: Mac = Mac([2, 0, 0, 0, 0, 3]);
/// The interface of which there is one everywhere.
const LOOPBACK: u32 = 1;
/// What the program says: back out, out of another interface, and what is to be a worker's, here.
const BACK: u32 = 3;
const ELSEWHERE: u32 = 4;
const WORKERS: i32 = 1;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The program, without an interface.
struct Bench {
    table: Table,
    entry: Entry,
    ports: Mapping,
    program: OwnedFd,
    base_ns: u64,
    headers: Headers,
    // As long as the program they live.
    _maps: [OwnedFd; 2],
}

impl Bench {
    /// One whose packets are of IPv4; `None`, and said why, where the machine does not let us have one.
    fn new() -> Option<Self> {
        Self::of(v4())
    }

    fn of(headers: Headers) -> Option<Self> {
        // The instructions that exchange a word are as old.
        if !kernel_is((5, 12)) {
            return None;
        }
        let local = headers.local;
        let table = match Table::new() {
            Ok(table) => table,
            Err(why) => {
                eprintln!("skipped: {why}");
                return None;
            }
        };
        let ports = bpf::array(PORTS as u32, 8).unwrap();
        let sockets = bpf::sockets(1).unwrap();
        let plan = Plan {
            addresses: &[local.ip()],
            workers: 1,
            ports: ports.as_raw_fd(),
            sockets: sockets.as_raw_fd(),
            express: Some(table.part()),
            otherwise: WORKERS,
        };
        let program = bpf::load(&assemble(&plan)).unwrap();
        let mapping = Mapping::of(&ports, PORTS * 8, 0).unwrap();
        let mut entries = table.share(1, 3);
        let entry = entries.take().unwrap();
        let place = u64::from(local.port()) * 8;
        mapping.number(place).store(1, Ordering::Relaxed);
        let number = entry.number() + 1;
        mapping.number(place + 4).store(number, Ordering::Relaxed);
        Some(Self {
            table,
            entry,
            ports: mapping,
            program,
            base_ns: now_ns() - 3_600_000_000_000,
            headers,
            _maps: [ports, sockets],
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp((now_ns() - self.base_ns) / 1_000)
    }

    fn state(&self) -> u32 {
        self.table.word(&self.entry, STATE).load(Ordering::Relaxed)
    }

    /// What the program says of a frame that it forwards.
    fn forwards(&self) -> u32 {
        match self.headers.out {
            None => BACK,
            Some(_) => ELSEWHERE,
        }
    }

    /// Has packets pass, after one that has just been seen.
    fn begin(&mut self, express: &Express) {
        let (entry, base) = (&mut self.entry, self.base_ns);
        assert!(self.table.begin(entry, express, &self.headers, base, true));
    }

    /// The next of some like ones.
    fn next(&self, sequence: u16) -> Vec<u8> {
        let packet = rtp(sequence, u32::from(sequence) * 160, &[3; 160]);
        wrapped(&packet, &self.headers)
    }

    fn run(&self, frame: &mut [u8]) -> u32 {
        bpf::run(&self.program, frame).unwrap()
    }
}

fn v4() -> Headers {
    headers([
        "192.0.2.7:4000",
        "192.0.2.1:20000",
        "192.0.2.1:20002",
        "198.51.100.9:6000",
    ])
}

fn v6() -> Headers {
    headers([
        "[2001:db8::7]:4000",
        "[2001:db8::1]:20000",
        "[2001:db8::1]:20002",
        "[2001:db8:ffff:1::9]:6000",
    ])
}

/// Of all families, back out and out of another interface.
fn kinds() -> impl Iterator<Item = Headers> {
    [v4(), v6()].into_iter().flat_map(|back| {
        let elsewhere = Headers {
            send_mac: EXIT_MAC,
            out: Some(LOOPBACK),
            ..back
        };
        [back, elsewhere]
    })
}

fn headers(addresses: [&str; 4]) -> Headers {
    let [from, local, send_from, send_to] = addresses.map(address);
    Headers {
        from,
        local,
        send_from,
        send_to,
        our_mac: OUR_MAC,
        send_mac: OUR_MAC,
        out: None,
        path: Path {
            interface: 0,
            mac: NEXT_MAC,
            mtu: 1500,
        },
        dscp: 46,
    }
}

fn express(now: Timestamp, sequence: u16, headers: &Headers) -> Express {
    Express {
        from: headers.from,
        socket: SocketId(9),
        to: headers.send_to,
        ssrc: 0x0102_0304,
        payload_type: 8,
        sequence,
        octets: (3, 1000),
        send_ssrc: 0xa0b0_c0d0,
        send_as: 96,
        sequence_shift: 0xfff0,
        timestamp_shift: 0xf000_0001,
        pace: Pace {
            clock_hz: 8_000,
            timestamp: 0,
            // The next one comes a little late.
            transit: ((now.0 * 8_000 / 1_000_000) as u32).wrapping_sub(160),
            jitter_16: 33,
            heard_at: Timestamp(now.0 - 20_000),
            credit: Credit {
                cost_us: 10_000,
                left_us: 1_000_000,
            },
        },
    }
}

fn rtp(sequence: u16, timestamp: u32, octets: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(0x0102_0304u32.to_be_bytes());
    packet.extend(octets);
    packet
}

fn wrapped(packet: &[u8], headers: &Headers) -> Vec<u8> {
    let mut buffer = vec![0; 62];
    buffer.extend(packet);
    let whole = frame::Headers {
        our_mac: PEER_MAC,
        next_mac: OUR_MAC,
        from: headers.from,
        to: headers.local,
        dscp: 0,
    };
    let end = buffer.len();
    let at = frame::wrap(&mut buffer, 62..end, &whole).unwrap();
    buffer[at].to_vec()
}

/// What the worker would make of a frame with the model's help: its verdict, and the frame that leaves.
fn expected(
    model: &mut Model,
    frame: &[u8],
    now: Timestamp,
    headers: &Headers,
) -> (Verdict, Vec<u8>) {
    let mut made = frame.to_vec();
    let Ok(read) = frame::parse(frame) else {
        panic!("what is broken is not asked for here");
    };
    if read.mac != OUR_MAC {
        return (Verdict::Left, made);
    }
    let payload = read.payload.clone();
    let verdict = model.take(read.from, &mut made[payload.clone()], now);
    if verdict == Verdict::Forwarded {
        let sent = frame::Headers {
            our_mac: headers.send_mac,
            next_mac: NEXT_MAC,
            from: headers.send_from,
            to: headers.send_to,
            dscp: headers.dscp,
        };
        frame::wrap(&mut made, payload, &sent).unwrap();
    }
    (verdict, made)
}

#[test]
fn the_program_does_to_every_packet_what_the_worker_would_do() {
    for headers in kinds() {
        let Some(bench) = Bench::of(headers) else {
            return;
        };
        compare(bench);
    }
}

fn compare(mut bench: Bench) {
    const FRAMES: usize = 10_000;
    let (of_bench, forwards) = (bench.headers, bench.forwards());
    let is_v4 = of_bench.local.is_ipv4();
    let checksum = if is_v4 { 40 } else { 60 };
    let mut dice = Entropy::from_seed([7; 32]);
    let mut model = None::<Model>;
    let (mut sequence, mut timestamp) = (65_000u16, 0u32);
    let mut seen = [0usize; 3];
    for _ in 0..FRAMES {
        if bench.state() & ARMED == 0 {
            if let (Some(model), Some(passed)) = (&model, bench.table.end(&mut bench.entry)) {
                assert_eq!(passed, model.passed);
            }
            let now = bench.now();
            let express = express(now, sequence, &of_bench);
            timestamp = 0;
            bench.begin(&express);
            assert_eq!(bench.state() & ARMED, 0, "not before it is told");
            bench.table.tell(&mut bench.entry);
            let until = bench.table.double(&bench.entry, UNTIL);
            model = Some(Model::new(
                express,
                Timestamp(until.load(Ordering::Relaxed)),
            ));
        }
        let model = model.as_mut().unwrap();
        // As long as packets are one by one, they come much too fast; the rate is what lets few of them pass.
        let octets: Vec<u8> = (0..dice.below(700))
            .map(|_| dice.next_u32() as u8)
            .collect();
        let step = [160, 160, 160, 0, 320][dice.below(5)] % [161, 400][dice.below(2)];
        let mut packet = rtp(sequence, timestamp.wrapping_add(step), &octets);
        let mut came = of_bench;
        let what = dice.below(24);
        match what {
            0 => packet[0] ^= 1 << dice.below(8),
            1 => packet[1] ^= 1 << dice.below(8),
            2 => packet[2 + dice.below(2)] ^= 1 << dice.below(8),
            3 => packet[8 + dice.below(4)] ^= 1 << dice.below(8),
            4 => came.from.set_port(4001),
            5 if is_v4 => came.from.set_ip([192, 0, 2, 8].into()),
            // In each of its eight pieces.
            5 => {
                let SocketAddr::V6(from) = &mut came.from else {
                    unreachable!("it is of IPv6")
                };
                let mut octets = from.ip().octets();
                octets[2 + dice.below(14)] ^= 1;
                from.set_ip(octets.into());
            }
            6 => packet[1] |= 0x80,
            7 => packet[..2].copy_from_slice(&[0x80, 200]),
            8 => packet[4..8].copy_from_slice(&dice.next_u32().to_be_bytes()),
            9 => packet.truncate(12 + dice.below(4).min(octets.len())),
            10 => packet.resize(1_000 + dice.below(60), 0xd5),
            _ => {}
        }
        let mut frame = wrapped(&packet, &came);
        match what {
            // No checksum, one that was left to hardware, and padding behind the datagram.
            11 if is_v4 => frame[checksum..checksum + 2].fill(0),
            12 => {
                let addresses = if is_v4 { 26..34 } else { 22..54 };
                let mut words = frame[addresses].to_vec();
                words.extend([0, 17, frame[checksum - 2], frame[checksum - 1]]);
                let words = words.as_chunks::<2>().0.iter();
                let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
                let sum = (sum & 0xffff) + (sum >> 16);
                let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
                frame[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
            }
            13 => frame[5] ^= 1,
            _ => {}
        }
        let mut made = frame.clone();
        let verdict = bench.run(&mut made);
        let heard = bench.table.double(&bench.entry, HEARD);
        let heard = Timestamp(heard.load(Ordering::Relaxed));
        let now = match verdict {
            verdict if verdict == forwards => heard,
            _ => bench.now(),
        };
        let (wanted, wanted_frame) = expected(model, &frame, now, &of_bench);
        seen[wanted as usize] += 1;
        match wanted {
            Verdict::Forwarded => {
                assert_eq!(verdict, forwards, "{what} {packet:?}");
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(step);
                if what == 8 {
                    timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
                }
            }
            Verdict::Left => {
                assert_eq!(verdict, WORKERS as u32, "{what}");
                assert_ne!(bench.state() & ARMED, 0, "{what}");
            }
            Verdict::Stopped => {
                assert_eq!(verdict, WORKERS as u32, "{what}");
                assert_eq!(bench.state() & ARMED, 0, "{what}");
            }
        }
        assert!(made == wanted_frame, "{what}: {made:?} {wanted_frame:?}");
    }
    assert!(seen.iter().all(|count| *count > FRAMES / 50), "{seen:?}");
    let _ = &bench.ports;
}

/// Something wrong with a frame, and its name.
type Damage = (&'static str, fn(&mut Vec<u8>));

#[test]
fn what_is_broken_is_never_forwarded_and_ends_it() {
    let of_all: [Damage; 4] = [
        ("padding behind the datagram", |frame| frame.extend([0; 4])),
        ("payload", |frame| frame[120] ^= 0x10),
        ("last octet of the payload", |frame| {
            *frame.last_mut().unwrap() ^= 1
        }),
        ("cut short", |frame| frame.truncate(150)),
    ];
    let of_v4: [Damage; 5] = [
        ("checksum of the header", |frame| frame[24] ^= 1),
        ("hops without checksum", |frame| frame[22] ^= 1),
        ("checksum of the datagram", |frame| frame[41] ^= 1),
        ("length of UDP", |frame| frame[39] ^= 1),
        ("length of IP", |frame| frame[17] ^= 1),
    ];
    let of_v6: [Damage; 4] = [
        ("checksum of the datagram", |frame| frame[61] ^= 1),
        ("no checksum", |frame| frame[60..62].fill(0)),
        ("length of UDP", |frame| frame[59] ^= 1),
        ("length of IP", |frame| frame[19] ^= 1),
    ];
    for (headers, own) in [(v4(), &of_v4[..]), (v6(), &of_v6[..])] {
        let Some(mut bench) = Bench::of(headers) else {
            return;
        };
        for octets in [160, 161, 162, 163] {
            for (what, damage) in of_all.iter().chain(own) {
                bench.begin(&express(bench.now(), 7, &headers));
                bench.table.tell(&mut bench.entry);
                let whole = wrapped(&rtp(7, 160, &vec![3; octets]), &headers);
                let mut frame = whole.clone();
                damage(&mut frame);
                let before = frame.clone();
                assert_eq!(bench.run(&mut frame), 1, "{what}");
                assert_eq!(frame, before, "{what}");
                assert_eq!(bench.state() & ARMED, 0, "{what}");
                let passed = bench.table.end(&mut bench.entry).unwrap();
                assert_eq!(passed.packets, 0);
            }
        }
        // Where options or fragments are, not even that is looked at, and frames for nobody are the kernel's.
        let whole = wrapped(&rtp(7, 160, &[3; 160]), &headers);
        let not_ours: &[(usize, u8)] = match headers.local.is_ipv4() {
            true => &[(14, 0x46), (20, 0x20), (33, 99), (37, 99)],
            false => &[(14, 0x50), (20, 44), (53, 99), (57, 99)],
        };
        for (at, value) in not_ours {
            let mut frame = whole.clone();
            frame[*at] = *value;
            assert_eq!(bench.run(&mut frame), 2, "{at}");
        }
    }
}

#[test]
fn it_ends_in_time_at_its_rate_after_a_pause_and_when_told() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    let ask = |bench: &mut Bench, change: fn(&mut Express), sequences: &[u16]| {
        let now = bench.now();
        let mut express = express(now, 7, &bench.headers);
        change(&mut express);
        bench.begin(&express);
        bench.table.tell(&mut bench.entry);
        let verdicts: Vec<_> = sequences
            .iter()
            .map(|sequence| bench.run(&mut bench.next(*sequence)) == BACK)
            .collect();
        (verdicts, bench.table.end(&mut bench.entry).unwrap())
    };
    let nothing = |_: &mut Express| {};
    let (verdicts, passed) = ask(&mut bench, nothing, &[7, 8, 9]);
    assert_eq!(
        (verdicts, passed.packets, passed.octets),
        (vec![true; 3], 3, 480)
    );
    // One that comes twice, one that is missing, and nothing passes any more although it would be the next.
    let (verdicts, passed) = ask(&mut bench, nothing, &[7, 7, 8]);
    assert_eq!((verdicts, passed.packets), (vec![true, false, false], 1));
    let (verdicts, passed) = ask(&mut bench, nothing, &[8, 7]);
    assert_eq!((verdicts, passed.packets), (vec![false; 2], 0));
    let rate = |express: &mut Express| {
        express.pace.credit.left_us = 0;
        express.pace.credit.cost_us = 15_000;
    };
    let (verdicts, _) = ask(&mut bench, rate, &[7, 8]);
    assert_eq!(verdicts, [true, false]);
    let pause = |express: &mut Express| express.pace.heard_at.0 -= 200_000;
    let (verdicts, _) = ask(&mut bench, pause, &[7]);
    assert_eq!(verdicts, [false]);
    let late = |express: &mut Express| express.pace.transit -= 8 * 1_000;
    let (verdicts, _) = ask(&mut bench, late, &[7]);
    assert_eq!(verdicts, [false]);
    // Time is over.
    let now = bench.now();
    let express = express(now, 7, &bench.headers);
    bench.begin(&express);
    let until = bench.table.double(&bench.entry, UNTIL);
    let lasts = until.load(Ordering::Relaxed) - now.0;
    assert!((900_000..2_100_000).contains(&lasts), "{lasts}");
    until.store(now.0 - 1, Ordering::Relaxed);
    bench.table.tell(&mut bench.entry);
    let whole = bench.next(7);
    assert_eq!(bench.run(&mut whole.clone()), 1);
    bench.table.end(&mut bench.entry);
    // What was never told never passes, nor what was ended.
    bench.begin(&express);
    assert_eq!(bench.run(&mut whole.clone()), 1);
    assert_eq!(bench.table.end(&mut bench.entry), None);
    bench.begin(&express);
    bench.table.tell(&mut bench.entry);
    assert!(bench.table.end(&mut bench.entry).is_some());
    assert_eq!(bench.run(&mut whole.clone()), 1);
}

#[test]
fn its_time_is_not_renewed_unless_a_packet_was_seen() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    let begin = |bench: &mut Bench, is_seen: bool| {
        let (express, headers) = (express(bench.now(), 7, &bench.headers), bench.headers);
        let base = bench.base_ns;
        let is_begun = bench
            .table
            .begin(&mut bench.entry, &express, &headers, base, is_seen);
        bench.table.tell(&mut bench.entry);
        bench.table.end(&mut bench.entry);
        let until = bench.table.double(&bench.entry, UNTIL);
        is_begun.then(|| until.load(Ordering::Relaxed))
    };
    assert_eq!(begin(&mut bench, false), None);
    let until = begin(&mut bench, true);
    assert!(until.is_some());
    thread::sleep(Duration::from_millis(2));
    assert_eq!(begin(&mut bench, false), until);
    assert!(begin(&mut bench, true) > until);
    bench.entry.until = bench.now().0 - 1;
    assert_eq!(begin(&mut bench, false), None);
    assert!(begin(&mut bench, true).is_some());
}

#[test]
fn timestamps_begin_when_their_clock_did() {
    let mut entries = Entries {
        free: Vec::new(),
        base_ns: 0,
    };
    let before = now_ns();
    let start = Instant::now();
    let after = now_ns();
    entries.keep_time(start);
    let range = before - APART_NS..=after;
    assert!(range.contains(&entries.base_ns()), "{range:?}");
}

#[test]
fn every_packet_is_taken_by_one_and_counted_once() {
    const PACKETS: u64 = 10_000;
    let Some(mut bench) = Bench::new() else {
        return;
    };
    let base = bench.base_ns;
    let headers = bench.headers;
    let Bench {
        table,
        entry,
        program,
        ..
    } = &mut bench;
    let is_over = AtomicBool::new(false);
    let length = |number: u64| 100 + number as usize % 90;
    let (taken, passed) = thread::scope(|scope| {
        let interface = scope.spawn(|| {
            let mut taken = (0u64, 0u64);
            while !is_over.load(Ordering::Relaxed) {
                let (number, octets) = (taken.0, length(taken.0));
                let timestamp = (number as u32 + 1) * 160;
                let packet = rtp(number as u16, timestamp, &vec![3; octets]);
                let mut frame = wrapped(&packet, &headers);
                if bpf::run(program, &mut frame).unwrap() == BACK {
                    taken = (taken.0 + 1, taken.1 + octets as u64);
                }
            }
            taken
        });
        let mut passed = (0u64, 0u64);
        let give_up = Instant::now() + Duration::from_secs(30);
        let mut pause = 0;
        while passed.0 < PACKETS && Instant::now() < give_up {
            let now = Timestamp((now_ns() - base) / 1_000);
            let mut express = express(now, passed.0 as u16, &headers);
            let newest = passed.0 as u32 * 160;
            let clock = (now.0 * 8_000 / 1_000_000) as u32;
            express.pace.timestamp = newest;
            express.pace.transit = clock.wrapping_sub(newest);
            express.pace.credit.cost_us = 1;
            assert!(table.begin(entry, &express, &headers, base, true));
            table.tell(entry);
            // Another moment each time.
            pause = (pause + 7) % 400;
            (0..pause).for_each(|_| std::hint::spin_loop());
            if pause % 5 == 0 {
                thread::yield_now();
            }
            let ended = table.end(entry).unwrap();
            // This machine may have interrupted the other thread for longer than is waited.
            while table.word(entry, DONE).load(Ordering::Acquire) != entry.done {
                thread::yield_now();
            }
            let octets = table.double(entry, OCTETS).load(Ordering::Relaxed);
            passed = (passed.0 + u64::from(ended.packets), passed.1 + octets);
        }
        is_over.store(true, Ordering::Relaxed);
        (interface.join().unwrap(), passed)
    });
    assert_eq!(taken, passed);
    assert!(passed.0 >= PACKETS, "{passed:?}");
    let octets = (0..passed.0).map(|number| length(number) as u64);
    assert_eq!(passed.1, octets.sum::<u64>());
}

#[test]
fn a_packet_waits_for_nobody_and_goes_to_the_worker_while_the_one_before_it_is_counted() {
    let Some(mut bench) = Bench::new() else {
        return;
    };
    // Whatever was counted before, and where numbers begin anew.
    for first in [7, 65_534, 65_535, 0] {
        let mut express = express(bench.now(), first, &bench.headers);
        express.pace.timestamp = u32::from(first) * 160;
        express.pace.transit = ((bench.now().0 * 8_000 / 1_000_000) as u32)
            .wrapping_sub(express.pace.timestamp)
            .wrapping_sub(160);
        bench.begin(&express);
        bench.table.tell(&mut bench.entry);
        let next = |number: u16| {
            let sequence = first.wrapping_add(number);
            let timestamp = (u32::from(first) + u32::from(number) + 1) * 160;
            wrapped(&rtp(sequence, timestamp, &[3; 160]), &bench.headers)
        };
        assert_eq!(bench.run(&mut next(0)), BACK);
        assert_eq!(bench.run(&mut next(1)), BACK);
        // Another processor has taken it and not come so far yet.
        let done = bench.table.word(&bench.entry, DONE);
        done.fetch_sub(1, Ordering::Relaxed);
        let octets = bench.table.double(&bench.entry, OCTETS);
        let before = octets.load(Ordering::Relaxed);
        let mut frame = next(2);
        assert_eq!(bench.run(&mut frame), WORKERS as u32);
        assert_eq!(frame, next(2));
        assert_eq!(octets.load(Ordering::Relaxed), before);
        assert_eq!(bench.state() & ARMED, 0, "none that follows overtakes it");
        done.fetch_add(1, Ordering::Relaxed);
        let passed = bench.table.end(&mut bench.entry).unwrap();
        assert_eq!((passed.packets, passed.octets), (2, 320));
    }
}

#[test]
fn two_processors_with_packets_of_one_stream_count_each_of_them_once() {
    const ROUNDS: u32 = 3_000;
    let Some(mut bench) = Bench::new() else {
        return;
    };
    let (base, headers) = (bench.base_ns, bench.headers);
    let Bench {
        table,
        entry,
        program,
        ..
    } = &mut bench;
    // The round that both run in, and the last one that the other has come through, with what became of its packet.
    let (round, ended) = (AtomicU32::new(0), AtomicU32::new(0));
    let has_passed = AtomicBool::new(false);
    let wait = |number: &AtomicU32, wanted: u32| {
        let mut looks = 0u32;
        while number.load(Ordering::Acquire) != wanted {
            looks += 1;
            match looks % 1_000 {
                0 => thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    };
    let frame = |number: u32, octets: usize| {
        let packet = rtp(number as u16, number.wrapping_mul(160), &vec![3; octets]);
        wrapped(&packet, &headers)
    };
    let mut seen = [0; 3];
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=ROUNDS {
                let mut second = frame(2 * number, 163);
                wait(&round, number);
                let pause = number.wrapping_mul(7) % 700;
                (0..pause).for_each(|_| std::hint::spin_loop());
                let verdict = bpf::run(program, &mut second).unwrap();
                has_passed.store(verdict == BACK, Ordering::Relaxed);
                ended.store(number, Ordering::Release);
            }
        });
        for number in 1..=ROUNDS {
            let now = Timestamp((now_ns() - base) / 1_000);
            let mut express = express(now, 2 * number as u16 - 1, &headers);
            express.pace.timestamp = (2 * number - 2).wrapping_mul(160);
            let clock = (now.0 * 8_000 / 1_000_000) as u32;
            express.pace.transit = clock.wrapping_sub(express.pace.timestamp);
            express.pace.credit.cost_us = 1;
            // What it rests for is there: both have come to their ends.
            assert!(table.begin(entry, &express, &headers, base, true));
            table.tell(entry);
            let mut first = frame(2 * number - 1, 100);
            round.store(number, Ordering::Release);
            let is_first = bpf::run(program, &mut first).unwrap() == BACK;
            wait(&ended, number);
            let is_second = has_passed.load(Ordering::Relaxed);
            let passed = table.end(entry).unwrap();
            let taken = u32::from(is_first) + u32::from(is_second);
            let octets = u64::from(is_first) * 100 + u64::from(is_second) * 163;
            assert_eq!((passed.packets, passed.octets), (taken, octets));
            if is_second {
                assert!(is_first, "it is not the next before the first has passed");
                assert_eq!(passed.timestamp, (2 * number).wrapping_mul(160));
            }
            seen[taken as usize] += 1;
        }
    });
    eprintln!("rounds in which none, one and both have passed: {seen:?}");
}
