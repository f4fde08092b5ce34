//! Peers that send, take back and check RTP past their kernel, for figures: `conformance/figures/media.py` runs it.
//!
//! Argument: the interface's address. Each line on standard input is one peer: its address, where it sends to, the key that
//! protects what it sends and the key that protects what it is sent, in hexadecimal digits or `-`. Two lines in
//! a row are the parties of a call. Behind `go` each line is an order: `run RATE MS TICK`, so many packets a
//! second by all peers together, put on the cable every so many microseconds, as a network card moderates its
//! interrupts; or `stray RATE MS TICK`, the same to an Ethernet address that nobody has. Each is
//! answered by a line of what became of them. Ends with its input.
//!
//! `drop ADDRESS` instead has the address's interface throw everything away: what the cable alone costs.
//!
//! Every packet says in its payload who sent it, its number and when: it has to come to the other party of its
//! call, in order, with the payload it had, and nowhere else.

use media_relay::packet;

// The relay's own way past the kernel, from the other end of the cable. Not all of it is needed here.
#[allow(dead_code)]
#[path = "../../src/io/xdp/bpf.rs"]
mod bpf;
#[allow(dead_code)]
#[path = "../../src/io/xdp/features.rs"]
mod features;
#[allow(dead_code)]
#[path = "../../src/io/xdp/interface.rs"]
mod interface;
#[allow(dead_code)]
#[path = "../../src/io/xdp/kernel.rs"]
mod kernel;
#[allow(dead_code)]
#[path = "../../src/io/xdp/lane.rs"]
mod lane;
#[allow(dead_code)]
#[path = "../../src/io/xdp/memory.rs"]
mod memory;
#[allow(dead_code)]
#[path = "../../src/io/xdp/moderation.rs"]
mod moderation;

#[allow(dead_code)]
#[path = "../../src/io/xdp/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "../../src/io/xdp/ring.rs"]
mod ring;
#[allow(dead_code)]
#[path = "../../src/io/xdp/umem.rs"]
mod umem;

mod cable;
mod delays;
mod peer;

use cable::Cable;
use delays::Delays;
use peer::{Peer, Verdict};
use std::error::Error;
use std::io::stdin;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long packets may be under way when the last one has been sent.
const PATIENCE: Duration = Duration::from_millis(300);
/// Packets that are sent, or taken, before the other gets its turn.
const AT_ONCE: u64 = 16;

/// How much is to be sent.
struct Order {
    /// Packets a second.
    rate: u64,
    length: Duration,
    tick_ns: u64,
}

/// What became of a run.
#[derive(Default)]
struct Tally {
    sent: u64,
    received: u64,
    reordered: u64,
    wrong: u64,
    delays: Delays,
    /// How late packets were sent: when that is long, these peers are what limits the figure.
    late: Delays,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [what, address] if what == "drop" => {
            let _link = cable::drop_all(address.parse()?)?;
            println!("dropping");
            stdin().lines().for_each(drop);
            Ok(())
        }
        [address] => serve(address.parse()?),
        _ => Err("usage: peers [drop] ADDRESS".into()),
    }
}

fn serve(address: IpAddr) -> Result<(), Box<dyn Error>> {
    let mut lines = stdin().lines();
    let mut peers = Vec::new();
    for line in lines.by_ref() {
        let line = line?;
        if line == "go" {
            break;
        }
        peers.push(Peer::new(peers.len(), &line)?);
    }
    let mut cable = Cable::new(address, &peers)?;
    println!("ready");
    let mut turn = 0;
    for line in lines {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [what, rate, ms, tick] = words[..] else {
            return Err(format!("not an order: {line}").into());
        };
        let order = Order {
            rate: rate.parse()?,
            length: Duration::from_millis(ms.parse()?),
            tick_ns: 1000 * tick.parse::<u64>()?.max(1),
        };
        cable.is_stray = what == "stray";
        println!("{}", run(&mut cable, &mut peers, &mut turn, &order)?);
    }
    Ok(())
}

/// Sends at a rate for a while; `turn` is whose turn it is.
fn run(
    cable: &mut Cable,
    peers: &mut [Peer],
    turn: &mut usize,
    order: &Order,
) -> Result<String, Box<dyn Error>> {
    let mut tally = Tally::default();
    // What is still under way is of another run.
    cable.receive(u64::MAX, |_, _| {});
    let epoch = cable.epoch;
    let began = Instant::now();
    let &Order {
        rate,
        length,
        tick_ns,
    } = order;
    let whole = rate * length.as_millis() as u64 / 1000;
    let mut ends = None;
    while ends.is_none_or(|ends| Instant::now() < ends) {
        let passed = began.elapsed();
        let tick_began = passed.as_nanos() as u64 / tick_ns * tick_ns;
        let due = (tick_began * rate / 1_000_000_000).min(whole);
        let now_ns = epoch.elapsed().as_nanos() as u64;
        for _ in 0..(due - tally.sent).min(AT_ONCE) {
            let peer = &mut peers[*turn];
            if !cable.send(*turn, |buffer| peer.write(buffer, now_ns))? {
                break;
            }
            *turn = (*turn + 1) % peers.len();
            tally.sent += 1;
            let was_due = tally.sent * 1_000_000_000 / rate;
            tally
                .late
                .note(passed.as_nanos() as u64 - was_due.min(passed.as_nanos() as u64));
        }
        cable.kick()?;
        cable.receive(AT_ONCE, |peer, packet| {
            let Some(peer) = peer.and_then(|at| peers.get_mut(at)) else {
                return;
            };
            match peer.judge(packet) {
                Verdict::Report => {}
                Verdict::Good { sent_ns, in_order } => {
                    tally.received += 1;
                    tally.reordered += u64::from(!in_order);
                    tally
                        .delays
                        .note(epoch.elapsed().as_nanos() as u64 - sent_ns);
                }
                Verdict::Wrong => tally.wrong += 1,
            }
        });
        if tally.sent == whole && ends.is_none() {
            ends = Some(Instant::now() + PATIENCE);
        }
    }
    Ok(format!(
        "{{\"sent\": {}, \"received\": {}, \"reordered\": {}, \"wrong\": {}, \"delay_us\": {}, \"late_us\": {}}}",
        tally.sent,
        tally.received,
        tally.reordered,
        tally.wrong,
        tally.delays.json(),
        tally.late.json(),
    ))
}
