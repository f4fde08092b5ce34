//! The part of the program that forwards by itself. In words, for a port with an entry:
//!
//! ```text
//! armed?                                                                         else: worker
//! to us, from the source that is expected, and RTP?                              else: worker
//! has what was taken before been counted?                                        else: disarm, worker
//! exactly the next packet: no padding, extension or contributing source, SSRC, payload type, number,
//!     length, in time, within its rate, neither late nor after a pause, checksums right?
//!                                                                                else: disarm, worker
//! take the number (compare and exchange of the state); was somebody faster?      then: worker
//! count, write the new headers, back out of the interface or out of another one
//! ```
//!
//! Two processors may have packets of one stream at a time. The second one sees that the first has not counted its own, and
//! nothing of the entry is read or written by both.
//!
//! Registers: r6 what the program is given, r7 the frame, r8 the entry, r9 its state as it was read.

use super::super::program::*;
use super::layout::*;
use crate::session::{MOST_EARLY, PAUSE_US, RATE_BURST_US};

/// Where the header of IP is in the frame.
const IP: i16 = 14;

/// Where other things are.
#[derive(Clone, Copy)]
struct Places {
    /// Octets of both addresses together.
    addresses: i16,
    /// Length that the header of IP says, and what it says beyond that of UDP.
    ip_length: i16,
    beyond_udp: i32,
    from: i16,
    udp: i16,
    /// Where both addresses are in the entry, and those that are written.
    expected: i16,
    written: i16,
}

const V4: Places = Places {
    addresses: 8,
    ip_length: 16,
    beyond_udp: 20,
    from: 26,
    udp: 34,
    expected: ADDRESSES,
    written: SEND_ADDRESSES,
};
const V6: Places = Places {
    addresses: 32,
    ip_length: 18,
    beyond_udp: 0,
    from: 22,
    udp: 54,
    expected: ADDRESSES_6,
    written: SEND_ADDRESSES_6,
};

impl Places {
    const fn udp_length(self) -> i16 {
        self.udp + 4
    }

    const fn checksum(self) -> i16 {
        self.udp + 6
    }

    const fn rtp(self) -> i16 {
        self.udp + 8
    }

    const fn marker(self) -> i16 {
        self.udp + 9
    }

    const fn sequence(self) -> i16 {
        self.udp + 10
    }

    const fn timestamp(self) -> i16 {
        self.udp + 12
    }

    const fn ssrc(self) -> i16 {
        self.udp + 16
    }

    const fn payload(self) -> i32 {
        self.udp as i32 + 20
    }

    const fn is_v4(self) -> bool {
        self.addresses == 8
    }

    /// Where the frame has both addresses in pieces of so many octets.
    fn addresses(self, piece: usize) -> impl Iterator<Item = i16> {
        (0..self.addresses).step_by(piece)
    }
}

// What is kept on the stack: octets of payload, time, gap, credit, transit, jitter.
const KEPT_OCTETS: i16 = -16;
const KEPT_NOW: i16 = -24;
const KEPT_GAP: i16 = -32;
const KEPT_CREDIT: i16 = -40;
const KEPT_TRANSIT: i16 = -48;
const KEPT_JITTER: i16 = -56;

/// The verdict that sends a frame out of the interface that it came by.
const BACK: i32 = 3;
const KTIME: i32 = 5;
const REDIRECT: i32 = 23;

/// Puts the code. It begins with the number of the entry, from one, in r1, and goes on at `worker` with whatever it does
/// not forward.
pub(in super::super) fn put(code: &mut Assembler, express: i32, worker: Label) {
    let v6 = code.fresh();
    code.put(ADD, 1, 0, 0, -1);
    code.put(STORE_WORD, 10, 1, -4, 0);
    code.map(1, express);
    code.put(COPY, 2, 10, 0, 0);
    code.put(ADD, 2, 0, 0, -4);
    code.put(CALL, 0, 0, 0, MAP_LOOKUP);
    code.branch(EQUAL, 0, 0, worker);
    code.put(COPY, 8, 0, 0, 0);

    // All that the entry says is read behind the state: who takes the number knows that it was all of one round.
    load_published(code, 9, STATE);
    code.put(COPY, 1, 9, 0, 0);
    code.put(AND, 1, 0, 0, ARMED as i32);
    code.branch(EQUAL, 1, 0, worker);
    // The program has seen before that it is one or the other.
    reload(code, V4, worker);
    code.put(LOAD_HALF, 0, 7, TYPE, 0);
    let type_v6 = u16::from_ne_bytes([0x86, 0xdd]);
    code.branch(EQUAL, 0, type_v6.into(), v6);
    forward(code, V4, worker);
    code.place(v6);
    reload(code, V6, worker);
    forward(code, V6, worker);
}

