//! Mutual TLS over real sockets: who gets in, who is refused with which reason, which certificate
//! is shown, and what a reload changes.

use crate::support;

use causeway::daemon::net::tls::TlsStore;
use causeway::sink::metrics::Direction;
use rcgen::{ExtendedKeyUsagePurpose, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sbc_core::config::RevokedFiles;
use sbc_core::event::DropCode;
use sbc_core::transport::{CertificateFault, FlowFault};
use std::future::{Future as _, poll_fn};
use std::task::Poll;
use support::{
    Authority, Leaf, World, accept_tls, call_id, listener, options, read_to_close, read_until,
    tls_hop, write_leaf, write_text,
};
use tokio::io::AsyncWriteExt;

const PEER: &str = "sip.peer.example";
const SBC: &str = "sbc.contoso.example";

/// Connects with a certificate; the daemon must refuse it for this reason.
async fn is_refused(world: &World, leaf: Option<&Leaf>, reason: &str) {
    // With TLS 1.3 a client learns of its refusal only when it reads.
    if let Ok(mut stream) = world.tls(leaf, SBC).await {
        let _ = stream.write_all(options("refused").as_bytes()).await;
        assert_eq!(read_to_close(&mut stream).await, b"");
    }
    world.handshake("contoso", Direction::In, reason).await;
    world.logged(&format!("reason={reason}")).await;
}

async fn gets_in(world: &World, leaf: &Leaf) {
    let mut stream = world.tls(Some(leaf), SBC).await.unwrap();
    write_text(&mut stream, &options("in")).await;
    let (flow, message) = world.received().await;
    assert_eq!(call_id(&message), "in");
    let identity = flow.identity.expect("verified");
    assert_eq!(identity.context.as_str(), "contoso");
    assert_eq!(identity.server_name.as_deref(), Some(SBC));
}

#[tokio::test]
async fn a_peer_with_the_right_certificate_gets_in_and_is_known_by_name() {
    let world = World::new();
    let leaf = world.authority.leaf(&["SIP.peer.example", "other.example"]);
    gets_in(&world, &leaf).await;
    world.handshake("contoso", Direction::In, "ok").await;
}

#[tokio::test]
async fn a_peer_without_certificate_is_refused() {
    is_refused(&World::new(), None, "no_client_cert").await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let leaf = Authority::new().leaf(&[PEER]);
    is_refused(&World::new(), Some(&leaf), "cert_unknown_ca").await;
}

#[tokio::test]
async fn an_expired_certificate_and_one_of_the_future_are_refused() {
    let world = World::new();
    let expired = world.authority.leaf_with(&[PEER], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    is_refused(&world, Some(&expired), "cert_expired").await;
    let future = world.authority.leaf_with(&[PEER], |params| {
        params.not_before = date_time_ymd(3000, 1, 1);
        params.not_after = date_time_ymd(3001, 1, 1);
    });
    is_refused(&world, Some(&future), "cert_not_yet_valid").await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_the_log_names_both() {
    let world = World::new();
    let leaf = world.authority.leaf(&["evil.example"]);
    is_refused(&world, Some(&leaf), "name_mismatch").await;
    world
        .logged("is for evil.example, wanted sip.peer.example")
        .await;
}

#[tokio::test]
async fn a_wildcard_covers_one_label_and_only_where_it_is_allowed() {
    let world = World::new();
    let wildcard = world.authority.leaf(&["*.peer.example"]);
    is_refused(&world, Some(&wildcard), "name_mismatch").await;

    let allowing = World::with(|text| {
        text.replace(
            "verify_client = \"require\"",
            "verify_client = \"require\"\nallow_wildcard_san = true",
        )
    });
    let wildcard = allowing.authority.leaf(&["*.peer.example"]);
    gets_in(&allowing, &wildcard).await;
    let too_high = allowing.authority.leaf(&["*.example"]);
    is_refused(&allowing, Some(&too_high), "name_mismatch").await;
}

#[tokio::test]
async fn a_client_certificate_for_servers_only_gets_in() {
    let world = World::new();
    for usages in [
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::ClientAuth],
        Vec::new(),
    ] {
        let leaf = world.authority.leaf_with(&[PEER], |params| {
            params.extended_key_usages = usages.clone();
        });
        gets_in(&world, &leaf).await;
    }
}

#[tokio::test]
async fn a_certificate_for_neither_role_is_refused() {
    let world = World::new();
    let leaf = world.authority.leaf_with(&[PEER], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    is_refused(&world, Some(&leaf), "cert_usage").await;
}

/// A list says which certificates are good no longer; what it does not name is good, and so is everything
/// without a list (TDR-TLS-017).
#[tokio::test]
async fn a_certificate_that_a_list_names_is_refused_and_no_other() {
    let world = World::new();
    let leaf = |serial: &[u8]| {
        world.authority.leaf_with(&[PEER], |params| {
            params.serial_number = Some(rcgen::SerialNumber::from(serial.to_vec()));
        })
    };
    let (named, other) = (leaf(&[0x81, 0x22]), leaf(&[0x81, 0x23]));
    gets_in(&world, &named).await;
    world.uses(revoking(&world, &[0x81, 0x22]));
    is_refused(&world, Some(&named), "cert_revoked").await;
    gets_in(&world, &other).await;
}

/// Nobody need show the certificate of the authority that is trusted.
#[tokio::test]
async fn a_certificate_of_an_authority_that_a_list_names_is_refused_though_it_comes_alone() {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    gets_in(&world, &leaf).await;
    let pem = world.authority.pem();
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    let serial = root.tbs_certificate.serial.to_bytes_be();
    world.uses(revoking(&world, &serial));
    is_refused(&world, Some(&leaf), "cert_revoked").await;
}

/// Our identities, of which one has a list of revoked certificates with this serial number.
fn revoking(world: &World, serial: &[u8]) -> TlsStore {
    let folder = world.directory.path();
    let list = world
        .authority
        .revoking(support::revoking(serial, 2024, 4000));
    let lists = support::write(folder, "crl.pem", &list);
    let mut files = world.loaded().shell.tls;
    let of_contoso = files.get_mut(&"contoso".into()).unwrap();
    of_contoso.revoked = Some(RevokedFiles {
        lists: lists.display().to_string(),
        issuers: folder.join("ca.pem").display().to_string(),
    });
    TlsStore::load(&files).unwrap()
}

#[tokio::test]
async fn a_handshake_in_whose_midst_a_list_comes_does_not_escape_it() {
    let world = World::new();
    let leaf = world.authority.leaf_with(&[PEER], |params| {
        params.serial_number = Some(rcgen::SerialNumber::from(vec![0x81, 0x22]));
    });
    let stream = world.tcp("tls").await;
    let client = support::client(world.authority.roots(), Some(&leaf));
    let mut shaking = Box::pin(client.connect(SBC.try_into().unwrap(), stream));
    // We answer, so that we have begun with what is in use now.
    let begun = poll_fn(|context| Poll::Ready(shaking.as_mut().poll(context).is_pending()));
    assert!(begun.await);
    let stream = shaking.get_ref().unwrap();
    assert_eq!(stream.peek(&mut [0]).await.unwrap(), 1);
    world.uses(revoking(&world, &[0x81, 0x22]));
    let mut stream = shaking.await.unwrap();
    let _ = stream.write_all(options("late").as_bytes()).await;
    assert_eq!(read_to_close(&mut stream).await, b"");
    world.logged("certificate_revoked").await;
}

#[tokio::test]
async fn a_sip_uri_in_the_certificate_counts_instead_of_its_dns_names() {
    let world = World::new();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let right = world.authority.leaf_with(&["host.example"], |params| {
        params.subject_alt_names.push(uri("sip:sip.peer.example"));
    });
    gets_in(&world, &right).await;
    let hidden = world.authority.leaf_with(&[PEER], |params| {
        params.subject_alt_names.push(uri("sip:other.example"));
    });
    is_refused(&world, Some(&hidden), "name_mismatch").await;
}

#[tokio::test]
async fn a_self_signed_certificate_is_named_as_such() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![PEER.to_owned()]).unwrap();
    let leaf = Leaf {
        chain_pem: params.self_signed(&key).unwrap().pem(),
        key_pem: key.serialize_pem(),
    };
    is_refused(&World::new(), Some(&leaf), "cert_self_signed").await;
}

#[tokio::test]
async fn what_is_not_tls_is_refused_as_such() {
    let world = World::new();
    let mut stream = world.tcp("tls").await;
    write_text(&mut stream, &options("plain")).await;
    read_to_close(&mut stream).await;
    world.handshake("contoso", Direction::In, "not_tls").await;
}

#[tokio::test]
async fn peers_that_keep_silent_in_their_handshake_hold_up_nobody_else() {
    let world = World::new();
    let mut silent = Vec::new();
    for number in 0..50_u8 {
        // Another address of the same peer, as a cloud has many.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let source = format!("127.0.1.{}:0", number / 10 + 1);
        socket.bind(source.parse().unwrap()).unwrap();
        silent.push(socket.connect(world.address("tls")).await.unwrap());
    }
    let begun = std::time::Instant::now();
    gets_in(&world, &world.authority.leaf(&[PEER])).await;
    // They are refused after five seconds; nobody waits so long for them.
    assert!(begun.elapsed() < std::time::Duration::from_secs(4));
    assert_eq!(silent.len(), 50);
}

#[tokio::test]
async fn a_source_with_too_many_unfinished_handshakes_is_refused_and_counted() {
    let world = World::new();
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(world.tcp("tls").await);
    }
    for _ in 0..4 {
        // The reset may come before the connection is known to be complete.
        if let Ok(mut stream) = tokio::net::TcpStream::connect(world.address("tls")).await {
            assert_eq!(read_to_close(&mut stream).await, b"");
        }
    }
    let text = world.metrics.text();
    let refused = "reason=\"too_many_handshakes_from_source\"} 4";
    assert!(text.contains(refused), "{text}");
    world.logged("why=too_many_handshakes_from_source").await;
}

