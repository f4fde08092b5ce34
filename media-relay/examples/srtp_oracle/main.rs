//! SRTP beside `libsrtp2` and `rtc-srtp`, packet by packet: `cargo run --release --example srtp_oracle`.
//!
//! Argument: packets, ten million if there is none, spread over the suites. Each is protected here and
//! opened by both others, then protected again by both, and must come out octet for octet; what
//! `libsrtp2` protected is opened here. Lengths are any, sources several, counters roll over. At the end
//! stands what a packet of speech costs `libsrtp2`, and us in the same moment.
//!
//! Keys of 192 bits are left out: `rtc-srtp` has none, and `libsrtp2` derives others from them than the
//! vectors of RFC 6188 say.
//!
//! It needs a C compiler and the headers of `libsrtp2` (Debian: `gcc`, `libsrtp2-dev`).

use media_api::{CryptoKey, Suite};
use media_relay::Timestamp;
use media_relay::srtp::{MAX_TRAILER_BYTES, Receiver, Sender};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use std::error::Error;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver as Inbox, Sender as Outbox};
use std::thread;
use std::time::Instant;

type Fault = Box<dyn Error + Send + Sync>;

const PACKETS: u64 = 10_000_000;
/// SSRCs of each suite.
const SOURCES: usize = 4;
/// One packet in so many is RTCP.
const RTCP_EVERY: u64 = 50;
/// Turns of a measurement, and packets of each: together fewer than there are sequence numbers.
const TURNS: usize = 200;
const TURN: usize = 200;

fn main() -> Result<(), Fault> {
    const USAGE: &str = "usage: srtp_oracle [PACKETS [--untimed]]";
    let mut arguments = std::env::args().skip(1);
    let packets = match arguments.next() {
        Some(number) => number.parse().map_err(|_| USAGE)?,
        None => PACKETS,
    };
    let is_timed = match arguments.next().as_deref() {
        None => true,
        Some("--untimed") => false,
        Some(_) => return Err(USAGE.into()),
    };
    let program = compile()?;
    let suites = Suite::ALL
        .into_iter()
        .filter(|suite| suite.key_bytes() != 24);
    let each = packets.div_ceil(suites.clone().count() as u64);
    println!("suite                     agreed on  ours, ns  libsrtp2, ns  ratio");
    for suite in suites {
        let master: Vec<u8> = (1..).take(suite.key_and_salt_bytes()).collect();
        let key = CryptoKey::new(suite, master).ok_or("the length is that of the suite")?;
        compare(&program, &key, each)?;
        if !is_timed {
            println!("{:24}  {each:>9}", suite.name());
            continue;
        }
        let (ours, theirs) = measure(&program, &key)?;
        println!(
            "{:24}  {each:>9}  {ours:>8.0}  {theirs:>12.0}  {:>5.2}",
            suite.name(),
            ours / theirs
        );
    }
    Ok(())
}

/// Builds the other end beside this program.
fn compile() -> Result<PathBuf, Fault> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/srtp_oracle/libsrtp2.c");
    let program = std::env::current_exe()?.with_file_name("srtp_oracle_libsrtp2");
    let built = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&program, &source])
        .arg("-lsrtp2")
        .status();
    match built {
        Ok(status) if status.success() => Ok(program),
        _ => Err("cc could not build with libsrtp2: install gcc and libsrtp2-dev".into()),
    }
}

