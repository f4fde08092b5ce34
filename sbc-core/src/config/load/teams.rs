//! What Teams demands of a trunk, and of the certificate behind it.

use super::Load;
use super::trunk::{is_of_microsoft, resolved};
use crate::config::authorities;
use crate::config::finding::Code;
use crate::config::name::covers;
use crate::config::source::{At, Span};
use crate::config::written::{File, WrittenPreset, WrittenSessionTimer, WrittenTrunk};
use crate::config::{
    Cloud, EarlyDialogs, Lookup, NumberForm, Preset, TargetAddress, TlsContext, Trunk, UserPhone,
    VerifyClient,
};
use crate::id::ListenerName;
use crate::media::{Dtmf, FaxMode, HoldForm, Ice, RtpProfile, Srtp};
use crate::transport::Protocol;
use media_api::Suite;
use std::sync::Arc;
use std::time::Duration;

impl Load<'_> {
    /// What Direct Routing demands of every trunk, and what would only fail at the first call. An appliance
    /// speaks the same, and takes the certificates that its branch wants.
    pub(super) fn teams_rules(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        targets: &[At<TargetAddress>],
        tls: Option<&TlsContext>,
        is_microsoft: bool,
    ) {
        let mut rule = |span: &Span, cause: &str, help: &str| {
            self.out.add(
                Code::TeamsRule,
                span,
                format!("{title}: {cause}"),
                Some(help.to_owned()),
            );
        };
        if written.fqdn.is_none() {
            rule(
                &written.span,
                "Teams knows an SBC by its name, and \"fqdn\" is missing",
                "write fqdn = \"sbc1.contoso.example\" as in New-CsOnlinePSTNGateway",
            );
        }
        for at in targets
            .iter()
            .filter(|at| at.value.protocol != Protocol::Tls)
        {
            rule(
                &at.span,
                "Teams speaks TLS only",
                "write the target with ;tls",
            );
        }
        for at in targets.iter().filter(|at| is_retired(&at.value.host)) {
            rule(
                &at.span,
                &format!("Microsoft retired {} in 2022", at.value.host),
                "remove targets: without the key the names of the cloud are called",
            );
        }
        let is_less = |at: &&At<Srtp>| matches!(at.value, Srtp::Off | Srtp::Optional);
        if let Some(at) = written.srtp.as_ref().filter(is_less) {
            rule(&at.span, "Teams speaks SRTP only", "remove the key");
        }
        if let Some(at) = written.srtp.as_ref().filter(|at| at.value == Srtp::Dtls) {
            rule(
                &at.span,
                "Teams takes SRTP keys in the description (SDES) only, no DTLS-SRTP",
                "remove the key, or write srtp = \"required\"",
            );
        }
        if let Some(at) = written.best_effort_srtp.as_ref().filter(|at| at.value) {
            rule(
                &at.span,
                "Teams speaks SRTP only, and keys would be taken on lines of plain RTP",
                "remove the key",
            );
        }
        let is_no_event = |at: &&At<Dtmf>| at.value != Dtmf::Rfc4733;
        if let Some(at) = written.dtmf.as_ref().filter(is_no_event) {
            rule(
                &at.span,
                "Teams knows digits as telephone events only",
                "remove the key; what the other party says by INFO or tones follows the dtmf of its own trunk",
            );
        }
        if let Some(at) = written.fax.as_ref().filter(|at| at.value == FaxMode::T38) {
            rule(
                &at.span,
                "Teams has no T.38",
                "remove the key, and route fax numbers to a trunk of their own",
            );
        }
        let of_connections = written.habits.wrong_at_teams();
        // What an appliance stands behind, its branch knows.
        let of_connections = of_connections.filter(|_| is_microsoft);
        let unknown = written.habits.unknown_to_teams();
        for (span, cause) in wrong_keys(written).chain(of_connections).chain(unknown) {
            rule(span, cause, "remove the key");
        }
        if let Some(WrittenSessionTimer::Of { expires, .. }) = &written.session_timer
            && let Some(at) = expires.as_ref().filter(|at| at.value < LEAST_SESSION)
        {
            rule(
                &at.span,
                "Teams is never asked for sessions below five minutes",
                "write expires = \"300s\" or more",
            );
        }
        if let Some(WrittenSessionTimer::Of { min_se, .. }) = &written.session_timer
            && let Some(at) = min_se.as_ref().filter(|at| at.value > LONGEST_MIN_SE)
        {
            rule(
                &at.span,
                "Teams offers sessions of an hour, and its calls would be refused with 422",
                "write min_se = \"300s\", or remove it",
            );
        }
        for at in targets.iter().filter(|at| is_of_microsoft(&at.value.host)) {
            if at.value.lookup != Lookup::Addresses || at.value.port != Cloud::PORT {
                rule(
                    &at.span,
                    "Teams is reached at port 5061 of its names, whose addresses alone are asked for",
                    "remove targets, or write the name with :5061;tls",
                );
            }
        }
        if let Some(at) = written.media_bypass.as_ref().filter(|at| at.value)
            && let Some(WrittenSessionTimer::Of { .. }) = written.session_timer
        {
            rule(
                &at.span,
                "Teams has no session timers on calls with media bypass, and session_timer asks for them",
                "remove session_timer: media shows whether such a call lives",
            );
        }
        self.useless_at_teams(title, written);
        if is_microsoft {
            self.left_out_of_teams(title, written, targets);
        }
        let mut rule = |span: &Span, cause: &str, help: &str| {
            let cause = format!("{title}: {cause}");
            self.out
                .add(Code::TeamsRule, span, cause, Some(help.to_owned()));
        };
        if let (Some(tls), false) = (tls, tls.is_some_and(self_verifies)) {
            let span = written
                .tls
                .as_ref()
                .map_or(&written.name.span, |at| &at.span);
            rule(
                span,
                &format!(
                    "the TLS identity \"{}\" lets peers in without certificate",
                    tls.name
                ),
                match is_microsoft {
                    true => "give it client_ca = \"microsoft\" and verify_client = \"require\"",
                    false => {
                        "give it client_ca = \"/etc/causeway/tls/branch-ca.pem\" and verify_client = \"require\""
                    }
                },
            );
        }
        if let Some(tls) = tls.filter(|_| is_microsoft) {
            let cloud = written.cloud.as_ref();
            let cloud = cloud.map_or(Cloud::default(), |at| at.value);
            self.certificate_for_teams(title, written, tls, cloud);
        }
    }

    /// What may be written, and does nothing at Teams or less than its operator may think.
    fn useless_at_teams(&mut self, title: &str, written: &WrittenTrunk) {
        let code = Code::NoUseAtTeams;
        for (method, span) in written.crossing.relays() {
            self.out.add(
                code,
                span,
                // TDR-SIP-001
                format!(
                    "{title}: Teams takes no {method}, and says so in its Allow: none crosses to it"
                ),
                Some("remove the key".to_owned()),
            );
        }
        if let Some(span) = written.habits.says_pongs() {
            self.out.add(
                code,
                span,
                // TDR-TCP-001
                format!(
                    "{title}: Teams gets no pings of two line ends, so nobody waits for their answers: OPTIONS keep its \
                     connections"
                ),
                Some("remove the key".to_owned()),
            );
        }
        if let Some(at) = written.trusted.as_ref().filter(|at| !at.value) {
            self.out.add(
                code,
                &at.span,
                // TDR-CID-002
                format!(
                    "{title}: what Teams says of callers does not count: P-Asserted-Identity, diversions, who \
                     transferred a call, calls for help that it marks as such"
                ),
                Some(
                    "remove the key; numbers that a tenant may not show are refused by identity = { screening = \
                     \"reject\" }"
                        .to_owned(),
                ),
            );
        }
    }

    /// Trunks of a customer with and without media bypass differ in name and in port (TDR-SIP-043). Those of
    /// two customers are two SBCs to Teams, which tells them apart by their names.
    pub(super) fn bypass_apart(&mut self, file: &File) {
        let trunks: Vec<Arc<Trunk>> = {
            let all = self.trunks.valid.values().map(|(trunk, _)| trunk);
            let own = all.filter(|trunk| trunk.preset == Preset::Teams);
            own.cloned().collect()
        };
        let is_bypass = |trunk: &Trunk| trunk.media.profile.ice == Ice::Bypass;
        for bypass in trunks.iter().filter(|trunk| is_bypass(trunk)) {
            let rival = trunks.iter().find(|other| {
                let shares = |name| bypass.listeners.contains(name);
                !is_bypass(other)
                    && other.tenant == bypass.tenant
                    && other.listeners.iter().any(shares)
            });
            let written = file.trunks.iter();
            let mut written = written.filter(|own| own.name.value == bypass.name.as_str());
            let at = written.find_map(|own| own.media_bypass.as_ref());
            if let (Some(rival), Some(at)) = (rival, at) {
                self.out.add(
                    Code::TeamsRule,
                    &at.span,
                    format!(
                        "trunk \"{}\": with media bypass it shares the port of trunk \"{}\", which has none",
                        bypass.name, rival.name
                    ),
                    Some("give one of them a [[listen]] with a port and [[tls]] of its own".to_owned()),
                );
            }
        }
    }

    /// Teams documents one suite, which must be there; others may stand beside it (TDR-MED-005). Its
    /// offers may begin with the short form of that, which is not what to choose (TDR-MED-003).
    pub(super) fn suites_for_teams(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        suites: Option<&[Suite]>,
    ) {
        let (Some(at), Some(suites)) = (&written.srtp_suites, suites) else {
            return;
        };
        let mut until_long = suites
            .iter()
            .take_while(|suite| **suite != Suite::AesCm128HmacSha1_80);
        let is_there = suites.contains(&Suite::AesCm128HmacSha1_80);
        if !is_there || until_long.any(|suite| suite.rtp_tag_bytes() == 4) {
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: Teams has to be offered AES_CM_128_HMAC_SHA1_80"),
                Some("name it, before any suite with _32".to_owned()),
            );
        }
    }

    /// The cloud of a trunk; only Teams has any.
    pub(super) fn cloud(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        preset: WrittenPreset,
    ) -> Option<Cloud> {
        if preset == WrittenPreset::Teams {
            let cloud = written.cloud.as_ref();
            return Some(cloud.map_or(Cloud::default(), |at| at.value));
        }
        if let Some(at) = &written.cloud {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: only Teams is in a cloud"),
                Some("write preset = \"teams\", or remove the key".to_owned()),
            );
        }
        None
    }

    /// Where the certificates of coming authorities are looked at: as written, else those of the cloud, if it is the
    /// cloud that is called (TDR-TLS-014).
    pub(super) fn test_names(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        preset: WrittenPreset,
        cloud: Option<Cloud>,
    ) -> Vec<TargetAddress> {
        let Some(list) = &written.test_names else {
            let names = match cloud {
                Some(cloud) if written.targets.is_none() && written.inherits.is_none() => {
                    cloud.test_names()
                }
                _ => &[],
            };
            let names = names.iter().map(|host| TargetAddress {
                host: (*host).to_owned(),
                port: Cloud::PORT,
                protocol: Protocol::Tls,
                lookup: Lookup::Addresses,
                connect_to: Vec::new(),
            });
            return names.collect();
        };
        if preset != WrittenPreset::Teams {
            self.out.add(
                Code::Contradiction,
                &list.span,
                format!("{title}: only Teams has test names"),
                Some("write preset = \"teams\", or remove the key".to_owned()),
            );
            return Vec::new();
        }
        let mut names = Vec::new();
        for at in &list.value {
            let name = TargetAddress {
                lookup: Lookup::Addresses,
                ..resolved(&at.value, Protocol::Tls)
            };
            if name.protocol != Protocol::Tls || names.len() >= MOST_TEST_NAMES {
                self.out.add(
                    Code::TeamsRule,
                    &at.span,
                    format!("{title}: the test name {} cannot be asked", name.host),
                    Some(format!(
                        "write at most {MOST_TEST_NAMES} names with ;tls, or [] to ask none"
                    )),
                );
                continue;
            }
            names.push(name);
        }
        names
    }

    /// Whether the cloud calls us at the port that we listen at (TDR-CON-005).
    pub(super) fn port_of_cloud(
        &mut self,
        title: &str,
        cloud: Cloud,
        span: &Span,
        listeners: &[ListenerName],
    ) {
        let Some(port) = cloud.port_of_ours() else {
            return;
        };
        let wrong = listeners
            .iter()
            .filter_map(|name| self.listeners.valid.get(name))
            .find(|(listener, _)| listener.bind.port() != port);
        if let Some((listener, _)) = wrong {
            let (name, cause) = (cloud.as_str(), listener.bind.port());
            self.out.add(
                Code::TeamsRule,
                span,
                format!(
                    "{title}: the cloud \"{name}\" calls SBCs at port {port} only, and listener \"{}\" \
                     is at {cause}",
                    listener.name
                ),
                Some(format!("write port = {port} in its [[listen]]")),
            );
        }
    }

    fn certificate_for_teams(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        tls: &TlsContext,
        cloud: Cloud,
    ) {
        let Some(files) = self.files.get(&tls.name) else {
            return;
        };
        let Ok(certificate) = self.facts.certificate(&files.cert) else {
            return;
        };
        let span = written
            .tls
            .as_ref()
            .map_or(&written.name.span, |at| &at.span);
        let mut refused = |what: String, help: &str| {
            let code = Code::RefusedByTeams;
            let cause = format!("{title}: the certificate of \"{}\" {what}", tls.name);
            self.out.add(code, span, cause, Some(help.to_owned()));
        };
        if certificate.is_self_signed {
            refused(
                "is its own issuer".to_owned(),
                "Teams takes certificates of public CAs only; request one",
            );
        } else if let Some(roots) = cloud.roots_of_ours() {
            if !roots
                .iter()
                .any(|root| certificate.authorities.iter().any(|own| own == root))
            {
                refused(
                    format!(
                        "is of {}, and the cloud \"{}\" takes two roots only",
                        certificate.authorities.join(", "),
                        cloud.as_str()
                    ),
                    &format!("request one that leads to {}", roots.join(" or ")),
                );
            }
        } else if !authorities::is_known(&certificate.authorities) {
            refused(
                format!(
                    "is of {}, which is no authority that was known to be in Microsoft's root programme in {}",
                    certificate.authorities.join(", "),
                    authorities::AS_OF
                ),
                "Teams takes certificates of that programme only: ask the CA, and have the whole chain in \
                 the file; \"causeway teams probe\" tries it",
            );
        }
        if let Some(bits) = certificate.rsa_bits.filter(|bits| *bits < LEAST_RSA_BITS) {
            refused(
                format!("has an RSA key of {bits} bits"),
                "Teams wants 2048 at least; make a new key and request a certificate for it",
            );
        }
        if certificate.rsa_bits.is_none() {
            self.out.add(
                Code::KeyNotRsa,
                span,
                format!(
                    "{title}: the certificate of \"{}\" has no RSA key",
                    tls.name
                ),
                Some("Microsoft documents only RSA suites; request an RSA certificate".to_owned()),
            );
        }
        if !certificate.has_client_auth {
            self.out.add(
                Code::NoClientAuth,
                span,
                format!(
                    "{title}: the certificate of \"{}\" is for servers only",
                    tls.name
                ),
                Some(
                    "it works today; Microsoft reserved the right to demand clientAuth".to_owned(),
                ),
            );
        }
    }

    pub(super) fn fqdn_in_certificate(
        &mut self,
        title: &str,
        fqdn: &str,
        span: &Span,
        tls: &TlsContext,
    ) {
        if tls.names.is_empty() && !self.files.contains_key(&tls.name) {
            return;
        }
        let is_subject = || {
            let files = self.files.get(&tls.name)?;
            self.facts.certificate(&files.cert).ok()?.common_name
        };
        if tls.names.is_empty() && is_subject().is_some_and(|name| name.eq_ignore_ascii_case(fqdn))
        {
            self.out.add(
                Code::NameInSubjectOnly,
                span,
                format!(
                    "{title}: the certificate of \"{}\" carries {fqdn} as common name alone",
                    tls.name
                ),
                Some("Teams takes it; request one with the name among its DNS names, which every peer reads".to_owned()),
            );
        } else if !covers(&tls.names, fqdn) {
            self.out.add(
                Code::NameNotCovered,
                span,
                format!(
                    "{title}: the certificate of \"{}\" does not carry {fqdn}",
                    tls.name
                ),
                Some(not_covered(&tls.names, fqdn)),
            );
        } else if !tls.allow_wildcard
            && !tls.names.iter().any(|name| name.eq_ignore_ascii_case(fqdn))
        {
            self.out.add(
                Code::WildcardName,
                span,
                format!("{title}: only a wildcard of the certificate covers {fqdn}"),
                Some(format!(
                    "write allow_wildcard_san = true in [[tls]] \"{}\" if the peers accept it",
                    tls.name
                )),
            );
        }
    }
}

