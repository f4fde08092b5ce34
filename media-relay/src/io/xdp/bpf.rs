//! The system call `bpf`: maps, programs and their links to interfaces.

use super::program::Instruction;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const INFO: libc::c_int = 15;
const LINK_CREATE: libc::c_int = 28;
#[cfg(test)]
const TEST_RUN: libc::c_int = 10;
#[cfg(test)]
const LINK_DETACH: libc::c_int = 34;

const ARRAY: u32 = 2;
const SOCKET_MAP: u32 = 17;
/// A map that can be written like memory.
const MAPPABLE: u32 = 1 << 10;
/// Programs for received frames, and where they are attached.
const XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

/// Name of the program.
const NAME: &[u8; 16] = b"causeway_media\0\0";

const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;

/// Where in the way of a frame the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// In the driver, before the kernel makes anything of the frame.
    Native,
    /// Behind the driver; slower, and everywhere.
    Generic,
}

/// A map of entries of so many octets, a multiple of eight, that is mapped into memory.
pub(super) fn array(entries: u32, octets: u32) -> io::Result<OwnedFd> {
    create(ARRAY, entries, octets, MAPPABLE)
}

/// A map of AF_XDP sockets.
pub(super) fn sockets(entries: u32) -> io::Result<OwnedFd> {
    create(SOCKET_MAP, entries, 4, 0)
}

fn create(kind: u32, entries: u32, octets: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut words = [0u32; 32];
    words[..5].copy_from_slice(&[kind, 4, octets, entries, flags]);
    descriptor(MAP_CREATE, &mut words)
}

/// Puts a socket into a map of sockets.
pub(super) fn put(map: &OwnedFd, key: u32, socket: RawFd) -> io::Result<()> {
    let mut words = [0u32; 32];
    words[0] = map.as_raw_fd() as u32;
    let value = socket as u32;
    set_pointer(&mut words, 2, &raw const key);
    set_pointer(&mut words, 4, &raw const value);
    call(MAP_UPDATE, &mut words).map(drop)
}

/// How often a program is loaded while something disturbs that: the kernel leaves off looking at it where a signal waits
/// (EAGAIN), which says nothing of the program.
const LOADS: usize = 10;

/// Loads a program.
pub(super) fn load(code: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut words = [0u32; 32];
    words[..2].copy_from_slice(&[XDP, code.len() as u32]);
    set_pointer(&mut words, 2, code.as_ptr());
    set_pointer(&mut words, 4, license.as_ptr());
    // As administrators see it.
    for (word, octets) in words[12..16].iter_mut().zip(NAME.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*octets);
    }
    words[17] = ATTACH_XDP;
    let mut tries = 0;
    loop {
        tries += 1;
        let loaded = descriptor(PROGRAM_LOAD, &mut words);
        let is_disturbed = |why: &io::Error| why.kind() == io::ErrorKind::WouldBlock;
        if tries == LOADS || !loaded.as_ref().err().is_some_and(is_disturbed) {
            return loaded;
        }
    }
}

/// Attaches a program to an interface until the descriptor is closed, at the latest when the process ends.
pub(super) fn attach(program: &OwnedFd, interface: u32, mode: Mode) -> io::Result<OwnedFd> {
    let flags = match mode {
        Mode::Native => NATIVE,
        Mode::Generic => GENERIC,
    };
    let mut words = [0u32; 32];
    words[..4].copy_from_slice(&[program.as_raw_fd() as u32, interface, ATTACH_XDP, flags]);
    descriptor(LINK_CREATE, &mut words)
}

/// Whether a link still leads to its interface: an administrator may have cut it, or the interface be gone.
pub(super) fn is_attached(link: &OwnedFd) -> bool {
    let mut info = [0u32; 32];
    let mut words = [0u32; 32];
    words[..2].copy_from_slice(&[link.as_raw_fd() as u32, size_of_val(&info) as u32]);
    set_pointer(&mut words, 2, info.as_mut_ptr());
    // The interface is behind kind, number and program, and aligned to eight.
    call(INFO, &mut words).is_ok() && info[4] != 0
}

/// Cuts a link as an administrator can.
#[cfg(test)]
pub(super) fn detach(link: &OwnedFd) -> io::Result<()> {
    let mut words = [0u32; 32];
    words[0] = link.as_raw_fd() as u32;
    call(LINK_DETACH, &mut words).map(drop)
}

/// Runs a program on a frame. Returns its verdict, and leaves in `frame` what it has made of it.
#[cfg(test)]
pub(super) fn run(program: &OwnedFd, frame: &mut [u8]) -> io::Result<u32> {
    let mut made = vec![0u8; frame.len()];
    let mut words = [0u32; 32];
    words[0] = program.as_raw_fd() as u32;
    (words[2], words[3]) = (frame.len() as u32, made.len() as u32);
    set_pointer(&mut words, 4, frame.as_ptr());
    set_pointer(&mut words, 6, made.as_mut_ptr());
    words[8] = 1;
    call(TEST_RUN, &mut words)?;
    frame.copy_from_slice(&made);
    Ok(words[1])
}

fn set_pointer<T>(words: &mut [u32; 32], at: usize, pointer: *const T) {
    let octets = (pointer as usize as u64).to_ne_bytes();
    for (word, octets) in words[at..].iter_mut().zip(octets.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*octets);
    }
}

fn descriptor(command: libc::c_int, words: &mut [u32; 32]) -> io::Result<OwnedFd> {
    let descriptor = call(command, words)?;
    // JUSTIFICATION: the system call returns a plain number.
    // SAFETY: these commands return a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn call(command: libc::c_int, words: &mut [u32; 32]) -> io::Result<RawFd> {
    // JUSTIFICATION: there is no wrapper of this system call.
    // SAFETY: the kernel reads at most the given size of `words`, zeros where nothing is said. Pointers in
    // it lead to values of the callers above, which live until it returns and are as long as the command,
    // the map's sizes of key and value, or the counts beside them say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            words.as_mut_ptr(),
            size_of_val(words),
        )
    };
    match RawFd::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
