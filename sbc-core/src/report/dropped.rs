//! Why a message came to nothing before there was a call, in two sentences: what happened, and what to change.

use crate::event::DropCode;

/// What happened to the message, and what to change.
pub const fn dropped(why: DropCode) -> (&'static str, &'static str) {
    match why {
        DropCode::Stranger => (
            "it came from an address that is no peer's of any trunk, so nobody answered",
            "if it is a peer's, add the address to accept_from of its [[trunk]]; otherwise let the firewall keep it away",
        ),
        DropCode::WrongIdentity => (
            "its address is a peer's, but the TLS certificate it showed is not",
            "have the peer show a certificate with a name of its targets, or add that name to accept_names of the [[trunk]]",
        ),
        DropCode::UnknownHost => (
            "the host in its Request-URI is the fqdn of no trunk of that peer (404)",
            "compare fqdn of the [[trunk]] with the name that the peer has for us; for Teams, that of the SBC in the tenant",
        ),
        DropCode::Malformed => (
            "it is no sound SIP message, or an INVITE without a usable Contact (400)",
            "look at it with `causeway sip parse`; its sender must change it",
        ),
        DropCode::StrayResponse => (
            "it answers nothing that we have asked, or too late",
            "nothing, if it was once; otherwise ask the peer why it answers later than 32 s",
        ),
        DropCode::StrayAck => (
            "it acknowledges (ACK) nothing that we have answered",
            "nothing, if it was once; otherwise look whether the peer keeps tags and Call-ID of our answers",
        ),
        DropCode::ForeignVia => (
            "it is an answer with a first Via that is not ours",
            "find out who between the peer and us changes Via, or who forges answers",
        ),
        DropCode::UnknownDialog => (
            "it is a request within a call that is not known here, or not any more (481)",
            "nothing, if the call had just ended; otherwise look whether it began before a restart, or at another node",
        ),
        DropCode::ForeignDialog => (
            "it is an INVITE that would take a place in a call of another customer (403)",
            "let the two customers' trunks transfer to each other through numbers; Replaces goes within one tenant alone",
        ),
        DropCode::MethodNotAllowed => (
            "its method is not served here (405, 501)",
            "have the peer send none of this kind; Allow in our answers says what it may send",
        ),
        DropCode::Overload => (
            "no new calls are taken now (503): the node drains, is full or is overloaded",
            "see `causeway status`: end the drain with `causeway undrain`, or raise calls in [limits] if this machine bears more",
        ),
        DropCode::Unrecorded => (
            "no new calls are taken now (503), because their records cannot be written and [cdr] demands them",
            "make room or mend the disk of the folder in [cdr]: calls are taken again by themselves once records can be written",
        ),
        DropCode::Banned => (
            "its source is kept out: by an operator, or after too many wrong passwords",
            "see `causeway ban list`; `causeway ban del` lets it in again",
        ),
    }
}
