//! A call record for tests.

use sbc_core::cause::{Because, Cause, CauseCode, EndedBy};
use sbc_core::id::{CallId, LegId, TenantName, TrunkName};
use sbc_core::record::{
    AttemptRecord, Custom, Disposition, KeptNumbers, LegRecord, MediaRecord, ReceivedRecord, Record,
};
use sbc_core::time::UnixTime;
use sbc_core::transport::Protocol;

/// The call was answered and its caller hung up after a minute.
pub(crate) fn record(call: u128) -> Record {
    Record {
        version: 1,
        call: CallId(call),
        node: "sbc1".to_owned(),
        tenant: Some(TenantName::new("contoso")),
        start: UnixTime::from_micros(1_768_471_200_000_000),
        first_progress_ms: Some(500),
        setup_ms: Some(2_000),
        duration_ms: 60_000,
        end: Some(UnixTime::from_micros(1_768_471_262_000_000)),
        billsec: 60,
        held_ms: 0,
        numbers: KeptNumbers::Full,
        calling_raw: "+441632960001".to_owned(),
        calling_name: None,
        called_raw: "+441632960002".to_owned(),
        calling: "+441632960001".to_owned(),
        called: "+441632960002".to_owned(),
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
            call_id: format!("a-{call}"),
            from_tag: None,
            to_tag: "t".to_owned(),
            user_agent: None,
            teams_call: None,
        },
        egress: vec![attempt(1, "teams", Some(200))],
        disposition: Disposition::Answered,
        cause: Cause {
            by: EndedBy::A,
            code: CauseCode::NormalClearing,
            status: None,
            q850: Some(16),
            because: Because::of("BYE"),
        },
        end_reason: None,
        route_name: None,
        route: Because::default(),
        media_captured: None,
        local_media: Vec::new(),
        media: Vec::new(),
        one_way: Vec::new(),
        transcoded: Vec::new(),
        transfers: Vec::new(),
        conversations: Vec::new(),
        answered_by: Some(LegId(1)),
        parties: Vec::new(),
    }
}

/// An attempt that rang nowhere.
pub(crate) fn attempt(leg: u8, trunk: &str, status: Option<u16>) -> AttemptRecord {
    AttemptRecord {
        leg: LegId(leg),
        trunk: TrunkName::new(trunk),
        called: "+441632960002".to_owned(),
        custom: Custom::default(),
        host: "sip.example.com".to_owned(),
        protocol: Protocol::Tls,
        remote: None,
        tls: None,
        call_id: format!("b-{leg}"),
        user_agent: None,
        started_ms: 0,
        ended_ms: None,
        status,
        phrase: None,
        q850: None,
        q850_location: None,
        warning: None,
        reason: None,
        fault: None,
        first_response_ms: None,
        first_progress_ms: None,
        given_up: Vec::new(),
        teams_call: None,
    }
}

/// Media of a leg of which a tenth was lost.
pub(crate) fn media(leg: u8) -> MediaRecord {
    MediaRecord {
        leg: LegId(leg),
        codec: None,
        ptime_ms: Some(20),
        srtp: true,
        srtp_suite: None,
        dtmf: None,
        remote: None,
        local: None,
        packets_in: 90,
        packets_out: 90,
        bytes_in: 0,
        bytes_out: 0,
        lost: 10,
        jitter_ms: 2.0,
        max_jitter_ms: 2.0,
        rtt_ms: None,
        dropped: std::collections::BTreeMap::new(),
        received: ReceivedRecord::of(&media_api::StreamStats::default()),
        sent: None,
        extended: None,
        targets: None,
    }
}
