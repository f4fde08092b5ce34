//! Defaults of a Microsoft Teams Direct Routing trunk.

use super::Defaults;
use crate::config::{
    Cloud, HistoryForm, NumberForm, OptionsProbe, RefreshBy, SessionTimer, SipTimers, UriForm,
    UserPhone,
};
use crate::media::Profile;
use crate::sip::Method;
use crate::transport::Protocol;
use std::time::Duration;

/// Most often and least often that OPTIONS may be sent (TDR-OPT-006).
pub(crate) const OPTIONS_SECONDS: std::ops::RangeInclusive<u64> = 60..=180;

/// The defaults.
pub(in crate::config) fn defaults(cloud: Cloud) -> Defaults {
    let names = cloud.names().iter();
    Defaults {
        targets: names
            .map(|name| (*name, Cloud::PORT, Protocol::Tls))
            .collect(),
        accept_from: cloud.ranges(),
        trusted: true,
        uri: UriForm {
            user_phone: UserPhone::Always,
            transport_param: true,
        },
        timers: SipTimers {
            response_timeout: Duration::from_secs(4),
            // A data centre that is not there leaves time for the next one (TDR-DNS-002).
            connect: Some(Duration::from_secs(2)),
            handshake: Some(Duration::from_secs(3)),
            ..SipTimers::default()
        },
        // Anything else that Teams answers is final; a repeated 603 shows as several missed calls
        // (TDR-DNS-002, TDR-DNS-004). Time-outs and connection failures always lead on.
        reroute_on: vec![503],
        options: Some(OptionsProbe {
            interval: Duration::from_secs(60),
            // Other answers prove that Teams is there, but not that it knows this trunk.
            ok: Some(vec![200]),
        }),
        // Teams asks for an hour and refreshes by itself where it may (TDR-TMR-001, TDR-TMR-002).
        session_timer: SessionTimer {
            expires_s: 3_600,
            // What it announces itself (TDR-TMR-004).
            min_se_s: 300,
            refresher: RefreshBy::Peer,
        },
        // NOTIFY must be listed (TDR-SIP-003). REFER, which selects the transfer model in which we do
        // the transfer, is a setting of the trunk.
        allow: vec![
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Options,
            Method::Notify,
        ],
        // How Teams treats an asserted identity from outside is not documented (TDR-SIP-015).
        send_asserted: false,
        history: HistoryForm::Pass,
        // Users are looked up by numbers with + and nothing else (TDR-SIP-010, TDR-NUM-002).
        number_form: NumberForm::E164,
        anonymous_from: false,
        set_headers: vec![(
            "X-MS-SBC".to_owned(),
            concat!("Causeway/SBC/", env!("CARGO_PKG_VERSION")).to_owned(),
        )],
        // Long gaps may be judged as a failure of media (TDR-MED-023).
        fills_pauses: true,
        media: Profile::teams,
    }
}
