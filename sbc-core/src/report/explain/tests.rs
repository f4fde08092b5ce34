//! Explanations of records made by hand: what those made for real do not show.

use super::*;
use crate::cause::{Because, Cause};
use crate::event::TargetFault;
use crate::id::{CallId, RealmName, TenantName, TrunkName};
use crate::policy::local_media::Told;
use crate::record::OneWayRecord;
use crate::record::{Custom, GivenUp, LegRecord};
use crate::time::UnixTime;
use crate::transport::{CertificateFault, CertificateRefusal, FlowFault, Protocol};
use media_api::OneWayKind;

fn record(code: CauseCode, fault: Option<TargetFault>, status: Option<u16>) -> Record {
    Record {
        version: 1,
        call: CallId(1),
        node: "sbc1".to_owned(),
        tenant: Some(TenantName::new("contoso")),
        start: UnixTime::from_micros(0),
        first_progress_ms: None,
        setup_ms: None,
        duration_ms: 0,
        end: None,
        billsec: 0,
        held_ms: 0,
        numbers: crate::record::KeptNumbers::Full,
        calling_raw: "+15550100".to_owned(),
        calling_name: None,
        called_raw: "+15550199".to_owned(),
        calling: "+15550100".to_owned(),
        called: "+15550199".to_owned(),
        country_to: None,
        prefix_id: None,
        charged_party: None,
        asserted: None,
        withheld: false,
        screening: None,
        verstat: None,
        signed: false,
        attest: None,
        origid: None,
        diverting: None,
        divert_reason: None,
        diversions: 0,
        session_id: "0".repeat(32),
        icid: None,
        user_to_user: None,
        custom: Custom::default(),
        emergency: false,
        place: None,
        ingress: LegRecord {
            trunk: TrunkName::new("carrier"),
            protocol: Protocol::Udp,
            local: "192.0.2.9:5060".parse().unwrap(),
            remote: "192.0.2.1:5060".parse().unwrap(),
            tls: None,
            peer_names: Vec::new(),
            call_id: "x".to_owned(),
            from_tag: None,
            to_tag: String::new(),
            user_agent: None,
            teams_call: None,
        },
        egress: vec![AttemptRecord {
            leg: LegId(1),
            trunk: TrunkName::new("teams"),
            called: "+15550199".to_owned(),
            custom: Custom::default(),
            host: "sip.example.com".to_owned(),
            protocol: Protocol::Tls,
            remote: None,
            tls: None,
            call_id: "y".to_owned(),
            user_agent: None,
            started_ms: 0,
            ended_ms: None,
            status,
            phrase: None,
            q850: None,
            q850_location: None,
            warning: None,
            reason: None,
            fault,
            first_response_ms: None,
            first_progress_ms: None,
            given_up: Vec::new(),
            teams_call: None,
        }],
        disposition: Disposition::Failed,
        cause: Cause {
            by: EndedBy::Us,
            code,
            status,
            q850: None,
            because: Because::of("fact"),
        },
        route_name: None,
        route: Because::default(),
        media: Vec::new(),
        one_way: Vec::new(),
        transcoded: Vec::new(),
        transfers: Vec::new(),
        media_captured: None,
        local_media: Vec::new(),
        conversations: Vec::new(),
        end_reason: None,
        answered_by: None,
        parties: Vec::new(),
    }
}

#[test]
fn decisions_about_local_media_are_told_with_what_they_were_made_from() {
    let mut record = record(CauseCode::NormalClearing, None, None);
    let told = Told {
        location: Some("external"),
        path: vec!["proxy.example".to_owned(), "sbc.example".to_owned()],
        site: Some("Vietnam".to_owned()),
    };
    let decision = |choice, moved| LocalMediaRecord {
        at_ms: 0,
        leg: LegId(1),
        choice,
        realm: Some(RealmName::new("edge")),
        moved,
    };
    let choice = Choice {
        told,
        ..Choice::external("the user is outside".to_owned())
    };
    record.local_media = vec![
        decision(Choice::guess(), None),
        decision(choice, Some("re-INVITE")),
    ];
    let lines = explain(&record).media;
    assert!(lines[0].starts_with("internal address in realm \"edge\": where the user is"));
    assert_eq!(
        lines[1],
        "external address in realm \"edge\": the user is outside (user external; path proxy.example, \
         sbc.example; site Vietnam); re-INVITE"
    );
    assert!(explain(&record).to_string().contains("\nmedia:  internal"));
}

#[test]
fn a_leg_that_was_not_heard_is_told_with_its_cause_and_what_to_change() {
    let mut record = record(CauseCode::NormalClearing, None, None);
    assert_eq!(explain(&record).quality, Vec::<String>::new());
    let fault = |kind, lasted_ms| OneWayRecord {
        leg: LegId(1),
        kind,
        at_ms: 12_500,
        lasted_ms,
    };
    record.one_way = vec![
        fault(OneWayKind::DecryptFailures, Some(4_200)),
        fault(OneWayKind::DecryptFailures, None),
    ];
    let told = explain(&record);
    assert!(told.quality[0].starts_with(
        "leg 1 was not heard, noticed after 12.5 s, for 4.2 s: its packets cannot be decrypted"
    ));
    assert!(
        told.quality[1].contains("from then on"),
        "{:?}",
        told.quality
    );
    let [change] = &told.change[..] else {
        panic!("told once: {:?}", told.change);
    };
    assert!(change.starts_with("for the audio of leg 1: ") && change.contains("a=crypto"));
    assert!(told.to_string().contains("\nheard:  leg 1 was not heard"));
}

