//! What operators get wrong: broken configurations, each with the place, the code and the help that names the fix
//! (OPS-110, OPS-111).

use crate::config::{BASE, load_text};
use sbc_core::config::Findings;

/// One mistake: what of the base is replaced by what, with `§` where the finding points; its code; what the help says.
type Seed = (&'static str, &'static str, &'static str, &'static str);

/// The trunk of the carrier with a line more.
const TRUNK: &str = "targets = [\"198.51.100.20:5060;udp\"]\n";
const METRICS: &str = "[metrics]\n";
const CODECS: &str = "codecs = [\"PCMA\", \"PCMU\"]";
const RULE: &str = "called = [{ match = '^0([1-9]\\d+)$', set = '+49$1' }]";
const WHEN: &str = "when = { trunk = \"carrier\", dir = \"in\" }";
const MATCH: &str = "match = { called_in = \"tenant:contoso\", from_trunk = \"carrier\" }";
const TO_TEAMS: &str = "to = [{ trunk = \"teams-contoso\" }]";
const TO_CARRIER: &str = "to = [{ trunk = \"carrier\" }]";
const KEY: &str = "key = { file = \"/tls/sbc.key\" }";
const NODE: &str = "id = \"sbc1\"";
const INSIDE: &str = "addresses = [\"198.51.100.9\"]";
const PORTS: &str = "ports = \"20000-29999\"";
const UDP: &str = "transport = \"udp\"";
const NUMBERS: &str = "numbers = [\"+493023125000-+493023125999\"]";

/// Text that is no TOML.
const SYNTAX: &[Seed] = &[
    (NODE, "id = §sbc1", "E0001", "in quotes"),
    (NODE, "id = \"sbc1§", "E0001", "closing \""),
    (NODE, "id §\"sbc1\"", "E0001", "key = value"),
    (NODE, "id = \"sbc1\"§;", "E0001", "without ;"),
    (PORTS, "ports = §20000-29999", "E0001", "in quotes"),
    (METRICS, "[metrics§\n", "E0001", "write [name]"),
    (METRICS, "[§node]\n", "E0001", "keep one of the two"),
    (
        "[[realm]]\nname = \"outside\"",
        "[[realm]§\nname = \"outside\"",
        "E0001",
        "write [[name]]",
    ),
    (
        "codecs = [\"PCMA\", \"PCMU\"]\n\n[[transform]]",
        "codecs = [\"PCMA\", \"PCMU\"\n\n§[[transform]]",
        "E0001",
        "] where the list ends",
    ),
    (
        "key = { file = \"/tls/sbc.key\" }\nclient_ca",
        "key = { file = \"/tls/sbc.key\"\n§client_ca",
        "E0001",
        "} where the table ends",
    ),
    (
        RULE,
        "called = [{ match = \"^0([1-9]\\§d+)$\", set = '+49$1' }]",
        "E0001",
        "between ' and '",
    ),
];