fn start(program: &Path, key: &CryptoKey, count: Option<usize>) -> Result<Child, Fault> {
    let octets = key.expose_key_and_salt().iter();
    let digits: String = octets.map(|octet| format!("{octet:02x}")).collect();
    let mut command = Command::new(program);
    command.args([key.suite().name(), &digits]);
    command.args(count.map(|count| count.to_string()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

/// A packet as it was and as we protected it.
struct Pair {
    is_rtcp: bool,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

/// Sends `count` packets through all three implementations.
fn compare(program: &Path, key: &CryptoKey, count: u64) -> Result<(), Fault> {
    let mut child = start(program, key, None)?;
    let stdin = child.stdin.take().ok_or("no standard input")?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    // The pipes bound how many are on their way.
    let (pairs, expected) = mpsc::channel();
    let writer = {
        let key = key.clone();
        thread::spawn(move || send(BufWriter::new(stdin), &key, count, &pairs))
    };
    let checked = check(BufReader::new(stdout), key, &expected);
    // A fault ends the other side, and that the thread.
    if checked.is_err() {
        child.kill()?;
    }
    let sent = writer.join().map_err(|_| "the sending thread panicked")?;
    checked?;
    sent?;
    match child.wait()?.success() {
        true => Ok(()),
        false => Err("libsrtp2 ended with a fault".into()),
    }
}

fn send(
    mut out: impl Write,
    key: &CryptoKey,
    count: u64,
    pairs: &Outbox<Pair>,
) -> Result<(), Fault> {
    let mut sender = Sender::new(key);
    let mut dice = Dice(7);
    let mut indices = [1_u64, 0x7000, 0x7ffe, 9];
    for number in 0..count {
        let source = dice.below(SOURCES);
        let is_rtcp = number % RTCP_EVERY == RTCP_EVERY - 1;
        let (plain, index) = match is_rtcp {
            true => (dice.rtcp(), 0),
            false => {
                // Some are lost on the way.
                indices[source] += 1 + dice.below(20).saturating_sub(17) as u64;
                let index = indices[source];
                (dice.rtp(source, index as u16), index)
            }
        };
        let mut sealed = plain.clone();
        sealed.resize(plain.len() + MAX_TRAILER_BYTES, 0);
        let length = match is_rtcp {
            true => sender.protect_rtcp(&mut sealed, plain.len()),
            false => sender.protect_rtp(&mut sealed, plain.len(), index),
        };
        sealed.truncate(length.map_err(|fault| format!("not protected: {fault:?}"))?);
        out.write_all(&[u8::from(is_rtcp)])?;
        out.write_all(&u16::try_from(sealed.len())?.to_be_bytes())?;
        out.write_all(&sealed)?;
        let pair = Pair {
            is_rtcp,
            plain,
            sealed,
        };
        pairs.send(pair)?;
    }
    Ok(out.flush()?)
}

fn check(mut answers: impl Read, key: &CryptoKey, expected: &Inbox<Pair>) -> Result<(), Fault> {
    let mut receiver = Receiver::new(key);
    let (mut send, mut receive) = oracle(key)?;
    let mut now = Timestamp(0);
    for pair in expected {
        let Pair {
            is_rtcp,
            plain,
            sealed,
        } = pair;
        let told = format!("{} of {} octets", key.suite().name(), plain.len());
        if frame(&mut answers)? != plain {
            return Err(format!("libsrtp2 does not open {told}").into());
        }
        let mut theirs = frame(&mut answers)?;
        if theirs != sealed {
            return Err(format!("libsrtp2 protects {told} in another way").into());
        }
        let (again, opened) = match is_rtcp {
            true => (send.encrypt_rtcp(&plain)?, receive.decrypt_rtcp(&sealed)?),
            false => (send.encrypt_rtp(&plain)?, receive.decrypt_rtp(&sealed)?),
        };
        if again != sealed || opened != plain {
            return Err(format!("rtc-srtp disagrees about {told}").into());
        }
        now.0 += 20_000;
        let opened = match is_rtcp {
            true => receiver.unprotect_rtcp(&mut theirs),
            false => receiver.unprotect_rtp(&mut theirs, now),
        };
        if opened.map(|length| &theirs[..length]) != Ok(&plain[..]) {
            return Err(format!("we do not open {told}: {opened:?}").into());
        }
    }
    Ok(())
}

fn frame(from: &mut impl Read) -> Result<Vec<u8>, Fault> {
    let mut head = [0; 3];
    from.read_exact(&mut head)?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    from.read_exact(&mut packet)?;
    Ok(packet)
}

/// Contexts of `rtc-srtp` for both directions.
fn oracle(key: &CryptoKey) -> Result<(Context, Context), Fault> {
    let profile = match key.suite() {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AesCm256HmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
        Suite::AesCm256HmacSha1_32 => ProtectionProfile::Aes256CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        Suite::AesCm192HmacSha1_80 | Suite::AesCm192HmacSha1_32 => {
            return Err("rtc-srtp has no keys of 192 bits".into());
        }
    };
    let provider = rtc_crypto::default_provider()?;
    let context = || {
        let (key, salt) = (key.expose_key(), key.expose_salt());
        Context::new(key, salt, profile, None, None, provider.crypto())
    };
    Ok((context()?, context()?))
}

/// Nanoseconds to protect and open one packet of speech: ours, and those of `libsrtp2`. The best of
/// many short turns, which other load does not change much.
fn measure(program: &Path, key: &CryptoKey) -> Result<(f64, f64), Fault> {
    let told = start(program, key, Some(TURNS))?.wait_with_output()?;
    let told = String::from_utf8(told.stdout)?;
    let theirs = told.split_whitespace().map(str::parse::<f64>);
    Ok((our_best(key)?, theirs.sum::<Result<f64, _>>()?))
}

fn our_best(key: &CryptoKey) -> Result<f64, Fault> {
    let sender = Sender::new(key);
    let mut receiver = Receiver::new(key);
    let speech = |at: u64| {
        let mut packet = [0xd5; 172 + MAX_TRAILER_BYTES];
        packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        packet[2..4].copy_from_slice(&(at as u16).to_be_bytes());
        packet
    };
    let (mut protect, mut open) = (f64::INFINITY, f64::INFINITY);
    for turn in 0..TURNS as u64 {
        let first = turn * TURN as u64;
        let mut packets: Vec<_> = (first..).map(speech).take(TURN).collect();
        let mut length = 0;
        let begin = Instant::now();
        for (index, packet) in (first..).zip(&mut packets) {
            let sealed = sender.protect_rtp(packet, 172, index);
            length = sealed.map_err(|fault| format!("not protected: {fault:?}"))?;
        }
        protect = protect.min(begin.elapsed().as_nanos() as f64);
        let begin = Instant::now();
        for (index, packet) in (first..).zip(&mut packets) {
            let opened = receiver.unprotect_rtp(&mut packet[..length], Timestamp(index * 20_000));
            opened.map_err(|fault| format!("not opened: {fault:?}"))?;
        }
        open = open.min(begin.elapsed().as_nanos() as f64);
    }
    Ok((protect + open) / TURN as f64)
}

/// Repeatable chance.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn fill(&mut self, length: usize) -> impl Iterator<Item = u8> {
        let octet = self.below(256) as u8;
        (0..length).map(move |at| octet.wrapping_add((at * 31) as u8))
    }

    /// Most packets are short; contributing sources and a header extension are in some.
    fn rtp(&mut self, source: usize, sequence: u16) -> Vec<u8> {
        let contributing = self.below(20).saturating_sub(16);
        let extended = self.below(10) == 0;
        let mut packet = vec![0x80 | u8::from(extended) << 4 | contributing as u8, 8];
        packet.extend(sequence.to_be_bytes());
        packet.extend(u32::from(sequence).wrapping_mul(160).to_be_bytes());
        packet.extend([0, 0, 1, source as u8]);
        packet.extend(self.fill(contributing * 4));
        if extended {
            packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        }
        let most = if self.below(8) == 0 { 1_450 } else { 330 };
        let length = self.below(most);
        packet.extend(self.fill(length));
        packet
    }

    /// Of one source only: `libsrtp2` numbers the reports of each, we those of a key.
    fn rtcp(&mut self) -> Vec<u8> {
        let words = self.below(60);
        let mut packet = vec![0x80, 201, 0, words as u8 + 1, 0, 0, 1, 0];
        packet.extend(self.fill(words * 4));
        packet
    }
}
