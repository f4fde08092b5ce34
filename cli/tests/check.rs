//! `causeway check` and `causeway init` on real files, keys and certificates.

use causeway::command::check::{self, Check};
use causeway::command::config::{self, Configuration, Show};
use causeway::command::exit;
use causeway::command::form::Output;
use causeway::command::init::{self, Init};
use causeway::command::route;
use causeway::daemon::reload;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for one test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "causeway-check-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The starter configuration with its files in `folder`, on addresses that every host has.
fn starter_in(folder: &Folder) -> String {
    let roots = format!("client_ca = \"{}\"", folder.path("ms-roots.pem").display());
    sbc_core::config::starter()
        .replace("client_ca = \"microsoft\"", &roots)
        .replace("/etc/causeway/tls/", &format!("{}/", folder.0.display()))
        .replace(
            "/var/lib/causeway/cdr",
            &format!("{}/cdr", folder.0.display()),
        )
        .replace("192.0.2.10", "127.0.0.1")
        .replace("49152-53247", "21000-21999")
        .replace("20000-29999", "20000-20999")
}

/// Authority, leaf with these names, and the leaf's key, written into the folder.
fn certificates(folder: &Folder, names: &[&str], change: impl Fn(&mut CertificateParams)) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "Test Authority");
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut leaf = CertificateParams::new(names).unwrap();
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    change(&mut leaf);
    let key = KeyPair::generate().unwrap();
    let signed = leaf
        .signed_by(&key, &Issuer::from_params(&authority, &authority_key))
        .unwrap();
    folder.write("sbc.pem", &format!("{}{}", signed.pem(), root.pem()));
    folder.write("sbc.key", &key.serialize_pem());
    folder.write("ms-roots.pem", &root.pem());
}

fn check(path: &Path, json: bool) -> (u8, String) {
    let mut out = Vec::new();
    let arguments = Check {
        config: path.to_owned(),
        output: match json {
            true => Output::JSON,
            false => Output::default(),
        },
        online: false,
    };
    let code = check::run(&arguments, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

fn check_starter(folder: &Folder) -> (u8, String) {
    folder.write("causeway.toml", &starter_in(folder));
    check(&folder.path("causeway.toml"), false)
}

#[test]
fn the_starter_configuration_is_valid_once_its_certificates_exist() {
    let folder = Folder::new();
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    assert!(
        text.contains("error[E0040]") && text.contains("it does not exist"),
        "{text}"
    );

    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::OK, "{text}");
    assert!(
        text.contains("valid: tenants 1, trunks 2, routes 2, listeners 3, tests 2"),
        "{text}"
    );
    // The keys of this test are ECDSA and its authority is nobody's, and that is said.
    assert!(
        text.contains("warning[W0105]") && text.contains("0 errors, 2 warnings"),
        "{text}"
    );
}

#[test]
fn a_certificate_that_teams_refuses_is_a_warning_with_its_reason() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let names = vec!["sbc1.contoso.example".to_owned()];
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let own = CertificateParams::new(names).unwrap().self_signed(&key);
    folder.write("sbc.pem", &own.unwrap().pem());
    folder.write("sbc.key", &key.serialize_pem());
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::OK, "{text}");
    assert!(
        text.contains("warning[W0110]") && text.contains("is its own issuer"),
        "{text}"
    );
    assert!(!text.contains("RSA key"), "it is long enough: {text}");
    // An appliance of a branch takes what its branch trusts.
    let branch = starter_in(&folder).replace(
        "preset = \"teams\"",
        "preset = \"sba\"\ntargets = [\"sba1.branch.example:5061;tls\"]\naccept_from = [\"192.0.2.200/32\"]",
    );
    folder.write("branch.toml", &branch);
    let (code, text) = check(&folder.path("branch.toml"), false);
    assert_eq!(code, exit::OK, "{text}");
    assert!(!text.contains("W0110"), "{text}");
}