/// Forwards a frame of one family. The same registers as above are set.
fn forward(code: &mut Assembler, at: Places, worker: Label) {
    let [stop, right, skip, elsewhere] = [(); 4].map(|()| code.fresh());
    // Is it of this stream at all?
    let addresses = at
        .addresses(8)
        .map(|piece| (LOAD_DOUBLE, at.from + piece, at.expected + piece));
    let others = [
        (LOAD_WORD, at.udp, BOTH_PORTS),
        (LOAD_WORD, 0, OUR_MAC),
        (LOAD_HALF, 4, OUR_MAC + 4),
    ];
    for (size, frame, entry) in addresses.chain(others) {
        code.put(size, 0, 7, frame, 0);
        code.put(size, 1, 8, entry, 0);
        code.branch_registers(DIFFERENT_REGISTERS, 0, 1, worker);
    }
    code.put(LOAD_BYTE, 0, 7, at.marker(), 0);
    code.put(AND, 0, 0, 0, 0xe0);
    code.branch(EQUAL, 0, 0xc0, worker);
    code.put(LOAD_BYTE, 0, 7, at.rtp(), 0);
    code.put(COPY, 1, 0, 0, 0);
    code.put(AND, 1, 0, 0, 0xc0);
    code.branch(DIFFERENT, 1, 0x80, worker);

    // Is it the next packet?
    code.branch(DIFFERENT, 0, 0x80, stop);
    code.put(LOAD_BYTE, 1, 7, at.marker(), 0);
    code.put(AND, 1, 0, 0, 0x7f);
    code.put(LOAD_WORD, 2, 8, PAYLOAD_TYPE, 0);
    code.branch_registers(DIFFERENT_REGISTERS, 1, 2, stop);
    code.put(LOAD_HALF, 1, 7, at.sequence(), 0);
    code.put(TO_BIG_ENDIAN, 1, 0, 0, 16);
    code.put(COPY, 2, 9, 0, 0);
    code.put(AND, 2, 0, 0, 0xffff);
    code.branch_registers(DIFFERENT_REGISTERS, 1, 2, stop);
    // Who took the one before it counts that at this moment, on another processor.
    load_published(code, 3, DONE);
    code.put(LOAD_WORD, 1, 8, LEAD, 0);
    code.put(ADD_REGISTER, 1, 3, 0, 0);
    code.put(AND, 1, 0, 0, 0xffff);
    code.branch_registers(DIFFERENT_REGISTERS, 1, 2, stop);
    code.put(LOAD_WORD, 1, 7, at.ssrc(), 0);
    code.put(LOAD_WORD, 2, 8, SSRC, 0);
    code.branch_registers(DIFFERENT_REGISTERS, 1, 2, stop);
    code.put(LOAD_HALF, 1, 7, at.udp_length(), 0);
    code.put(TO_BIG_ENDIAN, 1, 0, 0, 16);
    code.put(COPY, 2, 1, 0, 0);
    code.put(ADD, 2, 0, 0, at.beyond_udp);
    code.put(LOAD_HALF, 3, 7, at.ip_length, 0);
    code.put(TO_BIG_ENDIAN, 3, 0, 0, 16);
    code.branch_registers(DIFFERENT_REGISTERS, 2, 3, stop);
    code.put(ADD, 1, 0, 0, -20);
    code.put(LOAD_WORD, 2, 8, LEAST, 0);
    code.branch_registers(BELOW_REGISTER, 1, 2, stop);
    code.put(LOAD_WORD, 2, 8, MOST, 0);
    code.branch_registers(ABOVE_REGISTER, 1, 2, stop);
    code.branch(ABOVE, 1, 1023, stop);
    code.put(STORE_DOUBLE, 10, 1, KEPT_OCTETS, 0);

    pace(code, at, stop);
    check(code, at, stop, right);

    // It is ours to forward if nobody has taken the number, or ended this, since the state was read.
    code.place(right);
    code.put(COPY, 2, 9, 0, 0);
    code.put(ADD, 2, 0, 0, 1);
    code.put(AND, 2, 0, 0, 0xffff);
    code.put(COPY, 3, 9, 0, 0);
    code.put(AND, 3, 0, 0, !0xffff);
    code.put(OR_REGISTER, 2, 3, 0, 0);
    code.put(COPY, 0, 9, 0, 0);
    code.put(ATOMIC_WORD, 8, 2, STATE, COMPARE_EXCHANGE);
    code.branch_registers(DIFFERENT_REGISTERS, 0, 9, worker);
    count(code, at);
    code.put(COPY, 5, 1, 0, 0);
    reload(code, at, skip);
    write(code, at);
    code.place(skip);
    code.put(LOAD_WORD, 7, 8, OUT, 0);
    // Only now who ends this, or takes the next, may read what was counted.
    code.put(SET, 1, 0, 0, 1);
    code.put(ATOMIC_WORD, 8, 1, DONE, FETCH_ADD);
    code.branch(DIFFERENT, 7, 0, elsewhere);
    code.put(SET, 0, 0, 0, BACK);
    code.put(EXIT, 0, 0, 0, 0);
    code.place(elsewhere);
    code.put(COPY, 1, 7, 0, 0);
    code.put(SET, 2, 0, 0, 0);
    code.put(CALL, 0, 0, 0, REDIRECT);
    code.put(EXIT, 0, 0, 0, 0);

    code.place(stop);
    code.put(COPY, 0, 9, 0, 0);
    code.put(COPY, 1, 9, 0, 0);
    code.put(AND, 1, 0, 0, !ARMED as i32);
    code.put(ATOMIC_WORD, 8, 1, STATE, COMPARE_EXCHANGE);
    code.branch(ALWAYS, 0, 0, worker);
}

