//! New inputs for every target, made of those on file: the short form of `.ci/fuzz`, and the same ones in every run.

mod inputs;

use causeway_fuzz::{TARGETS, Target};
use inputs::{inputs, root};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::fs;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::thread;

/// How many of them each target gets.
const COUNT: u64 = 2_000;
/// No longer than what a peer may send at once.
const MAX_BYTES: usize = 65_535;
/// What ends, begins or bounds something in one of the formats.
#[rustfmt::skip]
const TOKENS: &[&[u8]] = &[
    b"\r\n", b"\n", b"\r\n\r\n", b"\0", b" ", b"\t", b",", b";", b":", b"=", b"\"", b"\\", b"<", b">", b"@",
    b"%", b"%0", b"[", b"]", b"{", b"}", b"/", b"|", b"-1", b"0", b"65536", b"4294967296",
    b"18446744073709551616", b"\xff", b"\xc3\xa4", b"\x80", b"\x7f",
];

struct Mutator {
    random: ChaCha8Rng,
}

impl Mutator {
    fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end.max(1) as u64) as usize
    }

    /// Some part of something, mostly a short one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = (length - start).min(if self.below(4) == 0 { length } else { 16 });
        start..start + self.below(most + 1)
    }

    /// An input that differs from one on file in one to six places.
    fn mutate(&mut self, files: &[Vec<u8>]) -> Vec<u8> {
        let mut data = files[self.below(files.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(data.len() + 1);
            match self.below(8) {
                0 if !data.is_empty() => {
                    let at = self.below(data.len());
                    data[at] ^= 1 << self.below(8);
                }
                1 if !data.is_empty() => {
                    let at = self.below(data.len());
                    data[at] = self.below(256) as u8;
                }
                2 => {
                    let part = self.part(data.len());
                    data.drain(part);
                }
                3 => {
                    let part = self.part(data.len());
                    let times = 1 << self.below(7);
                    let repeated = data[part].repeat(times);
                    data.splice(at..at, repeated);
                }
                4 => {
                    let other = &files[self.below(files.len())];
                    let part = self.part(other.len());
                    let over = at + self.below(data.len() - at + 1).min(part.len());
                    data.splice(at..over, other[part].iter().copied());
                }
                5 => data.truncate(at),
                _ => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    data.splice(at..at, token.iter().copied());
                }
            }
        }
        data.truncate(MAX_BYTES);
        data
    }
}

/// The first of so many inputs of its own that a target fails on.
fn finding(target: &Target, count: u64) -> Option<Vec<u8>> {
    let files: Vec<Vec<u8>> = inputs(target)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    (0..count)
        .map(|seed| {
            let random = ChaCha8Rng::seed_from_u64(seed);
            Mutator { random }.mutate(&files)
        })
        .find(|data| catch_unwind(|| (target.run)(data)).is_err())
}

#[test]
fn no_target_fails_on_inputs_made_of_those_on_file() {
    let next = Mutex::new(TARGETS.iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(target) = { next.lock().unwrap().next() } {
                    if let Some(data) = finding(target, COUNT) {
                        let folder = root().join("fuzz/artifacts").join(target.name);
                        fs::create_dir_all(&folder).unwrap();
                        let path = folder.join("mutated");
                        fs::write(&path, data).unwrap();
                        let line = format!("{} fails on {}", target.name, path.display());
                        failed.lock().unwrap().push(line);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_no_file_has_is_tried() {
    let strange = Target {
        name: "uri",
        run: |data| assert!(!data.contains(&0x7f)),
    };
    let files = inputs(&strange);
    assert!(
        files
            .iter()
            .all(|path| catch_unwind(|| (strange.run)(&fs::read(path).unwrap())).is_ok())
    );
    assert!(finding(&strange, COUNT).is_some());
}