#[test]
fn a_certificate_of_an_authority_outside_the_root_programme_is_a_warning() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::OK, "{text}");
    for words in [
        "warning[W0110]",
        "is of Test Authority",
        "root programme in 20",
        "ask the CA",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // The two clouds that take two roots say which.
    let gov =
        starter_in(&folder).replace("preset = \"teams\"", "preset = \"teams\"\ncloud = \"dod\"");
    folder.write("causeway.toml", &gov);
    let mut out = Vec::new();
    let arguments = Check {
        config: folder.path("causeway.toml"),
        output: Output::default(),
        online: false,
    };
    assert_eq!(check::run(&arguments, &mut out).unwrap(), exit::OK);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("DigiCert Global Root CA or DigiCert High Assurance EV Root CA"),
        "{text}"
    );
}

#[test]
fn a_wildcard_that_is_meant_for_two_labels_is_told_what_to_request() {
    let folder = Folder::new();
    certificates(&folder, &["*.example"], |_| {});
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    for words in [
        "error[E0045]",
        "request one for *.contoso.example",
        "call the trunk sbc1.example",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_certificate_is_refused_for_the_wrong_name_age_or_key() {
    let folder = Folder::new();
    certificates(&folder, &["sbc2.contoso.example"], |_| {});
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    assert!(
        text.contains("error[E0045]") && text.contains("it carries sbc2"),
        "{text}"
    );
    assert!(
        text.contains("request one for sbc1.contoso.example, or for *.contoso.example"),
        "{text}"
    );

    certificates(&folder, &["*.contoso.example"], |_| {});
    let (_, text) = check_starter(&folder);
    assert!(
        text.contains("error[E0046]") && text.contains("allow_wildcard_san"),
        "{text}"
    );

    certificates(&folder, &["sbc1.contoso.example"], |leaf| {
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = date_time_ymd(2021, 1, 1);
    });
    let (code, text) = check_starter(&folder);
    assert_eq!(
        code,
        exit::OK,
        "one dead tenant must not keep all others down"
    );
    assert!(
        text.contains("warning[W0100]") && text.contains("has expired"),
        "{text}"
    );

    certificates(&folder, &["sbc1.contoso.example"], |leaf| {
        leaf.not_before = date_time_ymd(2090, 1, 1);
        leaf.not_after = date_time_ymd(2091, 1, 1);
    });
    let (_, text) = check_starter(&folder);
    assert!(
        text.contains("warning[W0100]") && text.contains("not valid yet"),
        "{text}"
    );

    certificates(&folder, &["sbc1.contoso.example"], |leaf| {
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    folder.write("sbc.key", &KeyPair::generate().unwrap().serialize_pem());
    let (_, text) = check_starter(&folder);
    assert!(
        text.contains("error[E0043]") && text.contains("warning[W0104]"),
        "{text}"
    );
}

#[test]
fn files_that_are_no_keys_or_certificates_are_named() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    folder.write("sbc.key", "not a key\n");
    folder.write("ms-roots.pem", "not a root\n");
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    assert!(text.contains("there is no private key in it"), "{text}");
    assert!(
        text.contains("ms-roots.pem: there is no certificate in it"),
        "{text}"
    );
    assert_eq!(text.matches("error[E0042]").count(), 2, "{text}");
}

#[test]
fn absent_files_are_all_named_and_nothing_follows_from_them() {
    let folder = Folder::new();
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    for file in ["sbc.pem", "sbc.key", "ms-roots.pem"] {
        let wanted = format!("{file}: it does not exist");
        assert!(text.contains(&wanted), "{wanted}\n{text}");
    }
    assert!(text.contains("2 errors, 1 warning"), "{text}");
}

#[test]
fn a_broken_line_is_told_without_what_follows_from_it() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let text = starter_in(&folder).replacen("[node]", "[node", 1);
    folder.write("causeway.toml", &text);
    let (code, text) = check(&folder.path("causeway.toml"), false);
    assert_eq!(code, exit::INVALID);
    assert!(text.contains("error[E0001]"), "{text}");
    assert_eq!(
        text.matches("error[").count(),
        text.matches("error[E0001]").count(),
        "{text}"
    );
}

#[test]
fn a_chain_without_the_issuer_or_in_the_wrong_order_is_named() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let own = fs::read_to_string(folder.path("sbc.pem")).unwrap();
    let leaf = own
        .split_inclusive("-----END CERTIFICATE-----\n")
        .next()
        .unwrap()
        .to_owned();
    let stranger = {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Somebody Else");
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
    };
    folder.write("sbc.pem", &format!("{leaf}{stranger}"));
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::OK, "{text}");
    assert!(text.contains("warning[W0106]"), "{text}");

    folder.write("sbc.pem", &format!("{stranger}{leaf}"));
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    assert!(text.contains("must come first"), "{text}");
}

