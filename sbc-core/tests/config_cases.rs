//! Every mistake in a configuration that has a code: what of the base is replaced by what.

use sbc_core::config::Code;

/// Replace the first text by the second; `§` in the second is where the finding must point.
pub(crate) const CASES: &[(Code, &str, &str)] = &[
    (Code::Syntax, "id = \"sbc1\"", "id = §sbc1"),
    (
        Code::UnknownName,
        "match = { from_trunk = \"teams-contoso\" }",
        "schedule = §\"business\"\nmatch = { from_trunk = \"teams-contoso\" }",
    ),
    (
        Code::UnknownValue,
        "match = { from_trunk = \"teams-contoso\" }",
        "match = { from_trunk = \"teams-contoso\" }\nschedule = \"day\"\n[[schedule]]\nname = \"day\"\n\
         zone = §\"Europe/Belrin\"\nopen = [{ days = [\"mon\"], hours = [\"08:00-09:00\"] }]\n[[route]]\n\
         name = \"to-nobody\"\nmatch = { from_trunk = \"carrier\", called = '^9' }",
    ),
    (
        Code::BadForm,
        "[metrics]\n",
        "[[schedule]]\nname = \"day\"\nzone = \"UTC\"\nopen = [{ days = [\"mon\"], hours = [§\"8-17\"] }]\n[metrics]\n",
    ),
    (
        Code::BadForm,
        "[metrics]\n",
        "[[schedule]]\nname = \"day\"\nzone = \"UTC\"\nspecial = [{ dates = [§\"02-30\"] }]\n[metrics]\n",
    ),
    (
        Code::Contradiction,
        "[metrics]\n",
        "[[schedule]]\nname = \"day\"\nzone = \"UTC\"\nopen = [{ days = [\"mon\"], hours = [\"08:00-09:00\"] }]\n\
         [[route]]\nname = \"help\"\nschedule = §\"day\"\nmatch = { emergency = true }\nto = [{ trunk = \"carrier\" }]\n[metrics]\n",
    ),
    (
        Code::NeverOpen,
        "[metrics]\n",
        "[[schedule]]\nname = §\"day\"\nzone = \"UTC\"\nspecial = [{ dates = [\"12-25\"] }]\n[metrics]\n",
    ),
    // It is the first of August 2026.
    (
        Code::NeverOpen,
        "[metrics]\n",
        "[[schedule]]\nname = §\"day\"\nzone = \"UTC\"\nspecial = [{ dates = [\"2026-07-31\"], hours = [\"08:00-09:00\"] }]\n[metrics]\n",
    ),
    (
        Code::UnusedSchedule,
        "[metrics]\n",
        "[[schedule]]\nname = §\"day\"\nzone = \"UTC\"\nopen = [{ days = [\"mon\"], hours = [\"08:00-09:00\"] }]\n[metrics]\n",
    ),
    (Code::UnknownKey, "codecs =", "§codex ="),
    (Code::UnknownKey, "[metrics]\n", "[§metrix]\n"),
    (Code::UnknownValue, "codecs =", "ice = §\"full\"\ncodecs ="),
    (
        Code::Contradiction,
        "codecs =",
        "media_bypass = §true\ncodecs =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "family = \"v6\"\nmedia_bypass = §true\nfqdn =",
    ),
    (
        Code::PrivateCandidate,
        "realm = \"outside\"\nfqdn = \"sbc1.contoso.example\"\n",
        "realm = \"behind\"\nmedia_bypass = §true\nfqdn = \"sbc1.contoso.example\"\n\
         [[realm]]\nname = \"behind\"\naddresses = [\"10.0.0.10\"]\nports = \"20000-29999\"\n\
         [[listen]]\nrealm = \"behind\"\ntransport = \"tls\"\ntls = \"teams\"\n",
    ),
    (
        Code::DownstreamNotCalled,
        "fqdn = \"sbc1.contoso.example\"\n",
        "fqdn = \"sbc1.contoso.example\"\nmedia_bypass = true\n\
         local_media = { internal = \"inside\", proxy = \"proxysbc.contoso.example\", downstream = §\"branch\" }\n\
         [[trunk]]\nname = \"branch\"\ntenant = \"*\"\nrealm = \"outside\"\nsrtp = \"required\"\n\
         targets = [\"branch.contoso.example;tls\"]\n",
    ),
    (
        Code::OpenTransit,
        "[metrics]\n",
        "[[trunk]]\nname = \"telco\"\ntenant = \"contoso\"\nrealm = \"inside\"\n\
         targets = [\"198.51.100.30:5060;udp\"]\n\
         [[route]]\nname = §\"world\"\nmatch = { called = '^\\+' }\nto = [{ trunk = \"telco\" }]\n[metrics]\n",
    ),
    (
        Code::SharedListener,
        "fqdn = \"sbc1.contoso.example\"\n",
        "fqdn = \"sbc1.contoso.example\"\n[[trunk]]\nname = §\"pbx\"\ntenant = \"*\"\nrealm = \"outside\"\n\
         targets = [\"pbx.contoso.example;tls\"]\n",
    ),
    (
        Code::BranchMediaThroughUs,
        "fqdn =",
        "media_bypass = true\n\
         local_media = { internal = \"inside\", proxy = §\"proxysbc.contoso.example\" }\nfqdn =",
    ),
    (
        Code::BypassWithoutRefer,
        "fqdn =",
        "refer = \"refuse\"\nmedia_bypass = §true\nfqdn =",
    ),
    (
        Code::OutOfRange,
        "codecs =",
        "session_timer = { expires = §\"89s\" }\ncodecs =",
    ),
    (
        Code::OutOfRange,
        "codecs =",
        "early_media_max = §\"4s\"\ncodecs =",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[limits]\npreempt_per_minute = §0\n[metrics]\n",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[limits]\nladders = §\"1KiB\"\n[metrics]\n",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[drain]\non_sigterm = §\"31m\"\n[metrics]\n",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "trusted = false\ncause_header = §true\ncodecs =",
    ),
    (
        Code::UnknownValue,
        "codecs =",
        "on_remove = §\"end\"\ncodecs =",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[cdr]\nspool = \"/cdr\"\nrotate = §\"1KiB\"\n[metrics]\n",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[cdr]\nspool = \"/cdr\"\nrotate_every = §\"2d\"\n[metrics]\n",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[cdr]\nspool = \"/cdr\"\nretention = §\"1h\"\n[metrics]\n",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[cdr]\nspool = \"/cdr\"\ninterim = §\"30s\"\n[metrics]\n",
    ),
    (
        Code::OutOfRange,
        "[metrics]\n",
        "[cdr]\nspool = \"/cdr\"\nretention_size = §\"64MiB\"\n[metrics]\n",
    ),
    (
        Code::MissingKey,
        "[[tenant]]\n",
        "[[tenant]]\nrecord_numbers = §\"hashed\"\n",
    ),
    (
        Code::Contradiction,
        "[metrics]\n",
        "[limits]\npreempt = false\npreempt_per_minute = §5\n[metrics]\n",
    ),
    (
        Code::UnknownValue,
        "codecs =",
        "rel100 = §\"maybe\"\ncodecs =",
    ),
    (
        Code::UnknownValue,
        "codecs =",
        "ringing = §\"182\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "rel100 = \"never\"\nreliable_sdp = §true\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "early_media = \"block\"\nearly_media_max = §\"30s\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "dtmf = \"info\"\ninfo = §\"refuse\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "srtp = \"dtls\"\nsrtp_suites = §[\"AES_CM_128_HMAC_SHA1_80\"]\ncodecs =",
    ),
    (
        Code::TeamsRule,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = \"sbc1.contoso.example\"\nsrtp = §\"dtls\"",
    ),
    (
        Code::TeamsRule,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = \"sbc1.contoso.example\"\nrel100 = §\"auto\"",
    ),
    (Code::TeamsRule, "fqdn =", "ice = §\"lite\"\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "rtcp_mux = §false\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "rtp_profile = §\"avpf\"\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "dtmf = §\"inband\"\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "dtmf = §\"auto\"\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "hold = §\"zero\"\nfqdn ="),
    (
        Code::TeamsRule,
        "fqdn =",
        "session_timer = { expires = §\"299s\" }\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "session_timer = { expires = \"2h\", min_se = §\"61m\" }\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "symmetric_signalling = §true\nfqdn =",
    ),
    (Code::TeamsRule, "fqdn =", "isup = §\"pass\"\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "relay_auth = §[\"r\"]\nfqdn ="),
    (
        Code::Contradiction,
        "codecs =",
        "digest = { username = \"u\", password = { file = \"/p\" }, realms = [\"r\"] }\n\
         relay_auth = §[\"r\"]\ncodecs =",
    ),
    (
        Code::BadForm,
        "codecs =",
        "relay_auth = [\"r\", §\"\"]\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "isup = \"pass\"\ninfo = §\"refuse\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "preset = \"teams\"\ntenant = \"contoso\"",
        "preset = \"teams\"\ntenant = §\"*\"",
    ),
    (Code::LessOfTeams, "fqdn =", "options = §false\nfqdn ="),
    (
        Code::LessOfTeams,
        "fqdn =",
        "headers = { set = { \"X-MS-SBC\" = §\"Foo/ /1.0\" } }\nfqdn =",
    ),
    (
        Code::LessOfTeams,
        "fqdn =",
        "targets = §[\"sip2.pstnhub.microsoft.com:5061;tls\", \"sip.pstnhub.microsoft.com:5061;tls\", \
         \"sip3.pstnhub.microsoft.com:5061;tls\"]\nfqdn =",
    ),
    (
        Code::LessOfTeams,
        "fqdn =",
        "targets = §[\"sip.pstnhub.microsoft.com:5061;tls\", \"sip2.pstnhub.microsoft.com:5061;tls\"]\nfqdn =",
    ),
    (
        Code::LessOfTeams,
        "fqdn =",
        "accept_from = §[\"52.112.0.0/14\", \"52.120.0.0/15\"]\nfqdn =",
    ),
    (Code::TeamsRule, "fqdn =", "update = §true\nfqdn ="),
    (Code::NoUseAtTeams, "fqdn =", "crlf_pong = §true\nfqdn ="),
    (Code::NoUseAtTeams, "fqdn =", "info = §\"relay\"\nfqdn ="),
    (Code::NoUseAtTeams, "fqdn =", "message = §\"relay\"\nfqdn ="),
    (Code::NoUseAtTeams, "fqdn =", "trusted = §false\nfqdn ="),
    (
        Code::TeamsRule,
        "fqdn =",
        "early_dialogs = §\"transparent\"\nfqdn =",
    ),
    (Code::TeamsRule, "fqdn =", "reason = §\"none\"\nfqdn ="),
    (
        Code::TeamsRule,
        "fqdn =",
        "identity = { from_host = §\"peer\" }\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "identity = { transport_param = §false }\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "identity = { user_phone = §\"never\" }\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "identity = { number_format = §\"any\" }\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "targets = [§\"sip.pstnhub.microsoft.com:5062;tls\"]\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn =",
        "targets = [§\"sip.pstnhub.microsoft.com\"]\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn = \"sbc1.contoso.example\"\n",
        "fqdn = \"sbc1.contoso.example\"\n[[trunk]]\nname = \"bypass\"\npreset = \"teams\"\n\
         tenant = \"contoso\"\nrealm = \"outside\"\nmedia_bypass = §true\nfqdn = \"b.wild.example\"\n",
    ),
    (Code::TeamsRule, "fqdn =", "dtmf = §\"info\"\nfqdn ="),
    (Code::TeamsRule, "fqdn =", "fax = §\"t38\"\nfqdn ="),
    (
        Code::TeamsRule,
        "fqdn =",
        "best_effort_srtp = §true\nfqdn =",
    ),
    (Code::TeamsRule, "fqdn =", "refer_status = §\"200\"\nfqdn ="),
    (
        Code::TeamsRule,
        "fqdn =",
        "session_timer = { expires = \"30m\" }\nmedia_bypass = §true\nfqdn =",
    ),
    (
        Code::TeamsRule,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = \"sbc1.contoso.example\"\nsix_xx_stops = §false",
    ),
    (
        Code::TeamsRule,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = \"sbc1.contoso.example\"\nreroute_on = [503, 408, §486]",
    ),
    (
        Code::TeamsRule,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = \"sbc1.contoso.example\"\nreroute_on = [§34, 503]",
    ),
    (
        Code::OutOfRange,
        "codecs =",
        "session_timer = { expires = \"5m\", min_se = §\"6m\" }\ncodecs =",
    ),
    (Code::NotSupported, "preset = \"teams\"", "mode = §\"gin\""),
    (
        Code::UnknownKey,
        "called = [{ match = '^0([1-9]\\d+)$', set = '+49$1' }]",
        "calling = [{ number = \"112\", set = \"113\", §service = true }]",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "mode = §\"register\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "mode = §\"static\"\nregister = { aor = \"sip:a@telco.example\" }\ncodecs =",
    ),
    (
        Code::Contradiction,
        "preset = \"teams\"",
        "preset = \"teams\"\nregister = §{ aor = \"sip:a@telco.example\" }",
    ),
    (
        Code::BadForm,
        "codecs =",
        "register = { aor = §\"sip:telco.example\" }\ncodecs =",
    ),
    (
        Code::BadForm,
        "codecs =",
        "register = { aor = §\"sip:a@telco.example:5070\" }\ncodecs =",
    ),
    (
        Code::OutOfRange,
        "codecs =",
        "register = { aor = \"sip:a@telco.example\", expires = §\"5s\" }\ncodecs =",
    ),
    (
        Code::WrongType,
        "codecs =",
        "digest = { username = \"u\", password = §\"hunter2\", realms = [\"r\"] }\ncodecs =",
    ),
    (
        Code::MissingKey,
        "codecs =",
        "digest = §{ username = \"u\", password = { file = \"/p\" } }\ncodecs =",
    ),
    (
        Code::BadForm,
        "codecs =",
        "digest = { username = §\"u:p\", password = { file = \"/p\" }, realms = [\"r\"] }\ncodecs =",
    ),
    (
        Code::SecretAbsent,
        "codecs =",
        "digest = { username = \"u\", password = §{ env = \"P\" }, realms = [\"r\"] }\ncodecs =",
    ),
    (
        Code::SecretMissing,
        "codecs =",
        "digest = { username = \"u\", password = §{ file = \"/empty\" }, realms = [\"r\"] }\ncodecs =",
    ),
    (
        Code::SecretMissing,
        "codecs =",
        "digest = { username = \"u\", password = §{ file = \"/two-lines\" }, realms = [\"r\"] }\ncodecs =",
    ),
    (
        Code::SecretExposed,
        "codecs =",
        "digest = { username = \"u\", password = §{ file = \"/exposed\" }, realms = [\"r\"] }\ncodecs =",
    ),
    (
        Code::NotSupported,
        "[metrics]\n",
        "[§recording]\nid = 1\n[metrics]\n",
    ),
    (
        Code::MissingKey,
        "[[tenant]]\nname = \"contoso\"",
        "§[[tenant]]",
    ),
    (
        Code::MissingKey,
        "[[trunk]]\nname = \"carrier\"\ntenant = \"*\"",
        "§[[trunk]]\nname = \"carrier\"",
    ),
    (
        Code::WrongType,
        "codecs = [\"PCMA\", \"PCMU\"]",
        "codecs = §\"PCMA\"",
    ),
    (
        Code::WrongType,
        "key = { file = \"/tls/sbc.key\" }",
        "key = §\"hunter2\"",
    ),
    (Code::UnknownValue, "\"PCMU\"]", "§\"PCMZ\"]"),
    (
        Code::UnknownValue,
        "transport = \"udp\"",
        "transport = §\"upd\"",
    ),
    (
        Code::BadForm,
        "ports = \"20000-29999\"",
        "ports = §\"20000\"",
    ),
    (
        Code::BadForm,
        "codecs =",
        "timers = { t1 = §\"half a second\" }\ncodecs =",
    ),
    (Code::BadForm, "name = \"inside\"", "name = §\"in side\""),
    (
        Code::OutOfRange,
        "transport = \"udp\"",
        "transport = \"udp\"\nport = §70000",
    ),
    (
        Code::OutOfRange,
        "preset = \"teams\"",
        "preset = \"teams\"\noptions = { interval = §\"30s\" }",
    ),
    (
        Code::OutOfRange,
        "codecs =",
        "reroute_on = [503, §603]\ncodecs =",
    ),
    (
        Code::DuplicateName,
        "name = \"fabrikam\"",
        "name = §\"contoso\"",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "srtp = §\"required\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "srtp_suites = §[\"AEAD_AES_256_GCM\"]\ncodecs =",
    ),
    (
        Code::BadForm,
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp_suites = §[]",
    ),
    (
        Code::UnknownValue,
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp_suites = [\"AES_CM_128_HMAC_SHA1_80\", §\"F8_128_HMAC_SHA1_80\"]",
    ),
    (
        Code::DuplicateName,
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp_suites = [\"AES_256_CM_HMAC_SHA1_80\", §\"AES_CM_256_HMAC_SHA1_80\", \"AES_CM_128_HMAC_SHA1_80\"]",
    ),
    (
        Code::TeamsRule,
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp_suites = §[\"AEAD_AES_256_GCM\"]",
    ),
    (
        Code::TeamsRule,
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp_suites = §[\"AES_CM_128_HMAC_SHA1_32\", \"AES_CM_128_HMAC_SHA1_80\"]",
    ),
    (
        Code::OutOfRange,
        "client_ca = \"/tls/roots.pem\"",
        "client_ca = \"/tls/roots.pem\"\nmax_connection_age = §\"10s\"",
    ),
    (
        Code::Contradiction,
        "client_ca = \"/tls/roots.pem\"\nverify_client = \"require\"",
        "verify_client = §\"require\"",
    ),
    (
        Code::UnknownName,
        "to = [{ trunk = \"carrier\" }]",
        "to = [{ trunk = §\"carier\" }]",
    ),
    (Code::InexactAddress, "\"198.51.100.9\"", "§\"0.0.0.0\""),
    (
        Code::RealmAddress,
        "[\"198.51.100.9\"]",
        "[\"198.51.100.9\", §\"198.51.100.8\"]",
    ),
    (
        Code::RealmAddress,
        "ports = \"20000-29999\"",
        "ports = \"20000-29999\"\nadvertise = { v6 = §\"2001:db8::1\" }",
    ),
    (Code::PortRange, "\"20000-29999\"", "§\"20001-20002\""),
    (Code::PortRange, "\"20000-29999\"", "§\"500-29999\""),
    (
        Code::PortConflict,
        "addresses = [\"198.51.100.9\"]\nports = \"20000-29999\"",
        "addresses = [\"192.0.2.10\"]\nports = §\"50000-50010\"",
    ),
    (
        Code::PortConflict,
        "transport = \"udp\"\n",
        "transport = \"udp\"\n[[listen]]\nrealm = \"inside\"\ntransport = \"udp\"\nport = §5060\n",
    ),
    (
        Code::PortConflict,
        "transport = \"udp\"\n",
        "transport = \"udp\"\nport = §20010\n",
    ),
    (
        Code::PortConflict,
        "transport = \"udp\"\n",
        "transport = \"udp\"\n[[listen]]\nrealm = \"inside\"\ntransport = \"tcp\"\nport = 20010\n[[listen]]\nrealm = \"inside\"\ntransport = \"tcp\"\nport = §20010\n",
    ),
    (
        Code::ListenerTls,
        "transport = \"tls\"\ntls = \"teams\"",
        "transport = §\"tls\"",
    ),
    (
        Code::ListenerTls,
        "transport = \"udp\"",
        "transport = \"udp\"\ntls = §\"teams\"",
    ),
    (
        Code::FileUnreadable,
        "client_ca = \"/tls/roots.pem\"",
        "client_ca = §\"/absent\"",
    ),
    (
        Code::SecretExposed,
        "key = { file = \"/tls/sbc.key\" }",
        "key = §{ file = \"/exposed\" }",
    ),
    (
        Code::BadCertificate,
        "cert = \"/tls/sbc.pem\"",
        "cert = §\"/garbage\"",
    ),
    (
        Code::KeyMismatch,
        "key = { file = \"/tls/sbc.key\" }",
        "key = §{ file = \"/other\" }",
    ),
    (
        Code::CertificateExpired,
        "cert = \"/tls/sbc.pem\"",
        "cert = §\"/expired\"",
    ),
    (
        Code::NameNotCovered,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = §\"a.sbc1.contoso.example\"",
    ),
    (
        Code::WildcardName,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = §\"x.wild.example\"",
    ),
    (
        Code::WildcardName,
        "preset = \"teams\"",
        "preset = \"teams\"\naccept_names = [§\"*.*.microsoft.com\"]",
    ),
    (
        Code::SecretAbsent,
        "key = { file = \"/tls/sbc.key\" }",
        "key = §{ env = \"ABSENT\" }",
    ),
    (
        Code::NoListener,
        "[\"198.51.100.20:5060;udp\"]",
        "[§\"198.51.100.20:5061;tls\"]",
    ),
    (
        Code::NoListener,
        "[\"198.51.100.20:5060;udp\"]",
        "[§\"[2001:db8::5]:5060;udp\"]",
    ),
    (
        Code::TeamsRule,
        "[[trunk]]\nname = \"teams-contoso\"\npreset = \"teams\"\ntenant = \"contoso\"\nrealm = \"outside\"\nfqdn = \"sbc1.contoso.example\"",
        "§[[trunk]]\nname = \"teams-contoso\"\npreset = \"teams\"\ntenant = \"contoso\"\nrealm = \"outside\"",
    ),
    (
        Code::TeamsRule,
        "preset = \"teams\"",
        "preset = \"teams\"\nsrtp = §\"off\"",
    ),
    (
        Code::TeamsRule,
        "preset = \"teams\"",
        "preset = \"teams\"\ntargets = [§\"sip-all.pstnhub.microsoft.com:5061;tls\"]",
    ),
    (
        Code::NoSource,
        "[\"198.51.100.20:5060;udp\"]",
        "[§\"sip.carrier.example\"]",
    ),
    (
        Code::AmbiguousIngress,
        "[[transform]]",
        "[[trunk]]\nname = §\"carrier-2\"\ntenant = \"*\"\nrealm = \"inside\"\ntargets = [\"sip.other.example\"]\naccept_from = [\"198.51.100.16/28\"]\n[[transform]]",
    ),
    (
        Code::BadFqdn,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = §\"192.0.2.1\"",
    ),
    (
        Code::BadFqdn,
        "fqdn = \"sbc1.contoso.example\"",
        "fqdn = §\"a-name-that-is-longer-than-microsoft-allows-for-an-sbc.contoso.example\"",
    ),
    (
        Code::HeaderNotAllowed,
        "codecs =",
        "headers = { pass = [\"X-Ref\", §\"v\"] }\ncodecs =",
    ),
    (
        Code::HeaderNotAllowed,
        "codecs =",
        "headers = { set = { §Contact = \"<sip:x@y>\" } }\ncodecs =",
    ),
    (
        Code::OpenSource,
        "codecs =",
        "accept_from = [§\"0.0.0.0/0\"]\ncodecs =",
    ),
    (
        Code::NumberOverlap,
        "\"+498999998000-+498999998999\"",
        "\"+498999998000-+498999998999\", §\"+493023125500-+493023126000\"",
    ),
    (Code::BadPattern, "'^0([1-9]\\d+)$'", "§'^0([1-9]\\d+$'"),
    (Code::BadReplacement, "set = '+49$1'", "set = §'+49$2'"),
    (
        Code::TenantCrossing,
        "[[transform]]",
        "[[trunk]]\nname = \"other\"\ntenant = \"fabrikam\"\nrealm = \"inside\"\ntargets = [\"198.51.100.21\"]\n[[route]]\nname = \"x\"\nmatch = { from_trunk = \"teams-contoso\", called = '^1' }\nto = [{ trunk = §\"other\" }]\n[[transform]]",
    ),
    (
        Code::CertificateEndsSoon,
        "cert = \"/tls/sbc.pem\"",
        "cert = §\"/soon\"",
    ),
    (
        Code::AddressAbsent,
        "[\"198.51.100.9\"]",
        "[§\"198.51.100.99\"]",
    ),
    (
        Code::EphemeralOverlap,
        "\"20000-29999\"",
        "§\"32000-33000\"",
    ),
    (
        Code::EphemeralOverlap,
        "\"20000-29999\"",
        "§\"60001-60010\"",
    ),
    (
        Code::PrivilegedPort,
        "[[tls]]\nname = \"teams\"\ncert = \"/tls/sbc.pem\"\nkey = { file = \"/tls/sbc.key\" }\n",
        "[acme]\ndirectory = \"https://acme.example.org/directory\"\nhttps_roots = \"/web\"\nlisten = §\"[::]:81\"\n\
         [[tls]]\nname = \"teams\"\nacme = true\nnames = [\"sbc1.contoso.example\"]\n",
    ),
    (
        Code::XdpOnLoopback,
        "addresses = [\"198.51.100.9\"]\nports = \"20000-29999\"",
        "addresses = [\"127.0.0.9\"]\nports = \"20000-29999\"\nmedia_backend = §\"auto\"",
    ),
    (
        Code::OpenMedia,
        "tenant = \"*\"\nrealm = \"inside\"",
        "tenant = \"*\"\nrealm = \"inside\"\nnat = §\"open\"",
    ),
    (
        Code::NoEmergency,
        "name = \"contoso\"\nnumbers = [\"+493023125000-+493023125999\"]\nemergency = [\"112\"]",
        "name = §\"contoso\"\nnumbers = [\"+493023125000-+493023125999\"]",
    ),
    (
        Code::NoClientAuth,
        "cert = \"/tls/sbc.pem\"",
        "cert = \"/server-only\"",
    ),
    (
        Code::NameInSubjectOnly,
        "cert = \"/tls/sbc.pem\"",
        "cert = \"/only-cn\"",
    ),
    (
        Code::OutOfRange,
        "client_ca = \"/tls/roots.pem\"",
        "client_ca = \"/tls/roots.pem\"\ndrain = §\"2d\"",
    ),
    (
        Code::Contradiction,
        "client_ca = \"/tls/roots.pem\"\nverify_client = \"require\"",
        "crl = §\"/tls/crl.pem\"",
    ),
    (
        Code::FileUnreadable,
        "client_ca = \"/tls/roots.pem\"",
        "client_ca = \"/tls/roots.pem\"\ncrl = §\"/absent\"",
    ),
    (
        Code::Contradiction,
        "client_ca = \"/tls/roots.pem\"",
        "client_ca = \"/tls/roots.pem\"\ncrl_issuers = §\"/tls/issuers.pem\"",
    ),
    (
        Code::Contradiction,
        "[metrics]\n",
        "[metrics]\ncrl = §\"/tls/crl.pem\"\n",
    ),
    (
        Code::FileUnreadable,
        "[metrics]\n",
        "[metrics]\ntls = \"teams\"\nclient_ca = \"/tls/roots.pem\"\ncrl = §\"/absent\"\n",
    ),
    (
        Code::Contradiction,
        "[metrics]\n",
        "[metrics]\ntls = \"teams\"\nclient_ca = \"/tls/roots.pem\"\ncrl_issuers = §\"/tls/roots.pem\"\n",
    ),
    (Code::MissingKey, "[metrics]\n", "[§dns]\n[metrics]\n"),
    (
        Code::KeyNotRsa,
        "cert = \"/tls/sbc.pem\"",
        "cert = \"/ecdsa\"",
    ),
    (
        Code::RefusedByTeams,
        "cert = \"/tls/sbc.pem\"",
        "cert = \"/self-signed\"",
    ),
    (
        Code::RefusedByTeams,
        "cert = \"/tls/sbc.pem\"",
        "cert = \"/short-key\"",
    ),
    (
        Code::ChainIncomplete,
        "cert = \"/tls/sbc.pem\"",
        "cert = §\"/leaf-only\"",
    ),
    (
        Code::BadRecording,
        "[[realm]]",
        "sounds = \"/s\"\n[[sound]]\nname = \"moh\"\nfile = §\"garbage.wav\"\n[[realm]]",
    ),
    (
        Code::FileUnreadable,
        "[[realm]]",
        "sounds = \"/s\"\n[[sound]]\nname = \"moh\"\nfile = §\"absent.wav\"\n[[realm]]",
    ),
    (
        Code::OutOfRange,
        "[[realm]]",
        "sounds = \"/s\"\n[[sound]]\nname = \"moh\"\nfile = §\"endless.wav\"\n[[realm]]",
    ),
    (
        Code::BadForm,
        "[[realm]]",
        "sounds = \"/s\"\n[[sound]]\nname = \"moh\"\nfile = §\"../moh.wav\"\n[[realm]]",
    ),
    (
        Code::BadForm,
        "[[realm]]",
        "sounds = \"/s\"\n[[sound]]\nname = §\"busy\"\nfile = \"short.wav\"\n[[realm]]",
    ),
    (
        Code::BadForm,
        "[[realm]]",
        "sounds = §\"sounds\"\n[[realm]]",
    ),
    (
        Code::MissingKey,
        "[[realm]]",
        "[[sound]]\nname = §\"moh\"\nfile = \"short.wav\"\n[[realm]]",
    ),
    (Code::UnknownName, "codecs =", "music = §\"moh\"\ncodecs ="),
    (
        Code::Contradiction,
        "codecs =",
        "local_moh = §true\ncodecs =",
    ),
    (
        Code::Contradiction,
        "codecs =",
        "music = \"silence\"\nlocal_moh = §true\nhold = \"inactive\"\ncodecs =",
    ),
    (
        Code::Contradiction,
        "fqdn = ",
        "music = \"silence\"\nlocal_moh = §true\nhold = \"sendonly\"\nfqdn = ",
    ),
    (
        Code::BadForm,
        "codecs =",
        "announce = { §\"200\" = \"busy\" }\ncodecs =",
    ),
    (
        Code::UnknownName,
        "codecs =",
        "announce = { \"404\" = §\"nobody\" }\ncodecs =",
    ),
    (
        Code::UnknownValue,
        "codecs =",
        "ringback_tone = §\"atlantis\"\ncodecs =",
    ),
    (
        Code::UnreachableRoute,
        "[metrics]",
        "[[route]]\nname = §\"late\"\nmatch = { from_trunk = \"teams-contoso\", called = '^\\+1' }\nto = [{ trunk = \"carrier\" }]\n[metrics]",
    ),
    (
        Code::UnusedTrunk,
        "[[transform]]",
        "[[trunk]]\nname = §\"idle\"\ntenant = \"*\"\nrealm = \"inside\"\ntargets = [\"198.51.100.22\"]\n[[transform]]",
    ),
    (
        Code::PinnedAddress,
        "preset = \"teams\"",
        "preset = \"teams\"\ntargets = [§{ address = \"sip.pstnhub.microsoft.com\", connect_to = [\"52.112.0.1:5061\"] }]",
    ),
    (
        Code::PinnedAddress,
        "preset = \"teams\"",
        "preset = \"teams\"\ntargets = [§\"52.112.0.1:5061;tls\"]",
    ),
    (
        Code::TokenEnds,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\nexpires = §\"2026-08-09\"\n[metrics]\n",
    ),
    (
        Code::TokenEnds,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\nexpires = §\"2090-01-01\"\n[metrics]\n",
    ),
    (
        Code::TokenEnds,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = §\"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[metrics]\n",
    ),
    (
        Code::TokenEnds,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\nexpires = §\"2026-07-31T00:00:00Z\"\n[metrics]\n",
    ),
    (
        Code::BadForm,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\nexpires = §\"tomorrow\"\n[metrics]\n",
    ),
    (
        Code::UnknownValue,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = §\"root\"\ntoken = { file = \"/sha256/1\" }\n[metrics]\n",
    ),
    (
        Code::SecretMissing,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = §{ file = \"/a-token\" }\n[metrics]\n",
    ),
    (
        Code::WrongType,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = §\"cw_0123\"\n[metrics]\n",
    ),
    (
        Code::DuplicateName,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[[api.user]]\nname = \"other\"\nrole = \"viewer\"\ntoken = §{ file = \"/sha256/1\" }\n[metrics]\n",
    ),
    (
        Code::DuplicateName,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[[api.user]]\nname = §\"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/2\" }\n[metrics]\n",
    ),
    (
        Code::MissingKey,
        "[metrics]\n",
        "[api]\nlisten = §\"127.0.0.1:8443\"\ntls = \"teams\"\n[metrics]\n",
    ),
    (
        Code::MissingKey,
        "[metrics]\n",
        "[api]\nlisten = §\"127.0.0.1:8443\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[metrics]\n",
    ),
    (
        Code::UnknownName,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = §\"tems\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[metrics]\n",
    ),
    (
        Code::PortConflict,
        "[metrics]\n",
        "[api]\nlisten = §\"127.0.0.1:9464\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"viewer\"\ntoken = { file = \"/sha256/1\" }\n[metrics]\n",
    ),
    (
        Code::Contradiction,
        "[metrics]\n",
        "[api]\nunix = \"/run/x\"\ntls = §\"teams\"\n[metrics]\n",
    ),
    (
        Code::Contradiction,
        "[metrics]\n",
        "[api]\nlisten = \"127.0.0.1:8443\"\ntls = \"teams\"\n[[api.user]]\nname = \"noc\"\nrole = \"admin\"\ntoken = { file = \"/sha256/1\" }\nnumbers = §true\n[metrics]\n",
    ),
];
