//! Words for how a subject is configured beyond the usual. A subject of ours is configured so by us; whoever runs another
//! one reads here what to configure, and says in its file which words it has.

use super::setting::{FQDN, OwnCertificate, PROXY, Setting};
use std::fmt::{self, Write};
use std::time::Duration;

/// One word.
#[derive(Clone, Copy)]
pub struct Word {
    /// As it stands in a subject's file.
    pub name: &'static str,
    /// What has to be configured, whatever the SBC.
    pub tells: &'static str,
    /// Keys that the subject's file must have for it.
    pub wants: &'static [Key],
    /// Words without which it means nothing.
    pub upon: &'static [Word],
    set: fn(&mut Setting),
}

/// A key of a subject's file that only some words want.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// The usual name of the trunk, because further names lie beside it.
    Fqdn,
    /// Another carrier.
    Carrier2,
    /// The SBC of a branch.
    Branch,
    /// Where a second trunk is.
    SecondSide,
    /// The outer side of a NAT.
    Outside,
    /// Another machine of Teams, with its port.
    Elsewhere,
    /// A DNS server.
    Names,
    /// Addresses of IPv6 towards Teams.
    SidesV6,
}

impl Key {
    /// What to write.
    pub fn line(self) -> String {
        match self {
            Self::Fqdn => format!("fqdn = \"{FQDN}\""),
            Self::Carrier2 => "carrier_2 = \"192.0.2.11:5060\"".to_owned(),
            Self::Branch => "branch = \"192.0.2.10:5061\"".to_owned(),
            Self::SecondSide => "second_side = \"192.0.2.1:5062\"".to_owned(),
            Self::Outside => "outside = \"192.0.2.31\"".to_owned(),
            Self::Elsewhere => "elsewhere = \"192.0.2.24:5061\"".to_owned(),
            Self::Names => "names = \"192.0.2.99:53\"".to_owned(),
            Self::SidesV6 => "teams_side = \"[2001:db8::1]:5061\", and proxies alike".to_owned(),
        }
    }
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn word(name: &'static str, tells: &'static str, set: fn(&mut Setting)) -> Word {
    Word {
        name,
        tells,
        wants: &[],
        upon: &[],
        set,
    }
}

impl Word {
    const fn wants(self, wants: &'static [Key]) -> Self {
        Self { wants, ..self }
    }

    const fn upon(self, upon: &'static [Self]) -> Self {
        Self { upon, ..self }
    }

    /// Configures it.
    pub(super) fn set(self, setting: &mut Setting) {
        (self.set)(setting);
    }

    /// The word with this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|word| word.name == name).copied()
    }

    /// All of them.
    pub fn all() -> &'static [Self] {
        ALL
    }
}

/// Media bypass.
pub const BYPASS: Word = word(
    "bypass",
    "media bypass on the trunk towards Teams: ICE-lite, one candidate, no session timer",
    |setting| setting.teams.push_str("media_bypass = true\n"),
);
/// The side of Teams is behind a NAT.
pub const NAT: Word = word(
    "nat",
    "towards Teams, media are at the address \"outside\" of the file, which a NAT leads to the SBC's own one",
    |setting| setting.is_behind_nat = true,
)
.wants(&[Key::Outside]);
/// How long nobody may be heard.
pub const SILENCE_ALLOWED: &str = "[limits]\nmedia_timeout = \"3s\"\n";
/// Calls without media end soon.
pub const SILENCE: Word = word(
    "silence",
    "a call without any media for 3 s ends",
    |setting| setting.more.push_str(SILENCE_ALLOWED),
);
/// Local media optimization, central.
pub const OPTIMIZATION: Word = word(
    "optimization",
    "local media optimization on the only SBC of the company: its internal address is that towards the carrier, its site is \
     \"Vietnam\"; with media bypass",
    |setting| {
        setting.teams.push_str(
            "media_bypass = true\nlocal_media = { internal = \"carrier\", site = \"Vietnam\" }\n",
        );
    },
)
.wants(&[Key::Fqdn]);
/// Local media optimization, as a proxy.
pub const OF_PROXY: Word = word(
    "proxy",
    "local media optimization with the SBC as proxy.test.example in front of one in the branch Vietnam, which is \
     branch.test.example at \"branch\" of the file (TLS, SRTP) and gets all calls from Teams; the trunk has the name of \
     the SBC in the branch, and the internal address is that towards the carrier. The folder has branch.pem and branch.key",
    |setting| {
        setting.has_branch = true;
        let _ = writeln!(
            setting.teams,
            "media_bypass = true\nlocal_media = {{ internal = \"carrier\", proxy = \"{PROXY}\", \
             downstream = \"branch\", site = \"Vietnam\" }}"
        );
    },
)
.wants(&[Key::Fqdn, Key::Branch]);