#[test]
fn a_file_of_roots_with_one_that_cannot_be_used_is_refused_before_the_start_finds_out() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let good = fs::read_to_string(folder.path("ms-roots.pem")).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    folder.write("ms-roots.pem", &format!("{good}{broken}"));
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    assert!(text.contains("certificate 2 "), "{text}");
}

#[test]
fn a_key_that_everybody_can_read_is_refused() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    fs::set_permissions(folder.path("sbc.key"), Permissions::from_mode(0o644)).unwrap();
    let (code, text) = check_starter(&folder);
    assert_eq!(code, exit::INVALID);
    assert!(
        text.contains("error[E0041]") && text.contains("chmod 640"),
        "{text}"
    );
}

#[test]
fn an_address_of_another_host_is_a_warning() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let text = starter_in(&folder).replacen("127.0.0.1\"]", "203.0.113.77\"]", 1);
    folder.write("causeway.toml", &text);
    let (code, text) = check(&folder.path("causeway.toml"), false);
    assert_eq!(code, exit::OK, "{text}");
    assert!(text.contains("warning[W0102]"), "{text}");
}

#[test]
fn files_in_conf_d_belong_to_the_configuration_in_the_order_of_their_names() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    folder.write("causeway.toml", &starter_in(&folder));
    folder.write(
        "conf.d/20-b.toml",
        "[[tenant]]\nname = \"b\"\nnumbers = [\"+493023125500\"]\n",
    );
    folder.write("conf.d/10-a.toml", "[[tenant]]\nname = \"b\"\n");
    folder.write("conf.d/notes.txt", "not read");
    folder.write("conf.d/.hidden.toml", "not read");
    let (code, text) = check(&folder.path("causeway.toml"), false);
    assert_eq!(code, exit::INVALID);
    assert!(text.contains("20-b.toml:2:8: error[E0011]"), "{text}");
    assert!(text.contains("20-b.toml:3:12: error[E0060]"), "{text}");
    assert!(!text.contains("not read"), "{text}");
}

#[test]
fn findings_come_as_json_too() {
    let folder = Folder::new();
    folder.write("causeway.toml", "[node]\nid = 7\n");
    let (code, text) = check(&folder.path("causeway.toml"), true);
    assert_eq!(code, exit::INVALID);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["valid"], false);
    assert_eq!(json["errors"][0]["code"], "E0006");
    assert_eq!(json["errors"][0]["place"]["line"], 2);
    assert_eq!(json["errors"][0]["place"]["column"], 6);
}

