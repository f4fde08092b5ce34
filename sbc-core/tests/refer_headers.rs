//! What becomes of headers in the URI of a Refer-To (SIP-808).

use crate::world;

use sbc_core::sip::{HeaderName, Method};
use world::call::*;
use world::*;

#[test]
fn headers_of_the_target_pass_where_the_trunks_let_them() {
    let config = CONFIG.replace(
        "preset = \"teams\"",
        "preset = \"teams\"\nheaders = { pass = [\"User-to-User\", \"X-Ticket\"] }",
    );
    let mut call = Call::with(&config);
    let uri = "sip:+493023125999@192.0.2.11?User-to-User=56a390f3%3Bencoding%3Dhex&X-Ticket=7&X-Other=1&Via=x&P-Asserted-Identity=%3Csip%3Aboss%40example.com%3E&From=x&Route=x";
    let by = "Referred-By: <sip:boss@example.org>\n";
    call.says("REFER", &format!("Refer-To: <{uri}>\n{by}"), "");
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let invite = call.shard.next_request(Method::Invite).message;
    assert_eq!(
        header(&invite, HeaderName::UserToUser),
        "56a390f3;encoding=hex"
    );
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    assert!(text.contains("X-Ticket: 7\r\n"), "{text}");
    for absent in ["X-Other", "boss", "Route: x", "Via: x", "?", "Referred-By"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
}

/// SIP-808: what the URI says of why and of whom before is told in the words of the new party's trunk; of the rest only
/// what is listed is told, whatever an INVITE of the transferor's trunk could say.
#[test]
fn why_and_whom_before_are_told_to_the_target_and_nothing_that_is_not_listed() {
    for (name, is_refused) in [
        ("X-Ticket", false),
        ("Reason", true),
        ("Via", true),
        ("Contact", true),
    ] {
        let text = CONFIG.replace(
            "preset = \"teams\"\n",
            &format!("preset = \"teams\"\nheaders = {{ pass = [\"{name}\"] }}\n"),
        );
        let sources = [sbc_core::config::Source::new("test.toml", text)];
        let facts = sbc_core::config::Assumed::with_names(["sbc1.contoso.example"]);
        let loaded = sbc_core::config::load(&sources, &facts, None);
        assert_eq!(loaded.is_err(), is_refused, "{name}");
    }

    let keys = "headers = { pass = [\"X-Ticket\"] }\nidentity = { diversion = \"history-info\" }\n";
    let config = CONFIG.replace(
        "preset = \"teams\"\n",
        &format!("preset = \"teams\"\n{keys}"),
    );
    let mut call = Call::with(&config);
    let uri = "sip:+493023125999@192.0.2.11?Reason=Q.850%3Bcause%3D17%3Btext%3D%22gw7.inside.example%22&\
               Reason=SIP%3Bcause%3D302&\
               History-Info=%3Csip%3A%2B493023125001%40192.0.2.11%3Fprivacy%3Dnone%3E%3Bindex%3D1%2C\
               %3Csip%3A%2B493023125999%40192.0.2.11%3Bcause%3D302%3E%3Bindex%3D1.1%3Bmp%3D1&\
               X-Ticket=7&Date=Sat%2C%2013%20Nov%202010%2023%3A29%3A00%20GMT&Subject=lunch&\
               Priority=emergency&Organization=x&Require=nobody-has-this&Authorization=x&Contact=x&\
               Record-Route=x&CSeq=1&Call-ID=x&To=x&Identity=x&body=x";
    call.says("REFER", &format!("Refer-To: <{uri}>\n"), "");
    call.shard.next_response(202);
    call.shard.next_request(Method::Notify);
    let invite = call.shard.next_request(Method::Invite).message;
    let values = |name: HeaderName| {
        let lines = invite.headers().filter(|line| line.name() == name);
        let lines = lines.map(|line| String::from_utf8_lossy(&line.value()).into_owned());
        lines.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(values(HeaderName::Reason), "Q.850;cause=17, SIP;cause=302");
    let history = values(HeaderName::HistoryInfo);
    assert!(
        history.contains("+493023125001") && history.contains("cause=302"),
        "{history}"
    );
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    assert!(text.contains("X-Ticket: 7\r\n"), "{text}");
    for absent in [
        "inside.example",
        "\r\nDate",
        "lunch",
        "Priority",
        "Organization",
        "nobody",
        "\r\nIdentity",
    ] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert_eq!(values(HeaderName::CSeq), "1 INVITE");
    assert!(!invite.has(HeaderName::Authorization) && !invite.has(HeaderName::RecordRoute));
}
