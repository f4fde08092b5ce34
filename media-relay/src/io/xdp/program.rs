//! The program that runs for every frame of an interface: what is ours goes to a worker, all else to
//! the kernel.
//!
//! Assembled here, so that no compiler but Rust's is needed. In words:
//!
//! ```text
//! IPv4 without options and fragments, or IPv6 without extension headers, of at most 1,500 octets,
//!     with UDP in it, to one of our media addresses?              else: kernel
//! worker, entry := ports[address · 65536 + port];  is there one?  else: kernel
//! forward it, if there is an entry and it is what that expects    else:
//! give it to sockets[queue · workers + worker];  is there one?    else: kernel
//! ```

use std::net::IpAddr;

/// One instruction in the kernel's layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    /// Destination in the lower half, source in the upper one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    /// A whole program that throws every frame away; figures measure the cable with it.
    #[allow(dead_code)]
    pub(super) const DROP: [Self; 2] = [
        Self {
            code: SET,
            registers: 0,
            offset: 0,
            immediate: 1,
        },
        Self {
            code: EXIT,
            registers: 0,
            offset: 0,
            immediate: 0,
        },
    ];
}

#[cfg(test)]
impl Instruction {
    /// A whole program that leaves every frame to the kernel.
    pub(super) const PASS_ALL: [Self; 2] = {
        let [mut verdict, end] = Self::DROP;
        verdict.immediate = PASS;
        [verdict, end]
    };
}

/// Ports of one address in the map of ports.
pub(super) const PORTS: usize = 1 << 16;

/// The verdict that leaves a frame to the kernel.
pub(super) const PASS: i32 = 2;
/// The longest packet that is diverted; a longer one is none of ours, and may not fit into a frame.
const MOST_PACKET_BYTES: i32 = 1500;

// Where things are in a frame without tags.
pub(super) const TYPE: i16 = 12;
const V4: Layout = Layout {
    end: 42,
    length: 16,
    protocol: 23,
    destination: 30,
    port: 36,
};
const V6: Layout = Layout {
    end: 62,
    length: 18,
    protocol: 20,
    destination: 38,
    port: 56,
};
const FRAGMENT: i16 = 20;

// Where things are in what the program is given.
pub(super) const DATA: i16 = 0;
pub(super) const DATA_END: i16 = 4;
const QUEUE: i16 = 16;

pub(super) const MAP_LOOKUP: i32 = 1;
const REDIRECT_MAP: i32 = 51;

struct Layout {
    /// Where the payload begins.
    end: i32,
    length: i16,
    protocol: i16,
    destination: i16,
    port: i16,
}

/// What the program is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// In the order in which `ports` has them.
    pub(super) addresses: &'a [IpAddr],
    pub(super) workers: usize,
    /// The maps' descriptors.
    pub(super) ports: i32,
    pub(super) sockets: i32,
    /// What forwards by itself.
    pub(super) express: Option<Part>,
    /// What becomes of a worker's frame where the worker has no socket at the queue.
    pub(super) otherwise: i32,
}

/// A part of the program that forwards by itself: the descriptor of its map, and what puts its code, which begins with
/// the number of an entry in r1 and goes on at a label with what it does not forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) map: i32,
    pub(super) put: fn(&mut Assembler, i32, Label),
}

