//! Media of a trunk: what the operator wrote over the defaults of its preset.

use super::{Load, chosen};
use crate::config::finding::Code;
use crate::config::source::At;
use crate::config::written::{AnswerCodecs, CodecOrder, WrittenTrunk};
use crate::config::{IpNet, TargetAddress, UdpOversize};
use crate::media::{Codec, FaxMode, Profile, SourceMode, Srtp};
use crate::transport::Protocol;
use media_api::{AddressRanges, Suite};
use std::net::SocketAddr;

impl Load<'_> {
    /// Warns of a trunk whose peer anybody can be (MED-030).
    pub(super) fn learning(&mut self, title: &str, written: &WrittenTrunk) {
        if let Some(open) = written
            .nat
            .as_ref()
            .filter(|at| at.value == SourceMode::Open)
        {
            self.out.add(
                Code::OpenMedia,
                &open.span,
                format!(
                    "{title}: whoever sends first to a port of a call is taken for its peer, and hears the other party"
                ),
                Some(
                    "list the addresses that its media come from in accept_from, and write nat = \"restricted\""
                        .to_owned(),
                ),
            );
        }
    }

    /// A peer that cannot stand several codecs is told of one.
    pub(super) fn codec_choice(&mut self, title: &str, written: &WrittenTrunk, profile: &Profile) {
        if let Some(at) = written.answer_codecs.as_ref()
            && profile.one_codec
            && profile.answers_all
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: its peer is to have one codec, and is answered with all"),
                Some("write answer_codecs = \"one\", or remove single_codec".to_owned()),
            );
        }
    }

    /// What protects the media of a trunk, where it cannot be as it is written (MED-021, MED-104).
    pub(super) fn protection(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        profile: &Profile,
        targets: &[At<TargetAddress>],
    ) {
        if profile.srtp.is_by_description()
            && targets.iter().any(|t| t.value.protocol != Protocol::Tls)
            && let Some(srtp) = &written.srtp
        {
            self.out.add(
                Code::Contradiction,
                &srtp.span,
                format!("{title}: SRTP keys would travel readable, its signalling is not TLS"),
                Some("use targets with ;tls, or srtp = \"off\"".to_owned()),
            );
        }
        let why = match profile.srtp {
            Srtp::Off => Some("its media is not SRTP"),
            Srtp::Dtls => Some("its media is DTLS-SRTP, whose handshake chooses the suite"),
            Srtp::Optional | Srtp::Required => None,
        };
        if let (Some(why), Some(suites)) = (why, &written.srtp_suites) {
            self.out.add(
                Code::Contradiction,
                &suites.span,
                format!("{title}: {why}, and SRTP suites are named"),
                Some("write srtp = \"required\", or remove srtp_suites".to_owned()),
            );
        }
        if profile.srtp != Srtp::Dtls
            && let Some(at) = written.allow_sha1.as_ref().filter(|at| at.value)
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!(
                    "{title}: fingerprints of SHA-1 are allowed, and its media is not DTLS-SRTP"
                ),
                Some("write srtp = \"dtls\", or remove allow_sha1".to_owned()),
            );
        }
        if !profile.srtp.is_by_description()
            && let Some(at) = written.best_effort_srtp.as_ref().filter(|at| at.value)
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!(
                    "{title}: keys are taken on lines of plain RTP, and its media has no such keys"
                ),
                Some("write srtp = \"optional\", or remove best_effort_srtp".to_owned()),
            );
        }
    }
}

pub(super) fn media(
    profile: &mut Profile,
    written: &WrittenTrunk,
    codecs: Option<Vec<Codec>>,
    suites: Option<Vec<Suite>>,
) {
    if let Some(codecs) = codecs {
        // Parameters that the preset has for a codec stay, such as G.729 without annex B.
        profile.codecs = codecs
            .into_iter()
            .map(|codec| {
                let known = profile
                    .codecs
                    .iter()
                    .find(|own| own.is_same_encoding(&codec));
                known.cloned().unwrap_or(codec)
            })
            .collect();
    }
    if let Some(srtp) = &written.srtp {
        profile.srtp = srtp.value;
        if srtp.value != Srtp::Off {
            // UDPTL is never encrypted (MED-333): it must be asked for.
            profile.fax = FaxMode::G711;
        }
    }
    profile.suites = match (profile.srtp, suites) {
        (Srtp::Off | Srtp::Dtls, _) => Vec::new(),
        // The one that everybody has (RFC 4568 §6.2).
        (Srtp::Optional | Srtp::Required, None) => vec![Suite::AesCm128HmacSha1_80],
        (Srtp::Optional | Srtp::Required, Some(suites)) => suites,
    };
    profile.one_codec = chosen(&written.single_codec, profile.one_codec);
    if let Some(order) = &written.codec_order {
        profile.own_order = order.value == CodecOrder::Local;
    }
    if let Some(answer) = &written.answer_codecs {
        profile.answers_all = answer.value == AnswerCodecs::All;
    }
    profile.takes_sha1 = chosen(&written.allow_sha1, profile.takes_sha1);
    profile.keys_on_plain = chosen(&written.best_effort_srtp, profile.keys_on_plain);
    profile.rtcp_mux = chosen(&written.rtcp_mux, profile.rtcp_mux);
    profile.rtp = chosen(&written.rtp_profile, profile.rtp);
    profile.ice = chosen(&written.ice, profile.ice);
    profile.dtmf = chosen(&written.dtmf, profile.dtmf);
    profile.hold = chosen(&written.hold, profile.hold);
    profile.fax = chosen(&written.fax, profile.fax);
    profile.source = chosen(&written.nat, profile.source);
    profile.maps_static = chosen(&written.udp_oversize, UdpOversize::Tcp) != UdpOversize::Slim;
    profile.low_ports = chosen(&written.low_media_ports, profile.low_ports);
    if let Some(ptime) = &written.ptime {
        profile.ptime_ms = ptime.value as u8;
    }
}

/// Addresses that media of a trunk's peer may come from although it does not describe them (MED-031). A
/// range so wide that it says nothing of who is there is left out.
pub(super) fn media_ranges(accept_from: &[IpNet], targets: &[At<TargetAddress>]) -> AddressRanges {
    let hosts = targets.iter().filter_map(|at| at.value.host.parse().ok());
    let pinned = targets.iter().flat_map(|at| &at.value.connect_to);
    let single = hosts.chain(pinned.map(SocketAddr::ip)).map(IpNet::single);
    let own = accept_from.iter().filter(|net| !net.admits_strangers());
    let known = own.copied().chain(single);
    AddressRanges::of(known.map(|net| (net.first(), net.last())))
}
