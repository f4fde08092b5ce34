//! Who a trunk says that calls, and how: where the caller's number is read on the way in, what is
//! written about it on the way out (SIP-1000, SIP-1004).

use crate::policy::number::is_e164;

/// Policy of a trunk for identities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityPolicy {
    /// Where the caller's number is read, in order of preference. Anything but `From` counts only
    /// on a trusted trunk.
    pub sources: Vec<IdentitySource>,
    /// Whose number stands in From towards this peer.
    pub from: Party,
    /// Whose number is asserted towards this peer.
    pub asserted: Party,
    /// Header in which it is asserted.
    pub form: AssertedForm,
    /// The trunk's main number: for calls that show another number than they may, and for peers
    /// that want to see one number only.
    pub pilot: Option<String>,
    /// What becomes of calls from this peer whose number is not one of the customer's.
    pub screening: Screening,
    /// Whether From has to be one of the customer's numbers as well, where another one is looked at first
    /// (`screen_from`): without it, who asserts a number of its own may show any other.
    pub screens_from: bool,
    /// What becomes of display names towards this peer.
    pub display: DisplayForm,
    /// Host of From.
    pub from_host: FromHost,
    /// User part of Contact.
    pub contact_user: ContactUser,
    /// Parameters of called numbers that pass as they came.
    pub params: Vec<String>,
    /// Which numbers this peer takes.
    pub number_form: NumberForm,
    /// What becomes of a calling or redirecting number that cannot be written.
    pub on_error: OnError,
    /// Whether a caller for help who wants to be hidden from this peer is (SIP-1011): only where the law
    /// says so, because who helps must know whom to call back.
    pub hides_in_need: bool,
    /// Whether a caller who asks for `Privacy: id` is anonymous in From as well, and not in what is asserted
    /// alone: SIPconnect 2.0 has it so, RFC 3325 leaves From to the caller.
    pub anonymous_from: bool,
    /// Whether who is there now is told by another From within the dialog, where the peer understands
    /// that too (RFC 4916), and the peer's own is believed: `from_change`.
    pub from_change: bool,
}

/// Host of From towards a peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum FromHost {
    /// Our name on the trunk; its domain where we register.
    #[default]
    Own,
    /// The name of the peer's target.
    Peer,
    /// This name.
    Named(String),
}

/// User part of Contact towards a peer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ContactUser {
    /// The number that From shows.
    #[default]
    Caller,
    /// The trunk's main number.
    Pilot,
    /// None.
    None,
    /// This text.
    Named(String),
}

/// Which numbers a peer takes, once transforms have brought them to its form (TDR-NUM-002).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NumberForm {
    /// `+` and digits: Teams looks users up by these (TDR-SIP-010).
    E164,
    /// Those, and what is dialled: rules of the peer's own make the rest of it.
    Digits,
    /// Whatever it is.
    Any,
}

impl NumberForm {
    /// Whether a called number can be sent.
    pub fn admits(self, number: &str) -> bool {
        match self {
            Self::E164 => is_e164(number),
            Self::Digits => is_dialled(number),
            Self::Any => true,
        }
    }

    /// Whether a caller's number can be shown. What is dialled can, for it does no harm; a name is no
    /// number.
    pub fn shows(self, number: &str) -> bool {
        self == Self::Any || is_dialled(number)
    }
}

/// Whether the text is what telephones dial: digits, `*` and `#`, with or without `+`.
fn is_dialled(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    let is_key = |octet: u8| octet.is_ascii_digit() || matches!(octet, b'*' | b'#');
    !digits.is_empty() && digits.bytes().all(is_key)
}

/// What becomes of a number of the caller's side that transforms made unfit (SIP-017).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnError {
    /// The call fails.
    #[default]
    Fail,
    /// The header stays out; in From nobody is named.
    Drop,
}

/// Whether numbers say `user=phone`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UserPhone {
    /// Always.
    Always,
    /// Never.
    Never,
    /// As they came.
    Pass,
}

impl Default for IdentityPolicy {
    fn default() -> Self {
        Self {
            sources: vec![IdentitySource::From],
            from: Party::Caller,
            asserted: Party::Caller,
            form: AssertedForm::Pai,
            pilot: None,
            screening: Screening::Pass,
            screens_from: false,
            display: DisplayForm::Pass,
            from_host: FromHost::Own,
            contact_user: ContactUser::Caller,
            params: Vec::new(),
            number_form: NumberForm::Any,
            on_error: OnError::Fail,
            hides_in_need: false,
            anonymous_from: false,
            from_change: false,
        }
    }
}

/// A place in an INVITE that names the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IdentitySource {
    /// P-Asserted-Identity with a `tel` URI.
    PaiTel,
    /// P-Asserted-Identity with a `sip` URI.
    PaiSip,
    /// Remote-Party-ID.
    Rpid,
    /// From.
    From,
}

/// Whose number is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Party {
    /// The original caller.
    Caller,
    /// Whoever forwarded the call last; the caller if nobody did. Carriers ask for a number of
    /// their own customer on forwarded calls (SIP-907, TDR-FWD-004).
    Diverting,
    /// The trunk's main number.
    Pilot,
}

/// Header in which an identity is asserted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AssertedForm {
    /// P-Asserted-Identity.
    Pai,
    /// P-Preferred-Identity, for registering trunks that ask for it.
    Ppi,
    /// Remote-Party-ID, for peers from before RFC 3325.
    Rpid,
}

/// What becomes of a caller's number that is not the customer's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Screening {
    /// It is shown.
    Pass,
    /// The trunk's main number is shown instead.
    Replace,
    /// The call gets 403.
    Reject,
}

/// What becomes of display names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DisplayForm {
    /// They pass.
    Pass,
    /// Letters with marks lose them, what has no ASCII form is left out.
    Ascii,
    /// They stay behind.
    Strip,
}

/// Whether Session-ID is written towards a peer (RFC 7989).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SessionIdForm {
    /// Never.
    None,
    /// If the party on the other side names itself.
    #[default]
    Pass,
    /// Always; a party that does not name itself gets a name from us.
    Always,
}

/// What becomes of a 3xx from a peer (SIP-900).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Redirect {
    /// The new targets are called, as far as the routes allow calls of this peer there.
    #[default]
    Follow,
    /// The caller is told, with our name in the place of the peer's.
    Pass,
    /// The call fails.
    Fail,
}