/// The program of an interface.
pub(super) fn assemble(plan: &Plan<'_>) -> Vec<Instruction> {
    let Plan {
        addresses,
        workers,
        ports,
        sockets,
        express,
        otherwise,
    } = *plan;
    let mut code = Assembler::default();
    let [v4, v6, look_up, pass] = [Label(0), Label(1), Label(2), Label(3)];
    let of_network = |two: [u8; 2]| i32::from(u16::from_ne_bytes(two));

    // r6: what the program is given, r2: the frame, r3: its end.
    code.put(COPY, 6, 1, 0, 0);
    code.put(LOAD_WORD, 2, 1, DATA, 0);
    code.put(LOAD_WORD, 3, 1, DATA_END, 0);
    code.bound(V4.end, pass);
    code.put(LOAD_HALF, 5, 2, TYPE, 0);
    code.branch(EQUAL, 5, of_network([0x08, 0x00]), v4);
    code.branch(DIFFERENT, 5, of_network([0x86, 0xdd]), pass);

    code.place(v6);
    code.bound(V6.end, pass);
    code.put(LOAD_BYTE, 5, 2, 14, 0);
    code.put(AND, 5, 0, 0, 0xf0);
    code.branch(DIFFERENT, 5, 0x60, pass);
    code.is_short_udp(&V6, MOST_PACKET_BYTES - 40, pass);
    code.put(LOAD_DOUBLE, 5, 2, V6.destination, 0);
    code.put(LOAD_DOUBLE, 9, 2, V6.destination + 8, 0);
    for (at, address) in (0..).zip(addresses) {
        if let IpAddr::V6(address) = address {
            let octets = address.octets();
            let (halves, _) = octets.as_chunks::<8>();
            let next = code.fresh();
            code.constant(0, halves[0]);
            code.branch_registers(DIFFERENT_REGISTERS, 5, 0, next);
            code.constant(0, halves[1]);
            code.branch_registers(DIFFERENT_REGISTERS, 9, 0, next);
            code.put(SET, 7, 0, 0, at);
            code.put(LOAD_HALF, 8, 2, V6.port, 0);
            code.branch(ALWAYS, 0, 0, look_up);
            code.place(next);
        }
    }
    code.branch(ALWAYS, 0, 0, pass);

    code.place(v4);
    code.put(LOAD_BYTE, 5, 2, 14, 0);
    code.branch(DIFFERENT, 5, 0x45, pass);
    code.put(LOAD_HALF, 5, 2, FRAGMENT, 0);
    code.put(AND, 5, 0, 0, of_network([0x3f, 0xff]));
    code.branch(DIFFERENT, 5, 0, pass);
    code.is_short_udp(&V4, MOST_PACKET_BYTES, pass);
    code.put(LOAD_WORD, 5, 2, V4.destination, 0);
    for (at, address) in (0..).zip(addresses) {
        if let IpAddr::V4(address) = address {
            let next = code.fresh();
            code.branch(DIFFERENT_32, 5, i32::from_ne_bytes(address.octets()), next);
            code.put(SET, 7, 0, 0, at);
            code.put(LOAD_HALF, 8, 2, V4.port, 0);
            code.branch(ALWAYS, 0, 0, look_up);
            code.place(next);
        }
    }
    code.branch(ALWAYS, 0, 0, pass);

    // r7: which address, r8: the port in network order. The key is on the stack.
    code.place(look_up);
    code.put(TO_BIG_ENDIAN, 8, 0, 0, 16);
    code.put(SHIFT_LEFT, 7, 0, 0, 16);
    code.put(ADD_REGISTER, 7, 8, 0, 0);
    code.put(STORE_WORD, 10, 7, -4, 0);
    code.map(1, ports);
    code.put(COPY, 2, 10, 0, 0);
    code.put(ADD, 2, 0, 0, -4);
    code.put(CALL, 0, 0, 0, MAP_LOOKUP);
    code.branch(EQUAL, 0, 0, pass);
    match express {
        Some(Part { map, put }) => {
            let worker = code.fresh();
            code.put(LOAD_WORD, 1, 0, 0, 0);
            code.branch(EQUAL, 1, 0, pass);
            code.put(STORE_WORD, 10, 1, -8, 0);
            code.put(LOAD_WORD, 1, 0, 4, 0);
            code.branch(EQUAL, 1, 0, worker);
            put(&mut code, map, worker);
            code.place(worker);
            code.put(LOAD_WORD, 0, 10, -8, 0);
        }
        None => {
            code.put(LOAD_WORD, 0, 0, 0, 0);
            code.branch(EQUAL, 0, 0, pass);
        }
    }
    // Workers are counted from one there.
    code.put(ADD, 0, 0, 0, -1);
    code.put(LOAD_WORD, 2, 6, QUEUE, 0);
    code.put(
        MULTIPLY,
        2,
        0,
        0,
        i32::try_from(workers).unwrap_or(i32::MAX),
    );
    code.put(ADD_REGISTER, 2, 0, 0, 0);
    code.map(1, sockets);
    code.put(SET, 3, 0, 0, otherwise);
    code.put(CALL, 0, 0, 0, REDIRECT_MAP);
    code.put(EXIT, 0, 0, 0, 0);

    code.place(pass);
    code.put(SET, 0, 0, 0, PASS);
    code.put(EXIT, 0, 0, 0, 0);
    code.finish()
}

