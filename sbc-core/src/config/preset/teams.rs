//! Defaults of a Microsoft Teams Direct Routing trunk (worldwide cloud).

use super::Defaults;
use crate::config::{
    HistoryForm, IpNet, NumberForm, OptionsProbe, RefreshBy, SessionTimer, SipTimers, UriForm,
    UserPhone,
};
use crate::media::Profile;
use crate::sip::Method;
use crate::transport::Protocol;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Names of the service in the order in which they must be tried (TDR-CON-001).
pub(in crate::config) const NAMES: [&str; 3] = [
    "sip.pstnhub.microsoft.com",
    "sip2.pstnhub.microsoft.com",
    "sip3.pstnhub.microsoft.com",
];

/// Most often and least often that OPTIONS may be sent (TDR-OPT-006).
pub(in crate::config) const OPTIONS_SECONDS: std::ops::RangeInclusive<u64> = 60..=180;

/// The defaults.
pub(in crate::config) fn defaults() -> Defaults {
    Defaults {
        targets: NAMES
            .into_iter()
            .map(|name| (name, 5061, Protocol::Tls))
            .collect(),
        // Requests of a running call may come from any address in these ranges, on a connection of
        // its own (TDR-CON-003, TDR-CON-004).
        accept_from: vec![range(52, 112), range(52, 120)],
        trusted: true,
        uri: UriForm {
            user_phone: UserPhone::Always,
            transport_param: true,
        },
        timers: SipTimers {
            response_timeout: Duration::from_secs(4),
            ..SipTimers::default()
        },
        // Anything else that Teams answers is final; a repeated 603 shows as several missed calls
        // (TDR-DNS-002, TDR-DNS-004). Time-outs and connection failures always lead on.
        reroute_on: vec![503],
        options: Some(OptionsProbe {
            interval: Duration::from_secs(60),
            // Other answers prove that Teams is there, but not that it knows this trunk.
            ok: vec![200],
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
        set_headers: vec![(
            "X-MS-SBC".to_owned(),
            concat!("Causeway/SBC/", env!("CARGO_PKG_VERSION")).to_owned(),
        )],
        media: Profile::teams,
    }
}

fn range(a: u8, b: u8) -> IpNet {
    IpNet {
        address: IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)),
        prefix: 14,
    }
}
