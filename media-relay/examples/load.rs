//! Peers that send and count RTP, for figures: `conformance/figures/packets.py` runs it.
//!
//! Arguments: seconds. Each line on standard input is one peer: its address, where it sends to, and
//! the key that protects what it sends in hexadecimal digits, or `-`. All send 20 ms of G.711 fifty
//! times a second, evenly spread, and count what arrives. At the end one line says how many packets
//! were sent, how many arrived, and how late the latest one was sent in microseconds.

use media_api::{CryptoKey, Suite};
use media_relay::srtp::Sender;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PACKET_TIME: Duration = Duration::from_millis(20);
/// Fixed header, 160 octets of audio, and room for the tag.
const PACKET: usize = 172;
const SLOT: usize = PACKET + 14;

struct Peer {
    socket: UdpSocket,
    to: SocketAddr,
    sender: Option<Sender>,
    ssrc: u32,
    sent: u64,
    received: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = std::env::args()
        .nth(1)
        .ok_or("usage: load SECONDS")?
        .parse()?;
    let mut peers = Vec::new();
    for (ssrc, line) in (1..).zip(std::io::stdin().lines()) {
        peers.push(Peer::new(ssrc, &line?)?);
    }
    let step = PACKET_TIME / u32::try_from(peers.len().max(1))?;
    let began = Instant::now();
    let mut latest = Duration::ZERO;
    for round in 0..u32::try_from(seconds * 50)? {
        for (at, peer) in (0..).zip(&mut peers) {
            let due = PACKET_TIME * round + step * at;
            // Small waits are left out: a sleep for each packet would cost more than the packet.
            let early = due.saturating_sub(began.elapsed());
            if early > Duration::from_millis(1) {
                sleep(early);
            }
            latest = latest.max(began.elapsed().saturating_sub(due));
            peer.send()?;
            peer.drain()?;
        }
    }
    sleep(Duration::from_millis(200));
    for peer in &mut peers {
        peer.drain()?;
    }
    let sum = |count: fn(&Peer) -> u64| peers.iter().map(count).sum::<u64>();
    let (sent, received) = (sum(|peer| peer.sent), sum(|peer| peer.received));
    println!("{sent} {received} {}", latest.as_micros());
    Ok(())
}

impl Peer {
    fn new(ssrc: u32, line: &str) -> Result<Self, Box<dyn Error>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [local, to, key] = words[..] else {
            return Err(format!("not a peer: {line}").into());
        };
        let socket = UdpSocket::bind(local.parse::<SocketAddr>()?)?;
        socket.set_nonblocking(true)?;
        let sender = match key {
            "-" => None,
            digits => {
                let octets = (0..digits.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
                    .collect::<Result<Vec<u8>, _>>()?;
                let key = CryptoKey::new(Suite::AesCm128HmacSha1_80, octets);
                Some(Sender::new(&key.ok_or("30 octets are a key")?))
            }
        };
        Ok(Self {
            socket,
            to: to.parse()?,
            sender,
            ssrc,
            sent: 0,
            received: 0,
        })
    }

    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        let mut slot = [0xd5; SLOT];
        slot[..2].copy_from_slice(&[0x80, 8]);
        slot[2..4].copy_from_slice(&(self.sent as u16).to_be_bytes());
        slot[4..8].copy_from_slice(&(self.sent as u32 * 160).to_be_bytes());
        slot[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        let length = match &self.sender {
            None => PACKET,
            Some(sender) => sender
                .protect_rtp(&mut slot, PACKET, self.sent)
                .map_err(|fault| format!("{fault:?}"))?,
        };
        self.socket.send_to(&slot[..length], self.to)?;
        self.sent += 1;
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Box<dyn Error>> {
        let mut slot = [0; 2048];
        loop {
            match self.socket.recv(&mut slot) {
                // Reports are no media.
                Ok(_) if matches!(slot[1], 192..=223) => {}
                Ok(_) => self.received += 1,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}