#[test]
fn every_target_that_was_given_up_is_told_in_order() {
    let mut record = record(CauseCode::NormalClearing, None, Some(200));
    record.egress[0].given_up = vec![GivenUp {
        host: "sip0.example.com".to_owned(),
        why: TargetFault::Status(503),
    }];
    let told = explain(&record).attempts;
    assert!(
        told[0].contains("sip0.example.com over tls: answered 503"),
        "{told:?}"
    );
    assert!(
        told[1].contains("sip.example.com over tls: answered 200"),
        "{told:?}"
    );
    assert_eq!(told.len(), 2);
}

#[test]
fn every_cause_says_who_where_and_why_and_only_normal_ends_need_no_change() {
    for code in CauseCode::ALL {
        let told = explain(&record(code, None, Some(480)));
        assert!(!told.who.is_empty() && !told.place.is_empty(), "{code}");
        assert!(!told.why.is_empty(), "{code}");
        let is_normal = matches!(
            code,
            CauseCode::NormalClearing | CauseCode::CallerCancelled | CauseCode::Operator
        );
        assert_eq!(told.change.is_empty(), is_normal, "{code}");
    }
}

#[test]
fn a_wrong_name_says_which_setting_would_accept_it() {
    let fault = TargetFault::Flow(FlowFault::TlsName {
        wanted: "sip.example.com".to_owned(),
        presented: vec!["sip.example.net".to_owned()],
    });
    let told = explain(&record(CauseCode::PeerUnreachable, Some(fault), None));
    let text = told.to_string();
    assert!(text.contains("accept_names of trunk \"teams\""), "{text}");
    assert!(text.contains("sip.example.net"));
}

/// A refusal of the peer, and what the caller was told instead.
fn refused(theirs: u16, ours: u16) -> Explanation {
    let mut record = record(CauseCode::PeerRejected, None, Some(theirs));
    record.cause.by = EndedBy::B;
    record.cause.status = Some(ours);
    explain(&record)
}

#[test]
fn the_peers_own_word_counts_and_not_its_translation() {
    let told = refused(503, 500);
    let wanted = "(503 Service Unavailable; the caller was told 500 ";
    assert!(told.why.contains(wanted), "{}", told.why);
    assert!(told.change[0].contains("503 to its reroute_on"), "{told}");
    assert!(refused(401, 403).change[0].contains("wants a login"));
    assert!(refused(302, 480).change[0].contains("redirect = \"follow\""));
    assert!(refused(513, 513).why.contains("too large"));
    assert!(refused(603, 603).why.contains("declines"));
    assert!(!refused(403, 403).why.contains("was told"));
}

#[test]
fn what_a_peer_said_stands_in_one_pair_of_brackets() {
    let mut record = record(CauseCode::PeerBusy, None, Some(486));
    record.cause.by = EndedBy::B;
    assert_eq!(
        explain(&record).why,
        "the called party is busy (486 Busy Here)"
    );
    record.cause.q850 = Some(17);
    record.egress[0].reason = Some("on the phone".to_owned());
    assert_eq!(
        explain(&record).why,
        "the called party is busy (486 Busy Here; Q.850 17, user busy; \"on the phone\")"
    );
}

#[test]
fn no_sentence_is_longer_than_two_lines_of_a_terminal() {
    for code in CauseCode::ALL {
        for status in [
            302, 400, 401, 403, 404, 408, 420, 480, 481, 488, 500, 501, 513, 603,
        ] {
            let mut record = record(code, None, Some(status));
            for by in [EndedBy::A, EndedBy::B, EndedBy::Us] {
                record.cause.by = by;
                let told = explain(&record);
                for line in told
                    .change
                    .iter()
                    .chain([&told.who, &told.place, &told.why])
                {
                    assert!(line.chars().count() <= 160, "{line}");
                }
            }
        }
    }
}

#[test]
fn a_number_of_no_tenant_is_our_own_finding() {
    let mut record = record(CauseCode::NumberUnknown, None, None);
    record.egress.clear();
    record.cause.status = Some(404);
    let told = explain(&record);
    assert!(told.why.contains("belongs to no tenant"), "{told}");
    assert!(told.place.contains("trunk \"carrier\""), "{told}");
    assert!(told.change[0].contains("[[tenant]]"), "{told}");
    assert!(!told.to_string().contains("\"\""), "{told}");
    record.called_raw = "0155".to_owned();
    assert!(explain(&record).change[1].contains("received as 0155"));
}

#[test]
fn a_party_that_cannot_be_reached_is_not_one_that_does_not_answer() {
    let mut record = record(CauseCode::NoAnswer, None, Some(480));
    record.cause.by = EndedBy::B;
    assert!(explain(&record).why.contains("cannot be reached"));
    record.egress[0].status = None;
    record.cause.status = Some(408);
    assert!(explain(&record).why.contains("nobody answered in time"));
}

#[test]
fn whose_certificate_is_wrong_decides_what_to_change() {
    let advice = |fault: FlowFault| {
        let fault = TargetFault::Flow(fault);
        explain(&record(CauseCode::PeerUnreachable, Some(fault), None)).change
    };
    let theirs = advice(FlowFault::TlsCertificate(CertificateRefusal {
        fault: CertificateFault::Other,
        text: "it is broken".to_owned(),
    }));
    assert!(theirs[0].contains("renew or complete its certificate"));
    let ours = advice(FlowFault::TlsAlert("alert UnknownCA".to_owned()));
    assert!(ours[0].contains("does not accept our certificate"));
}

#[test]
fn a_refusal_names_the_status_and_the_equipment() {
    let told = explain(&record(CauseCode::PeerRejected, None, Some(403)));
    assert!(told.why.contains("403 Forbidden"), "{}", told.why);
    assert!(told.place.contains("trunk \"teams\""));
}
