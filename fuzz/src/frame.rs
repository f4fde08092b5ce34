//! Ethernet frames: read as they come, and what is read written again.

use media_relay::packet::frame::{Headers, MOST_HEADER_BYTES, Mac, parse, wrap};

pub(crate) fn check(data: &[u8]) {
    let Ok(read) = parse(data) else {
        return;
    };
    let payload = &data[read.payload.clone()];
    assert_ne!(read.from.ip(), read.to.ip());
    assert_eq!(read.from.is_ipv4(), read.to.is_ipv4());
    // Back where it came from.
    let headers = Headers {
        our_mac: read.mac,
        next_mac: Mac([2, 0, 0, 0, 0, 1]),
        from: read.to,
        to: read.from,
        dscp: data[0] >> 2,
    };
    let mut buffer = vec![0xee; MOST_HEADER_BYTES];
    buffer.extend_from_slice(payload);
    let end = buffer.len();
    let frame = wrap(&mut buffer, MOST_HEADER_BYTES..end, &headers).expect("room");
    match parse(&buffer[frame.clone()]) {
        Ok(again) => {
            assert_eq!((again.from, again.to), (read.to, read.from));
            assert_eq!(again.mac, headers.next_mac);
            assert_eq!(&buffer[frame][again.payload], payload);
        }
        // Our own address is what it was sent to, and need not be one that can send.
        Err(fault) => assert_eq!(fault, media_relay::packet::frame::FrameFault::Source),
    }
}