/// What a certificate carries, and what to ask for, also where a wildcard is meant to cover more than one label
/// (TDR-TLS-006).
fn not_covered(names: &[String], fqdn: &str) -> String {
    let carried = match names.is_empty() {
        true => "the certificate has no DNS names at all".to_owned(),
        false => format!(
            "it carries {}; a wildcard covers one label",
            names.join(", ")
        ),
    };
    // A wildcard for customers below a name is none for the name.
    let wildcard = format!("*.{fqdn}");
    if names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(&wildcard))
    {
        return format!("{carried}: request one with both {fqdn} and {wildcard}");
    }
    let too_high = names.iter().find_map(|name| {
        let parent = name.strip_prefix("*.")?;
        let labels = fqdn.strip_suffix(parent)?.strip_suffix('.')?;
        Some((parent, labels.split('.').next()?))
    });
    let below = fqdn.split_once('.').map_or("", |(_, below)| below);
    match too_high {
        Some((parent, first)) => format!(
            "{carried}: request one for *.{below}, or call the trunk {first}.{parent} here and in Teams"
        ),
        // Nobody signs a wildcard over all of a top-level domain.
        None if below.contains('.') => {
            format!("{carried}: request one for {fqdn}, or for *.{below}")
        }
        None => format!("{carried}: request one for {fqdn}"),
    }
}