/// Numbers for help, and where calls to them go.
fn helps(setting: &mut Setting, trunk: &str) {
    let numbers = "emergency = [\"112\", \"911\", \"999\", \"933\"]\n";
    setting.tenant.push_str(numbers);
    setting.routes.push_str(&format!(
        "[[route]]\nname = \"help\"\nmatch = {{ emergency = true }}\nto = [{{ trunk = \"{trunk}\" }}]\n"
    ));
}

/// Calls for help go to the carrier.
pub const EMERGENCY: Word = word(
    "emergency",
    "calls to 112, 911, 999 and 933 are calls for help, and go to the carrier",
    |setting| helps(setting, "carrier"),
);
/// They go to the second carrier.
pub const EMERGENCY_APART: Word = word(
    "emergency-apart",
    "calls to 112, 911, 999 and 933 are calls for help, and go to \"carrier_2\" of the file",
    |setting| helps(setting, "carrier-2"),
)
.wants(&[Key::Carrier2]);
/// They go to both, one after the other.
pub const EMERGENCY_TWICE: Word = word(
    "emergency-twice",
    "calls to 112, 911, 999 and 933 are calls for help, and go to the carrier and, if that fails, to \"carrier_2\" of the file",
    |setting| helps(setting, "carrier\" }, { trunk = \"carrier-2"),
)
.wants(&[Key::Carrier2]);
/// The carrier gets locations.
pub const LOCATION: Word = word(
    "location",
    "the carrier gets the location of a caller for help (PIDF-LO)",
    |setting| setting.carrier.push_str("location = true\n"),
);
/// The carrier gets no locations.
pub const NO_LOCATION: Word = word(
    "no-location",
    "the carrier gets no location of a caller for help",
    |setting| setting.carrier.push_str("location = false\n"),
);
/// Numbers of a location.
pub const ELIN: Word = word(
    "elin",
    "callers for help show a number that their location names as ELIN, and are called back under it",
    |setting| setting.tenant.push_str("elin_from_location = true\n"),
);
/// One call at the carrier.
pub const ONE_AT_CARRIER: Word = word(
    "one-at-carrier",
    "the trunk of the carrier takes one call at a time",
    |setting| setting.carrier.push_str("limits = { calls = 1 }\n"),
);
/// One call altogether.
pub const ONE: Word = word("one", "the SBC takes one call at a time", |setting| {
    setting.more.push_str("[limits]\ncalls = 1\n");
});
/// Three calls of Teams.
pub const THREE: Word = word(
    "three",
    "the trunk towards Teams takes three calls at a time",
    |setting| setting.teams.push_str("limits = { calls = 3 }\n"),
);
/// Calls at a time of [`TEN`].
pub const FULL: usize = 10;
/// Ten calls of Teams.
pub const TEN: Word = word(
    "ten",
    "the trunk towards Teams takes ten calls at a time",
    |setting| {
        let _ = writeln!(setting.teams, "limits = {{ calls = {FULL} }}");
    },
);
/// Ordinary calls are few.
pub const SCREENED: Word = word(
    "screened",
    "the customer's users may place one ordinary call a minute; others get 403",
    |setting| {
        setting.more.push_str(
            "[[limit]]\nname = \"screen\"\nmatch = { tenant = \"customer\" }\n\
             calls_per_minute = 1\nrefuse = \"403\"\n",
        );
    },
);
/// Numbers of the carrier are national.
pub const NATIONAL: Word = word(
    "national",
    "numbers from the carrier that begin with 0 and a digit other than 0 are British: 0… becomes +44…",
    |setting| {
        setting.more.push_str(
            r#"
[[transform]]
name = "national"
when = { trunk = "carrier", dir = "in" }
called = [{ match = '^0([1-9]\d+)$', set = '+44$1' }]
calling = [{ match = '^0([1-9]\d+)$', set = '+44$1' }]
"#,
        );
    },
);
/// Numbers of Teams are local.
pub const LOCAL: Word = word(
    "local",
    "numbers of ten digits that Teams calls are British: +44 comes before them",
    |setting| {
        setting.more.push_str(
            r#"
[[transform]]
name = "local"
when = { trunk = "teams", dir = "in" }
called = [{ match = '^(\d{10})$', set = '+44$1' }]
"#,
        );
    },
);
/// Numbers are local to the customer.
pub const LOCAL_TO_CUSTOMER: Word = word(
    "local-to-customer",
    "numbers of ten digits that the first customer's users call are British: +44 comes before them; for the trunk of all \
     others it is +999",
    |setting| {
        setting.more.push_str(
            r#"
[[transform]]
name = "of-the-carrier"
when = { trunk = "teams", dir = "in" }
called = [{ match = '^(\d{10})$', set = '+999$1' }]
[[transform]]
name = "of-the-customer"
when = { trunk = "teams-c1", dir = "in" }
called = [{ match = '^(\d{10})$', set = '+44$1' }]
"#,
        );
    },
)
.upon(&[HOSTING]);
/// Teams and a phone ring together.
pub const BOTH: Word = word(
    "both",
    "calls of the carrier to the customer's numbers ring at Teams and at \"carrier_2\" of the file at the same time",
    |setting| {
        setting.has_second_carrier = true;
        setting.routes.push_str(
            r#"
[[route]]
name = "both"
match = { called_in = "tenant:customer", from_trunk = "carrier" }
to = [{ trunk = "teams" }, { trunk = "carrier-2" }]
ring = "at_once"
"#,
        );
    },
)
.wants(&[Key::Carrier2]);
/// Tones of our own.
pub const TONE_ALONE: &str = "ringback = \"local\"\n";
/// The carrier hears tones of the SBC.
pub const RINGBACK: Word = word(
    "ringback",
    "callers of the carrier hear a ringback tone of the SBC's own while it rings and nobody else is heard",
    |setting| setting.carrier.push_str(TONE_ALONE),
);
/// Session timers are longer.
pub const MIN_SE: Word = word(
    "min-se",
    "session timers with Teams may be as short as 90 s",
    |setting| {
        setting
            .teams
            .push_str("session_timer = { min_se = \"90s\" }\n");
    },
);
/// A second carrier.
pub const SECOND_CARRIER: Word = word(
    "second-carrier",
    "calls from Teams go to the carrier and, if that fails, to \"carrier_2\" of the file",
    |setting| setting.has_second_carrier = true,
)
.wants(&[Key::Carrier2]);
/// Redirections are followed.
pub const REDIRECTED: Word = word(
    "redirected",
    "redirections of the carrier are followed; to +441632960198 by the carrier itself",
    |setting| {
        setting.carrier.push_str("redirect = \"follow\"\n");
        setting.routes.push_str(
            r#"
[[route]]
name = "onward"
match = { from_trunk = "carrier", called = '^\+441632960198$' }
to = [{ trunk = "carrier" }]
"#,
        );
    },
);
/// The route of calls for help where others have one of their own.
pub const HELP: &str = r#"
[[route]]
name = "help"
match = { emergency = true }
to = [{ trunk = "carrier-2" }]
"#;
/// Calls for help are apart from others.
pub const HELP_APART: Word = word(
    "help-apart",
    "112 is the one number for help: calls to it go to \"carrier_2\" of the file, all others from Teams to the carrier",
    |setting| {
        setting.has_second_carrier = true;
        setting.tenant.push_str("emergency = [\"112\"]\n");
        setting.routes.push_str(
            r#"
[[route]]
name = "all"
match = { from_trunk = "teams", emergency = false }
to = [{ trunk = "carrier" }]
"#,
        );
        setting.routes.push_str(HELP);
    },
)
.wants(&[Key::Carrier2]);
/// A carrier that is trusted.
pub const TRUSTS: &str = "trusted = true\nidentity = { egress = \"pai+from\" }\n";
/// The carrier is trusted.
pub const TRUSTED: Word = word(
    "trusted",
    "the carrier is trusted (RFC 3325): it gets P-Asserted-Identity beside From, and Privacy",
    |setting| setting.carrier.push_str(TRUSTS),
);
/// Callers are screened.
pub const OWN_NUMBERS: Word = word(
    "own-numbers",
    "callers of Teams whose number is none of the customer's get 403",
    |setting| {
        setting
            .teams
            .push_str("identity = { screening = \"reject\" }\n");
    },
);
/// The carrier hears of forwarding.
pub const DIVERSION: Word = word(
    "diversion",
    "the carrier gets Diversion and History-Info of forwarded calls",
    |setting| {
        setting
            .carrier
            .push_str("identity = { diversion = \"both\" }\n");
    },
);
/// The same of a trusted one.
pub const DIVERSION_TRUSTED: Word = word(
    "diversion-trusted",
    "the carrier is trusted (RFC 3325), and gets Diversion and History-Info of forwarded calls",
    |setting| {
        setting
            .carrier
            .push_str("trusted = true\nidentity = { diversion = \"both\" }\n");
    },
);
/// REFER is refused.
pub const NO_REFER: Word = word(
    "no-refer",
    "the trunk towards Teams refuses REFER with 405 and does not allow it",
    |setting| setting.teams.push_str("refer = \"refuse\"\n"),
);
/// Customers behind the trunk.
pub const HOSTING: Word = word(
    "hosting",
    "two customers behind the carrier's trunk: c1.cust.test.example with +441632960200 to +441632960299 and \
     c2.cust.test.example with +441632960300 to +441632960399, without OPTIONS of their own; the SBC's certificate has all \
     three names",
    |setting| setting.has_customers = true,
)
.wants(&[Key::Fqdn]);
/// Each with a carrier.
pub const OWN_CARRIERS: Word = word(
    "own-carriers",
    "the carrier is that of the first customer, \"carrier_2\" of the file that of the second: calls of each come and go \
     there, also to the same number",
    |setting| setting.has_own_carriers = true,
)
.wants(&[Key::Carrier2])
.upon(&[HOSTING]);
/// Numbers belong to customers.
pub const CUSTOMERS_NUMBERS: Word = word(
    "customers-numbers",
    "callers of a customer whose number is none of its own get 403",
    |setting| {
        setting
            .customers
            .push_str("identity = { screening = \"reject\" }\n");
    },
)
.upon(&[HOSTING]);
/// Customers of a large node.
const MANY: usize = 50;
/// Many customers behind the trunk.
pub const HOSTED: Word = word(
    "hosted",
    "50 customers behind the trunk, who have everything from it but a name (h1.sbc1.test.example to h50.sbc1.test.example) \
     and numbers (+44163297NN00 to +44163297NN99, NN is 01 to 50), and no OPTIONS of their own; the SBC's certificate has \
     *.sbc1.test.example",
    |setting| {
        setting.hosted = MANY;
        setting.tls.push_str("allow_wildcard_san = true\n");
        setting.certificate = OwnCertificate::Below;
    },
)
.wants(&[Key::Fqdn]);
/// A certificate for servers only.
pub const FOR_SERVERS: Word = word(
    "for-servers",
    "the SBC's certificate has its one name and is for servers only (no clientAuth among its uses); that of Causeway is \
     for-servers.pem in the folder of certificates",
    |setting| setting.certificate = OwnCertificate::Servers,
);
/// A number of both customers.
pub const SAME_NUMBER: Word = word(
    "same-number",
    "both customers have the number +1001",
    |setting| {
        setting
            .customer_tenants
            .push_str("local_numbers = [\"+1001\"]\n");
    },
)
.upon(&[HOSTING]);
/// A certificate with a wildcard.
pub const WILDCARD: Word = word(
    "wildcard",
    "the SBC's certificate has its name and *.cust.test.example, and the wildcard counts; that of Causeway is wildcard.pem \
     in the folder of certificates",
    |setting| {
        setting.certificate = OwnCertificate::Customers;
        setting.tls.push_str("allow_wildcard_san = true\n");
    },
);
/// A second trunk.
pub const SECOND_TRUNK: Word = word(
    "second-trunk",
    "a second trunk of the same customer without bypass: sbc2.test.example, TLS at \"second_side\" of the file; its calls go \
     to the carrier, and it sends OPTIONS of its own",
    |setting| setting.has_second_trunk = true,
)
.wants(&[Key::Fqdn, Key::SecondSide]);
/// A survivable branch appliance.
pub const APPLIANCE: Word = word(
    "branch",
    "a survivable branch appliance at \"elsewhere\" of the file, called when no proxy of Teams can be reached: its \
     certificate says sip.pstnhub.example, its trunk is sbc2.test.example, TLS at \"second_side\" of the file, with bypass",
    |setting| setting.has_appliance = true,
)
.wants(&[Key::Fqdn, Key::SecondSide, Key::Elsewhere]);
/// Names are asked for.
pub const DNS: Word = word(
    "dns",
    "the proxies' addresses are those that the DNS server at \"names\" of the file tells, each good for the second that it \
     says, and all at port 5061",
    |setting| setting.has_names = true,
)
.wants(&[Key::Names, Key::Elsewhere]);
/// How long connections with a certificate that was replaced go on.
pub const DRAINS: Duration = Duration::from_secs(5);
/// Connections with a certificate that was replaced end soon.
pub const DRAIN: Word = word(
    "drain",
    "connections with a certificate that was replaced end 5 s afterwards, or when their calls let them",
    |setting| {
        let _ = writeln!(setting.tls, "drain = \"{}s\"", DRAINS.as_secs());
    },
);
/// The one proxy of GCC High.
pub const PROXY_OF_GCC_HIGH: &str = "sip.pstnhub.gov.teams.microsoft.us";
/// A national cloud.
pub const GCC_HIGH: Word = word(
    "gcc-high",
    "the trunk is one in the cloud GCC High, whose one proxy is sip.pstnhub.gov.teams.microsoft.us: at the first address of \
     \"proxies\", which the DNS server at \"names\" of the file tells, at port 5061, which is the SBC's, too; from elsewhere \
     nobody is let in. The folder of certificates has cloud.pem and cloud.key with that name",
    |setting| {
        setting.has_names = true;
        setting.cloud = Some(("gcc-high", PROXY_OF_GCC_HIGH));
    },
)
.wants(&[Key::Names]);
/// IPv6 towards Teams.
pub const V6: Word = word(
    "v6",
    "Teams is reached over IPv6, for media, too: \"teams_side\" and all \"proxies\" of the file are such addresses",
    |setting| setting.is_v6 = true,
)
.wants(&[Key::SidesV6]);
/// Further roots.
pub const ANCHORS: Word = word(
    "anchors",
    "anchor1.pem to anchor7.pem of the folder of certificates are trusted of proxies beside the usual root; Causeway has all \
     of them in roots.pem there",
    |setting| setting.has_anchors = true,
);
/// What expensive numbers begin with.
pub const EXPENSIVE_RANGE: &str = "+4416329690";
/// New calls to expensive numbers within a minute.
pub const EXPENSIVE_CALLS: usize = 5;
/// A limit on expensive numbers.
pub const EXPENSIVE: Word = word(
    "expensive",
    "users of the first customer may place five calls a minute to numbers that begin with +4416329690; others get 403",
    |setting| {
        let _ = write!(
            setting.more,
            "[[limit]]\nname = \"expensive\"\nmatch = {{ tenant = \"c1\", called = [\"{EXPENSIVE_RANGE}\"] }}\n\
             calls_per_minute = {EXPENSIVE_CALLS}\nrefuse = \"403\"\n"
        );
    },
)
.upon(&[HOSTING]);

const ALL: &[Word] = &[
    BYPASS,
    NAT,
    SILENCE,
    OPTIMIZATION,
    OF_PROXY,
    EMERGENCY,
    EMERGENCY_APART,
    EMERGENCY_TWICE,
    LOCATION,
    NO_LOCATION,
    ELIN,
    ONE_AT_CARRIER,
    ONE,
    THREE,
    TEN,
    SCREENED,
    NATIONAL,
    LOCAL,
    LOCAL_TO_CUSTOMER,
    BOTH,
    RINGBACK,
    MIN_SE,
    SECOND_CARRIER,
    REDIRECTED,
    HELP_APART,
    TRUSTED,
    OWN_NUMBERS,
    DIVERSION,
    DIVERSION_TRUSTED,
    NO_REFER,
    HOSTING,
    OWN_CARRIERS,
    CUSTOMERS_NUMBERS,
    SAME_NUMBER,
    HOSTED,
    FOR_SERVERS,
    WILDCARD,
    SECOND_TRUNK,
    APPLIANCE,
    DNS,
    DRAIN,
    ANCHORS,
    GCC_HIGH,
    V6,
    EXPENSIVE,
];
