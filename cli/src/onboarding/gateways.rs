//! What the tenant says of its gateways, beside what our configuration says of the same trunks (TDR-LMO-022).
//!
//! Both sides are written by hand, and where they differ nothing refuses a call with a reason: media take
//! another way, or calls end in voicemail. The input is what `Get-CsOnlinePSTNGateway | ConvertTo-Json`
//! prints.

mod differences;

pub use differences::{Difference, differences};
use serde_json::{Map, Value};

/// A gateway object of the tenant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gateway {
    /// Fqdn, lower case.
    pub fqdn: String,
    /// SipSignalingPort.
    pub port: Option<u16>,
    /// Enabled.
    pub is_enabled: bool,
    /// MediaBypass.
    pub bypass: bool,
    /// BypassMode.
    pub mode: Mode,
    /// ProxySbc, lower case.
    pub proxy: Option<String>,
    /// GatewaySiteId; case matters.
    pub site: Option<String>,
    /// GatewaySiteLbrEnabled.
    pub by_location: bool,
}

/// BypassMode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// No local media.
    #[default]
    None,
    /// Local media for everybody inside.
    Always,
    /// Local media for users of the gateway's own site.
    OnlyForLocalUsers,
}

/// Most gateways that are read.
const MOST: usize = 10_000;

/// Reads what the tenant exported: one object, or a list of them, in UTF-8 or in the UTF-16 of PowerShell's
/// own redirection.
///
/// # Errors
/// Why it cannot be read, and what to type instead.
pub fn read(bytes: &[u8]) -> Result<Vec<Gateway>, String> {
    const HOW: &str = "write it with Get-CsOnlinePSTNGateway | ConvertTo-Json > gateways.json";
    let text = decoded(bytes).ok_or_else(|| format!("the file is no text; {HOW}"))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|fault| format!("no JSON: {fault}; {HOW}"))?;
    let all = match value {
        Value::Array(all) => all,
        one => vec![one],
    };
    let gateways = all.iter().take(MOST).enumerate().map(|(at, value)| {
        let of = |why: &str| format!("gateway {}: {why}; {HOW}", at + 1);
        let object = value.as_object().ok_or_else(|| of("it is no object"))?;
        gateway(object).map_err(|why| of(&why))
    });
    gateways.collect()
}

fn decoded(bytes: &[u8]) -> Option<String> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => {
            let units = rest.chunks_exact(2);
            let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

fn gateway(object: &Map<String, Value>) -> Result<Gateway, String> {
    // Cmdlets, exports and documents spell the names of parameters each in their own case.
    let find = |name: &str| {
        let mut all = object.iter();
        let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found
            .map(|(_, value)| value)
            .filter(|value| !value.is_null())
    };
    let text = |name: &str| {
        let value = find(name)?.as_str()?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let flag = |name: &str| match find(name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(format!("{name} is {other}, wanted true or false")),
    };
    // Names are shown as parts of commands to type.
    let name = |name: &str| match text(name) {
        Some(value) if !value.bytes().all(is_of_name) => {
            Err(format!("{name} is {value:?}, which is no name of a host"))
        }
        value => Ok(value.map(|value| value.to_ascii_lowercase())),
    };
    let fqdn = match name("Fqdn")? {
        None => name("Identity")?,
        fqdn => fqdn,
    };
    let port = find("SipSignalingPort").and_then(Value::as_u64);
    Ok(Gateway {
        fqdn: fqdn.ok_or("it has no Fqdn")?,
        port: port.and_then(|port| u16::try_from(port).ok()),
        is_enabled: flag("Enabled")?,
        bypass: flag("MediaBypass")?,
        mode: mode(find("BypassMode"))?,
        proxy: name("ProxySbc")?,
        site: text("GatewaySiteId"),
        by_location: flag("GatewaySiteLbrEnabled")?,
    })
}

fn is_of_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_')
}

/// Enumerations are written as numbers unless somebody asks for words.
fn mode(value: Option<&Value>) -> Result<Mode, String> {
    let Some(value) = value else {
        return Ok(Mode::None);
    };
    let word = value.as_str().unwrap_or_default().to_ascii_lowercase();
    match (word.as_str(), value.as_u64()) {
        ("none", _) | (_, Some(0)) => Ok(Mode::None),
        ("always", _) | (_, Some(1)) => Ok(Mode::Always),
        ("onlyforlocalusers", _) | (_, Some(2)) => Ok(Mode::OnlyForLocalUsers),
        _ => Err(format!(
            "BypassMode is {value}, wanted None, Always or OnlyForLocalUsers"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRANCH: &str = r#"{ "Identity": "VNsbc.contoso.example", "Fqdn": "VNsbc.contoso.example",
        "SipSignalingPort": 5061, "Enabled": true, "MediaBypass": true, "BypassMode": 1,
        "ProxySbc": "proxysbc.contoso.example", "GatewaySiteId": "Vietnam",
        "GatewaySiteLbrEnabled": true }"#;

    #[test]
    fn every_form_that_powershell_writes_is_read() {
        let one = read(BRANCH.as_bytes()).unwrap();
        assert_eq!((one.len(), one[0].mode), (1, Mode::Always));
        let marked: Vec<u8> = [&[0xef, 0xbb, 0xbf], BRANCH.as_bytes()].concat();
        assert_eq!(read(&marked).unwrap(), one);
        let units = BRANCH.encode_utf16().flat_map(u16::to_le_bytes);
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(units).collect();
        assert_eq!(read(&wide).unwrap(), one);
        for (text, words) in [
            ("fqdn", "no JSON"),
            ("[1]", "gateway 1: it is no object"),
            ("{}", "it has no Fqdn"),
            ("{\"Fqdn\": \"a.example; b\"}", "no name of a host"),
            (
                "{\"Fqdn\": \"a.example\", \"ProxySbc\": \"$(b)\"}",
                "ProxySbc is",
            ),
            (
                "{\"Fqdn\": \"a.example\", \"MediaBypass\": \"yes\"}",
                "wanted true or false",
            ),
            (
                "{\"Fqdn\": \"a.example\", \"BypassMode\": 7}",
                "BypassMode is 7",
            ),
        ] {
            let why = read(text.as_bytes()).unwrap_err();
            assert!(
                why.contains(words) && why.contains("ConvertTo-Json"),
                "{why}"
            );
        }
    }
}
