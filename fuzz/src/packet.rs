//! Datagrams on a media port: classified and read without a session.

use media_relay::packet::demux::{Class, classify};
use media_relay::packet::rtcp::{Compound, Packet, Writer};
use media_relay::packet::rtp::{HEADER_BYTES, MAX_PACKET_BYTES, RtpHeader, write_header};
use media_relay::packet::stun::StunHeader;

pub(crate) fn check(data: &[u8]) {
    let class = classify(data);
    if let Some(header) = StunHeader::parse(data) {
        // Types that RFC 7983 gives to others are never asked about.
        assert!(class == Class::Stun || data[0] > 3);
        assert_eq!(data.len(), 20 + usize::from(header.attribute_bytes));
    }
    if let Ok(header) = RtpHeader::parse(data) {
        rtp(data, &header);
        // Only a first octet of RTP's passes; the second tells RTP from RTCP.
        assert!(matches!(class, Class::Rtp | Class::Rtcp));
    }
    if let Ok(compound) = Compound::parse(data) {
        assert_eq!(class, Class::Rtcp);
        rtcp(data, compound);
    }
    written(data);
}

fn rtp(data: &[u8], header: &RtpHeader) {
    assert!(data.len() <= MAX_PACKET_BYTES);
    assert!((HEADER_BYTES..=data.len()).contains(&header.payload_start));
    if let Ok(payload) = header.payload(data) {
        assert!(payload.start == header.payload_start && payload.end <= data.len());
    }
    let mut fresh = [0; HEADER_BYTES];
    write_header(
        &mut fresh,
        header.marker,
        header.payload_type,
        header.sequence,
        header.timestamp,
        header.ssrc,
    );
    let again = RtpHeader::parse(&fresh).expect("our header");
    assert_eq!(again.payload_start, HEADER_BYTES);
    let facts = |header: &RtpHeader| {
        let RtpHeader {
            marker,
            payload_type,
            sequence,
            timestamp,
            ssrc,
            ..
        } = *header;
        (marker, payload_type, sequence, timestamp, ssrc)
    };
    assert_eq!(facts(&again), facts(header));
}

/// A checked compound is read to its end, and a second reader finds as many packets.
fn rtcp(data: &[u8], compound: Compound<'_>) {
    let packets: Vec<Packet<'_>> = compound.packets().collect();
    assert!(!packets.is_empty() && packets.len() <= data.len() / 4);
    let mut counted = 0;
    let mut at = 0;
    while at < data.len() {
        at += 4 + 4 * usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]]));
        counted += 1;
    }
    assert_eq!(packets.len(), counted, "the walk reaches the end");
    for packet in packets {
        match packet {
            Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } => {
                for block in blocks {
                    assert!((-0x80_0000..=0x7f_ffff).contains(&block.cumulative_lost));
                }
            }
            Packet::SourceDescription { cname } => {
                assert!(cname.is_none_or(|name| name.len() <= 255));
            }
            Packet::Extended { blocks, .. } => {
                assert!(blocks.count() <= data.len() / 36);
            }
            Packet::Goodbye { .. } | Packet::Other { .. } => {}
        }
    }
}

/// What we write with any name is read by us and by somebody else.
fn written(name: &[u8]) {
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer);
    writer.report(7, None, None);
    writer.canonical_name(7, name);
    writer.goodbye(7);
    let length = writer.len();
    let bytes = &buffer[..length];
    let compound = Compound::parse(bytes).expect("our compound");
    let Some(Packet::SourceDescription { cname }) = compound.packets().nth(1) else {
        panic!("a source description");
    };
    let name = &name[..name.len().min(255)];
    assert_eq!(cname, Some(name));
    let theirs = rtc_rtcp::packet::unmarshal(&mut &bytes[..]).expect("read by the oracle");
    assert_eq!(theirs.len(), 3);
}