/// Loads a word of the entry; what was written before it is seen by what comes after it.
fn load_published(code: &mut Assembler, to: u8, at: i16) {
    if cfg!(target_arch = "x86_64") {
        code.put(LOAD_WORD, to, 8, at, 0);
    } else {
        code.put(SET, to, 0, 0, 0);
        code.put(ATOMIC_WORD, 8, to, at, FETCH_ADD);
    }
}

/// Finds the frame again, and that its headers are there.
fn reload(code: &mut Assembler, at: Places, otherwise: Label) {
    code.put(LOAD_WORD, 7, 6, DATA, 0);
    code.put(LOAD_WORD, 3, 6, DATA_END, 0);
    code.put(COPY, 4, 7, 0, 0);
    code.put(ADD, 4, 0, 0, at.payload());
    code.branch_registers(ABOVE_REGISTER, 4, 3, otherwise);
}

/// Time, rate and jitter; what becomes of them is kept on the stack.
fn pace(code: &mut Assembler, at: Places, stop: Label) {
    let [within, early] = [code.fresh(), code.fresh()];
    code.put(CALL, 0, 0, 0, KTIME);
    code.put(LOAD_DOUBLE, 1, 8, BASE, 0);
    code.branch_registers(BELOW_REGISTER, 0, 1, stop);
    code.put(SUBTRACT_REGISTER, 0, 1, 0, 0);
    code.put(DIVIDE, 0, 0, 0, 1_000);
    code.put(STORE_DOUBLE, 10, 0, KEPT_NOW, 0);
    code.put(LOAD_DOUBLE, 1, 8, UNTIL, 0);
    code.branch_registers(ABOVE_REGISTER, 0, 1, stop);
    code.put(LOAD_DOUBLE, 2, 8, HEARD, 0);
    code.branch_registers(ABOVE_REGISTER, 2, 0, stop);
    code.put(COPY, 3, 0, 0, 0);
    code.put(SUBTRACT_REGISTER, 3, 2, 0, 0);
    code.branch(ABOVE, 3, PAUSE_US as i32 - 1, stop);
    code.put(STORE_DOUBLE, 10, 3, KEPT_GAP, 0);
    code.put(LOAD_DOUBLE, 4, 8, CREDIT, 0);
    code.put(ADD_REGISTER, 4, 3, 0, 0);
    code.branch(BELOW_OR_EQUAL, 4, RATE_BURST_US as i32, within);
    code.put(SET, 4, 0, 0, RATE_BURST_US as i32);
    code.place(within);
    code.put(LOAD_WORD, 5, 8, COST, 0);
    code.branch_registers(BELOW_REGISTER, 4, 5, stop);
    code.put(SUBTRACT_REGISTER, 4, 5, 0, 0);
    code.put(STORE_DOUBLE, 10, 4, KEPT_CREDIT, 0);

    // RFC 3550 A.8, as `Reception::measure_jitter` has it.
    code.put(LOAD_WORD, 1, 7, at.timestamp(), 0);
    code.put(TO_BIG_ENDIAN, 1, 0, 0, 32);
    code.put(LOAD_WORD, 2, 8, TIMESTAMP, 0);
    code.branch_registers(EQUAL_REGISTERS, 1, 2, stop);
    code.put(LOAD_WORD, 5, 8, CLOCK_HZ, 0);
    code.put(MULTIPLY_REGISTER, 5, 0, 0, 0);
    code.put(DIVIDE, 5, 0, 0, 1_000_000);
    code.put(SUBTRACT_REGISTER, 5, 1, 0, 0);
    code.put(STORE_DOUBLE, 10, 5, KEPT_TRANSIT, 0);
    code.put(LOAD_WORD, 2, 8, TRANSIT, 0);
    code.put(COPY, 4, 5, 0, 0);
    code.put(SUBTRACT_REGISTER, 4, 2, 0, 0);
    code.put(SHIFT_LEFT, 4, 0, 0, 32);
    code.put(SHIFT_RIGHT_SIGNED, 4, 0, 0, 32);
    code.put(LOAD_WORD, 3, 8, LATE, 0);
    code.branch_registers(ABOVE_REGISTER_SIGNED, 4, 3, stop);
    code.branch(BELOW_SIGNED, 4, -MOST_EARLY, stop);
    code.branch(ABOVE_SIGNED, 4, -1, early);
    code.put(NEGATE, 4, 0, 0, 0);
    code.place(early);
    code.put(LOAD_WORD, 2, 8, JITTER, 0);
    code.put(COPY, 3, 2, 0, 0);
    code.put(ADD, 3, 0, 0, 8);
    code.put(SHIFT_RIGHT, 3, 0, 0, 4);
    code.put(ADD_REGISTER, 2, 4, 0, 0);
    code.put(SUBTRACT_REGISTER, 2, 3, 0, 0);
    code.put(STORE_DOUBLE, 10, 2, KEPT_JITTER, 0);
}

