//! Programs that show a certificate at the interface over the network: who comes in, as whom, and who does not (SEC-150).

use crate::network::{Desk, Page};
use crate::support::{Authority, Leaf, PATIENCE, client, revoking, write};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A desk that knows two clients of an authority.
async fn desk(authority: &Authority) -> Desk {
    desk_with(authority, |_| String::new()).await
}

/// As [`desk`], with more lines of `[api]`.
async fn desk_with(authority: &Authority, lines: impl Fn(&std::path::Path) -> String) -> Desk {
    let pem = authority.pem();
    Desk::with(|folder, _| {
        let path = write(folder.as_ref(), "operators.pem", &pem);
        let more = lines(folder.as_ref());
        format!(
            "[[api.client]]\nname = \"automation\"\nsubject = \"CN=automation,O=Contoso\\\\, Inc.\"\nrole = \"operator\"\n\
             [[api.client]]\nname = \"board\"\nsubject = \"O=Contoso, CN=board\"\nrole = \"viewer\"\n\
             #api client_ca = \"{}\"\n{more}",
            path.display()
        )
    })
    .await
}

fn named(params: &mut CertificateParams, organization: &str, name: &str) {
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(DnType::OrganizationName, organization);
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

fn leaf(authority: &Authority, organization: &str, name: &str) -> Leaf {
    authority.leaf_with(&[], |params| named(params, organization, name))
}

/// A connection on which this certificate was shown; whether it is believed is told later.
async fn shakes_hands(
    desk: &Desk,
    leaf: &Leaf,
) -> Option<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let pem = desk.directory.path().join("ca.pem");
    roots
        .add(CertificateDer::from_pem_file(pem).unwrap())
        .unwrap();
    let stream = TcpStream::connect(desk.address).await.unwrap();
    let name = ServerName::try_from("sbc.contoso.example").unwrap();
    client(roots, Some(leaf)).connect(name, stream).await.ok()
}

