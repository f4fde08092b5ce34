//! One party of a call: what it sends, and what it expects to hear.

use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::packet::rtp::{HEADER_BYTES, RtpHeader, write_header};
use media_relay::srtp::{Receiver, Sender};
use std::error::Error;
use std::net::SocketAddr;

/// 20 ms of G.711.
const PAYLOAD_BYTES: usize = 160;
/// Who, which and when are in front of it.
const MARK_BYTES: usize = 16;
const PCMA: u8 = 8;

/// A party.
pub(crate) struct Peer {
    pub(crate) local: SocketAddr,
    pub(crate) to: SocketAddr,
    number: u32,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    sent: u64,
    /// The number of the latest packet that it heard.
    heard: u32,
    /// SSRC and sequence number of that packet.
    numbered: Option<(u32, u16)>,
}

/// What a packet is to who got it.
pub(crate) enum Verdict {
    /// It is no media.
    Report,
    Good {
        sent_ns: u64,
        in_order: bool,
    },
    /// Not from the other party of the call, not what that one sent, or not numbered as it was.
    Wrong,
}

impl Peer {
    /// Reads a line: its address, where it sends to, its key and the other side's.
    pub(crate) fn new(at: usize, line: &str) -> Result<Self, Box<dyn Error>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [local, to, own, theirs] = words[..] else {
            return Err(format!("not a peer: {line}").into());
        };
        Ok(Self {
            local: local.parse()?,
            to: to.parse()?,
            number: u32::try_from(at)?,
            sender: key(own)?.as_ref().map(Sender::new),
            receiver: key(theirs)?.as_ref().map(Receiver::new),
            sent: 0,
            heard: 0,
            numbered: None,
        })
    }

    /// Writes its next packet and returns its length.
    pub(crate) fn write(&mut self, buffer: &mut [u8], now_ns: u64) -> usize {
        self.sent += 1;
        let plain_bytes = HEADER_BYTES + PAYLOAD_BYTES;
        if let Some(header) = buffer.first_chunk_mut() {
            let timestamp = (self.sent as u32).wrapping_mul(PAYLOAD_BYTES as u32);
            let ssrc = 0x5e00_0000 | self.number;
            write_header(header, false, PCMA, self.sent as u16, timestamp, ssrc);
        }
        let payload = &mut buffer[HEADER_BYTES..plain_bytes];
        payload[..4].copy_from_slice(&self.number.to_be_bytes());
        payload[4..8].copy_from_slice(&(self.sent as u32).to_be_bytes());
        payload[8..MARK_BYTES].copy_from_slice(&now_ns.to_be_bytes());
        payload[MARK_BYTES..].fill(filling(self.number, self.sent as u32));
        match &self.sender {
            None => plain_bytes,
            Some(sender) => sender
                .protect_rtp(buffer, plain_bytes, self.sent)
                .unwrap_or(plain_bytes),
        }
    }

    /// Judges a packet that came to it.
    pub(crate) fn judge(&mut self, packet: &mut [u8]) -> Verdict {
        if matches!(packet.get(1), Some(192..=223)) {
            return Verdict::Report;
        }
        let length = match &mut self.receiver {
            None => Ok(packet.len()),
            Some(receiver) => receiver.unprotect_rtp(packet, Timestamp(0)),
        };
        let packet = length.ok().and_then(|length| packet.get(..length));
        packet
            .and_then(|packet| self.read(packet))
            .unwrap_or(Verdict::Wrong)
    }

    fn read(&mut self, packet: &[u8]) -> Option<Verdict> {
        let header = RtpHeader::parse(packet).ok()?;
        let payload = packet.get(header.payload(packet).ok()?)?;
        let (who, rest) = payload.split_first_chunk::<4>()?;
        let (which, rest) = rest.split_first_chunk::<4>()?;
        let (when, rest) = rest.split_first_chunk::<8>()?;
        let (who, which) = (u32::from_be_bytes(*who), u32::from_be_bytes(*which));
        let filling = filling(who, which);
        let is_whole = payload.len() == PAYLOAD_BYTES && rest.iter().all(|octet| *octet == filling);
        if who != self.number ^ 1 || !is_whole || header.payload_type != PCMA {
            return None;
        }
        // Numbers of the relay's own are as far apart as those of who sent them.
        let (ssrc, before) = self.numbered.unwrap_or((header.ssrc, header.sequence));
        let passed = which.wrapping_sub(self.heard);
        let is_numbered = header.sequence.wrapping_sub(before) == passed as u16;
        if self.numbered.is_some() && (header.ssrc != ssrc || !is_numbered) {
            return None;
        }
        let in_order = which > self.heard;
        if in_order {
            self.heard = which;
            self.numbered = Some((header.ssrc, header.sequence));
        }
        Some(Verdict::Good {
            sent_ns: u64::from_be_bytes(*when),
            in_order,
        })
    }
}

/// What the rest of a payload consists of.
fn filling(number: u32, sent: u32) -> u8 {
    (number.wrapping_mul(31) ^ sent) as u8
}

fn key(digits: &str) -> Result<Option<CryptoKey>, Box<dyn Error>> {
    if digits == "-" {
        return Ok(None);
    }
    let octets = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
        .collect::<Result<Vec<u8>, _>>()?;
    let key = CryptoKey::new(Suite::AesCm128HmacSha1_80, octets);
    Ok(Some(key.ok_or("30 octets are a key")?))
}
