//! Every finding of the configuration loader, each with its exact place; and that no text at all
//! makes the loader panic.

use crate::config_cases::CASES;
use crate::world::cpu_time;
use media_api::Suite;
use proptest::prelude::*;
use sbc_core::config::{
    Assumed, CdrSpool, CdrStart, Certificate, Change, Code, ExposedAt, Exposure, Facts, FileFault,
    Finding, Findings, Key, Loaded, Password, Preset, Secret, Source, Validity, changes, effective,
    load, starter,
};
use sbc_core::media::{FaxMode, Ice, RtpProfile, Srtp};
use sbc_core::time::UnixTime;
use sbc_core::transport::Protocol;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A configuration without any finding. Cases replace one part of it.
pub(crate) const BASE: &str = r#"[node]
id = "sbc1"

[[realm]]
name = "outside"
addresses = ["192.0.2.10", "2001:db8::10"]
ports = "49152-53247"

[[realm]]
name = "inside"
addresses = ["198.51.100.9"]
ports = "20000-29999"

[[tls]]
name = "teams"
cert = "/tls/sbc.pem"
key = { file = "/tls/sbc.key" }
client_ca = "/tls/roots.pem"
verify_client = "require"

[[listen]]
realm = "outside"
transport = "tls"
tls = "teams"

[[listen]]
realm = "inside"
transport = "udp"

[[tenant]]
name = "contoso"
numbers = ["+493023125000-+493023125999"]
emergency = ["112"]

[[tenant]]
name = "fabrikam"
numbers = ["+498999998000-+498999998999"]

[[trunk]]
name = "teams-contoso"
preset = "teams"
tenant = "contoso"
realm = "outside"
fqdn = "sbc1.contoso.example"

[[trunk]]
name = "carrier"
tenant = "*"
realm = "inside"
targets = ["198.51.100.20:5060;udp"]
codecs = ["PCMA", "PCMU"]

[[transform]]
name = "in"
when = { trunk = "carrier", dir = "in" }
called = [{ match = '^0([1-9]\d+)$', set = '+49$1' }]

[[route]]
name = "to-teams"
match = { called_in = "tenant:contoso", from_trunk = "carrier" }
to = [{ trunk = "teams-contoso" }]

[[route]]
name = "to-carrier"
match = { from_trunk = "teams-contoso" }
to = [{ trunk = "carrier" }]

[metrics]
listen = "127.0.0.1:9464"
"#;

/// A machine on which every path is what its name says.
pub(crate) struct Machine;

fn exposed(is_exposed: bool) -> Exposure {
    match is_exposed {
        true => Exposure::File(ExposedAt {
            path: "/exposed".into(),
            owner: "kim".into(),
        }),
        false => Exposure::None,
    }
}

impl Facts for Machine {
    fn certificate(&self, path: &str) -> Result<Certificate, FileFault> {
        if path == "/garbage" {
            return Err(FileFault::Unusable("there is no certificate in it".into()));
        }
        Ok(Certificate {
            names: match path {
                "/only-cn" => Vec::new(),
                _ => vec!["sbc1.contoso.example".into(), "*.wild.example".into()],
            },
            common_name: Some("SBC1.contoso.example".into()),
            validity: match path {
                "/expired" => Validity::Expired,
                "/soon" => Validity::Valid { days_left: 7 },
                _ => Validity::Valid { days_left: 90 },
            },
            rsa_bits: match path {
                "/ecdsa" => None,
                "/short-key" => Some(1024),
                _ => Some(2048),
            },
            authorities: vec!["DigiCert Global Root G2".into()],
            is_self_signed: path == "/self-signed",
            has_client_auth: path != "/server-only",
            has_chain: path != "/leaf-only",
        })
    }

    fn key(&self, key: &Secret, _certificate: &str) -> Result<Key, FileFault> {
        match key {
            Secret::Env(_) => Err(FileFault::Unreadable("it is not set".into())),
            key => Ok(Key {
                matches: *key != Secret::File("/other".into()),
                exposure: exposed(*key == Secret::File("/exposed".into())),
            }),
        }
    }