/// A proxy of Teams has the same address for all customers, and a connection is for one name.
#[tokio::test]
async fn a_source_that_serves_many_trunks_may_be_in_many_handshakes() {
    let world = World::with(|text| {
        let trunks = (0..40).map(|number| {
            format!(
                "[[trunk]]\nname = \"customer-{number}\"\ntenant = \"*\"\nrealm = \"core\"\ntls = \"contoso\"\n\
                 targets = [{{ address = \"sip{number}.peer.example;tls\", connect_to = [\"127.0.0.1:9\"] }}]\n\
                 accept_from = [\"127.0.0.1\"]\naccept_names = [\"sip{number}.peer.example\"]\n\n"
            )
        });
        trunks.fold(text, |text, trunk| text + "\n" + &trunk)
    });
    let mut silent = Vec::new();
    for _ in 0..70 {
        silent.push(world.tcp("tls").await);
    }
    gets_in(&world, &world.authority.leaf(&[PEER])).await;
    assert!(!world.metrics.text().contains("from_source"));
    assert_eq!(silent.len(), 70);
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_asked_for() {
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    for (asked, context) in [
        ("sbc.contoso.example", "contoso"),
        ("sbc.fabrikam.example", "fabrikam"),
    ] {
        // The test's client checks that the certificate is for the name it asked for.
        let mut stream = world.tls(Some(&leaf), asked).await.unwrap();
        write_text(&mut stream, &options(context)).await;
        let (flow, _) = world.received().await;
        assert_eq!(flow.identity.unwrap().context.as_str(), context);
    }
    let refused = world.tls(Some(&leaf), "nobody.example").await.unwrap_err();
    assert!(refused.to_string().contains("nobody.example") || refused.to_string().contains("name"));
    let text = world.metrics.text();
    for counted in ["sni=\"known\"} 2", "sni=\"unknown\"} 1"] {
        let line = format!("sbc_tls_server_names_total{{listener=\"tls\",{counted}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn new_certificates_are_used_after_a_reload_and_live_connections_stay() {
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    let mut before = world.tls(Some(&leaf), SBC).await.unwrap();
    write_text(&mut before, &options("before")).await;
    world.received().await;

    let renewed = world.authority.leaf(&[SBC]);
    write_leaf(world.directory.path(), "contoso", &renewed);
    world.reload();

    let after = world.tls(Some(&leaf), SBC).await.unwrap();
    let shown = after.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(shown, renewed.parts().0[0]);
    write_text(&mut before, &options("still")).await;
    assert_eq!(call_id(&world.received().await.1), "still");

    // The client role uses it, too.
    let (peer, address) = listener().await;
    world.send(&tls_hop("contoso", address), &options("out"), 1);
    let (stream, _) = peer.accept().await.unwrap();
    let server = asking_server(&world, &leaf).accept(stream).await.unwrap();
    let shown = server.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(shown, renewed.parts().0[0]);
}

/// Wants a certificate and takes any: what was shown is looked at afterwards.
#[derive(Debug)]
struct TakesAny;

impl rustls::server::danger::ClientCertVerifier for TakesAny {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::server::danger::ClientCertVerified, rustls::Error> {
        Ok(rustls::server::danger::ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[tokio::test]
async fn our_certificate_for_servers_only_is_shown_to_servers_with_its_whole_chain() {
    let world = World::new();
    let own = world.authority.leaf_with(&[SBC], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    write_leaf(world.directory.path(), "contoso", &own);
    world.reload();
    let (peer, address) = listener().await;
    world.send(&tls_hop("contoso", address), &options("out"), 1);
    let (stream, _) = peer.accept().await.unwrap();
    let (chain, key) = world.authority.leaf(&[PEER]).parts();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(std::sync::Arc::new(TakesAny))
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let server = acceptor.accept(stream).await.unwrap();
    assert_eq!(
        server.get_ref().1.peer_certificates().unwrap(),
        own.parts().0
    );
}

#[tokio::test]
async fn a_client_that_asks_for_no_name_gets_the_certificate_of_the_listener() {
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    let mut config = client_config(&world, &leaf, &rustls::version::TLS12);
    config.enable_sni = false;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = rustls::pki_types::ServerName::try_from(SBC).unwrap();
    // The test's client checks that the certificate is for the SBC.
    let stream = connector.connect(name, world.tcp("tls").await).await;
    let mut stream = stream.unwrap();
    write_text(&mut stream, &options("unnamed")).await;
    let (flow, _) = world.received().await;
    let identity = flow.identity.unwrap();
    assert_eq!(identity.context.as_str(), "contoso");
    assert_eq!(identity.server_name, None);
    let counted = "sbc_tls_server_names_total{listener=\"tls\",sni=\"absent\"} 1";
    assert!(world.metrics.text().contains(counted));
}

/// A server that requires a certificate of the world's authority.
fn asking_server(world: &World, leaf: &Leaf) -> tokio_rustls::TlsAcceptor {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        std::sync::Arc::new(world.authority.roots()),
        std::sync::Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let (chain, key) = leaf.parts();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config))
}

#[tokio::test]
async fn a_server_for_another_name_is_refused_and_the_sender_learns_why() {
    let world = World::new();
    let (peer, address) = listener().await;
    let wrong = world.authority.leaf(&["evil.example"]);
    world.send(&tls_hop("contoso", address), &options("x"), 7);
    let (stream, _) = peer.accept().await.unwrap();
    assert!(support::server(&wrong).accept(stream).await.is_err());
    let (transaction, why) = world.send_failed().await;
    assert_eq!(transaction.0, 7);
    match why {
        FlowFault::TlsName { wanted, presented } => {
            assert_eq!(wanted, PEER);
            assert_eq!(presented, ["evil.example"]);
        }
        other => panic!("{other:?}"),
    }
    world
        .handshake("contoso", Direction::Out, "name_mismatch")
        .await;
}

#[tokio::test]
async fn names_of_the_hop_count_instead_of_the_server_name_where_they_are_given() {
    let world = World::new();
    let (peer, address) = listener().await;
    let other = world.authority.leaf(&["sip2.peer.example"]);
    let mut hop = tls_hop("contoso", address);
    if let Some(tls) = &mut hop.tls {
        std::sync::Arc::make_mut(tls).accept_names = vec!["sip2.peer.example".to_owned()];
    }
    world.send(&hop, &options("named"), 1);
    let mut stream = accept_tls(&peer, &other).await;
    assert_eq!(stream.get_ref().1.server_name(), Some(PEER));
    read_until(&mut stream, "Call-ID: named").await;
}

/// What is wrong with the certificate of a server, as the call that could not be made explains it.
#[tokio::test]
async fn a_server_whose_certificate_is_not_accepted_is_refused_with_what_is_wrong_with_it() {
    let world = World::new();
    let leaf = |from: i32, to: i32, usage| {
        world.authority.leaf_with(&[PEER], |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
            params.extended_key_usages = vec![usage];
        })
    };
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let signing = ExtendedKeyUsagePurpose::CodeSigning;
    for (leaf, fault) in [
        (
            Authority::new().leaf(&[PEER]),
            CertificateFault::UnknownAuthority,
        ),
        (leaf(2020, 2021, server.clone()), CertificateFault::Expired),
        (leaf(3000, 3001, server), CertificateFault::NotYetValid),
        (leaf(2020, 3000, signing), CertificateFault::Purpose),
    ] {
        let (peer, address) = listener().await;
        world.send(&tls_hop("contoso", address), &options("x"), 7);
        let (stream, _) = peer.accept().await.unwrap();
        assert!(support::server(&leaf).accept(stream).await.is_err());
        match world.send_failed().await.1 {
            FlowFault::TlsCertificate(refusal) => assert_eq!(refusal.fault, fault),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn connections_are_shared_within_a_context_and_never_across() {
    let world = World::new();
    let (peer, address) = listener().await;
    let leaf = world.authority.leaf(&[PEER]);
    let hop = tls_hop("contoso", address);
    for name in ["one", "two"] {
        world.send(&hop, &options(name), 1);
    }
    let mut first = accept_tls(&peer, &leaf).await;
    let text = read_until(&mut first, "Call-ID: two").await;
    assert!(text.contains("Call-ID: one"), "one connection for both");

    world.send(&tls_hop("fabrikam", address), &options("three"), 1);
    let mut second = accept_tls(&peer, &leaf).await;
    let text = read_until(&mut second, "Call-ID: three").await;
    assert!(!text.contains("Call-ID: one"), "a connection of its own");
    world.send(&hop, &options("four"), 1);
    read_until(&mut first, "Call-ID: four").await;
}

#[tokio::test]
async fn a_connection_that_was_verified_for_one_name_is_not_used_for_another() {
    let world = World::new();
    let (peer, address) = listener().await;
    let leaf = world.authority.leaf(&[PEER]);
    world.send(&tls_hop("contoso", address), &options("one"), 1);
    let mut first = accept_tls(&peer, &leaf).await;
    read_until(&mut first, "Call-ID: one").await;

    let mut other = tls_hop("contoso", address);
    if let Some(tls) = &mut other.tls {
        std::sync::Arc::make_mut(tls).accept_names = vec!["sip2.peer.example".to_owned()];
    }
    world.send(&other, &options("two"), 2);
    let (stream, _) = peer.accept().await.unwrap();
    let _ = asking_server(&world, &leaf).accept(stream).await;
    let (transaction, why) = world.send_failed().await;
    assert_eq!(transaction.0, 2);
    assert!(matches!(why, FlowFault::TlsName { .. }), "{why:?}");
}

#[tokio::test]
async fn a_response_goes_back_on_the_connection_of_its_request() {
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    let mut stream = world.tls(Some(&leaf), SBC).await.unwrap();
    write_text(&mut stream, &options("ask")).await;
    let (flow, _) = world.received().await;
    let mut hop = tls_hop("contoso", flow.remote);
    hop.flow = Some(flow.id);
    world.send(&hop, "SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n", 1);
    read_until(&mut stream, "200 OK").await;
}

#[tokio::test]
async fn requests_use_the_connection_of_a_peer_that_has_proven_to_be_who_they_are_for() {
    let world = World::new();
    let (peer, address) = listener().await;
    let leaf = world.authority.leaf(&[PEER]);
    let mut inbound = world.tls(Some(&leaf), SBC).await.unwrap();
    write_text(&mut inbound, &options("in")).await;
    let (flow, _) = world.received().await;
    let identity = flow.identity.clone().expect("verified");
    world.net.alias(flow.id, flow.listener, address, &identity);
    world.send(&tls_hop("contoso", address), &options("back"), 1);
    read_until(&mut inbound, "Call-ID: back").await;
    // Another customer of ours gets a connection of its own, and so does who asks for another name.
    world.send(&tls_hop("fabrikam", address), &options("other"), 2);
    let mut own = accept_tls(&peer, &leaf).await;
    let text = read_until(&mut own, "Call-ID: other").await;
    assert!(!text.contains("Call-ID: back"));
    let mut named = tls_hop("contoso", address);
    if let Some(tls) = &mut named.tls {
        std::sync::Arc::make_mut(tls).accept_names = vec!["sip2.peer.example".to_owned()];
    }
    let second = world.authority.leaf(&["sip2.peer.example"]);
    world.send(&named, &options("named"), 3);
    let mut own = accept_tls(&peer, &second).await;
    read_until(&mut own, "Call-ID: named").await;
    // With the connection its use for others ends.
    drop(inbound);
    world.flow_lost().await;
    world.send(&tls_hop("contoso", address), &options("anew"), 4);
    let mut own = accept_tls(&peer, &leaf).await;
    read_until(&mut own, "Call-ID: anew").await;
}

#[tokio::test]
async fn requests_of_a_server_come_in_on_the_connection_that_we_opened() {
    let world = World::new();
    let (peer, address) = listener().await;
    let leaf = world.authority.leaf(&[PEER]);
    world.send(&tls_hop("contoso", address), &options("out"), 1);
    let mut stream = accept_tls(&peer, &leaf).await;
    read_until(&mut stream, "Call-ID: out").await;
    write_text(&mut stream, &options("in")).await;
    let (flow, message) = world.received().await;
    assert_eq!(call_id(&message), "in");
    let identity = flow.identity.expect("verified");
    assert_eq!(identity.names, [PEER]);
}

/// A client that speaks one version of TLS only.
fn client_of(
    world: &World,
    leaf: &Leaf,
    version: &'static rustls::SupportedProtocolVersion,
) -> tokio_rustls::TlsConnector {
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(client_config(world, leaf, version)))
}

fn client_config(
    world: &World,
    leaf: &Leaf,
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::ClientConfig {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = leaf.parts();
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(world.authority.roots())
        .with_client_auth_cert(chain, key)
        .unwrap()
}

/// A server that speaks one version of TLS only.
fn server_of(
    leaf: &Leaf,
    version: &'static rustls::SupportedProtocolVersion,
) -> tokio_rustls::TlsAcceptor {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (chain, key) = leaf.parts();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config))
}

#[tokio::test]
async fn a_client_of_an_old_version_is_told_that_this_is_the_reason() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    for minor in [1, 2] {
        let mut stream = world.tcp("tls").await;
        // No session, ECDHE-RSA with AES-128, no compression, and no extensions.
        let mut body = vec![3, minor];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0xC0, 0x13, 1, 0]);
        let length = u8::try_from(body.len()).unwrap();
        let mut flight = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
        flight.extend(body);
        stream.write_all(&flight).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [21, 3, 1, 0, 2, 2, 70], "a fatal protocol_version");
    }
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_the_older_only_where_it_is_allowed() {
    use rustls::version::{TLS12, TLS13};
    let strict = |text: String| {
        text.replace(
            "name = \"contoso\"\ncert",
            "name = \"contoso\"\nmin = \"1.3\"\ncert",
        )
    };
    for (world, is_old_allowed) in [(World::new(), true), (World::with(strict), false)] {
        let leaf = world.authority.leaf(&[PEER]);
        for (version, is_allowed) in [(&TLS13, true), (&TLS12, is_old_allowed)] {
            let stream = world.tcp("tls").await;
            let name = rustls::pki_types::ServerName::try_from(SBC).unwrap();
            let shaken = client_of(&world, &leaf, version)
                .connect(name, stream)
                .await;
            match shaken {
                Ok(mut stream) => {
                    assert!(is_allowed);
                    let spoken = stream.get_ref().1.protocol_version();
                    assert_eq!(spoken, Some(version.version));
                    write_text(&mut stream, &options("in")).await;
                    world.received().await;
                }
                Err(_) => assert!(!is_allowed),
            }
            let (peer, address) = listener().await;
            world.send(&tls_hop("contoso", address), &options("out"), 1);
            let (stream, _) = peer.accept().await.unwrap();
            match server_of(&leaf, version).accept(stream).await {
                Ok(mut stream) => {
                    assert!(is_allowed);
                    read_until(&mut stream, "Call-ID: out").await;
                }
                Err(_) => {
                    assert!(!is_allowed);
                    world.send_failed().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn strangers_are_closed_without_a_byte_and_counted() {
    let world = World::with(|text| text.replace("127.0.0.0/8", "192.0.2.0/24"));
    let mut stream = world.tcp("tls").await;
    assert_eq!(read_to_close(&mut stream).await, b"");
    assert_eq!(world.metrics.net.dropped_so_far(DropCode::Stranger), 1);
}

#[test]
fn a_key_that_does_not_fit_is_named() {
    use causeway::daemon::net::tls::TlsStore;
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    support::write(directory.path(), "ca.pem", &authority.pem());
    for name in ["contoso", "fabrikam"] {
        write_leaf(directory.path(), name, &authority.leaf(&[SBC]));
    }
    support::write(
        directory.path(),
        "contoso.key",
        &authority.leaf(&[SBC]).key_pem,
    );
    let text = support::CONFIG.replace("DIR", &directory.path().display().to_string());
    let faults = TlsStore::load(&support::load(&text).shell.tls)
        .err()
        .unwrap();
    assert_eq!(faults.len(), 1);
    let text = faults[0].1.to_string();
    assert!(
        text.contains("contoso.key") && text.contains("does not belong"),
        "{text}"
    );
    // The certificate itself is fine.
    assert!(
        rustls::pki_types::CertificateDer::from_pem_file(directory.path().join("contoso.pem"))
            .is_ok()
    );
}

/// A call is ended for the one, and waits for its answer's way after the other (TDR-ERR-012).
#[tokio::test]
async fn a_connection_that_breaks_is_told_from_one_that_is_closed() {
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    let greet = async || {
        let mut stream = world.tls(Some(&leaf), SBC).await.unwrap();
        write_text(&mut stream, &options("greet")).await;
        world.received().await;
        stream
    };
    let mut closed = greet().await;
    closed.shutdown().await.unwrap();
    assert_eq!(world.flow_lost().await, FlowFault::Closed);
    // Without a word of TLS, but in the order of TCP: some peers do no better.
    drop(greet().await);
    assert_eq!(world.flow_lost().await, FlowFault::Closed);
    let reset = greet().await;
    reset.get_ref().0.set_zero_linger().unwrap();
    drop(reset);
    let fault = world.flow_lost().await;
    assert!(matches!(fault, FlowFault::Broken(_)), "{fault}");
}

/// DER with another element in the place of each that is `from`, and lengths that fit.
fn with_element(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = der;
    while let [tag, short, ..] = *rest {
        let more = if short < 0x80 {
            0
        } else {
            usize::from(short & 0x7F)
        };
        let length = match more {
            0 => usize::from(short),
            _ => rest[2..2 + more]
                .iter()
                .fold(0, |sum, octet| sum << 8 | usize::from(*octet)),
        };
        let (element, after) = rest.split_at(2 + more + length);
        match element {
            same if same == from => out.extend_from_slice(to),
            _ if tag & 0x20 != 0 => out.extend(element_of(
                tag,
                &with_element(&element[2 + more..], from, to),
            )),
            other => out.extend_from_slice(other),
        }
        rest = after;
    }
    out
}

/// An element of DER.
fn element_of(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

/// Curve parameters whose field is no prime, with a base point that has to be computed: who computes it
/// looks for a square root that there is not, for ever (CVE-2022-0778).
fn riddle() -> Vec<u8> {
    let prime_field = [0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x01, 0x01];
    let field = [&prime_field[..], &element_of(0x02, &[0x02, 0xB9])].concat();
    let curve = [
        element_of(0x04, &[0x01, 0x17]),
        element_of(0x04, &[0x01, 0x18]),
    ]
    .concat();
    let parameters = [
        element_of(0x02, &[1]),
        element_of(0x30, &field),
        element_of(0x30, &curve),
        element_of(0x04, &[0x02, 0x00, 0x08]),
        element_of(0x02, &[0x02, 0x09]),
    ];
    element_of(0x30, &parameters.concat())
}

#[tokio::test]
async fn a_certificate_whose_curve_is_a_riddle_is_refused_at_once() {
    const P256: [u8; 10] = [0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    let world = World::new();
    let leaf = world.authority.leaf(&[PEER]);
    let good = CertificateDer::from_pem_slice(leaf.chain_pem.as_bytes()).unwrap();
    let odd = with_element(&good, &P256, &riddle());
    assert_ne!(odd, good.to_vec());
    // Signed anew: everything but the curve is right.
    let content = &odd[4..];
    let length = usize::from(u16::from_be_bytes([content[2], content[3]]));
    let (signed, rest) = content.split_at(4 + length);
    let algorithm = &rest[..2 + usize::from(rest[1])];
    let signature = [vec![0], world.authority.sign(signed)].concat();
    let signature = element_of(0x03, &signature);
    let odd = element_of(0x30, &[signed, algorithm, &signature].concat());
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
    let client = support::client_showing(world.authority.roots(), odd.into(), key);
    let stream = world.tcp("tls").await;
    if let Ok(mut stream) = client.connect(SBC.try_into().unwrap(), stream).await {
        let _ = stream.write_all(options("refused").as_bytes()).await;
        assert_eq!(read_to_close(&mut stream).await, b"");
    }
    world.handshake("contoso", Direction::In, "cert_bad").await;
    gets_in(&world, &leaf).await;
}
