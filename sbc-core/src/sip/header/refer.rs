//! Refer-To and Referred-By: whom to call next and who asks for it (RFC 3515, RFC 3892).
//!
//! Towards Teams both must be repeated byte for byte: take them with `Message::raw`.

use super::address_headers;

address_headers! {
    /// Whom the receiver of a REFER shall call.
    ReferTo, Single;
    /// Who asks for it.
    ReferredBy, Single;
}
