//! What the program and a worker share of one direction of a stream: an entry of the map, octet by octet.
//!
//! Four lines of the cache: what is compared first, what is written into a packet, what the program counts, and the
//! addresses of IPv6, which the packets of IPv4 do without. Numbers are the host's; what is compared with or copied into
//! packets lies as it does there.

/// Octets of an entry.
pub(in super::super) const BYTES: usize = 256;

/// Number of the next packet below, [`ARMED`], and above it a count of the times that it was armed. One word, so that who
/// takes a packet and who ends the express cannot both succeed.
pub(in super::super) const STATE: i16 = 0;
/// Set while packets pass.
pub(in super::super) const ARMED: u32 = 1 << 16;
/// What is added to the state each time it is armed.
pub(in super::super) const ROUND: u32 = 1 << 17;

// What a packet has to have: ports and addresses of source and destination, SSRC, our Ethernet address, payload type,
// least and most octets of payload. Addresses of the other family are zeros, which no packet has.
pub(in super::super) const BOTH_PORTS: i16 = 4;
pub(in super::super) const ADDRESSES: i16 = 8;
pub(in super::super) const SSRC: i16 = 16;
pub(in super::super) const OUR_MAC: i16 = 20;
pub(in super::super) const PAYLOAD_TYPE: i16 = 28;
pub(in super::super) const LEAST: i16 = 32;
pub(in super::super) const MOST: i16 = 36;
/// Last moment, in microseconds since [`BASE`].
pub(in super::super) const UNTIL: i16 = 40;
/// Nanoseconds of the kernel's clock when timestamps began.
pub(in super::super) const BASE: i16 = 48;
pub(in super::super) const CLOCK_HZ: i16 = 56;
/// Units by which a packet may be late.
pub(in super::super) const LATE: i16 = 60;
/// Microseconds that a packet costs of its rate.
pub(in super::super) const COST: i16 = 64;

// What it gets.
pub(in super::super) const SEQUENCE_SHIFT: i16 = 68;
pub(in super::super) const TIMESTAMP_SHIFT: i16 = 72;
pub(in super::super) const SEND_SSRC: i16 = 76;
pub(in super::super) const SEND_AS: i16 = 80;
/// The first two octets of the IPv4 header, four of IPv6's.
pub(in super::super) const CLASS: i16 = 84;
pub(in super::super) const SEND_ADDRESSES: i16 = 88;
pub(in super::super) const SEND_PORTS: i16 = 96;
/// Sum of the IPv4 header but its length, and of what UDP's checksum covers of it but that.
pub(in super::super) const IP_SUM: i16 = 100;
pub(in super::super) const MACS: i16 = 104;
pub(in super::super) const UDP_SUM: i16 = 116;
/// What has to be added to [`DONE`] for the number of the next packet, where all that were taken have been counted.
pub(in super::super) const LEAD: i16 = 120;
/// The kernel's number of the interface that it leaves by; zero if that is the one that it came by.
pub(in super::super) const OUT: i16 = 124;

// What the program counts. Octets of payload, when the newest came, what is left of the rate, sum of the jitter after
// each packet; timestamp and transit of the newest, jitter and the largest, longest gap.
pub(in super::super) const OCTETS: i16 = 128;
pub(in super::super) const HEARD: i16 = 136;
pub(in super::super) const CREDIT: i16 = 144;
pub(in super::super) const JITTER_SUM: i16 = 152;
pub(in super::super) const TIMESTAMP: i16 = 160;
pub(in super::super) const TRANSIT: i16 = 164;
pub(in super::super) const JITTER: i16 = 168;
pub(in super::super) const MOST_JITTER: i16 = 172;
pub(in super::super) const GAP: i16 = 176;
/// Packets that have been counted here, over all times that it was armed.
pub(in super::super) const DONE: i16 = 180;

// Of IPv6, source and destination each.
pub(in super::super) const ADDRESSES_6: i16 = 192;
pub(in super::super) const SEND_ADDRESSES_6: i16 = 224;
