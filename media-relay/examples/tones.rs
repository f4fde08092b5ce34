//! Peers that speak and listen, for figures: `conformance/figures/restarts.py` runs it.
//!
//! Each line on standard input is one peer: its address, where it sends to, and the keys that protect what it sends and
//! what it hears in hexadecimal digits. After `go` all send a tone in 20 ms of G.711 fifty times a second, evenly
//! spread, and open what arrives. `report` writes one line of JSON about the time since the last one and begins anew: of
//! each peer, in order, how many packets it sent, how many came that it could open and that were the tone, how many that
//! were something else, how many that it could not open and how many of them in a row, and the longest time in
//! microseconds in which nothing came; and how late the latest packet was sent. The end of the input is the end.

use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::srtp::{Receiver, Sender};
use std::error::Error;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

const PACKET_TIME: Duration = Duration::from_millis(20);
const HEADER: usize = 12;
/// 20 periods of 1,000 Hz at -10 dBm0 in A-law, as ITU-T G.711 has it.
const PERIOD: [u8; 8] = [0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4];
const AUDIO: usize = 160;
/// Room for the tag.
const SLOT: usize = HEADER + AUDIO + 14;

struct Peer {
    socket: UdpSocket,
    to: SocketAddr,
    sender: Sender,
    receiver: Receiver,
    ssrc: u32,
    index: u64,
    told: Told,
    heard: Instant,
    /// Packets in a row that could not be opened.
    unopened: u64,
}

/// What is reported.
#[derive(Default)]
struct Told {
    sent: u64,
    heard: u64,
    wrong: u64,
    unopened: u64,
    longest_unopened: u64,
    longest_us: u128,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (say, said) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if say.send(line).is_err() {
                return;
            }
        }
    });
    let mut peers = Vec::new();
    for (ssrc, line) in (1..).zip(said.iter().take_while(|line| line != "go")) {
        peers.push(Peer::new(ssrc, &line)?);
    }
    let step = PACKET_TIME / u32::try_from(peers.len().max(1))?;
    let began = Instant::now();
    let mut latest = Duration::ZERO;
    for peer in &mut peers {
        peer.heard = began;
    }
    for round in 0_u32.. {
        for (at, peer) in (0..).zip(&mut peers) {
            let due = PACKET_TIME * round + step * at;
            // Small waits are left out: a sleep for each packet would cost more than the packet.
            let early = due.saturating_sub(began.elapsed());
            if early > Duration::from_millis(1) {
                std::thread::sleep(early);
            }
            latest = latest.max(began.elapsed().saturating_sub(due));
            peer.send()?;
            peer.drain(began)?;
        }
        match said.recv_timeout(Duration::ZERO) {
            Ok(_) => {
                println!("{}", report(&mut peers, std::mem::take(&mut latest)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

/// As JSON.
fn report(peers: &mut [Peer], latest: Duration) -> String {
    let mut text = format!("{{\"late_us\":{},\"peers\":[", latest.as_micros());
    for (at, peer) in peers.iter_mut().enumerate() {
        peer.silence();
        let Told {
            sent,
            heard,
            wrong,
            unopened,
            longest_unopened,
            longest_us,
        } = std::mem::take(&mut peer.told);
        let comma = if at > 0 { "," } else { "" };
        // A text takes all that is put into it.
        let _ = write!(
            text,
            "{comma}[{sent},{heard},{wrong},{unopened},{longest_unopened},{longest_us}]"
        );
    }
    text + "]}"
}

fn key(digits: &str) -> Result<CryptoKey, Box<dyn Error>> {
    let octets = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16))
        .collect::<Result<Vec<u8>, _>>()?;
    let key = CryptoKey::new(Suite::AesCm128HmacSha1_80, octets);
    Ok(key.ok_or("30 octets are a key")?)
}

fn audio() -> [u8; AUDIO] {
    std::array::from_fn(|at| PERIOD[at % PERIOD.len()])
}

impl Peer {
    fn new(ssrc: u32, line: &str) -> Result<Self, Box<dyn Error>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [local, to, own, theirs] = words[..] else {
            return Err(format!("not a peer: {line}").into());
        };
        let socket = UdpSocket::bind(local.parse::<SocketAddr>()?)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            to: to.parse()?,
            sender: Sender::new(&key(own)?),
            receiver: Receiver::new(&key(theirs)?),
            ssrc,
            index: 0,
            told: Told::default(),
            heard: Instant::now(),
            unopened: 0,
        })
    }

    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        let mut slot = [0; SLOT];
        slot[..2].copy_from_slice(&[0x80, 8]);
        slot[2..4].copy_from_slice(&(self.index as u16).to_be_bytes());
        slot[4..8].copy_from_slice(&(self.index as u32 * AUDIO as u32).to_be_bytes());
        slot[8..HEADER].copy_from_slice(&self.ssrc.to_be_bytes());
        slot[HEADER..HEADER + AUDIO].copy_from_slice(&audio());
        let length = self
            .sender
            .protect_rtp(&mut slot, HEADER + AUDIO, self.index)
            .map_err(|fault| format!("{fault:?}"))?;
        self.index += 1;
        self.told.sent += 1;
        match self.socket.send_to(&slot[..length], self.to) {
            // Nobody is there at the moment, or there is no room: it is lost on the way.
            Err(fault)
                if !matches!(
                    fault.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::WouldBlock
                ) =>
            {
                Err(fault.into())
            }
            _ => Ok(()),
        }
    }

    /// The time in which nothing came goes on.
    fn silence(&mut self) {
        let us = self.heard.elapsed().as_micros();
        self.told.longest_us = self.told.longest_us.max(us);
    }

    fn drain(&mut self, began: Instant) -> Result<(), Box<dyn Error>> {
        let mut slot = [0; 2048];
        loop {
            let length = match self.socket.recv(&mut slot) {
                // Reports are no media.
                Ok(length) if length < HEADER || matches!(slot[1], 192..=223) => continue,
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => continue,
                Err(fault) => return Err(fault.into()),
            };
            let now = Timestamp(u64::try_from(began.elapsed().as_micros())?);
            let packet = slot.get_mut(..length).unwrap_or_default();
            let Ok(length) = self.receiver.unprotect_rtp(packet, now) else {
                self.unopened += 1;
                self.told.unopened += 1;
                self.told.longest_unopened = self.told.longest_unopened.max(self.unopened);
                continue;
            };
            self.unopened = 0;
            match slot.get(HEADER..length) == Some(&audio()[..]) {
                true => {
                    self.silence();
                    self.heard = Instant::now();
                    self.told.heard += 1;
                }
                false => self.told.wrong += 1,
            }
        }
    }
}