/// Names and words that are not known.
const WORDS: &[Seed] = &[
    ("[node]", "[§nodes]", "E0003", "\"node\""),
    (
        NODE,
        "id = \"sbc1\"\n§user-agent = \"\"",
        "E0003",
        "\"user_agent\"",
    ),
    (
        INSIDE,
        "§adresses = [\"198.51.100.9\"]",
        "E0003",
        "\"addresses\"",
    ),
    (
        CODECS,
        "codecs = [\"PCMA\", §\"PCMZ\"]",
        "E0007",
        "\"PCMA\"",
    ),
    (
        CODECS,
        "isup = §\"relay\"\ncodecs = [\"PCMA\"]",
        "E0007",
        "\"pass\"",
    ),
    (UDP, "transport = §\"upd\"", "E0007", "\"udp\""),
    (UDP, "transport = §\"wss\"", "E0004", "\"tls\""),
    (
        "realm = \"inside\"\ntransport",
        "realm = §\"insde\"\ntransport",
        "E0020",
        "\"inside\"",
    ),
    (
        "tls = \"teams\"\n\n[[listen]]",
        "tls = §\"team\"\n\n[[listen]]",
        "E0020",
        "\"teams\"",
    ),
    (
        "verify_client = \"require\"",
        "verify_client = §\"yes\"",
        "E0007",
        "\"require\"",
    ),
    (
        "preset = \"teams\"",
        "preset = §\"team\"",
        "E0007",
        "\"teams\"",
    ),
    (
        "tenant = \"contoso\"\nrealm",
        "tenant = §\"contso\"\nrealm",
        "E0020",
        "\"contoso\"",
    ),
    ("tenant = \"*\"", "§tenent = \"*\"", "E0003", "\"tenant\""),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\ndtmf = §\"rfc2833\"\n",
        "E0007",
        "\"rfc4733\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nlimits = { §cals = 200 }\n",
        "E0003",
        "\"calls\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nsrtp = §\"on\"\n",
        "E0007",
        "\"required\"",
    ),
    (
        WHEN,
        "when = { trunk = \"carrier\", dir = §\"inbound\" }",
        "E0007",
        "\"in\"",
    ),
    (
        WHEN,
        "when = { trunk = §\"carier\", dir = \"in\" }",
        "E0020",
        "\"carrier\"",
    ),
    (
        MATCH,
        "match = { called_in = \"tenant:contoso\", §from = \"carrier\" }",
        "E0003",
        "from_trunk",
    ),
    (
        MATCH,
        "match = { called_in = §\"contoso\", from_trunk = \"carrier\" }",
        "E0008",
        "\"tenant:contoso\"",
    ),
    (
        TO_CARRIER,
        "to = [{ trunk = §\"carriers\" }]",
        "E0020",
        "\"carrier\"",
    ),
    (
        TO_CARRIER,
        "to = [{ trunk = \"carrier\" }]\nschedule = §\"business\"",
        "E0020",
        "[[schedule]]",
    ),
    (
        "name = \"fabrikam\"",
        "name = §\"contoso\"",
        "E0011",
        "its own name",
    ),
    (
        METRICS,
        "[hep]\n§collector = \"192.0.2.9\"\n[metrics]\n",
        "E0003",
        "\"collectors\"",
    ),
];