// Operations, as the kernel numbers them.
pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const LOAD_HALF: u8 = 0x69;
pub(super) const LOAD_BYTE: u8 = 0x71;
pub(super) const LOAD_DOUBLE: u8 = 0x79;
const LOAD_CONSTANT: u8 = 0x18;
pub(super) const STORE_WORD: u8 = 0x63;
pub(super) const STORE_HALF: u8 = 0x6b;
pub(super) const STORE_BYTE: u8 = 0x73;
pub(super) const STORE_DOUBLE: u8 = 0x7b;
pub(super) const STORE_WORD_CONSTANT: u8 = 0x62;
pub(super) const STORE_HALF_CONSTANT: u8 = 0x6a;
/// Which one is in the immediate operand.
pub(super) const ATOMIC_WORD: u8 = 0xc3;
pub(super) const FETCH_ADD: i32 = 0x01;
/// With r0, which gets what was there.
pub(super) const COMPARE_EXCHANGE: i32 = 0xf1;
pub(super) const COPY: u8 = 0xbf;
pub(super) const SET: u8 = 0xb7;
pub(super) const ADD: u8 = 0x07;
pub(super) const ADD_REGISTER: u8 = 0x0f;
pub(super) const SUBTRACT_REGISTER: u8 = 0x1f;
pub(super) const MULTIPLY: u8 = 0x27;
pub(super) const MULTIPLY_REGISTER: u8 = 0x2f;
pub(super) const DIVIDE: u8 = 0x37;
pub(super) const OR_REGISTER: u8 = 0x4f;
pub(super) const AND: u8 = 0x57;
pub(super) const EXCLUSIVE_OR: u8 = 0xa7;
pub(super) const NEGATE: u8 = 0x87;
pub(super) const SHIFT_LEFT: u8 = 0x67;
pub(super) const SHIFT_RIGHT: u8 = 0x77;
pub(super) const SHIFT_RIGHT_SIGNED: u8 = 0xc7;
pub(super) const TO_BIG_ENDIAN: u8 = 0xdc;
pub(super) const ALWAYS: u8 = 0x05;
pub(super) const EQUAL: u8 = 0x15;
pub(super) const EQUAL_REGISTERS: u8 = 0x1d;
pub(super) const DIFFERENT: u8 = 0x55;
pub(super) const DIFFERENT_REGISTERS: u8 = 0x5d;
const DIFFERENT_32: u8 = 0x56;
pub(super) const ABOVE: u8 = 0x25;
pub(super) const ABOVE_REGISTER: u8 = 0x2d;
pub(super) const ABOVE_SIGNED: u8 = 0x65;
pub(super) const ABOVE_REGISTER_SIGNED: u8 = 0x6d;
pub(super) const BELOW_SIGNED: u8 = 0xc5;
pub(super) const BELOW_REGISTER: u8 = 0xad;
pub(super) const BELOW_OR_EQUAL: u8 = 0xb5;
pub(super) const BELOW_OR_EQUAL_REGISTER: u8 = 0xbd;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;
/// Marks a constant as the descriptor of a map.
const MAP: u8 = 1;

#[derive(Clone, Copy)]
pub(super) struct Label(usize);

/// Instructions, where labels are, and which jumps want to go there.
pub(super) struct Assembler {
    code: Vec<Instruction>,
    places: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Default for Assembler {
    fn default() -> Self {
        Self {
            code: Vec::new(),
            places: vec![None; 4],
            jumps: Vec::new(),
        }
    }
}

impl Assembler {
    pub(super) fn put(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        self.code.push(Instruction {
            code,
            registers: from << 4 | to,
            offset,
            immediate,
        });
    }

    pub(super) fn fresh(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    pub(super) fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    pub(super) fn branch(&mut self, code: u8, register: u8, immediate: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(code, register, 0, 0, immediate);
    }

    pub(super) fn branch_registers(&mut self, code: u8, one: u8, other: u8, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(code, one, other, 0, 0);
    }

    fn constant(&mut self, register: u8, octets: [u8; 8]) {
        let value = u64::from_ne_bytes(octets);
        self.put(LOAD_CONSTANT, register, 0, 0, value as u32 as i32);
        self.put(0, 0, 0, 0, (value >> 32) as u32 as i32);
    }

    pub(super) fn map(&mut self, register: u8, descriptor: i32) {
        self.put(LOAD_CONSTANT, register, MAP, 0, descriptor);
        self.put(0, 0, 0, 0, 0);
    }

    /// The kernel wants proof that what is read is there.
    fn bound(&mut self, octets: i32, otherwise: Label) {
        self.put(COPY, 4, 2, 0, 0);
        self.put(ADD, 4, 0, 0, octets);
        self.branch_registers(ABOVE_REGISTER, 4, 3, otherwise);
    }

    /// Adds what is above sixteen bits below, until nothing is.
    pub(super) fn fold(&mut self, sum: u8, scratch: u8) {
        // Less than two thousand words were added.
        for _ in 0..4 {
            self.put(COPY, scratch, sum, 0, 0);
            self.put(SHIFT_RIGHT, scratch, 0, 0, 16);
            self.put(AND, sum, 0, 0, 0xffff);
            self.put(ADD_REGISTER, sum, scratch, 0, 0);
        }
    }

    fn is_short_udp(&mut self, layout: &Layout, most: i32, otherwise: Label) {
        self.put(LOAD_BYTE, 5, 2, layout.protocol, 0);
        self.branch(DIFFERENT, 5, 17, otherwise);
        self.put(LOAD_HALF, 5, 2, layout.length, 0);
        self.put(TO_BIG_ENDIAN, 5, 0, 0, 16);
        self.branch(ABOVE, 5, most, otherwise);
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let to = self.places[label.0].unwrap_or(at);
            self.code[at].offset = i16::try_from(to.wrapping_sub(at + 1) as isize).unwrap_or(0);
        }
        self.code
    }
}