/// Keys that break what Direct Routing demands, each with the reason.
fn wrong_keys(written: &WrittenTrunk) -> impl Iterator<Item = (&Span, &'static str)> {
    let identity = &written.identity;
    let keys = [
        (
            spot(&written.hold, |hold| *hold == HoldForm::Zero),
            // TDR-HLD-001
            "Teams knows no hold by c=0.0.0.0",
        ),
        (
            spot(&written.ice, |_| true),
            // TDR-ICE-001
            "ICE with Teams is media_bypass, and there is none without",
        ),
        (
            spot(&written.rtcp_mux, |is_offered| !is_offered),
            // TDR-MED-040
            "Teams is offered RTCP on the port of RTP",
        ),
        (
            spot(&written.rtp_profile, |own| *own == RtpProfile::Avpf),
            // TDR-MED-001
            "Teams is offered RTP/SAVP",
        ),
        (
            written.crossing.asks_update(),
            // TDR-SIP-001
            "Teams knows no UPDATE",
        ),
        (
            written.habits.hides_reason(),
            // TDR-SIP-022
            "Teams tells a call that was missed from one that was taken elsewhere by Reason",
        ),
        (
            spot(&written.progress.early_dialogs, |way| {
                *way == EarlyDialogs::Transparent
            }),
            // TDR-SIP-034
            "Teams is shown one early dialog, however many phones ring",
        ),
        (
            spot(&identity.from_host, |host| host != "own"),
            // TDR-SIP-012, TDR-MT-010
            "Teams takes calls from the name of the SBC only",
        ),
        (
            spot(&identity.transport_param, |is_written| !is_written),
            // TDR-SIP-013
            "Teams wants transport=tls in Contact",
        ),
        (
            spot(&identity.user_phone, |form| *form == UserPhone::Never),
            // TDR-SIP-010
            "Teams takes numbers with user=phone",
        ),
        (
            spot(&identity.number_form, |form| *form == NumberForm::Any),
            // TDR-NUM-002
            "Teams looks nobody up by a name",
        ),
    ];
    keys.into_iter()
        .filter_map(|(span, cause)| Some((span?, cause)))
}

/// Where a key is written, if its value is wrong.
fn spot<T>(written: &Option<At<T>>, is_wrong: impl Fn(&T) -> bool) -> Option<&Span> {
    let at = written.as_ref().filter(|at| is_wrong(&at.value));
    at.map(|at| &at.span)
}

/// Most test names of a trunk: Microsoft has had one or two at a time.
const MOST_TEST_NAMES: usize = 8;

/// Shortest session that Teams is asked for (TDR-TMR-004).
const LEAST_SESSION: Duration = Duration::from_secs(300);

/// Longest session that may be demanded of Teams: what it offers (TDR-TMR-001).
const LONGEST_MIN_SE: Duration = Duration::from_secs(3_600);

/// Bits of an RSA key that Teams takes (TDR-TLS-005).
const LEAST_RSA_BITS: u32 = 2048;

/// Names that stood for all regions at once (TDR-CON-011).
fn is_retired(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.starts_with("sip-all.") && host.split('.').nth(1) == Some("pstnhub")
}

fn self_verifies(tls: &TlsContext) -> bool {
    tls.verify_client == VerifyClient::Require
}