/// Values of another type or form, or out of their range.
const VALUES: &[Seed] = &[
    (NODE, "id = §\"sbc 1\"", "E0008", "letters, digits"),
    (NODE, "id = §7", "E0006", "id = \"7\""),
    (CODECS, "codecs = §\"PCMA\"", "E0006", "codecs = ["),
    (
        CODECS,
        "relay_auth = §\"r\"\ncodecs = [\"PCMA\"]",
        "E0006",
        "relay_auth = [",
    ),
    (CODECS, "codecs = §[]", "E0008", "[\"PCMA\", \"PCMU\"]"),
    (
        INSIDE,
        "addresses = [§\"0.0.0.0\"]",
        "E0030",
        "one exact address",
    ),
    (
        INSIDE,
        "addresses = [§\"198.51.100.999\"]",
        "E0008",
        "\"203.0.113.5\"",
    ),
    (
        PORTS,
        "ports = §\"29999-20000\"",
        "E0008",
        "\"20000-29999\"",
    ),
    (PORTS, "ports = §20000", "E0006", "ports = \"20000\""),
    (
        UDP,
        "transport = \"udp\"\nport = §70000",
        "E0009",
        "1 to 65535",
    ),
    (
        UDP,
        "transport = \"udp\"\nport = §\"5060\"",
        "E0006",
        "port = 5060",
    ),
    (
        NUMBERS,
        "numbers = [§\"+493023125999-+493023125000\"]",
        "E0008",
        "both of one length",
    ),
    (NUMBERS, "numbers = [§\"030 23125000\"]", "E0008", "E.164"),
    (
        "emergency = [\"112\"]",
        "emergency = §112",
        "E0006",
        "emergency = [",
    ),
    (
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = §\"203.0.113.5\"",
        "E0054",
        "sbc1.contoso.example",
    ),
    (
        TRUNK,
        "targets = [§\"198.51.100.20:5060:udp\"]\n",
        "E0008",
        "host:port;transport",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\naccept_from = [§\"198.51.100.20/24\"]\n",
        "E0008",
        "first address",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nsession_timer = { expires = §\"30 minutes\" }\n",
        "E0008",
        "\"3s\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nlimits = { calls = §\"200\" }\n",
        "E0006",
        "calls = 200",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nreroute_on = [§200]\n",
        "E0009",
        "300 to 599",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nheaders = { pass = [§\"Via\"] }\n",
        "E0055",
        "exact name",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\ntrusted = §\"yes\"\n",
        "E0006",
        "trusted = true",
    ),
    (TO_TEAMS, "to = [§\"teams-contoso\"]", "E0006", "{ trunk = "),
    (TO_TEAMS, "to = §[]", "E0008", "{ trunk = "),
    (
        TO_CARRIER,
        "to = [{ trunk = \"carrier\", weight = §0 }]",
        "E0009",
        "1 to 100",
    ),
    (
        TO_CARRIER,
        "hunt = { max = §10 }\nto = [{ trunk = \"carrier\" }]",
        "E0009",
        "1 to 6",
    ),
    (
        "listen = \"127.0.0.1:9464\"",
        "listen = §\"9464\"",
        "E0008",
        "address and port",
    ),
    (
        METRICS,
        "[limits]\nmax_duration = §\"4 h\"\n[metrics]\n",
        "E0008",
        "\"3s\"",
    ),
    (
        METRICS,
        "[cdr]\nspool = \"/cdr\"\nrotate = §\"64MB\"\n[metrics]\n",
        "E0008",
        "\"64MiB\"",
    ),
    (
        METRICS,
        "[[rate]]\nprefix = \"+49900\"\nper_minute = §\"1,99\"\n[metrics]\n",
        "E0008",
        "\"0.019\"",
    ),
    (
        METRICS,
        "[dns]\nservers = [§\"192.0.2.53\"]\n[metrics]\n",
        "E0008",
        "address and port",
    ),
];

/// What is right by itself and wrong where it stands, is absent, or belongs elsewhere.
const WHOLE: &[Seed] = &[
    (
        UDP,
        "transport = \"udp\"\nport = §25000",
        "E0033",
        "move the listener",
    ),
    (
        "transport = \"tls\"\ntls = \"teams\"",
        "transport = §\"tls\"",
        "E0034",
        "tls = ",
    ),
    (KEY, "key = §\"/tls/sbc.key\"", "E0006", "{ file = "),
    (
        KEY,
        "key = §{ file = \"/tls/sbc.key\", env = \"KEY\" }",
        "E0012",
        "one of file, env or credential",
    ),
    (
        KEY,
        "key = §{ file = \"/other\" }",
        "E0043",
        "requested with",
    ),
    (
        "client_ca = \"/tls/roots.pem\"",
        "client_ca = §\"/absent\"",
        "E0040",
        "correct the path",
    ),
    (
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = §\"sbc2.contoso.example\"",
        "E0045",
        "*.contoso.example",
    ),
    (
        "numbers = [\"+498999998000-+498999998999\"]",
        "numbers = [§\"+493023125500-+493023125600\"]",
        "E0060",
        "one tenant only",
    ),
    (
        NODE,
        "id = \"sbc1\"\n§region = \"eu\"",
        "E0004",
        "id = \"eu-",
    ),
    (
        NUMBERS,
        "numbers = [\"+493023125000-+493023125999\"]\n§default_cli = \"+493023125000\"",
        "E0004",
        "screening = \"replace\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nrefer = §\"consume\"\n",
        "E0007",
        "refer = \"local\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nidentity = { number_format = §\"e164plus\" }\n",
        "E0007",
        "number_format = \"e164\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nmode = §\"gin\"\n",
        "E0004",
        "gin = \"require\"",
    ),
    (
        TRUNK,
        "targets = [\"198.51.100.20:5060;udp\"]\nregister = { §registrar = \"sip:telco.example\", aor = \"sip:+15550100@telco.example\" }\n",
        "E0004",
        "targets = [",
    ),
    (
        RULE,
        "called = [{ match = §'^0([1-9]\\d+$', set = '+49$1' }]",
        "E0070",
        "'^0([1-9]\\d+)$'",
    ),
    (
        RULE,
        "called = [{ match = '^0([1-9]\\d+)$', set = §'+49$2' }]",
        "E0071",
        "write $1",
    ),
    (
        RULE,
        "called = [{ match = '^0[1-9]\\d+$', set = §'+49$1' }]",
        "E0071",
        "into ( )",
    ),
    (
        RULE,
        "called = [§{ match = '^0([1-9]\\d+)$' }]",
        "E0005",
        "set = ",
    ),
    (
        METRICS,
        "[§emergency]\nnumbers = [\"112\"]\n[metrics]\n",
        "E0004",
        "emergency = [\"112\"] at each [[tenant]]",
    ),
    (METRICS, "[§fraud]\n[metrics]\n", "E0004", "spend_per_day"),
    (
        PORTS,
        "ports = \"20000-29999\"\n§nat = true",
        "E0004",
        "advertise",
    ),
    (
        METRICS,
        "[§cdr]\nrotate = \"64MiB\"\n[metrics]\n",
        "E0005",
        "spool = ",
    ),
];

fn broken(text: &str) -> Findings {
    match load_text(text) {
        Ok(_) => panic!("it is accepted:\n{text}"),
        Err(findings) => findings,
    }
}

#[test]
fn every_seeded_mistake_is_told_at_its_place_with_its_code_and_what_to_write() {
    let seeds = [SYNTAX, WORDS, VALUES, WHOLE];
    let mut wrong = Vec::new();
    let mut count = 0;
    for (from, to, code, fix) in seeds.into_iter().flatten() {
        count += 1;
        assert!(BASE.contains(from), "nothing is replaced: {from}");
        let marked = BASE.replacen(from, to, 1);
        let before = &marked[..marked.find('§').expect("a place")];
        let line = before.matches('\n').count() + 1;
        let margin = before.rsplit('\n').next().unwrap().chars().count();
        let told = broken(&marked.replace('§', ""));
        let start = format!("causeway.toml:{line}:{}: error[{code}]: ", margin + 1);
        let texts: Vec<String> = told.errors.iter().map(ToString::to_string).collect();
        let found = texts.iter().find(|text| text.starts_with(&start));
        let is_good = found.is_some_and(|text| {
            let mut lines = text.lines().skip(2);
            let caret = lines.next().and_then(|line| line.find('^'));
            let help = lines.next().and_then(|line| line.strip_prefix("  help: "));
            caret == Some(margin + "  | ".len()) && help.is_some_and(|help| help.contains(fix))
        });
        // A key that is misspelt is missing, too; more would hide the line that must be mended.
        if !is_good || texts.len() > 2 {
            wrong.push(format!("{start} {fix}\n{}", texts.join("\n")));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(count >= 60, "{count}");
}

#[test]
fn what_follows_from_a_misspelt_preset_is_not_told() {
    let one = |from: &str, to: &str| {
        let told = broken(&BASE.replacen(from, to, 1));
        let texts: Vec<String> = told.errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 1, "{to}: {texts:#?}");
        assert!(texts[0].contains("preset \""), "{texts:#?}");
    };
    one("preset = \"teams\"", "preset = \"team\"");
    one("preset = \"teams\"", "preset = \"Teams\"");
    let at_carrier = format!("preset = \"cariers\"\n{TRUNK}");
    one(TRUNK, &at_carrier);
}

#[test]
fn what_is_not_closed_is_one_finding_and_mistakes_before_it_are_told_as_well() {
    let open = "codecs = [\"PCMA\", \"PCMU\"]\n\n[[transform]]";
    let text = BASE.replacen(open, "codecs = [\"PCMA\", \"PCMU\"\n\n[[transform]]", 1);
    let told = broken(&text);
    assert_eq!(told.errors.len(), 1, "{}", told.to_text());
    assert!(told.errors[0].cause.contains("no ] at its end"));
    let text = text.replacen(NODE, "id = sbc1", 1);
    assert_eq!(broken(&text).errors.len(), 2, "{}", broken(&text).to_text());
}
