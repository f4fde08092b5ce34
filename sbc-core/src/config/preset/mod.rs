//! Defaults that a trunk starts from: ordinary values, so that they can be read and tested.

pub(super) mod carrier;
pub(super) mod sba;
pub(super) mod sipconnect;
pub(super) mod teams;

use super::{HistoryForm, IpNet, NumberForm, OptionsProbe, SessionTimer, SipTimers, UriForm};
use crate::media::Profile;
use crate::sip::Method;
use crate::transport::Protocol;
use media_api::{Family, RealmId};

/// Defaults of a trunk.
pub(super) struct Defaults {
    /// Targets when none are written.
    pub(super) targets: Vec<(&'static str, u16, Protocol)>,
    /// Source ranges when none are written.
    pub(super) accept_from: Vec<IpNet>,
    pub(super) trusted: bool,
    pub(super) uri: UriForm,
    pub(super) timers: SipTimers,
    pub(super) reroute_on: Vec<u16>,
    pub(super) options: Option<OptionsProbe>,
    pub(super) session_timer: SessionTimer,
    pub(super) allow: Vec<Method>,
    pub(super) send_asserted: bool,
    pub(super) history: HistoryForm,
    pub(super) number_form: NumberForm,
    pub(super) anonymous_from: bool,
    pub(super) set_headers: Vec<(String, String)>,
    pub(super) fills_pauses: bool,
    pub(super) media: fn(RealmId, Family) -> Profile,
}
