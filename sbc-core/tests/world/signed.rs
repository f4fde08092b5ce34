//! Signatures of callers as they look: what is signed is sound, the signature itself is anything. Whether it
//! is good is asked outside the core.

use super::{CONFIG, Shard, config_of};
use sbc_core::sdp::base64_encode;

/// When everything is signed, unless a test says otherwise: the time of a new shard.
pub const NOW: u64 = 1_800_000_000;
/// The caller of the carrier, whom it calls, and somebody else, as they are signed.
pub const CALLER: &str = "498999998001";
pub const CALLED: &str = "493023125456";
pub const OTHER: &str = "493023125777";
pub const ORIGIN: &str = "123e4567-e89b-12d3-a456-426655440000";

/// The world with these lines at the trunk of the carrier and at that of Teams.
pub fn world_with(carrier: &str, teams: &str) -> String {
    let codecs = "codecs = [\"PCMA\", \"PCMU\"]";
    let preset = "preset = \"teams\"";
    let stir = "[stir]\nroots = \"/etc/causeway/stir/roots.pem\"\n";
    CONFIG
        .replace(codecs, &format!("{codecs}\n{carrier}"))
        .replace(preset, &format!("{preset}\n{teams}"))
        .replacen("[[realm]]", &format!("{stir}[[realm]]"), 1)
}

pub fn shard_with(carrier: &str, teams: &str) -> Shard {
    Shard::with(config_of(&world_with(carrier, teams)))
}

/// JSON in base64url.
pub fn encoded(text: &str) -> String {
    let usual = base64_encode(text.as_bytes());
    usual
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}

/// The value of an Identity header of this type with these claims.
pub fn identity(ppt: &str, claims: &str) -> String {
    let header = format!(
        r#"{{"alg":"ES256","ppt":"{ppt}","typ":"passport","x5u":"https://cert.example.org/{ppt}.cer"}}"#
    );
    let signature = encoded(&"s".repeat(64));
    format!(
        "{}.{}.{signature};info=<https://cert.example.org/{ppt}.cer>;alg=ES256;ppt={ppt}",
        encoded(&header),
        encoded(claims)
    )
}

pub fn shaken_at(iat: u64, level: &str, orig: &str, dest: &str) -> String {
    identity(
        "shaken",
        &format!(
            r#"{{"attest":"{level}","dest":{{"tn":["{dest}"]}},"iat":{iat},"orig":{{"tn":"{orig}"}},"origid":"{ORIGIN}"}}"#
        ),
    )
}

/// A signature of the carrier's caller for its call.
pub fn shaken() -> String {
    shaken_at(NOW, "A", CALLER, CALLED)
}

/// A signature of who forwarded the call.
pub fn div(before: &str, after: &str) -> String {
    identity(
        "div",
        &format!(
            r#"{{"dest":{{"tn":["{after}"]}},"div":{{"tn":"{before}"}},"iat":{NOW},"orig":{{"tn":"{CALLER}"}}}}"#
        ),
    )
}