#[test]
fn a_file_that_does_not_exist_is_wrong_use_and_one_that_is_no_text_is_invalid() {
    let folder = Folder::new();
    let (code, text) = check(&folder.path("absent.toml"), false);
    assert_eq!(code, exit::USAGE);
    assert!(
        text.contains("does not exist") && text.contains("causeway init"),
        "{text}"
    );
    fs::write(folder.path("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    let (code, text) = check(&folder.path("binary.toml"), false);
    assert_eq!(code, exit::INVALID);
    assert!(
        text.contains("error[E0002]") && text.contains("is not UTF-8"),
        "{text}"
    );
}

/// The program, as somebody types it.
fn causeway(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

#[test]
fn the_daemon_refuses_a_configuration_with_the_code_that_check_gives_it() {
    let folder = Folder::new();
    fs::create_dir(folder.path("folder.toml")).unwrap();
    fs::write(folder.path("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    folder.write("faulty.toml", "[node]\nid = 7\n");
    for (file, wanted) in [
        ("absent.toml", exit::USAGE),
        ("folder.toml", exit::USAGE),
        ("binary.toml", exit::INVALID),
        ("faulty.toml", exit::INVALID),
    ] {
        let path = folder.path(file).display().to_string();
        for command in ["check", "run"] {
            let (code, errors) = causeway(&[command, "--config", &path]);
            assert_eq!(code, Some(wanted.into()), "{command} {file}: {errors}");
        }
    }
    let (_, text) = check(&folder.path("folder.toml"), false);
    assert!(text.contains("is a directory"), "{text}");
}

#[test]
fn an_object_whose_name_is_no_text_is_told_without_a_name() {
    let folder = Folder::new();
    folder.write(
        "causeway.toml",
        "[node]\nid = \"a\"\n[[trunk]]\nname = 9\ntenant = \"t\"\nrealm = \"r\"\ntargets = [\"192.0.2.1\"]\n",
    );
    let (_, text) = check(&folder.path("causeway.toml"), false);
    assert!(text.contains("trunk: there is no tenant \"t\""), "{text}");
    assert!(!text.contains("\"\""), "{text}");
}

#[test]
fn every_command_about_calls_is_named_in_the_help() {
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("Calls: list, recent, failed, search, show, trace, pcap, hangup"),
        "{text}"
    );
    for word in ["call", "calls"] {
        let (code, errors) = causeway(&[word, "list", "--socket", "/nonexistent.sock"]);
        assert_eq!(code, Some(exit::UNREACHABLE.into()), "{errors}");
    }
}

#[test]
fn init_makes_one_folder_and_says_so_but_not_a_whole_path() {
    let folder = Folder::new();
    let file = folder.path("etc/causeway.toml");
    let mut out = Vec::new();
    let arguments = |file: PathBuf| Init { file, force: false };
    init::run(&arguments(file), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains(&format!("made the folder {}", folder.path("etc").display())),
        "{text}"
    );

    let deep = folder.path("typo/dir/a.toml").display().to_string();
    let (code, errors) = causeway(&["init", &deep]);
    assert_eq!(code, Some(exit::REFUSED.into()), "{errors}");
    assert!(errors.contains("mkdir -p"), "{errors}");
    assert!(!folder.path("typo").exists());

    folder.write("file", "mine");
    let below = folder.path("file/a.toml").display().to_string();
    let (code, errors) = causeway(&["init", &below]);
    assert_eq!(code, Some(exit::REFUSED.into()), "{errors}");
    assert!(errors.contains("file is no directory"), "{errors}");
}

#[test]
fn init_writes_the_starter_once_and_says_which_lines_to_change() {
    let folder = Folder::new();
    let run = |force| {
        let mut out = Vec::new();
        let file = folder.path("etc/causeway.toml");
        let code = init::run(&Init { file, force }, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let (code, text) = run(false);
    assert_eq!(code, exit::OK, "{text}");
    let path = folder.path("etc/causeway.toml");
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, sbc_core::config::starter());
    for (index, line) in written.lines().enumerate().skip(9) {
        if line.contains("CHANGE") {
            assert!(
                text.contains(&format!("{:>5}  {line}", index + 1)),
                "{line}"
            );
        }
    }
    // The daemon reads it as another user than the one who wrote it.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o022, 0);

    fs::write(&path, "mine").unwrap();
    let (code, text) = run(false);
    assert_eq!(code, exit::REFUSED);
    assert_eq!(text, "", "the reason is on standard error");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let (code, _) = run(true);
    assert_eq!(code, exit::OK);
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(
        fs::read_dir(folder.path("etc")).unwrap().count(),
        1,
        "no draft is left"
    );
}

#[test]
fn init_prints_instead_of_writing_when_asked() {
    let mut out = Vec::new();
    let arguments = Init {
        file: PathBuf::from("-"),
        force: false,
    };
    assert_eq!(init::run(&arguments, &mut out).unwrap(), exit::OK);
    assert_eq!(out, sbc_core::config::starter().as_bytes());
}

#[test]
fn the_verdict_is_told_also_when_nobody_reads_the_findings() {
    let folder = Folder::new();
    folder.write("causeway.toml", "unknown = 1\n");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["check", "--config"])
        .arg(folder.path("causeway.toml"))
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(i32::from(exit::INVALID)));
}

#[test]
fn a_test_that_fails_refuses_check_start_and_reload_with_its_line() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    let text = starter_in(&folder).replace("to = \"+493023125100\"", "to = \"+493023125101\"");
    folder.write("causeway.toml", &text);
    let path = folder.path("causeway.toml");
    let (code, told) = check(&path, false);
    assert_eq!(code, exit::INVALID, "{told}");
    let line = text.lines().position(|line| line.starts_with("expect"));
    let place = format!("causeway.toml:{}:", line.unwrap() + 1);
    assert!(told.contains(&place), "{told}");
    assert!(
        told.contains("error[E0080]: test \"a call of the carrier reaches Teams\": expected To"),
        "{told}"
    );
    assert!(told.contains("help: change the rule or the test"), "{told}");
    // Start and reload load with the same code as the check.
    let fault = reload::load(&path, None).unwrap_err();
    assert!(fault.to_string().contains("error[E0080]"), "{fault}");
}

fn route_test(folder: &Folder, from: &str, to: &str, change: fn(&mut route::Test)) -> (u8, String) {
    let mut arguments = route::Test {
        from: from.to_owned(),
        to: to.to_owned(),
        trunk: Some("carrier-a".to_owned()),
        source: None,
        listener: None,
        request_uri: None,
        headers: Vec::new(),
        headers_file: None,
        presence: None,
        codecs: Vec::new(),
        time: None,
        config: folder.path("causeway.toml"),
        output: Output::default(),
    };
    change(&mut arguments);
    let mut out = Vec::new();
    let code = route::test(&arguments, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn route_test_prints_every_rule_and_the_invite_or_the_refusal() {
    let folder = Folder::new();
    certificates(&folder, &["sbc1.contoso.example"], |_| {});
    check_starter(&folder);

    let (code, text) = route_test(&folder, "030123456", "03023125100", |arguments| {
        arguments.headers.push("X-Probe: 1".to_owned());
    });
    assert_eq!(code, exit::OK, "{text}");
    for expected in [
        "comes in from 198.51.100.20:5060 over udp",
        "transform \"from-carrier\" changed the called number 03023125100 to +493023125100",
        "route \"to-teams\" leads to teams-contoso",
        "goes out (1) on trunk \"teams-contoso\" to sip.pstnhub.microsoft.com",
        "INVITE sip:+493023125100@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0",
        "X-Probe stays behind",
        "From shows the caller",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }

    let (code, text) = route_test(&folder, "1", "+33140000000", |arguments| {
        arguments.output = Output::JSON
    });
    assert_eq!(code, exit::REFUSED, "{text}");
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["refusal"]["status"], 404, "{text}");
    assert_eq!(told["refusal"]["cause"], "number_unknown");

    let (code, _) = route_test(&folder, "1", "2", |arguments| {
        arguments.trunk = Some("carrier-b".to_owned());
    });
    assert_eq!(code, exit::REFUSED);
    let (code, _) = route_test(&folder, "1", "2", |arguments| {
        arguments.headers.push("no header".to_owned());
    });
    assert_eq!(code, exit::USAGE);
}

#[test]
fn a_configuration_is_shown_with_the_reason_for_every_setting() {
    let folder = Folder::new();
    certificates(
        &folder,
        &["sbc1.contoso.example", "*.sbc1.contoso.example"],
        |_| {},
    );
    let derived = "[[tenant]]\nname = \"fabrikam\"\n[[trunk]]\nname = \"teams-fabrikam\"\n\
                   inherits = \"teams-contoso\"\ntenant = \"fabrikam\"\n\
                   fqdn = \"fabrikam.sbc1.contoso.example\"\n";
    let main = starter_in(&folder).replace(
        "verify_client = \"require\"",
        "verify_client = \"require\"\nallow_wildcard_san = true",
    );
    folder.write("causeway.toml", &main);
    folder.write("conf.d/fabrikam.toml", derived);
    let shown = |effective: bool, name: Option<&str>| {
        let command = Configuration::Show(Show {
            config: folder.path("causeway.toml"),
            effective,
            redacted: true,
            name: name.map(str::to_owned),
            output: Output::default(),
        });
        let mut out = Vec::new();
        let code = config::run(&command, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    };
    let (code, text) = shown(true, Some("teams-fabrikam"));
    assert_eq!(code, exit::OK, "{text}");
    assert!(text.starts_with("trunk \"teams-fabrikam\"\n"), "{text}");
    for words in [
        "conf.d/fabrikam.toml:7",
        "inherited from trunk \"teams-contoso\"",
        "preset teams: ",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let (code, text) = shown(false, None);
    assert_eq!(code, exit::OK);
    assert!(text.contains(derived) && text.contains(&main));
    assert_eq!(shown(true, Some("nobody")).0, exit::REFUSED);
}