/// What comes back, if the certificate is believed.
async fn ask(desk: &Desk, leaf: &Leaf, method: &str, path: &str, lines: &str) -> Option<Page> {
    let mut stream = shakes_hands(desk, leaf).await?;
    let head =
        format!("{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
    // With TLS 1.3 the refusal comes after the client has spoken.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut octets = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut octets)).await;
    read.expect("an answer or the end").ok()?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Page {
        status: head[9..12].parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_a_certificate_comes_in_as_the_client_of_its_subject_and_as_nobody_else() {
    let authority = Authority::new();
    let desk = desk(&authority).await;
    let automation = leaf(&authority, "Contoso, Inc.", "automation");
    let me = ask(&desk, &automation, "GET", "/me", "").await.unwrap();
    let me: Value = serde_json::from_str(&me.body).unwrap();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&"automation (operator)".into(), &"operator".into())
    );
    let drained = ask(&desk, &automation, "POST", "/drain/now", "")
        .await
        .unwrap();
    assert_eq!(drained.status, 200, "{drained:?}");
    // The role says what it may.
    let refused = ask(&desk, &automation, "POST", "/reload", "")
        .await
        .unwrap();
    assert_eq!(refused.status, 403);
    let board = leaf(&authority, "Contoso", "board");
    assert_eq!(
        ask(&desk, &board, "GET", "/status", "")
            .await
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        ask(&desk, &board, "POST", "/undrain", "")
            .await
            .unwrap()
            .status,
        403
    );

    // A good certificate with another subject, and one that only has the name.
    for (organization, name) in [("Contoso", "automation"), ("Contoso, Inc.", "Automation")] {
        let other = leaf(&authority, organization, name);
        let refused = ask(&desk, &other, "GET", "/status", "").await.unwrap();
        assert_eq!(refused.status, 401, "{refused:?}");
        assert!(refused.body.contains("no [[api.client]]"), "{refused:?}");
    }
    // Whoever shows a token is who the token says, good or not.
    let by_token = "Authorization: Bearer token-auditor\r\n";
    let me = ask(&desk, &automation, "GET", "/me", by_token)
        .await
        .unwrap();
    assert!(me.body.contains("auditor (auditor)"), "{me:?}");
    let wrong = ask(
        &desk,
        &automation,
        "GET",
        "/me",
        "Authorization: Bearer x\r\n",
    )
    .await;
    assert_eq!(wrong.unwrap().status, 401);
    // A page of somebody else that has a browser ask.
    let elsewhere = "Origin: https://fabrikam.example\r\n";
    let refused = ask(&desk, &automation, "POST", "/undrain", elsewhere).await;
    assert_eq!(refused.unwrap().status, 403);
    // Nobody is asked for a certificate who has a token.
    let page = desk
        .ask("GET", "/api/v1/me", Some("token-viewer"), "")
        .await;
    assert_eq!(page.status, 200);

    desk.daemon.sinks().audit.finish().await;
    let entries = desk.entries();
    let is_told = |who: &str, what: &str, status: u16| {
        let mut all = entries.iter();
        all.any(|one| one.who == who && one.what == what && one.status == status)
    };
    assert!(
        is_told("automation (operator)", "POST /drain/now", 200),
        "{entries:?}"
    );
    assert!(
        is_told("automation (operator)", "POST /reload", 403),
        "{entries:?}"
    );
    assert!(is_told("automation", "POST /undrain", 403), "{entries:?}");
    assert!(
        is_told("certificate cn=automation,o=Contoso", "GET /status", 401),
        "{entries:?}"
    );
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_or_one_that_is_over_is_not_believed_and_counted() {
    let authority = Authority::new();
    let desk = desk(&authority).await;
    let foreign = leaf(&Authority::new(), "Contoso", "board");
    let over = authority.leaf_with(&[], |params| {
        named(params, "Contoso", "board");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let of_server = authority.leaf_with(&[], |params| {
        named(params, "Contoso", "board");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for wrong in [&foreign, &over, &of_server] {
        assert!(ask(&desk, wrong, "GET", "/status", "").await.is_none());
    }
    // A client that a reload takes out is nobody from then on.
    let board = leaf(&authority, "Contoso", "board");
    assert_eq!(
        ask(&desk, &board, "GET", "/me", "").await.unwrap().status,
        200
    );
    let path = desk.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("CN=board", "CN=another")).unwrap();
    let reloaded = desk.local("POST", "/reload", false).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    assert_eq!(
        ask(&desk, &board, "GET", "/me", "").await.unwrap().status,
        401
    );
    desk.daemon.sinks().audit.finish().await;
    let entries = desk.entries();
    let counted = entries.iter().find(|one| one.who == "nobody known");
    let counted = counted.expect("those who were not believed");
    assert!(
        counted.what.starts_with("3 requests without"),
        "{counted:?}"
    );
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_a_list_names_is_not_believed_from_when_the_list_is_there() {
    let authority = Authority::new();
    let list = |serial: &[u8], until| authority.revoking(revoking(serial, 2024, until));
    let desk = desk_with(&authority, |folder| {
        let path = write(folder, "crl.pem", &list(&[0x81, 0x21], 4000));
        format!("#api crl = \"{}\"\n", path.display())
    })
    .await;
    let leaf = |serial: &[u8]| {
        authority.leaf_with(&[], |params| {
            named(params, "Contoso", "board");
            params.serial_number = Some(rcgen::SerialNumber::from(serial.to_vec()));
        })
    };
    let (first, second, other) = (
        leaf(&[0x81, 0x21]),
        leaf(&[0x81, 0x22]),
        leaf(&[0x81, 0x23]),
    );
    let comes_in = async |leaf: &Leaf| match ask(&desk, leaf, "GET", "/me", "").await {
        Some(page) => page.status == 200,
        None => false,
    };
    let alarms = async || {
        let page = desk.local("GET", "/status", true).await;
        let status: Value = serde_json::from_str(&page.body).unwrap();
        status["degraded"].to_string()
    };
    assert!(!comes_in(&first).await);
    assert!(comes_in(&second).await && comes_in(&other).await);
    assert!(!alarms().await.contains("crl"));
    // Another list takes its place, as whoever fetches it does; nobody reloads.
    let folder = desk.directory.path();
    let replace = |text: &str| {
        let beside = write(folder, "crl.new", text);
        std::fs::rename(beside, folder.join("crl.pem")).unwrap();
    };
    replace(&list(&[0x81, 0x22], 4000));
    assert!(comes_in(&first).await && comes_in(&other).await);
    assert!(!comes_in(&second).await);
    // One that nobody can believe changes nothing, and is told.
    replace(&Authority::new().revoking(revoking(&[0x81, 0x23], 2024, 4000)));
    assert!(!comes_in(&second).await && comes_in(&other).await);
    let told = alarms().await;
    assert!(
        told.contains("[api] crl: ") && told.contains("is not signed"),
        "{told}"
    );
    // What an old one says still counts.
    replace(&list(&[0x81, 0x23], 2025));
    assert!(comes_in(&second).await && !comes_in(&other).await);
    let told = alarms().await;
    assert!(told.contains("should have been replaced"), "{told}");
    desk.daemon.shutdown().await;
}

/// A stream of events of somebody who shows this certificate, once its head has come.
async fn listens(desk: &Desk, leaf: &Leaf) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut stream = shakes_hands(desk, leaf).await.unwrap();
    let head = "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut octets = [0; 12];
    let read = timeout(PATIENCE, stream.read_exact(&mut octets)).await;
    read.expect("an answer").unwrap();
    assert_eq!(octets, *b"HTTP/1.1 200");
    stream
}

/// SEC-078: who was revoked does not go on on a connection of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_when_a_list_comes_that_names_its_certificate_and_others_go_on() {
    let authority = Authority::new();
    let list = |serial: &[u8]| authority.revoking(revoking(serial, 2024, 4000));
    let desk = desk_with(&authority, |folder| {
        let path = write(folder, "crl.pem", &list(&[0x81, 0x21]));
        format!("#api crl = \"{}\"\n", path.display())
    })
    .await;
    let leaf = |serial: &[u8]| {
        authority.leaf_with(&[], |params| {
            named(params, "Contoso, Inc.", "automation");
            params.serial_number = Some(rcgen::SerialNumber::from(serial.to_vec()));
        })
    };
    let mut revoked = listens(&desk, &leaf(&[0x81, 0x22])).await;
    let mut other = listens(&desk, &leaf(&[0x81, 0x23])).await;
    let folder = desk.directory.path();
    let beside = write(folder, "crl.new", &list(&[0x81, 0x22]));
    std::fs::rename(beside, folder.join("crl.pem")).unwrap();
    let mut octets = Vec::new();
    let ended = timeout(PATIENCE, revoked.read_to_end(&mut octets)).await;
    // However it ends.
    let _ = ended.expect("its end");
    let mut octet = [0; 1];
    let is_open = loop {
        match timeout(
            std::time::Duration::from_millis(200),
            other.read(&mut octet),
        )
        .await
        {
            Err(_) => break true,
            Ok(Ok(1..)) => {}
            Ok(_) => break false,
        }
    };
    assert!(is_open, "nobody has revoked it");
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_a_list_names_lets_nobody_in_who_shows_the_own_certificate_alone() {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let authority = Authority::new();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    let (_, parsed) = X509Certificate::from_der(&root).unwrap();
    let own = parsed.tbs_certificate.serial.to_bytes_be();
    let list = |serial: &[u8]| authority.revoking(revoking(serial, 2024, 4000));
    let desk = desk_with(&authority, |folder| {
        let path = write(folder, "crl.pem", &list(&own));
        format!("#api crl = \"{}\"\n", path.display())
    })
    .await;
    let board = leaf(&authority, "Contoso", "board");
    assert!(ask(&desk, &board, "GET", "/me", "").await.is_none());
    write(desk.directory.path(), "crl.pem", &list(&[0x81, 0x22, 0x33]));
    let page = ask(&desk, &board, "GET", "/me", "").await.unwrap();
    assert_eq!(page.status, 200);
    desk.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_list_is_an_alarm_before_anybody_comes_and_none_once_a_reload_removes_it() {
    let authority = Authority::new();
    let desk = desk_with(&authority, |folder| {
        let list = authority.revoking(revoking(&[0x81, 0x21], 2024, 2025));
        let path = write(folder, "crl.pem", &list);
        format!("#api crl = \"{}\"\n", path.display())
    })
    .await;
    let alarms = async || {
        let page = desk.local("GET", "/status", true).await;
        let status: Value = serde_json::from_str(&page.body).unwrap();
        status["degraded"].to_string()
    };
    assert!(alarms().await.contains("[api] crl: "), "{}", alarms().await);
    let path = desk.directory.path().join("causeway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("crl = "))
        .collect();
    std::fs::write(&path, without.join("\n")).unwrap();
    let reloaded = desk.local("POST", "/reload", false).await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.body);
    assert!(!alarms().await.contains("[api]"), "{}", alarms().await);
    desk.daemon.shutdown().await;
}
