//! Sound files: WAV with one channel of 16-bit PCM or of G.711, as 8,000 linear samples a second.
//!
//! Read here rather than by a library because those that are kept up read no G.711, which is what exchanges
//! export. What has a higher rate is filtered before samples are left out, or it would sound distorted.

use crate::daemon::confine;
use sbc_core::config::{FileFault, LONGEST_RECORDING, SAMPLES_PER_SECOND};
use std::f64::consts::PI;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Largest file: the longest recording at the highest rate, and some room for what else is in it.
const LARGEST_FILE: u64 = 58 << 20;

/// Reads the file of this name in a folder. It may be a link, but not one that leads out of the folder.
pub(super) fn read(folder: &str, name: &str) -> Result<Arc<[i16]>, FileFault> {
    let unreadable = |fault: std::io::Error| FileFault::Unreadable(fault.to_string());
    let folder = Path::new(folder).canonicalize();
    let folder = folder
        .map_err(|fault| FileFault::Unreadable(format!("the folder of the sounds: {fault}")))?;
    let path = folder.join(name).canonicalize().map_err(unreadable)?;
    if path.parent() != Some(folder.as_path()) {
        return Err(FileFault::Unreadable(
            "it is a link that leads out of the folder".to_owned(),
        ));
    }
    Ok(decode(&octets_of(&path)?)?.into())
}

