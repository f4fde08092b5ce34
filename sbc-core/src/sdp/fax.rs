//! T.38 parameters of an `m=image` line (ITU-T T.38 annex D, SIP-570).

use super::attribute::Attributes;
use super::text;
use media_api::wire_layout;
use std::fmt;

/// What a T.38 endpoint says about itself. Absent attributes keep the defaults of T.38.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fax {
    /// `T38FaxVersion`
    pub version: Option<u8>,
    /// `T38MaxBitRate` in bit/s.
    pub max_bit_rate: Option<u32>,
    /// `T38FaxFillBitRemoval`
    pub fill_bit_removal: bool,
    /// `T38FaxTranscodingMMR`
    pub transcoding_mmr: bool,
    /// `T38FaxTranscodingJBIG`
    pub transcoding_jbig: bool,
    /// `T38FaxRateManagement`
    pub rate_management: Option<FaxRate>,
    /// `T38FaxMaxBuffer` in bytes.
    pub max_buffer: Option<u32>,
    /// `T38FaxMaxDatagram` in bytes.
    pub max_datagram: Option<u32>,
    /// `T38FaxUdpEC`
    pub redundancy: Option<FaxRedundancy>,
}

/// `T38FaxRateManagement`
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaxRate {
    /// `transferredTCF`
    Transferred,
    /// `localTCF`
    Local,
}

/// `T38FaxUdpEC`
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaxRedundancy {
    /// `t38UDPRedundancy`
    Redundancy,
    /// `t38UDPFEC`
    Fec,
    /// `t38UDPNoEC`
    None,
}

const REDUNDANCY: [(&str, FaxRedundancy); 3] = [
    ("t38UDPRedundancy", FaxRedundancy::Redundancy),
    ("t38UDPFEC", FaxRedundancy::Fec),
    ("t38UDPNoEC", FaxRedundancy::None),
];

impl Fax {
    /// Says each attribute that is not the default; switches as bare names (ITU-T T.38 table D.1).
    pub(super) fn write(&self, mut line: impl FnMut(fmt::Arguments<'_>)) {
        if let Some(version) = self.version {
            line(format_args!("T38FaxVersion:{version}"));
        }
        if let Some(rate) = self.max_bit_rate {
            line(format_args!("T38MaxBitRate:{rate}"));
        }
        let switches = [
            (self.fill_bit_removal, "T38FaxFillBitRemoval"),
            (self.transcoding_mmr, "T38FaxTranscodingMMR"),
            (self.transcoding_jbig, "T38FaxTranscodingJBIG"),
        ];
        for (_, name) in switches.iter().filter(|(is_on, _)| *is_on) {
            line(format_args!("{name}"));
        }
        if let Some(management) = self.rate_management {
            let name = match management {
                FaxRate::Transferred => "transferredTCF",
                FaxRate::Local => "localTCF",
            };
            line(format_args!("T38FaxRateManagement:{name}"));
        }
        if let Some(bytes) = self.max_buffer {
            line(format_args!("T38FaxMaxBuffer:{bytes}"));
        }
        if let Some(bytes) = self.max_datagram {
            line(format_args!("T38FaxMaxDatagram:{bytes}"));
        }
        let known = REDUNDANCY
            .iter()
            .find(|(_, kind)| Some(*kind) == self.redundancy);
        if let Some((name, _)) = known {
            line(format_args!("T38FaxUdpEC:{name}"));
        }
    }

    pub(super) fn read(attributes: Attributes<'_>) -> Self {
        // Boolean attributes are written as bare names by some and as `name:0|1` by others.
        let flag = |name: &[u8]| {
            attributes
                .named(name)
                .next()
                .is_some_and(|attribute| attribute.value != Some(b"0"))
        };
        let value = |name: &[u8]| attributes.value(name);
        let is = |text: &[u8], name: &str| text.eq_ignore_ascii_case(name.as_bytes());
        Self {
            version: value(b"T38FaxVersion").and_then(text::number),
            max_bit_rate: value(b"T38MaxBitRate").and_then(text::number),
            fill_bit_removal: flag(b"T38FaxFillBitRemoval"),
            transcoding_mmr: flag(b"T38FaxTranscodingMMR"),
            transcoding_jbig: flag(b"T38FaxTranscodingJBIG"),
            rate_management: value(b"T38FaxRateManagement").and_then(|text| {
                if is(text, "transferredTCF") {
                    Some(FaxRate::Transferred)
                } else {
                    is(text, "localTCF").then_some(FaxRate::Local)
                }
            }),
            max_buffer: value(b"T38FaxMaxBuffer").and_then(text::number),
            max_datagram: value(b"T38FaxMaxDatagram").and_then(text::number),
            redundancy: value(b"T38FaxUdpEC").and_then(|text| {
                REDUNDANCY
                    .iter()
                    .find(|(name, _)| is(text, name))
                    .map(|(_, kind)| *kind)
            }),
        }
    }
}

wire_layout! {
    struct Fax {
        version, max_bit_rate, fill_bit_removal, transcoding_mmr, transcoding_jbig, rate_management, max_buffer,
        max_datagram, redundancy,
    }

    enum FaxRate {
        0: Transferred,
        1: Local,
    }

    enum FaxRedundancy {
        0: Redundancy,
        1: Fec,
        2: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Description, Limits, MediaKind, Transport};
    use super::*;
    use bytes::Bytes;

    #[test]
    fn flags_are_read_with_and_without_value() {
        let seen = Description::parse(
            Bytes::from_static(
                b"v=0\r\nm=image 4002 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
                  a=T38FaxFillBitRemoval:0\r\na=T38FaxTranscodingMMR\r\na=T38FaxTranscodingJBIG:1\r\n\
                  a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxDatagram:400\r\n\
                  a=T38FaxUdpEC:t38UDPRedundancy\r\n",
            ),
            &Limits::default(),
        )
        .expect("description");
        let media = seen.media().next().expect("media");
        assert_eq!(
            (media.kind(), media.transport()),
            (MediaKind::Image, Transport::Udptl)
        );
        let fax = media.fax();
        assert_eq!(fax.max_bit_rate, Some(14400));
        assert!(!fax.fill_bit_removal && fax.transcoding_mmr && fax.transcoding_jbig);
        assert_eq!(fax.rate_management, Some(FaxRate::Transferred));
        assert_eq!(fax.redundancy, Some(FaxRedundancy::Redundancy));
        assert_eq!(fax.max_buffer, None);
    }
}