/// Checksums, and that the frame ends with the datagram. Leaves the payload's sum in r1.
fn check(code: &mut Assembler, at: Places, stop: Label, right: Label) {
    code.put(LOAD_WORD, 3, 6, DATA_END, 0);
    if at.is_v4() {
        code.put(SET, 0, 0, 0, 0);
        for word in (IP..at.udp).step_by(4) {
            code.put(LOAD_WORD, 4, 7, word, 0);
            code.put(ADD_REGISTER, 0, 4, 0, 0);
        }
        code.fold(0, 4);
        code.branch(DIFFERENT, 0, 0xffff, stop);
    }

    // In pieces of every power of two: the kernel wants to know for each where it ends.
    code.put(LOAD_DOUBLE, 5, 10, KEPT_OCTETS, 0);
    code.put(COPY, 2, 7, 0, 0);
    code.put(ADD, 2, 0, 0, at.payload());
    code.put(SET, 1, 0, 0, 0);
    for piece in (0..10).rev().map(|power| 1i16 << power) {
        let next = code.fresh();
        code.put(COPY, 4, 5, 0, 0);
        code.put(AND, 4, 0, 0, piece.into());
        code.branch(EQUAL, 4, 0, next);
        code.put(COPY, 4, 2, 0, 0);
        code.put(ADD, 4, 0, 0, piece.into());
        code.branch_registers(ABOVE_REGISTER, 4, 3, stop);
        let (load, step) = match piece {
            1 => (LOAD_BYTE, 1),
            2 => (LOAD_HALF, 2),
            _ => (LOAD_WORD, 4),
        };
        for offset in (0..piece).step_by(step) {
            code.put(load, 0, 2, offset, 0);
            if piece == 1 && cfg!(target_endian = "big") {
                code.put(SHIFT_LEFT, 0, 0, 0, 8);
            }
            code.put(ADD_REGISTER, 1, 0, 0, 0);
        }
        code.put(ADD, 2, 0, 0, piece.into());
        code.place(next);
    }
    code.branch_registers(BELOW_REGISTER, 2, 3, stop);

    code.put(SET, 4, 0, 0, i32::from(17u16.to_be()));
    for word in at.addresses(4) {
        code.put(LOAD_WORD, 0, 7, at.from + word, 0);
        code.put(ADD_REGISTER, 4, 0, 0, 0);
    }
    code.put(LOAD_HALF, 0, 7, at.udp_length(), 0);
    code.put(ADD_REGISTER, 4, 0, 0, 0);
    code.put(LOAD_HALF, 2, 7, at.checksum(), 0);
    // None at all (RFC 768); IPv6 has no other, so it must be there (RFC 8200 section 8.1).
    code.branch(EQUAL, 2, 0, if at.is_v4() { right } else { stop });
    code.put(COPY, 0, 4, 0, 0);
    code.put(ADD_REGISTER, 0, 1, 0, 0);
    for word in [at.udp, at.udp_length(), at.rtp(), at.timestamp(), at.ssrc()] {
        code.put(LOAD_WORD, 5, 7, word, 0);
        code.put(ADD_REGISTER, 0, 5, 0, 0);
    }
    code.fold(0, 5);
    code.branch(EQUAL, 0, 0xffff, right);
    // What a peer on this machine has left to hardware that is not there.
    code.fold(4, 5);
    code.branch_registers(DIFFERENT_REGISTERS, 4, 2, stop);
}