    fn password(&self, secret: &Secret) -> Result<Password, FileFault> {
        let (octets, is_exposed): (&[u8], bool) = match secret {
            Secret::Env(_) => return Err(FileFault::Unreadable("it is not set".into())),
            Secret::File(path) if path == "/empty" => (b"\n", false),
            Secret::File(path) if path == "/two-lines" => (b"one\ntwo\n", false),
            Secret::File(path) if path.starts_with("/sha256/") => {
                let digit = path.rsplit('/').next().unwrap_or_default();
                return Ok(Password {
                    octets: format!("sha256:{}\n", digit.repeat(64)).into_bytes().into(),
                    exposure: Exposure::None,
                });
            }
            Secret::File(path) if path == "/hmac" => (b"c2VjcmV0LWtleQ\n", false),
            Secret::File(path) => (b"canary-secret\n", path == "/exposed"),
            Secret::Credential(_) => (b"canary-secret", false),
        };
        Ok(Password {
            octets: octets.to_vec().into(),
            exposure: exposed(is_exposed),
        })
    }

    fn roots(&self, path: &str) -> Result<usize, FileFault> {
        match path {
            "/absent" => Err(FileFault::Unreadable("it does not exist".into())),
            _ => Ok(7),
        }
    }

    fn revocations(&self, path: &str, issuers: &str) -> Result<Validity, FileFault> {
        self.roots(issuers)?;
        match path {
            "/expired" => Ok(Validity::Expired),
            "/tomorrow" => Ok(Validity::NotYet),
            "/unsigned" => Err(FileFault::Unusable("a list in it is not signed".into())),
            // Such lists hold for hours.
            path => self.roots(path).map(|_| Validity::Valid { days_left: 0 }),
        }
    }

    fn until(&self, end: UnixTime) -> Validity {
        // It is the first of August.
        let now = UnixTime::of_day("2026-08-01").unwrap();
        match end.as_micros().checked_sub(now.as_micros()) {
            Some(left) => Validity::Valid {
                days_left: u32::try_from(left / 86_400_000_000).unwrap(),
            },
            None => Validity::Expired,
        }
    }

    fn recording(&self, _folder: &str, file: &str) -> Result<Arc<[i16]>, FileFault> {
        match file {
            "absent.wav" => Err(FileFault::Unreadable("it does not exist".into())),
            "garbage.wav" => Err(FileFault::Unusable("it is no WAV file".into())),
            "short.wav" => Ok(vec![1; 8_000].into()),
            "long.wav" => Ok(vec![1; 8_000 * 61].into()),
            _ => Ok(vec![1; 8_000 * 601].into()),
        }
    }

    fn directory(&self, _path: &str) -> Result<(), FileFault> {
        Ok(())
    }