/// What is in a file of this path, as far as it is no larger than any that is read.
pub(crate) fn octets_of(path: &Path) -> Result<Vec<u8>, FileFault> {
    confine::note_file(path);
    let unreadable = |fault: std::io::Error| {
        let own = confine::in_force().and_then(|own| own.hides(path));
        let is_refused = fault.kind() == std::io::ErrorKind::PermissionDenied;
        let own = own.filter(|_| is_refused);
        FileFault::Unreadable(own.unwrap_or_else(|| fault.to_string()))
    };
    // Before it is opened: to open a pipe would wait for somebody who writes into it.
    let is_file = path.metadata().map_err(unreadable)?.is_file();
    if !is_file {
        return Err(FileFault::Unreadable("it is no file".to_owned()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut octets = Vec::new();
    let mut limited = file.take(LARGEST_FILE + 1);
    limited.read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > LARGEST_FILE {
        return Err(unusable(format!(
            "it is larger than {} MiB",
            LARGEST_FILE >> 20
        )));
    }
    Ok(octets)
}

fn unusable(why: impl Into<String>) -> FileFault {
    FileFault::Unusable(why.into())
}

/// How samples are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    Linear,
    ALaw,
    MuLaw,
}

impl Coding {
    fn octets(self) -> usize {
        match self {
            Self::Linear => 2,
            Self::ALaw | Self::MuLaw => 1,
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug)]
struct Form {
    coding: Coding,
    /// Samples a second are so many times 8,000.
    factor: usize,
}

/// The samples of a file with these octets.
pub(crate) fn decode(octets: &[u8]) -> Result<Vec<i16>, FileFault> {
    let is_wav = octets.starts_with(b"RIFF") && octets.get(8..12) == Some(b"WAVE");
    if !is_wav {
        return Err(unusable("it is no WAV file"));
    }
    let mut form = None;
    let mut rest = octets.get(12..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(8) {
        let size = le_u32(head, 4).unwrap_or_default() as usize;
        let chunk = after.get(..size.min(after.len())).unwrap_or_default();
        match (head.get(..4), form) {
            (Some(b"fmt "), _) => form = Some(read_form(chunk)?),
            (Some(b"data"), Some(form)) => return samples(chunk, form),
            (Some(b"data"), None) => return Err(unusable("its samples come before their form")),
            _ => {}
        }
        // Chunks begin at even places.
        rest = after.get(size + size % 2..).unwrap_or_default();
    }
    Err(unusable("there are no samples in it"))
}

fn read_form(chunk: &[u8]) -> Result<Form, FileFault> {
    let (Some(tag), Some(channels), Some(rate), Some(bits)) = (
        le_u16(chunk, 0),
        le_u16(chunk, 2),
        le_u32(chunk, 4),
        le_u16(chunk, 14),
    ) else {
        return Err(unusable("its header is too short"));
    };
    // The extensible form has the tag as the beginning of a GUID.
    let tag = match tag {
        0xfffe => le_u16(chunk, 24).unwrap_or_default(),
        tag => tag,
    };
    let coding = match (tag, bits) {
        (1, 16) => Coding::Linear,
        (6, 8) => Coding::ALaw,
        (7, 8) => Coding::MuLaw,
        _ => {
            return Err(unusable(format!(
                "its samples are neither 16-bit PCM nor G.711 (format {tag}, {bits} bits)"
            )));
        }
    };
    if channels != 1 {
        return Err(unusable(format!("it has {channels} channels, not one")));
    }
    let rate = rate as usize;
    let factor = rate / SAMPLES_PER_SECOND;
    if !rate.is_multiple_of(SAMPLES_PER_SECOND) || !(1..=6).contains(&factor) {
        return Err(unusable(format!(
            "it has {rate} samples a second, not 8000, 16000, 24000, 32000, 40000 or 48000"
        )));
    }
    Ok(Form { coding, factor })
}

fn samples(chunk: &[u8], form: Form) -> Result<Vec<i16>, FileFault> {
    let width = form.coding.octets();
    let count = chunk.len() / width;
    let seconds = count / (SAMPLES_PER_SECOND * form.factor);
    if seconds as u64 > LONGEST_RECORDING.as_secs() {
        return Err(unusable(format!(
            "it lasts {seconds} s, more than {}",
            LONGEST_RECORDING.as_secs()
        )));
    }
    let linear = chunk
        .chunks_exact(width)
        .map(|own| match (form.coding, own) {
            (Coding::Linear, [low, high]) => i16::from_le_bytes([*low, *high]),
            (Coding::ALaw, [octet]) => a_law(*octet),
            (Coding::MuLaw, [octet]) => mu_law(*octet),
            // Of no other width is any chunk.
            _ => 0,
        });
    let linear: Vec<i16> = linear.collect();
    let slow = match form.factor {
        1 => linear,
        factor => slowed(&linear, factor),
    };
    match slow.is_empty() {
        true => Err(unusable("there are no samples in it")),
        false => Ok(slow),
    }
}

/// Taps on either side of the filter, for each time that the rate is higher.
const TAPS: usize = 24;

/// Where the filter begins to leave things out, as a part of what 8,000 samples a second can carry.
const PASS: f64 = 0.9;

/// Every so-manieth sample, without what would sound as something else then.
fn slowed(samples: &[i16], factor: usize) -> Vec<i16> {
    let reach = TAPS * factor;
    let cutoff = PASS / factor as f64;
    let tap = |at: usize| {
        let x = at as f64 - reach as f64;
        let sinc = match at == reach {
            true => cutoff,
            false => (PI * cutoff * x).sin() / (PI * x),
        };
        // A Hann window.
        sinc * (0.5 + 0.5 * (PI * x / (reach as f64 + 1.0)).cos())
    };
    let taps: Vec<f64> = (0..=2 * reach).map(tap).collect();
    let whole: f64 = taps.iter().sum();
    let heard = |middle: usize| {
        let first = middle.saturating_sub(reach);
        let skipped = reach.saturating_sub(middle);
        let around = samples.get(first..).unwrap_or_default();
        let weighed = taps.iter().skip(skipped).zip(around);
        let sum: f64 = weighed.map(|(tap, own)| tap * f64::from(*own)).sum();
        // The value saturates at the ends of its type.
        (sum / whole).round() as i16
    };
    (0..samples.len()).step_by(factor).map(heard).collect()
}

/// ITU-T G.711, table 1: the middle of the interval that an octet names.
fn a_law(octet: u8) -> i16 {
    let own = octet ^ 0x55;
    let segment = (own & 0x70) >> 4;
    let step = i16::from(own & 0x0f);
    let magnitude = match segment {
        0 => (step << 4) + 8,
        segment => ((step << 4) + 0x108) << (segment - 1),
    };
    match own & 0x80 {
        0 => -magnitude,
        _ => magnitude,
    }
}

/// ITU-T G.711, table 2.
fn mu_law(octet: u8) -> i16 {
    let own = !octet;
    let segment = (own & 0x70) >> 4;
    let step = i16::from(own & 0x0f);
    let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
    match own & 0x80 {
        0 => magnitude,
        _ => -magnitude,
    }
}

fn le_u16(octets: &[u8], at: usize) -> Option<u16> {
    let own = octets.get(at..at + 2)?;
    Some(u16::from_le_bytes(own.try_into().ok()?))
}

fn le_u32(octets: &[u8], at: usize) -> Option<u32> {
    let own = octets.get(at..at + 4)?;
    Some(u32::from_le_bytes(own.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file.
    fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
        let align = channels * bits / 8;
        file.extend(16u32.to_le_bytes());
        file.extend(tag.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate * u32::from(align)).to_le_bytes());
        file.extend(align.to_le_bytes());
        file.extend(bits.to_le_bytes());
        // Something else in between, of an odd size.
        file.extend(b"LIST\x03\0\0\0abc\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn linear(samples: impl IntoIterator<Item = i16>) -> Vec<u8> {
        samples.into_iter().flat_map(i16::to_le_bytes).collect()
    }

    /// So many samples of a tone.
    fn tone(hz: f64, rate: u32, count: usize) -> Vec<i16> {
        let at =
            |at: usize| (10_000.0 * (2.0 * PI * hz * at as f64 / f64::from(rate)).sin()) as i16;
        (0..count).map(at).collect()
    }

    fn loudest(samples: &[i16]) -> i16 {
        // The ends are heard only in part.
        let inner = &samples[40..samples.len() - 40];
        inner.iter().map(|own| own.saturating_abs()).max().unwrap()
    }

    #[test]
    fn samples_are_what_the_file_says() {
        let own = [0, 1, -1, i16::MAX, i16::MIN];
        assert_eq!(decode(&wav(1, 1, 8_000, 16, &linear(own))).unwrap(), own);
        assert_eq!(
            decode(&wav(6, 1, 8_000, 8, &[0xd5, 0x55, 0xaa, 0x2a])).unwrap(),
            [8, -8, 32_256, -32_256]
        );
        assert_eq!(
            decode(&wav(7, 1, 8_000, 8, &[0xff, 0x7f, 0x80, 0x00])).unwrap(),
            [0, 0, 32_124, -32_124]
        );
    }

    #[test]
    fn a_higher_rate_is_brought_down_without_what_would_be_distorted() {
        for rate in [16_000, 48_000] {
            let factor = rate as usize / 8_000;
            let heard = |hz: f64| {
                let file = wav(1, 1, rate, 16, &linear(tone(hz, rate, 800 * factor)));
                let samples = decode(&file).unwrap();
                assert_eq!(samples.len(), 800);
                loudest(&samples)
            };
            assert!((9_500..=10_500).contains(&heard(1_000.0)), "{rate}");
            assert!(heard(5_000.0) < 100, "{rate}: {}", heard(5_000.0));
        }
    }

    #[test]
    fn what_cannot_be_played_says_why() {
        let why = |octets: &[u8]| match decode(octets) {
            Err(FileFault::Unusable(why)) => why,
            other => panic!("{other:?}"),
        };
        let second = linear(vec![0; 8_000]);
        assert!(why(b"ID3").contains("no WAV"));
        assert!(why(&wav(1, 2, 8_000, 16, &second)).contains("2 channels"));
        assert!(why(&wav(1, 1, 44_100, 16, &second)).contains("44100"));
        assert!(why(&wav(3, 1, 8_000, 32, &second)).contains("format 3"));
        assert!(why(&wav(1, 1, 8_000, 16, &[])).contains("no samples"));
        let long = vec![0xd5; 8_000 * 601];
        assert!(why(&wav(6, 1, 8_000, 8, &long)).contains("601 s"));
        // However it is cut off.
        let file = wav(1, 1, 8_000, 16, &linear([1, 2, 3]));
        for end in 0..file.len() {
            let _ = decode(&file[..end]);
        }
    }

    #[test]
    fn only_files_of_the_folder_are_read() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("sounds");
        std::fs::create_dir(&folder).unwrap();
        let file = wav(1, 1, 8_000, 16, &linear([1, 2, 3]));
        std::fs::write(folder.join("in.wav"), &file).unwrap();
        std::fs::write(outside.path().join("out.wav"), &file).unwrap();
        std::os::unix::fs::symlink("in.wav", folder.join("link.wav")).unwrap();
        std::os::unix::fs::symlink("../out.wav", folder.join("leak.wav")).unwrap();
        let read = |name: &str| read(folder.to_str().unwrap(), name);
        assert_eq!(read("in.wav").unwrap()[..], [1, 2, 3]);
        assert_eq!(read("link.wav").unwrap()[..], [1, 2, 3]);
        for (name, why) in [
            ("leak.wav", "leads out"),
            ("../out.wav", "leads out"),
            (".", "leads out"),
            ("absent.wav", "No such file"),
        ] {
            match read(name) {
                Err(FileFault::Unreadable(text)) => assert!(text.contains(why), "{name}: {text}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