/// Counts the packet.
fn count(code: &mut Assembler, at: Places) {
    let [jitter, gap] = [code.fresh(), code.fresh()];
    for (kept, sum) in [(KEPT_OCTETS, OCTETS), (KEPT_JITTER, JITTER_SUM)] {
        code.put(LOAD_DOUBLE, 2, 10, kept, 0);
        code.put(LOAD_DOUBLE, 3, 8, sum, 0);
        code.put(ADD_REGISTER, 3, 2, 0, 0);
        code.put(STORE_DOUBLE, 8, 3, sum, 0);
    }
    // r2 is the jitter still.
    code.put(STORE_WORD, 8, 2, JITTER, 0);
    code.put(LOAD_WORD, 3, 8, MOST_JITTER, 0);
    code.branch_registers(BELOW_OR_EQUAL_REGISTER, 2, 3, jitter);
    code.put(STORE_WORD, 8, 2, MOST_JITTER, 0);
    code.place(jitter);
    code.put(LOAD_DOUBLE, 2, 10, KEPT_GAP, 0);
    code.put(LOAD_WORD, 3, 8, GAP, 0);
    code.branch_registers(BELOW_OR_EQUAL_REGISTER, 2, 3, gap);
    code.put(STORE_WORD, 8, 2, GAP, 0);
    code.place(gap);
    for (kept, size, to) in [
        (KEPT_NOW, STORE_DOUBLE, HEARD),
        (KEPT_CREDIT, STORE_DOUBLE, CREDIT),
        (KEPT_TRANSIT, STORE_WORD, TRANSIT),
    ] {
        code.put(LOAD_DOUBLE, 2, 10, kept, 0);
        code.put(size, 8, 2, to, 0);
    }
    code.put(LOAD_WORD, 0, 7, at.timestamp(), 0);
    code.put(TO_BIG_ENDIAN, 0, 0, 0, 32);
    code.put(STORE_WORD, 8, 0, TIMESTAMP, 0);
}