    fn has_address(&self, address: IpAddr) -> Option<bool> {
        Some(address.to_string() != "198.51.100.99")
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let all = ["192.0.2.77", "2001:db8::77"];
        all.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ephemeral_ports(&self) -> Vec<RangeInclusive<u16>> {
        vec![32_768..=40_000, 60_000..=60_001]
    }

    fn may_bind(&self, port: u16) -> Option<bool> {
        Some(port != 81)
    }
}

pub(crate) fn load_text(text: &str) -> Result<Loaded, Findings> {
    load(&[Source::new("causeway.toml", text)], &Machine, None)
}

pub(crate) fn valid(text: &str) -> Loaded {
    load_text(text).unwrap_or_else(|findings| panic!("{}", findings.to_text()))
}

pub(crate) fn all(result: Result<Loaded, Findings>) -> Vec<Finding> {
    let findings = match result {
        Ok(loaded) => loaded.findings,
        Err(findings) => findings,
    };
    findings
        .errors
        .into_iter()
        .chain(findings.warnings)
        .collect()
}

#[test]
fn the_base_of_all_cases_has_no_finding() {
    let loaded = valid(BASE);
    assert!(
        loaded.findings.warnings.is_empty(),
        "{}",
        loaded.findings.to_text()
    );
}

#[test]
fn a_trunk_has_the_suites_that_are_written_in_their_order() {
    let with = |suites: &str| {
        let text = BASE.replacen(
            "preset = \"teams\"",
            &format!("preset = \"teams\"\n{suites}"),
            1,
        );
        let loaded = valid(&text);
        let trunk = &loaded.config.trunks[&sbc_core::id::TrunkName::new("teams-contoso")];
        let suites = trunk.media.profile.suites.clone();
        let all = effective(&[Source::new("test.toml", text)], &loaded);
        let mut settings = all.into_iter().flat_map(|one| one.settings);
        let shown = settings.find(|one| one.key == "srtp_suites").unwrap();
        (suites, shown.value)
    };
    // What Microsoft does not document is not offered unless somebody asks for it (TDR-MED-005).
    assert_eq!(
        with(""),
        (
            vec![Suite::AesCm128HmacSha1_80],
            "[AES_CM_128_HMAC_SHA1_80]".to_owned()
        )
    );
    let written =
        "[\"AEAD_AES_256_GCM\", \"AES_CM_256_HMAC_SHA1_80\", \"AES_CM_128_HMAC_SHA1_80\"]";
    let (suites, shown) = with(&format!("srtp_suites = {written}"));
    assert_eq!(
        suites,
        [
            Suite::AeadAes256Gcm,
            Suite::AesCm256HmacSha1_80,
            Suite::AesCm128HmacSha1_80
        ]
    );
    assert_eq!(shown, written);
}

/// UDPTL is never encrypted, so who asks for SRTP has not asked for it (MED-333).
#[test]
fn srtp_may_be_optional_over_tls_and_keys_may_stand_on_plain_lines_where_there_are_keys() {
    let with = |lines: &str, target: &str| {
        let text = BASE
            .replacen("codecs =", &format!("{lines}\ncodecs ="), 1)
            .replacen("198.51.100.20:5060;udp", target, 1);
        load_text(&text)
    };
    let tls = "sip.example.net:5061;tls";
    let codes = |lines: &str, target: &str| -> Vec<Code> {
        match with(lines, target) {
            Ok(_) => Vec::new(),
            Err(findings) => findings.errors.iter().map(|own| own.code).collect(),
        }
    };
    let udp = "198.51.100.20:5060;udp";
    let said = codes("srtp = \"optional\"", udp);
    assert_eq!(said, [Code::Contradiction], "keys would travel readable");
    let said = codes("best_effort_srtp = true", udp);
    assert_eq!(said, [Code::Contradiction], "there are no keys");
    let said = codes("allow_sha1 = true", udp);
    assert_eq!(said, [Code::Contradiction], "there is no handshake");
    assert_eq!(codes("srtp = \"dtls\"\nallow_sha1 = true", udp), []);
    let said = codes("srtp = \"optional\"\nbest_effort_srtp = true", tls);
    assert!(!said.contains(&Code::Contradiction), "{said:?}");
    let teams = BASE.replacen(
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp = \"optional\"",
        1,
    );
    let refused = load_text(&teams).unwrap_err();
    assert!(refused.errors.iter().any(|own| own.code == Code::TeamsRule));
}

#[test]
fn a_carrier_with_srtp_has_faxes_in_the_audio_unless_it_is_written_otherwise() {
    let carrier = |keys: &str| {
        let secured = "realm = \"outside\"\ntls = \"teams\"\ntargets = [\"198.51.100.20:5061;tls\"]\naccept_names = [\"sip.carrier.example\"]\n";
        let plain = "realm = \"inside\"\ntargets = [\"198.51.100.20:5060;udp\"]\n";
        assert!(BASE.contains(plain));
        let loaded = valid(&BASE.replacen(plain, &format!("{secured}{keys}"), 1));
        let trunk = &loaded.config.trunks[&sbc_core::id::TrunkName::new("carrier")];
        let profile = &trunk.media.profile;
        (profile.srtp, profile.fax, profile.suites.clone())
    };
    let usual = vec![Suite::AesCm128HmacSha1_80];
    assert_eq!(carrier(""), (Srtp::Off, FaxMode::T38, vec![]));
    let secured = carrier("srtp = \"required\"\n");
    assert_eq!(secured, (Srtp::Required, FaxMode::G711, usual.clone()));
    let asked = carrier("srtp = \"required\"\nfax = \"t38\"\n");
    assert_eq!(asked, (Srtp::Required, FaxMode::T38, usual));
    let handshaking = carrier("srtp = \"dtls\"\n");
    assert_eq!(handshaking, (Srtp::Dtls, FaxMode::G711, vec![]));
}

/// MED-021, MED-023, MED-150.
#[test]
fn a_carrier_may_be_offered_what_webrtc_wants() {
    let keys = "rtcp_mux = true\nrtp_profile = \"avpf\"\nice = \"lite\"\nsrtp = \"dtls\"\n";
    let loaded = |keys: &str| {
        let loaded = valid(&BASE.replacen("codecs =", &format!("{keys}codecs ="), 1));
        let trunk = &loaded.config.trunks[&sbc_core::id::TrunkName::new("carrier")];
        let profile = &trunk.media.profile;
        (profile.rtcp_mux, profile.rtp, profile.ice)
    };
    assert_eq!(loaded(""), (false, RtpProfile::Avp, Ice::Off));
    assert_eq!(loaded(keys), (true, RtpProfile::Avpf, Ice::Lite));
}

/// A fingerprint is no secret, so DTLS-SRTP asks for no TLS (MED-130).
#[test]
fn dtls_may_be_written_over_any_transport_and_is_shown_as_it_is_in_force() {
    let text = BASE.replacen("codecs =", "srtp = \"dtls\"\ncodecs =", 1);
    let loaded = valid(&text);
    let trunk = &loaded.config.trunks[&sbc_core::id::TrunkName::new("carrier")];
    assert_eq!(trunk.media.profile.srtp, Srtp::Dtls);
    let all = effective(&[Source::new("test.toml", text)], &loaded);
    let settings = all
        .into_iter()
        .filter(|one| one.name.as_deref() == Some("carrier"));
    let mut settings = settings.flat_map(|one| one.settings);
    let shown = settings.find(|one| one.key == "srtp").unwrap();
    assert_eq!(shown.value, "\"dtls\"");
    let text = BASE.replacen("fqdn =", "srtp = \"dtls\"\nfqdn =", 1);
    let Err(findings) = load(&[Source::new("test.toml", text)], &Assumed::default(), None) else {
        panic!("Teams has no DTLS-SRTP");
    };
    let finding = findings.to_text();
    assert!(
        finding.contains("SDES") && finding.contains("remove the key"),
        "{finding}"
    );
}

/// What Teams takes and who is believed there is shown with its reason (TDR-SIP-001, TDR-CID-002).
#[test]
fn what_teams_has_no_use_for_is_shown_with_the_reason() {
    let loaded = valid(BASE);
    let all = effective(&[Source::new("test.toml", BASE)], &loaded);
    let shown = |trunk: &str, key: &str| {
        let of_it = all.iter().filter(|one| one.name.as_deref() == Some(trunk));
        let mut settings = of_it.flat_map(|one| &one.settings);
        let found = settings.find(|one| one.key == key);
        found.map(|one| (one.value.clone(), one.because.clone()))
    };
    let of_teams = |key| shown("teams-contoso", key);
    let neither = "preset teams: Teams takes neither INFO nor MESSAGE".to_owned();
    for key in ["info", "message"] {
        assert_eq!(of_teams(key), Some(("refuse".to_owned(), neither.clone())));
    }
    let (value, because) = of_teams("test_names").expect("what holds");
    assert!(
        value.starts_with("[sip.mspki.pstnhub.microsoft.com:5061;tls, "),
        "{value}"
    );
    assert!(because.contains("asked once a day"), "{because}");
    let (value, because) = of_teams("trusted").expect("what holds");
    assert_eq!(value, "true");
    assert!(because.starts_with("preset teams: "), "{because}");
}

#[test]
fn all_of_teams_may_be_written_in_parts_and_what_is_no_name_of_microsoft_is_the_operators() {
    let names = "\"SIP.pstnhub.microsoft.com:5061;tls\", \"sip2.pstnhub.microsoft.com:5061;tls\", \
                 \"sip3.pstnhub.microsoft.com:5061;tls\"";
    for keys in [
        &format!(
            "targets = [{names}]\naccept_from = [\"52.122.0.0/15\", \"52.120.0.0/15\", \"52.96.0.0/11\"]"
        ),
        "targets = [\"sip.pstnhub.example:5061;tls\"]\naccept_from = [\"198.51.100.44\"]",
        "session_timer = { expires = \"2h\", min_se = \"30m\" }\nsymmetric_signalling = false\ncrlf_pong = false",
        "headers = { set = { \"X-MS-SBC\" = \"Contoso Voice/EdgeMarc 2900/16.3.1\" } }",
    ] {
        let text = BASE.replacen("fqdn =", &format!("{keys}\nfqdn ="), 1);
        let findings = all(load_text(&text));
        assert!(findings.is_empty(), "{keys}: {findings:?}");
    }
}

#[test]
fn a_password_is_in_no_finding_and_no_form_of_the_configuration() {
    let account = "digest = { username = \"u\", password = { file = \"/p\" }, realms = [\"r\"] }";
    let text = BASE.replacen("codecs =", &format!("{account}\ncodecs ="), 1);
    let loaded = valid(&text);
    let trunk = &loaded.config.trunks[&sbc_core::id::TrunkName::new("carrier")];
    assert_eq!(trunk.digest.as_ref().unwrap().username, "u");
    assert!(!format!("{loaded:?}").contains("canary"));
    let exposed = text.replace("\"/p\"", "\"/exposed\"");
    let findings = all(load_text(&exposed));
    assert!(!findings.is_empty());
    assert!(!format!("{findings:?}").contains("canary"));
}

#[test]
fn whoever_says_that_nobody_calls_for_help_is_not_warned() {
    let list = "emergency = [\"112\"]\n";
    let codes = |list_now: &str| -> Vec<Code> {
        let findings = all(load_text(&BASE.replacen(list, list_now, 1)));
        findings.iter().map(|finding| finding.code).collect()
    };
    assert_eq!(codes("emergency = []\n"), []);
    assert_eq!(codes(""), [Code::NoEmergency]);
}

#[test]
fn a_route_that_takes_the_calls_of_carriers_out_again_is_told() {
    let codes = |trunk: &str, when: &str| {
        let more = format!(
            "[[trunk]]\nname = \"telco\"\nrealm = \"inside\"\ntargets = [\"198.51.100.30:5060;udp\"]\n\
             {trunk}\n[[route]]\nname = \"world\"\nmatch = {when}\nto = [{{ trunk = \"carrier\" }}, \
             {{ trunk = \"telco\" }}]\n"
        );
        let findings = all(load_text(&(BASE.to_owned() + &more)));
        let mut codes = findings.iter().map(|finding| finding.code);
        codes.any(|code| code == Code::OpenTransit)
    };
    let own = "tenant = \"contoso\"";
    assert!(codes(own, "{}"));
    assert!(codes(own, "{ tenant = \"contoso\" }"));
    // Who it is for is written, nobody outside is somebody's, or its peer proves who it is.
    assert!(!codes(own, "{ from_trunk = \"telco\" }"));
    assert!(!codes(own, "{ tenant = \"fabrikam\" }"));
    assert!(!codes(own, "{ called_in = \"tenant:contoso\" }"));
    assert!(!codes("tenant = \"*\"", "{}"));
    let proves = "authenticate = { username = \"pbx\", password = { credential = \"pbx\" }, realm = \"example.org\" }";
    assert!(!codes(&format!("{own}\n{proves}"), "{}"));
}

#[test]
fn every_finding_points_to_the_exact_place() {
    for (code, from, to) in CASES {
        assert!(BASE.contains(from), "case {code} replaces nothing: {from}");
        let marked = BASE.replacen(from, to, 1);
        let wanted = marked.find('§').map(|at| {
            let before = &marked[..at];
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            (before.matches('\n').count() + 1, column)
        });
        let findings = all(load_text(&marked.replace('§', "")));
        let found: Vec<&Finding> = findings.iter().filter(|f| f.code == *code).collect();
        let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(!found.is_empty(), "no {code} for {to}\n{}", text.join("\n"));
        if let Some(wanted) = wanted {
            let place = |f: &&Finding| f.place.as_ref().map(|p| (p.line, p.column)).unwrap();
            let places: Vec<(usize, usize)> = found.iter().map(place).collect();
            assert_eq!(places, [wanted], "{code} for {to}\n{}", text.join("\n"));
        }
        assert!(
            found.iter().all(|f| f.help.is_some())
                || *code == Code::Syntax
                || *code == Code::WrongType,
            "{code} has no help"
        );
    }
}

#[test]
fn every_code_has_a_case() {
    let tested: BTreeSet<Code> = CASES.iter().map(|(code, ..)| *code).collect();
    for code in Code::ALL {
        // One is raised by who reads the files, one needs two files, one is found by playing calls, one by asking DNS.
        let is_elsewhere = matches!(
            code,
            Code::Unreadable | Code::DuplicateKey | Code::TestFailed | Code::NameUnknown
        );
        if !is_elsewhere {
            assert!(tested.contains(code), "{code} has no case");
        }
    }
}

#[test]
fn one_mistake_is_one_finding() {
    let text = BASE.replacen("\"198.51.100.9\"", "\"198.51.100\"", 1);
    let findings = load_text(&text).unwrap_err();
    let codes: Vec<Code> = findings.errors.iter().map(|f| f.code).collect();
    assert_eq!(codes, [Code::BadForm], "{}", findings.to_text());
}

#[test]
fn all_mistakes_are_found_in_one_run_and_in_the_order_of_lines() {
    let text = BASE
        .replacen("id = \"sbc1\"", "idd = \"sbc1\"", 1)
        .replacen("\"PCMU\"", "\"PCMZ\"", 1)
        .replacen("trunk = \"carrier\", dir", "trunk = \"carier\", dir", 1);
    let findings = load_text(&text).unwrap_err();
    let codes: Vec<Code> = findings.errors.iter().map(|f| f.code).collect();
    assert_eq!(
        codes,
        [
            Code::MissingKey,
            Code::UnknownKey,
            Code::UnknownValue,
            Code::UnknownName
        ],
        "{}",
        findings.to_text()
    );
    assert!(findings.to_text().contains("help: did you mean \"PCMA\"?"));
    assert!(
        findings
            .to_text()
            .contains("help: did you mean \"carrier\"?")
    );
}

#[test]
fn several_files_are_one_tree_and_a_key_in_two_of_them_is_refused() {
    let (main, rest) = BASE.split_at(BASE.find("[[trunk]]").unwrap());
    let split = [
        Source::new("causeway.toml", main),
        Source::new("conf.d/trunks.toml", rest),
    ];
    let whole = valid(BASE);
    let loaded = load(&split, &Machine, None).unwrap();
    assert_eq!(loaded.config, whole.config);

    let twice = [
        Source::new("causeway.toml", BASE),
        Source::new(
            "conf.d/x.toml",
            "[node]\nuser_agent = \"X\"\nid = \"sbc2\"\n",
        ),
    ];
    let findings = load(&twice, &Machine, None).unwrap_err();
    assert_eq!(findings.errors.len(), 1);
    let place = findings.errors[0].place.as_ref().unwrap();
    assert_eq!(findings.errors[0].code, Code::DuplicateKey);
    assert_eq!(
        (place.file.as_str(), place.line, place.column),
        ("conf.d/x.toml", 3, 1)
    );
}

#[test]
fn a_teams_trunk_needs_nothing_but_its_name_and_gets_what_microsoft_demands() {
    let loaded = valid(BASE);
    let trunk = &loaded.config.trunks[&"teams-contoso".into()];
    assert_eq!(trunk.preset, Preset::Teams);
    let hosts: Vec<&str> = trunk.targets.iter().map(|t| t.host.as_str()).collect();
    assert_eq!(
        hosts,
        [
            "sip.pstnhub.microsoft.com",
            "sip2.pstnhub.microsoft.com",
            "sip3.pstnhub.microsoft.com"
        ]
    );
    assert!(
        trunk
            .targets
            .iter()
            .all(|t| t.port == 5061 && t.protocol == Protocol::Tls)
    );
    assert_eq!(trunk.accept_names, hosts);
    assert!(
        trunk
            .accept_from
            .iter()
            .any(|net| net.contains("52.115.255.1".parse().unwrap()))
    );
    assert!(
        trunk
            .accept_from
            .iter()
            .any(|net| net.contains("52.123.255.1".parse().unwrap()))
    );
    assert!(
        !trunk
            .accept_from
            .iter()
            .any(|net| net.contains("52.124.0.1".parse().unwrap()))
    );
    assert_eq!(trunk.tls, Some("teams".into()));
    assert_eq!(trunk.reroute_on, [503]);
    assert!(
        trunk.set_headers[0].0 == "X-MS-SBC" && trunk.set_headers[0].1.matches('/').count() == 2
    );
    // Both families of the realm have a listener; TLS only.
    assert_eq!(trunk.listeners.len(), 2);
    assert_eq!(
        trunk.options.as_ref().unwrap().interval,
        Duration::from_secs(60)
    );
}

/// Only the cloud itself has the test names of the cloud (TDR-TLS-014).
#[test]
fn test_names_are_those_of_the_cloud_where_it_is_called_or_as_written() {
    let names = |written: &str| {
        let text = BASE.replacen("fqdn =", &format!("{written}\nfqdn ="), 1);
        let loaded = valid(&text);
        let trunk = &loaded.config.trunks[&sbc_core::id::TrunkName::new("teams-contoso")];
        let names = trunk.test_names.iter();
        names
            .map(|at| format!("{}:{}", at.host, at.port))
            .collect::<Vec<_>>()
    };
    let usual = [
        "sip.mspki.pstnhub.microsoft.com:5061",
        "sip.g1.pstnhub.microsoft.com:5061",
    ];
    assert_eq!(names(""), usual);
    assert_eq!(names("targets = [\"sip.pstnhub.example\"]"), [""; 0]);
    assert_eq!(names("test_names = []"), [""; 0]);
    assert_eq!(
        names("test_names = [\"sip.g2.pstnhub.example\", \"b.example:5071;tls\"]"),
        ["sip.g2.pstnhub.example:5061", "b.example:5071"]
    );
    let udp = BASE.replacen("fqdn =", "test_names = [\"a.example:5060;udp\"]\nfqdn =", 1);
    let carrier = BASE.replacen("codecs =", "test_names = [\"a.example\"]\ncodecs =", 1);
    for (text, why) in [
        (udp, "the test name a.example cannot be asked"),
        (carrier, "only Teams has test names"),
    ] {
        let found = load_text(&text).unwrap_err().to_text();
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn realms_keep_their_number_over_reloads() {
    let first = valid(BASE);
    let renamed = BASE.replace("\"outside\"", "\"abroad\"");
    let second = load(
        &[Source::new("c", &*renamed)],
        &Machine,
        Some(&first.config),
    )
    .unwrap();
    let id = |loaded: &Loaded, name: &str| loaded.config.realms[&name.into()].id.0;
    assert_eq!(id(&first, "inside"), id(&second, "inside"));
    assert_ne!(id(&second, "abroad"), id(&first, "outside"));
    assert_eq!(second.config.generation, 2);
}

#[test]
fn a_reload_is_told_apart_by_what_the_shell_must_do() {
    let first = valid(BASE);
    assert!(changes(&first, &first).is_empty());
    let text = BASE
        .replacen("transport = \"udp\"", "transport = \"udp\"\nport = 5070", 1)
        .replacen("ports = \"20000-29999\"", "ports = \"20000-20999\"", 1)
        .replacen("cert = \"/tls/sbc.pem\"", "cert = \"/tls/new.pem\"", 1);
    let changed = changes(&first, &valid(&text));
    assert_eq!(
        changed.listeners[&"inside/udp/v4:5060".into()],
        Change::Removed
    );
    assert_eq!(
        changed.listeners[&"inside/udp/v4:5070".into()],
        Change::Added
    );
    assert_eq!(changed.realms[&"inside".into()], Change::Changed);
    assert_eq!(changed.tls[&"teams".into()], Change::Changed);
    assert!(!changed.metrics && !changed.cdr && !changed.api && !changed.dns);
    let text = format!("{BASE}[dns]\nservers = [\"192.0.2.53:53\", \"[2001:db8::53]:53\"]\n");
    let asking = valid(&text);
    assert!(changes(&first, &asking).dns);
    let servers: Vec<String> = asking.shell.dns.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53"]);
}

#[test]
fn a_relay_of_its_own_is_named_by_an_absolute_path() {
    let relay = |path: &str| format!("{BASE}[media]\nrelay = \"{path}\"\n");
    let own = valid(&relay("/run/causeway-media/media.sock"));
    assert_eq!(
        own.shell.relay.as_deref(),
        Some("/run/causeway-media/media.sock")
    );
    let first = valid(BASE);
    assert_eq!(first.shell.relay, None, "in the daemon, unless asked for");
    assert!(changes(&first, &own).relay && !changes(&own, &own).relay);
    for path in ["media.sock", &format!("/{}", "a".repeat(107))] {
        let findings = load_text(&relay(path)).unwrap_err();
        let finding = &findings.errors[0];
        assert!(finding.cause.contains("is no path of a socket"));
        assert!(finding.help.as_ref().unwrap().contains("absolute path"));
    }
    let findings = load_text(&format!("{BASE}[media]\n")).unwrap_err();
    assert!(findings.errors[0].cause.contains("relay"));
}

#[test]
fn workers_of_the_daemon_stay_on_their_cores_if_that_is_written() {
    let first = valid(BASE);
    assert!(!first.shell.pins_workers);
    let pinned = valid(&format!("{BASE}[media]\npin_workers = true\n"));
    assert!(pinned.shell.pins_workers && changes(&first, &pinned).relay);
    let both = format!("{BASE}[media]\npin_workers = true\nrelay = \"/run/media.sock\"\n");
    let findings = load_text(&both).unwrap_err();
    assert!(findings.errors[0].help.as_ref().unwrap().contains("--pin"));
}

#[test]
fn how_long_connections_outlive_their_certificate_is_the_operators_choice() {
    let files = |text: &str| valid(text).shell.tls[&"teams".into()].clone();
    assert_eq!(files(BASE).drain, None);
    let text = BASE.replacen(
        "cert = \"/tls/sbc.pem\"",
        "cert = \"/tls/sbc.pem\"\ndrain = \"30s\"",
        1,
    );
    assert_eq!(files(&text).drain, Some(Duration::from_secs(30)));
}

#[test]
fn records_are_kept_as_long_and_closed_as_often_as_is_written() {
    let shell = |lines: &str| {
        let text = BASE.replacen("[metrics]\n", &format!("{lines}[metrics]\n"), 1);
        load_text(&text).unwrap().shell
    };
    let plain = shell("[cdr]\nspool = \"/cdr\"\n");
    assert_eq!(plain.cdr, Some(CdrSpool::at("/cdr")));
    assert_eq!(plain.ladders_bytes, 64 << 20);
    let all = shell(
        "[limits]\nladders = \"1GiB\"\n[cdr]\nspool = \"/cdr\"\nrotate = \"1MiB\"\nrotate_every = \"1h\"\n\
         retention = \"90d\"\nretention_size = \"20GiB\"\nsync_each = true\ninterim = \"15m\"\n\
         mandatory = true\npairs = true\nstart = \"answer\"\n",
    );
    let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
    let wanted = CdrSpool {
        directory: "/cdr".to_owned(),
        rotate_bytes: 1 << 20,
        rotate_every: seconds(3_600),
        retention: seconds(90 * 86_400),
        retention_bytes: Some(20 << 30),
        syncs_each: true,
        interim: seconds(900),
        is_mandatory: true,
        pairs: true,
        start: Some(CdrStart::Answer),
        ship: None,
    };
    assert_eq!((all.cdr, all.ladders_bytes), (Some(wanted), 1 << 30));
}

#[test]
fn findings_serialise_with_code_place_and_help() {
    let text = BASE.replacen("\"PCMU\"", "\"PCMZ\"", 1);
    let findings = load_text(&text).unwrap_err();
    let json = serde_json::to_value(&findings).unwrap();
    assert_eq!(json["errors"][0]["code"], "E0007");
    assert_eq!(json["errors"][0]["severity"], "error");
    assert_eq!(json["errors"][0]["place"]["file"], "causeway.toml");
    assert_eq!(json["errors"][0]["help"], "did you mean \"PCMA\"?");
}

#[test]
fn many_lines_cost_in_proportion_to_their_number() {
    let lines = |wanted: usize| {
        let mut text = BASE.to_owned();
        for index in 0..(wanted - BASE.lines().count()) / 12 {
            text.push_str(&format!(
                "[[tenant]]\nname = \"t{index}\"\nnumbers = [\"+1{index:09}\"]\n\
                 [[trunk]]\nname = \"c{index}\"\ntenant = \"t{index}\"\nrealm = \"inside\"\n\
                 targets = [\"10.{}.{}.{}\"]\n\
                 [[route]]\nname = \"r{index}\"\nmatch = {{ called_in = \"tenant:t{index}\" }}\n\
                 to = [{{ trunk = \"c{index}\" }}]\n",
                index / 60_000,
                index / 250 % 250,
                index % 250 + 1,
            ));
        }
        text
    };
    let cost = |text: &str, trunks: usize| {
        let run = |_| {
            let began = cpu_time();
            assert!(valid(text).config.trunks.len() >= trunks);
            cpu_time() - began
        };
        (0..3).map(run).min().expect("three runs")
    };
    let (some, many) = (cost(&lines(2_500), 190), cost(&lines(10_000), 800));
    // Four times as many lines, sorted here and there; sixteen times would be the square.
    assert!(many < some * 8, "{some:?}, then {many:?}");
}

#[test]
fn control_characters_of_a_broken_file_do_not_reach_the_terminal() {
    let text = BASE.replacen("codecs =", "\"\\u001b[2Jx\" = 1\ncodecs =", 1);
    let printed = load_text(&text).unwrap_err().to_text();
    assert!(!printed.contains('\u{1b}'), "{printed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC*") {
        let _ = load(&[Source::new("x", text)], &Assumed::default(), None);
    }

    #[test]
    fn no_mutation_of_a_real_file_makes_the_loader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[\\[\\]={}\"'0-9a-z.,\n§+*$-]{0,6}"), 1..6)
    ) {
        let mut text: Vec<char> = if edits.len() % 2 == 0 { BASE } else { starter() }.chars().collect();
        for (at, cut, insert) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        let result = load(&[Source::new("x", &*text)], &Machine, None);
        if let Err(findings) = result {
            prop_assert!(!findings.errors.is_empty());
            prop_assert!(findings.errors.len() <= Findings::MOST);
            prop_assert!(!findings.to_text().is_empty());
        }
    }
}
