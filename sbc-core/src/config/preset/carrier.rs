//! Defaults of a carrier's or PBX's SIP trunk.

use super::Defaults;
use crate::config::{
    HistoryForm, NumberForm, OptionsProbe, RefreshBy, SessionTimer, SipTimers, UriForm, UserPhone,
};
use crate::media::Profile;
use crate::sip::Method;
use std::time::Duration;

/// The defaults. Nobody is trusted before the operator says so; 503 and server failures lead to
/// the next target, a busy or absent user never does (SIP-1201).
pub(in crate::config) fn defaults() -> Defaults {
    Defaults {
        targets: Vec::new(),
        accept_from: Vec::new(),
        trusted: false,
        uri: UriForm {
            user_phone: UserPhone::Never,
            transport_param: true,
        },
        timers: SipTimers {
            response_timeout: Duration::from_secs(3),
            ..SipTimers::default()
        },
        reroute_on: vec![408, 500, 502, 503, 504],
        options: Some(OptionsProbe {
            interval: Duration::from_secs(60),
            // A peer that answers at all is there; many refuse OPTIONS to a number-less URI.
            ok: None,
        }),
        session_timer: SessionTimer {
            expires_s: 1_800,
            min_se_s: 90,
            refresher: RefreshBy::Auto,
        },
        allow: vec![
            Method::Invite,
            Method::Ack,
            Method::Cancel,
            Method::Bye,
            Method::Options,
            Method::Update,
        ],
        send_asserted: true,
        history: HistoryForm::None,
        number_form: NumberForm::Any,
        anonymous_from: false,
        set_headers: Vec::new(),
        fills_pauses: false,
        media: Profile::carrier,
    }
}