/// Writes the headers as `frame::wrap` does. r0 is the timestamp as it came, r5 the payload's sum.
fn write(code: &mut Assembler, at: Places) {
    let macs = [0, 4, 8].map(|word| (word, MACS + word));
    for (place, from) in macs.into_iter().chain([(at.udp, SEND_PORTS)]) {
        code.put(LOAD_WORD, 2, 8, from, 0);
        code.put(STORE_WORD, 7, 2, place, 0);
    }
    code.put(LOAD_WORD, 2, 8, CLASS, 0);
    if at.is_v4() {
        code.put(STORE_HALF, 7, 2, IP, 0);
        // No number, never to be cut; hops and protocol.
        let flags = i32::from_ne_bytes([0, 0, 0x40, 0]);
        code.put(STORE_WORD_CONSTANT, 7, 0, IP + 4, flags);
        let hops = u16::from_ne_bytes([64, 17]).into();
        code.put(STORE_HALF_CONSTANT, 7, 0, IP + 8, hops);
        code.put(LOAD_HALF, 2, 7, at.ip_length, 0);
        code.put(LOAD_WORD, 3, 8, IP_SUM, 0);
        code.put(ADD_REGISTER, 2, 3, 0, 0);
        code.fold(2, 3);
        code.put(EXCLUSIVE_OR, 2, 0, 0, 0xffff);
        code.put(STORE_HALF, 7, 2, IP + 10, 0);
    } else {
        code.put(STORE_WORD, 7, 2, IP, 0);
        let hops = u16::from_ne_bytes([17, 64]).into();
        code.put(STORE_HALF_CONSTANT, 7, 0, IP + 6, hops);
    }
    for piece in at.addresses(8) {
        code.put(LOAD_DOUBLE, 2, 8, at.written + piece, 0);
        code.put(STORE_DOUBLE, 7, 2, at.from + piece, 0);
    }
    code.put(LOAD_BYTE, 2, 7, at.marker(), 0);
    code.put(AND, 2, 0, 0, 0x80);
    code.put(LOAD_WORD, 3, 8, SEND_AS, 0);
    code.put(OR_REGISTER, 2, 3, 0, 0);
    code.put(STORE_BYTE, 7, 2, at.marker(), 0);
    code.put(LOAD_HALF, 2, 7, at.sequence(), 0);
    code.put(TO_BIG_ENDIAN, 2, 0, 0, 16);
    code.put(LOAD_WORD, 3, 8, SEQUENCE_SHIFT, 0);
    code.put(ADD_REGISTER, 2, 3, 0, 0);
    code.put(TO_BIG_ENDIAN, 2, 0, 0, 16);
    code.put(STORE_HALF, 7, 2, at.sequence(), 0);
    code.put(LOAD_WORD, 3, 8, TIMESTAMP_SHIFT, 0);
    code.put(ADD_REGISTER, 0, 3, 0, 0);
    code.put(TO_BIG_ENDIAN, 0, 0, 0, 32);
    code.put(STORE_WORD, 7, 0, at.timestamp(), 0);
    code.put(LOAD_WORD, 2, 8, SEND_SSRC, 0);
    code.put(STORE_WORD, 7, 2, at.ssrc(), 0);

    let whole = code.fresh();
    code.put(LOAD_WORD, 2, 8, UDP_SUM, 0);
    code.put(ADD_REGISTER, 5, 2, 0, 0);
    // Once for the header, once for what goes before it.
    code.put(LOAD_HALF, 2, 7, at.udp_length(), 0);
    code.put(ADD_REGISTER, 5, 2, 0, 0);
    code.put(ADD_REGISTER, 5, 2, 0, 0);
    for word in [at.udp, at.rtp(), at.timestamp(), at.ssrc()] {
        code.put(LOAD_WORD, 2, 7, word, 0);
        code.put(ADD_REGISTER, 5, 2, 0, 0);
    }
    code.fold(5, 2);
    code.put(EXCLUSIVE_OR, 5, 0, 0, 0xffff);
    code.branch(DIFFERENT, 5, 0, whole);
    // Zero says that there is none (RFC 768).
    code.put(SET, 5, 0, 0, 0xffff);
    code.place(whole);
    code.put(STORE_HALF, 7, 5, at.checksum(), 0);
}
