//! Client certificates (RFC 8705), against servers that demand one.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::super::error::TlsFault;
use super::super::identity::Identity;
use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("certificate");
    Authority { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
}

impl Authority {
    /// A certificate of a client that has this name, and its key.
    fn client(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("key");
        (params.signed_by(&key, &self.issuer).expect("certificate").pem(), key.serialize_pem())
    }

    fn identity(&self, name: &str, trusted: Option<&Authority>) -> Identity {
        let (certificate, key) = self.client(name);
        let trusted = trusted.map(|authority| authority.pem.as_bytes());
        Identity::read(certificate.as_bytes(), key.as_bytes(), trusted).expect("they fit")
    }

    /// A server with a certificate of this authority, which demands one of `clients`. It answers with the name in it, and counts
    /// connections in a header.
    async fn server(&self, clients: &Authority) -> Url {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("params");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.issuer).expect("certificate");
        let mut roots = RootCertStore::empty();
        roots.add(clients.der.clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().expect("roots");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("key"))
            .expect("certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let url = server(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let client = stream.get_ref().1.peer_certificates().expect("demanded")[0].to_vec();
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    let named = |name: &&&str| client.windows(name.len()).any(|part| part == name.as_bytes());
                    let name = ["alice", "bob"].iter().find(named).copied().unwrap_or("nobody");
                    let _ = stream.write_all(&answer("", name.as_bytes())).await;
                }
            }
        })
        .await;
        Url::parse(&format!("https://127.0.0.1:{}/", url.port().expect("port"))).expect("url")
    }
}

async fn asked(egress: &Egress, url: &Url, identity: &Identity) -> Result<Bytes, EgressError> {
    egress.send_as(get(url), Some(identity)).await.map(|response| response.body)
}

#[tokio::test]
async fn each_identity_is_shown_on_connections_of_its_own() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let url = servers.server(&clients).await;
    let egress = local();
    let (alice, bob) = (clients.identity("alice", Some(&servers)), clients.identity("bob", Some(&servers)));
    for _ in 0..3 {
        assert_eq!(asked(&egress, &url, &alice).await.expect("a good certificate"), "alice");
        assert_eq!(asked(&egress, &url, &bob).await.expect("a good certificate"), "bob");
    }
}

#[tokio::test]
async fn what_the_server_does_not_accept_is_said() {
    let (servers, clients, strangers) = (authority("servers"), authority("clients"), authority("strangers"));
    let url = servers.server(&clients).await;
    let egress = local();
    let stranger = strangers.identity("alice", Some(&servers));
    assert_eq!(asked(&egress, &url, &stranger).await, Err(EgressError::Tls(TlsFault::ClientCertificate)));
    // the authorities of one identity are trusted for it alone
    let alone = clients.identity("alice", None);
    let refused = asked(&egress, &url, &alone).await;
    assert!(matches!(refused, Err(EgressError::Tls(TlsFault::Untrusted | TlsFault::NoTrustRoots))), "{refused:?}");
    assert_eq!(asked(&egress, &url, &clients.identity("bob", Some(&servers))).await.expect("a good one"), "bob");
    let nobody = egress.send(get(&url)).await.expect_err("it is not trusted without an identity");
    assert!(matches!(nobody, EgressError::Tls(TlsFault::Untrusted | TlsFault::NoTrustRoots)), "{nobody:?}");
}

#[tokio::test]
async fn the_guard_holds_for_them_too() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let trap = Trap::set();
    let url = Url::parse(&format!("https://127.0.0.1:{}/", trap.port())).expect("url");
    let egress = Egress::new(EgressPolicy::default()).expect("client");
    let refused = asked(&egress, &url, &clients.identity("alice", Some(&servers))).await;
    assert!(matches!(refused, Err(EgressError::Denied(_))), "{refused:?}");
    let named = Url::parse(&format!("https://localhost:{}/", trap.port())).expect("url");
    let refused = asked(&egress, &named, &clients.identity("alice", Some(&servers))).await;
    assert!(matches!(refused, Err(EgressError::Denied(_))), "{refused:?}");
    assert!(!trap.was_touched());
}

#[tokio::test]
async fn more_identities_than_are_kept_do_their_work() {
    let (servers, clients) = (authority("servers"), authority("clients"));
    let url = servers.server(&clients).await;
    let egress = local();
    let alice = clients.identity("alice", Some(&servers));
    for _ in 0..70 {
        let bob = clients.identity("bob", Some(&servers));
        assert_eq!(asked(&egress, &url, &bob).await.expect("a good certificate"), "bob");
        assert!(egress.identities() <= 64);
    }
    assert_eq!(asked(&egress, &url, &alice).await.expect("a good certificate"), "alice");
}
